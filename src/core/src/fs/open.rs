//! Open files: descriptors are small numbers in a process's table, which name open files, which keep a position.
//!
//! Several descriptors may name one open file (dup), and several processes one table (T74: a leader and its peers). The
//! lowest free number is always the next one. An open file is closed with the last descriptor that names it.

use alloc::vec::Vec;

use super::pool::Pool;
use super::tree::{Inode, OpenFlags, Tree};
use crate::errno::Errno;

/// A process's name of an open file.
pub type Descriptor = i32;
/// Names a table of descriptors, 1 and up; 0 is no table.
pub type TableNumber = u32;

/// Most descriptors of a table.
pub const MAX_DESCRIPTORS: usize = 4096;

/// Open files, and tables, for which there is room from the start.
const FIRST: usize = 64;

/// The object of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The console.
    Console,
    /// A file or a directory.
    Inode(Inode),
}

/// The origin of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The beginning.
    Start,
    /// The present position.
    Current,
    /// The end.
    End,
}

/// An open file.
#[derive(Debug)]
struct Open {
    object: Object,
    flags: OpenFlags,
    offset: u64,
    /// The number of descriptors that name it.
    names: u32,
}

/// Descriptors, each with the open file it names.
#[derive(Debug)]
struct Table {
    slots: Vec<Option<u32>>,
    /// No number below is free.
    lowest: usize,
    /// The number of processes that use it.
    users: u32,
}

/// The file system, and all open files.
#[derive(Debug)]
pub struct Files {
    /// The file system.
    pub tree: Tree,
    open: Pool<Open>,
    tables: Pool<Table>,
}

const BOTH: OpenFlags = OpenFlags {
    read: true,
    write: true,
    append: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
};

impl Files {
    /// An empty file system without open files.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(tree: Tree) -> Result<Self, Errno> {
        let mut files = Self { tree, open: Pool::new(), tables: Pool::new() };
        files.open.reserve(FIRST)?;
        files.tables.reserve(FIRST)?;
        Ok(files)
    }

    /// Makes a table with one user, whose descriptors 0, 1 and 2 are the console.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn add_table(&mut self) -> Result<TableNumber, Errno> {
        let console = self.open.add(Open { object: Object::Console, flags: BOTH, offset: 0, names: 3 })?;
        let mut slots = Vec::new();
        let made = slots.try_reserve(4).map_err(|_| Errno::ENOMEM).and_then(|()| {
            slots.extend([Some(console); 3]);
            self.tables.add(Table { slots, lowest: 3, users: 1 })
        });
        if made.is_err() {
            self.open.remove(console);
        }
        made.map(|number| number + 1)
    }

    /// Adds a process to the users of the table.
    pub fn share_table(&mut self, number: TableNumber) {
        if let Ok(table) = self.table_mut(number) {
            table.users += 1;
        }
    }

    /// Removes a process from the users of the table; with the last one everything in it is closed.
    pub fn leave_table(&mut self, number: TableNumber) {
        let Ok(table) = self.table_mut(number) else { return };
        table.users -= 1;
        if table.users == 0
            && let Some(table) = self.tables.remove(number - 1)
        {
            table.slots.into_iter().flatten().for_each(|open| self.forget(open));
        }
    }

    /// Returns the number of open files.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.open.len()
    }

    /// Returns the number of tables.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    fn table(&self, number: TableNumber) -> Result<&Table, Errno> {
        number.checked_sub(1).and_then(|place| self.tables.get(place)).ok_or(Errno::EBADF)
    }

    fn table_mut(&mut self, number: TableNumber) -> Result<&mut Table, Errno> {
        number.checked_sub(1).and_then(|place| self.tables.get_mut(place)).ok_or(Errno::EBADF)
    }

    fn number(&self, table: TableNumber, descriptor: Descriptor) -> Result<u32, Errno> {
        let place = usize::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        self.table(table)?.slots.get(place).copied().flatten().ok_or(Errno::EBADF)
    }

    fn file(&self, table: TableNumber, descriptor: Descriptor) -> Result<&Open, Errno> {
        self.open.get(self.number(table, descriptor)?).ok_or(Errno::EBADF)
    }

    fn file_mut(&mut self, table: TableNumber, descriptor: Descriptor) -> Result<&mut Open, Errno> {
        let number = self.number(table, descriptor)?;
        self.open.get_mut(number).ok_or(Errno::EBADF)
    }

    /// Returns the lowest free place of a table, for which it has reserved memory.
    fn free_place(&mut self, table: TableNumber) -> Result<usize, Errno> {
        let table = self.table_mut(table)?;
        let place =
            (table.lowest..).find(|place| table.slots.get(*place).copied().flatten().is_none()).unwrap_or(0);
        if place >= MAX_DESCRIPTORS {
            return Err(Errno::EMFILE);
        }
        if place == table.slots.len() {
            table.slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            table.slots.push(None);
        }
        Ok(place)
    }

    /// Gives an open file the lowest free descriptor.
    fn name(&mut self, table: TableNumber, open: u32) -> Result<Descriptor, Errno> {
        let place = self.free_place(table)?;
        let table = self.table_mut(table)?;
        table.slots[place] = Some(open);
        table.lowest = place + 1;
        Ok(place as Descriptor)
    }

    /// Drops one descriptor of an open file.
    fn forget(&mut self, number: u32) {
        let Some(open) = self.open.get_mut(number) else { return };
        open.names -= 1;
        if open.names == 0
            && let Some(Open { object: Object::Inode(inode), .. }) = self.open.remove(number)
        {
            self.tree.close(inode);
        }
    }

    /// Opens what a path names.
    ///
    /// # Errors
    /// As [`Tree::open`]; `EMFILE`: the table is full.
    pub fn open(
        &mut self,
        table: TableNumber,
        path: &str,
        flags: OpenFlags,
        now: u64,
    ) -> Result<Descriptor, Errno> {
        // Done first because it may fail, so that no file is made or emptied in vain.
        self.open.reserve(1)?;
        self.free_place(table)?;
        let inode = self.tree.open(path, flags, now)?;
        let open = Open { object: Object::Inode(inode), flags, offset: 0, names: 1 };
        let number = self.open.add(open).inspect_err(|_| self.tree.close(inode))?;
        self.name(table, number).inspect_err(|_| self.forget(number))
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, table: TableNumber, descriptor: Descriptor) -> Result<(), Errno> {
        let open = self.number(table, descriptor)?;
        let table = self.table_mut(table)?;
        table.slots[descriptor as usize] = None;
        table.lowest = table.lowest.min(descriptor as usize);
        self.forget(open);
        Ok(())
    }

    /// Makes a second descriptor for the same open file.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`, `ENOMEM`.
    pub fn duplicate(&mut self, table: TableNumber, descriptor: Descriptor) -> Result<Descriptor, Errno> {
        let open = self.number(table, descriptor)?;
        let duplicate = self.name(table, open)?;
        self.file_mut(table, descriptor)?.names += 1;
        Ok(duplicate)
    }

    /// Returns the object that a descriptor names.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn object(&self, table: TableNumber, descriptor: Descriptor) -> Result<Object, Errno> {
        self.file(table, descriptor).map(|file| file.object)
    }

    /// Reads on from the file's position. Returns `None` for the console, which the caller reads.
    ///
    /// # Errors
    /// `EBADF`: not a descriptor, or not open for reading. `EISDIR`.
    pub fn read(
        &mut self,
        table: TableNumber,
        descriptor: Descriptor,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, Errno> {
        let file = self.file(table, descriptor)?;
        let Object::Inode(inode) = file.object else { return Ok(None) };
        if !file.flags.read {
            return Err(Errno::EBADF);
        }
        let count = self.tree.read(inode, file.offset, buffer)?;
        self.file_mut(table, descriptor)?.offset += count as u64;
        Ok(Some(count))
    }

    /// Writes on from the file's position, or at its end. Returns `None` for the console.
    ///
    /// # Errors
    /// `EBADF`: not a descriptor, or not open for writing. As [`Tree::write`].
    pub fn write(
        &mut self,
        table: TableNumber,
        descriptor: Descriptor,
        bytes: &[u8],
        now: u64,
    ) -> Result<Option<usize>, Errno> {
        let file = self.file(table, descriptor)?;
        let Object::Inode(inode) = file.object else { return Ok(None) };
        if !file.flags.write {
            return Err(Errno::EBADF);
        }
        let offset = if file.flags.append { self.tree.stat(inode)?.size } else { file.offset };
        let count = self.tree.write(inode, offset, bytes, now)?;
        self.file_mut(table, descriptor)?.offset = offset + count as u64;
        Ok(Some(count))
    }

    /// Sets the file's position and returns it.
    ///
    /// # Errors
    /// `EBADF`. `ESPIPE`: the console. `EINVAL`: before the beginning, or too large a number.
    pub fn seek(
        &mut self,
        table: TableNumber,
        descriptor: Descriptor,
        by: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let file = self.file(table, descriptor)?;
        let Object::Inode(inode) = file.object else { return Err(Errno::ESPIPE) };
        let from = match whence {
            Whence::Start => 0,
            Whence::Current => file.offset,
            Whence::End => self.tree.stat(inode)?.size,
        };
        let to = from.checked_add_signed(by).filter(|to| i64::try_from(*to).is_ok()).ok_or(Errno::EINVAL)?;
        self.file_mut(table, descriptor)?.offset = to;
        Ok(to)
    }
}
