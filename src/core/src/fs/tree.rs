//! The tree: directories, the names in them, and the inodes they name.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::contents::Contents;
use super::path::Path;
use super::pool::Pool;
use crate::errno::Errno;

/// The number of a file or a directory, valid for as long as that exists.
pub type Inode = u32;

/// The number of files and directories for which memory is reserved from the start, in the root, too.
const FIRST: usize = 64;

/// The root.
const ROOT: Inode = 0;

/// The kind of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// It is created if it does not exist.
    pub create: bool,
    /// It must not exist.
    pub exclusive: bool,
    /// It is truncated.
    pub truncate: bool,
    /// It must be a directory.
    pub directory: bool,
}

/// The attributes of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub inode: Inode,
    /// Its kind.
    pub kind: Kind,
    /// Bytes; of a directory, the number of names in it.
    pub size: u64,
    /// Bytes of memory that its contents take, without holes and the table of pieces.
    pub allocated: u64,
    /// The number of its names.
    pub links: u32,
    /// The time of its last change, by the caller's clock.
    pub changed: u64,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a str,
    /// The inode that it names.
    pub inode: Inode,
    /// The kind of that inode.
    pub kind: Kind,
}

#[derive(Debug)]
struct Node {
    body: Body,
    /// The directory that contains it; unused for a file.
    parent: Inode,
    /// It has a name.
    named: bool,
    /// How often it is open.
    opens: u32,
    changed: u64,
}

#[derive(Debug)]
enum Body {
    File(Contents),
    /// Sorted by name.
    Directory(Vec<(Box<str>, Inode)>),
}

impl Body {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::File,
            Self::Directory(_) => Kind::Directory,
        }
    }
}

/// A file system.
#[derive(Debug)]
pub struct Tree {
    nodes: Pool<Node>,
    /// Bytes of memory that contents take, and may take.
    used: u64,
    limit: u64,
}

impl Tree {
    /// Makes an empty file system, whose files may take `limit` bytes of memory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(limit: u64) -> Result<Self, Errno> {
        let (mut nodes, mut names) = (Pool::new(), Vec::new());
        nodes.reserve(FIRST)?;
        names.try_reserve(FIRST).map_err(|_| Errno::ENOMEM)?;
        let root = Node { body: Body::Directory(names), parent: ROOT, named: true, opens: 0, changed: 0 };
        nodes.add(root)?;
        Ok(Self { nodes, used: 0, limit })
    }

    /// Returns the bytes of memory that contents take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Returns the number of files and directories, including open ones without a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether only the root exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    fn node(&self, inode: Inode) -> Result<&Node, Errno> {
        self.nodes.get(inode).ok_or(Errno::ENOENT)
    }

    fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(inode).ok_or(Errno::ENOENT)
    }

    fn directory(&self, inode: Inode) -> Result<&Vec<(Box<str>, Inode)>, Errno> {
        match &self.node(inode)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, inode: Inode) -> Result<&mut Vec<(Box<str>, Inode)>, Errno> {
        match &mut self.node_mut(inode)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// Returns the position of a name in a directory, or where to insert it.
    fn find(&self, directory: Inode, name: &str) -> Result<Result<usize, usize>, Errno> {
        Ok(self.directory(directory)?.binary_search_by(|(other, _)| (**other).cmp(name)))
    }

    /// Returns the inode that a path names.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`, `EINVAL`: as for every path.
    pub fn lookup(&self, path: &str) -> Result<Inode, Errno> {
        let path = Path::new(path)?;
        let inode = self.walk(path.components())?;
        if path.wants_directory() {
            self.directory(inode)?;
        }
        Ok(inode)
    }

    fn walk<'a>(&self, mut components: impl Iterator<Item = &'a str>) -> Result<Inode, Errno> {
        components.try_fold(ROOT, |directory, name| {
            let place = self.find(directory, name)?;
            if name == ".." {
                return Ok(self.node(directory)?.parent);
            }
            let index = place.map_err(|_| Errno::ENOENT)?;
            Ok(self.directory(directory)?[index].1)
        })
    }

    /// Returns the directory that a path's last component is in or would be in, and that component.
    fn place<'a>(&self, path: Path<'a>) -> Result<(Inode, &'a str), Errno> {
        let Some((parent, name)) = path.split_last() else {
            // It may exist, and cannot be created.
            let inode = self.walk(path.components())?;
            return self.directory(inode).and(Err(Errno::EEXIST));
        };
        let directory = self.walk(parent)?;
        self.directory(directory)?;
        Ok((directory, name))
    }

    /// Opens what a path names; it exists until it has been closed as often. `now` is the time of a change.
    ///
    /// # Errors
    /// Besides those of every path: `EEXIST`, `EISDIR`, `ENOTDIR`, `ENOMEM`. Nothing has changed then.
    pub fn open(&mut self, path: &str, flags: OpenFlags, now: u64) -> Result<Inode, Errno> {
        let inode = match self.lookup(path) {
            Ok(_) if flags.create && flags.exclusive => return Err(Errno::EEXIST),
            Ok(inode) => inode,
            Err(Errno::ENOENT) if flags.create && !flags.directory => {
                let path = Path::new(path)?;
                if path.wants_directory() {
                    return Err(Errno::EISDIR);
                }
                let (directory, name) = self.place(path)?;
                self.add(directory, name, Body::File(Contents::empty()), now)?
            }
            Err(error) => return Err(error),
        };
        match self.node(inode)?.body.kind() {
            Kind::Directory if flags.write || flags.create => return Err(Errno::EISDIR),
            Kind::File if flags.directory => return Err(Errno::ENOTDIR),
            Kind::File if flags.truncate && flags.write => self.truncate(inode, now)?,
            _ => {}
        }
        self.node_mut(inode)?.opens += 1;
        Ok(inode)
    }

    /// Undoes one [`Tree::open`]; an inode without a name is freed with the last.
    pub fn close(&mut self, inode: Inode) {
        if let Some(node) = self.nodes.get_mut(inode) {
            node.opens -= 1;
            self.reclaim(inode);
        }
    }

    /// Frees an inode that is neither named nor open.
    fn reclaim(&mut self, inode: Inode) {
        if self.nodes.get(inode).is_some_and(|node| !node.named && node.opens == 0)
            && let Some(Node { body: Body::File(contents), .. }) = self.nodes.remove(inode)
        {
            self.used -= contents.memory();
        }
    }

    /// Adds a name that does not exist yet.
    fn add(&mut self, directory: Inode, name: &str, body: Body, now: u64) -> Result<Inode, Errno> {
        let Err(index) = self.find(directory, name)? else { return Err(Errno::EEXIST) };
        let mut own = String::new();
        own.try_reserve_exact(name.len()).map_err(|_| Errno::ENOMEM)?;
        own.push_str(name);
        self.entries_mut(directory)?.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let inode = self.nodes.add(Node { body, parent: directory, named: true, opens: 0, changed: now })?;
        self.entries_mut(directory)?.insert(index, (own.into_boxed_str(), inode));
        self.node_mut(directory)?.changed = now;
        Ok(inode)
    }

    /// Makes a file with fixed contents, and the directories that contain it.
    ///
    /// # Errors
    /// As [`Tree::open`]; directories may have been created then.
    pub fn add_fixed(&mut self, path: &str, bytes: &'static [u8]) -> Result<(), Errno> {
        let whole = Path::new(path)?;
        let (parent, name) = whole.split_last().ok_or(Errno::EISDIR)?;
        let mut directory = ROOT;
        for name in parent {
            directory = match self.find(directory, name)? {
                Ok(index) => self.directory(directory)?[index].1,
                Err(_) => self.add(directory, name, Body::Directory(Vec::new()), 0)?,
            };
        }
        self.add(directory, name, Body::File(Contents::Fixed(bytes)), 0).map(|_| ())
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// Besides those of every path: `EEXIST`, `ENOMEM`.
    pub fn make_directory(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let (directory, name) = self.place(Path::new(path)?)?;
        self.add(directory, name, Body::Directory(Vec::new()), now).map(|_| ())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Besides those of every path: `ENOTEMPTY`; `EBUSY`: it is the root, or open; `EINVAL`: the path ends with `.` or `..`.
    pub fn remove_directory(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let inode = self.lookup(path)?;
        if inode != ROOT && Path::new(path)?.split_last().is_none() {
            return Err(Errno::EINVAL);
        }
        if !self.directory(inode)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        if inode == ROOT || self.node(inode)?.opens > 0 {
            return Err(Errno::EBUSY);
        }
        self.unname(path, now).map(|_| self.nodes.remove(inode)).map(|_| ())
    }

    /// Removes a file's name; the file exists as long as it is open.
    ///
    /// # Errors
    /// Besides those of every path: `EISDIR`.
    pub fn unlink(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let inode = self.lookup(path)?;
        if self.node(inode)?.body.kind() == Kind::Directory {
            return Err(Errno::EISDIR);
        }
        self.unname(path, now)?;
        self.node_mut(inode)?.named = false;
        self.reclaim(inode);
        Ok(())
    }

    fn unname(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let (directory, name) = Path::new(path)?
            .split_last()
            .map_or(Err(Errno::EINVAL), |(parent, name)| Ok((self.walk(parent)?, name)))?;
        let index = self.find(directory, name)?.map_err(|_| Errno::ENOENT)?;
        self.entries_mut(directory)?.remove(index);
        self.node_mut(directory)?.changed = now;
        Ok(())
    }

    fn truncate(&mut self, inode: Inode, now: u64) -> Result<(), Errno> {
        let node = self.node_mut(inode)?;
        if let Body::File(contents) = &mut node.body {
            let before = contents.memory();
            *contents = Contents::empty();
            node.changed = now;
            self.used -= before;
        }
        Ok(())
    }

    /// Reads from a file; returns how many bytes.
    ///
    /// # Errors
    /// `EISDIR`.
    pub fn read(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        match &self.node(inode)?.body {
            Body::File(contents) => Ok(contents.read(offset, buffer)),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// Writes to a file; returns how many bytes, which is fewer than all if memory runs out.
    ///
    /// # Errors
    /// `EISDIR`; `EFBIG`, `ENOSPC`: not a single byte can be written.
    pub fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8], now: u64) -> Result<usize, Errno> {
        let room = self.limit - self.used;
        let node = self.node_mut(inode)?;
        let Body::File(contents) = &mut node.body else { return Err(Errno::EISDIR) };
        let (written, used) = contents.write(offset, bytes, room)?;
        node.changed = now;
        self.used += used;
        Ok(written)
    }

    /// Returns the attributes of an inode.
    ///
    /// # Errors
    /// `ENOENT`: it does not exist any more.
    pub fn stat(&self, inode: Inode) -> Result<Stat, Errno> {
        let node = self.node(inode)?;
        let (size, allocated) = match &node.body {
            Body::File(contents) => (contents.length(), contents.allocated()),
            Body::Directory(entries) => (entries.len() as u64, 0),
        };
        let links = u32::from(node.named);
        Ok(Stat { inode, kind: node.body.kind(), size, allocated, links, changed: node.changed })
    }

    /// Returns the names in a directory that come after `name`, sorted, without `.` and `..`; all come after an empty one.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn entries_after(&self, inode: Inode, name: &str) -> Result<impl Iterator<Item = Entry<'_>>, Errno> {
        let entries = self.directory(inode)?;
        let first = entries.partition_point(|(other, _)| **other <= *name);
        Ok(entries[first..].iter().filter_map(|(name, inode)| {
            Some(Entry { name, inode: *inode, kind: self.nodes.get(*inode)?.body.kind() })
        }))
    }
}
