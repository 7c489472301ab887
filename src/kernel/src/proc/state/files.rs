//! The files of processes: the file system, descriptors, and the console behind the first three of those.
//!
//! The rules are those of `asphodel_core::fs`; all of it is behind one mutex. A process gets its table when it first
//! opens or uses a file, with 0, 1 and 2 for the console, so that a process without files costs nothing. A new process
//! inherits nothing, except that a peer shares its leader's table (T74), which is freed with the last of them. The exit
//! owner closes the descriptors, when no LWP of the process can use them any more.
//!
//! Buffers are touched before the mutex is taken: a program that passes memory that is not mapped ends as it would for
//! any access, without holding a lock.

use asphodel_core::errno::Errno;
use asphodel_core::fs::Files;
pub use asphodel_core::fs::{Descriptor, Inode, Kind, Object, OpenFlags, Stat, Whence};
use asphodel_core::fs::{MAX_NAME, TableNumber, Tree};

use crate::arch::layout::PAGE_SIZE;
use crate::mem::{arena, heap};
use crate::proc::state::table::current_process;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service::KernelSection;
use crate::sync::{Mutex, program_code};
use crate::time::realtime;
use crate::{console, input};

/// Files may have this part of the heap.
const SHARE_OF_HEAP: u64 = 2;

static FILES: Mutex<Option<Files>> = Mutex::new(None);

/// Makes an empty file system. Once, at boot, before process 1.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn init() -> Result<(), Errno> {
    *FILES.lock() = Some(Files::new(Tree::new(heap::free() as u64 / SHARE_OF_HEAP)?)?);
    Ok(())
}

/// Calls `work` with all files, in a section: its allocations are the kernel's, not a program's. Blocks.
fn with_files<T>(work: impl FnOnce(&mut Files) -> Result<T, Errno>) -> Result<T, Errno> {
    let _section = KernelSection::enter();
    let mut files = FILES.lock();
    work(files.as_mut().expect("there are files before there are processes"))
}

/// Calls `work` with all files and the calling process's table. Blocks.
fn with_table<T>(work: impl FnOnce(&mut Files, TableNumber) -> Result<T, Errno>) -> Result<T, Errno> {
    with_files(|files| {
        let table = table_of(files, current_process())?;
        work(files, table)
    })
}

/// Returns the table of a process, which gets one if it has none: a peer its leader's, which exists as long as it has
/// peers.
fn table_of(files: &mut Files, process: &Process) -> Result<TableNumber, Errno> {
    if process.resources.descriptors.get() == 0 {
        let table = match process.task_group.leader.get() {
            0 => files.add_table()?,
            leader => {
                let table = table_of(files, PROCESSES.get(leader))?;
                files.share_table(table);
                table
            }
        };
        process.resources.descriptors.set(table);
    }
    Ok(process.resources.descriptors.get())
}

/// Drops the process's descriptors. Called by its exit owner; blocks.
#[inline]
pub(in crate::proc) fn leave(process: &Process) {
    let table = process.resources.descriptors.get();
    if table != 0 {
        process.resources.descriptors.set(0);
        leave_table(table);
    }
}

#[cold]
#[inline(never)]
fn leave_table(table: TableNumber) {
    let _left = with_files(|files| {
        files.leave_table(table);
        Ok(())
    });
}

/// Adds a file with these contents, and the directories it lies in. Thread context; blocks.
///
/// # Errors
/// `EEXIST`; those of every path; `ENOMEM`, `ENOSPC`. `EFAULT`: the contents lie in an arena, which is freed before the
/// file.
pub fn add(path: &str, contents: &'static [u8]) -> Result<(), Errno> {
    if arena::contains(contents.as_ptr() as usize) {
        return Err(Errno::EFAULT);
    }
    with_files(|files| files.tree.add_fixed(path, contents))
}

/// Opens what a path names, or makes it; open(2). Blocks.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `EISDIR`, `EEXIST`, `ENAMETOOLONG`, `EINVAL`, `EMFILE`, `ENOMEM`, `ENOSPC`.
pub fn open(path: &str, flags: OpenFlags) -> Result<Descriptor, Errno> {
    with_table(|files, table| files.open(table, path, flags, realtime::realtime_ns()))
}

/// close(2). Blocks.
///
/// # Errors
/// `EBADF`.
pub fn close(descriptor: Descriptor) -> Result<(), Errno> {
    with_table(|files, table| files.close(table, descriptor))
}

/// dup(2). Blocks.
///
/// # Errors
/// `EBADF`, `EMFILE`, `ENOMEM`.
pub fn duplicate(descriptor: Descriptor) -> Result<Descriptor, Errno> {
    with_table(|files, table| files.duplicate(table, descriptor))
}

/// Returns the object to which a descriptor refers. Blocks.
///
/// # Errors
/// `EBADF`.
pub fn object(descriptor: Descriptor) -> Result<Object, Errno> {
    with_table(|files, table| files.object(table, descriptor))
}

/// Reads on; 0: the end. From the console as many bytes as there are, at least one; ^D at the beginning is the end, and a
/// return is a line feed. read(2). Killable; blocks.
///
/// # Errors
/// `EBADF`, `EISDIR`; `EINTR`: the caller is being killed.
pub fn read(descriptor: Descriptor, buffer: &mut [u8]) -> Result<usize, Errno> {
    touch(buffer);
    match with_table(|files, table| files.read(table, descriptor, buffer))? {
        Some(count) => Ok(count),
        None => read_console(buffer),
    }
}

/// Writes on, or to the console, where up to a kibibyte appears in one piece; how many bytes. write(2). Blocks.
///
/// # Errors
/// `EBADF`, `EISDIR`, `EFBIG`, `ENOSPC`.
pub fn write(descriptor: Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    touch_readable(bytes);
    if let Some(count) =
        with_table(|files, table| files.write(table, descriptor, bytes, realtime::realtime_ns()))?
    {
        return Ok(count);
    }
    console::write(bytes);
    Ok(bytes.len())
}

/// Sets where an open file is; lseek(2). Blocks.
///
/// # Errors
/// `EBADF`, `ESPIPE`, `EINVAL`.
pub fn seek(descriptor: Descriptor, by: i64, whence: Whence) -> Result<u64, Errno> {
    with_table(|files, table| files.seek(table, descriptor, by, whence))
}

/// Returns the status of the file at `path`; stat(2). Blocks.
///
/// # Errors
/// Those of every path.
pub fn stat(path: &str) -> Result<Stat, Errno> {
    with_files(|files| files.tree.stat(files.tree.lookup(path)?))
}

/// Returns the status of a file or directory that is open. Blocks.
///
/// # Errors
/// `ENOENT`: it is gone.
pub fn stat_inode(inode: Inode) -> Result<Stat, Errno> {
    with_files(|files| files.tree.stat(inode))
}

/// unlink(2). Blocks.
///
/// # Errors
/// Those of every path; `EISDIR`.
pub fn unlink(path: &str) -> Result<(), Errno> {
    with_files(|files| files.tree.unlink(path, realtime::realtime_ns()))
}

/// mkdir(2). Blocks.
///
/// # Errors
/// Those of every path; `EEXIST`, `ENOMEM`, `ENOSPC`.
pub fn make_directory(path: &str) -> Result<(), Errno> {
    with_files(|files| files.tree.make_directory(path, realtime::realtime_ns()))
}

/// rmdir(2). Blocks.
///
/// # Errors
/// Those of every path; `ENOTEMPTY`, `EBUSY`.
pub fn remove_directory(path: &str) -> Result<(), Errno> {
    with_files(|files| files.tree.remove_directory(path, realtime::realtime_ns()))
}

/// Calls `each` with every name in an open directory, by name, and what it names, until that says `false`. `each` is
/// ordinary code of the program, called with no lock held; of names that are added or removed meanwhile, those are left
/// out that come before the present one. Blocks.
///
/// # Errors
/// `EBADF`, `ENOTDIR`.
pub fn list(descriptor: Descriptor, mut each: impl FnMut(&str, Inode, Kind) -> bool) -> Result<(), Errno> {
    let mut name = heapless::String::<MAX_NAME>::new();
    while let Some((inode, kind)) = next_name(descriptor, &mut name)? {
        if !program_code::call(|| each(&name, inode, kind)) {
            break;
        }
    }
    Ok(())
}

/// Replaces `name` by the one after it in the directory, and returns what that names. `None`: it is the last.
fn next_name(
    descriptor: Descriptor,
    name: &mut heapless::String<MAX_NAME>,
) -> Result<Option<(Inode, Kind)>, Errno> {
    with_table(|files, table| {
        let Object::Inode(directory) = files.object(table, descriptor)? else { return Err(Errno::ENOTDIR) };
        let Some(next) = files.tree.entries_after(directory, name)?.next() else { return Ok(None) };
        name.clear();
        name.push_str(next.name).expect("no name is longer");
        Ok(Some((next.inode, next.kind)))
    })
}

/// Returns the number of files, tables of descriptors, and bytes of memory. For tests and `free`. Blocks.
#[must_use]
pub fn figures() -> (usize, usize, u64) {
    with_files(|files| Ok((files.open_files(), files.tables(), files.tree.used()))).unwrap_or_default()
}

fn read_console(buffer: &mut [u8]) -> Result<usize, Errno> {
    if buffer.is_empty() { Ok(0) } else { input::read_some(buffer).ok_or(Errno::EINTR) }
}

/// Checks that a buffer can be written, by writing to it. In program code.
pub(crate) fn touch(buffer: &mut [u8]) {
    let length = buffer.len();
    for at in (0..length).step_by(PAGE_SIZE).chain(length.checked_sub(1)) {
        let byte = &raw mut buffer[at];
        // SAFETY: in the buffer, which is borrowed exclusively.
        unsafe { byte.write_volatile(byte.read_volatile()) };
    }
}

/// Checks that bytes can be read, by reading them. In program code.
pub(crate) fn touch_readable(bytes: &[u8]) {
    let length = bytes.len();
    for at in (0..length).step_by(PAGE_SIZE).chain(length.checked_sub(1)) {
        // SAFETY: in the slice.
        unsafe { (&raw const bytes[at]).read_volatile() };
    }
}
