//! The tree: directories, the names in them, and the inodes they name.

use super::contents::Contents;
use super::names::{Name, Names};
use super::path::Path;
use super::pool::Pool;
use crate::errno::Errno;

/// The number of a file or a directory, valid for as long as that exists.
pub type Inode = u32;

/// The number of files and directories for which memory is reserved from the start.
const FIRST: usize = 64;

/// Bytes of memory that a file or a directory takes besides its name and its contents: its inode, and its place among
/// the names. Both lie in tables that grow by doubling.
pub(super) const COST: u64 = 256;

const _: () = assert!(2 * (Pool::<Node>::PLACE + size_of::<Name>()) <= COST as usize);

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
    Directory(Names),
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
    /// Bytes of memory that everything but the root takes, and may take. What the table of inodes once needed it keeps,
    /// but that is used again first.
    used: u64,
    limit: u64,
}

impl Tree {
    /// Makes an empty file system, whose files and directories may take `limit` bytes of memory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(limit: u64) -> Result<Self, Errno> {
        let mut nodes = Pool::new();
        nodes.reserve(FIRST)?;
        let root = Node {
            body: Body::Directory(Names::with_room()?),
            parent: ROOT,
            named: true,
            opens: 0,
            changed: 0,
        };
        nodes.add(root)?;
        Ok(Self { nodes, used: 0, limit })
    }

    /// Returns the bytes of memory that files and directories take, which is never more than the limit.
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

    fn directory(&self, inode: Inode) -> Result<&Names, Errno> {
        match &self.node(inode)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, inode: Inode) -> Result<&mut Names, Errno> {
        match &mut self.node_mut(inode)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
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
        components.try_fold(ROOT, |directory, name| self.step(directory, name))
    }

    /// Returns what one component names in a directory.
    fn step(&self, directory: Inode, name: &str) -> Result<Inode, Errno> {
        let names = self.directory(directory)?;
        if name == ".." {
            return Ok(self.node(directory)?.parent);
        }
        names.get(name).ok_or(Errno::ENOENT)
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
    /// Besides those of every path: `EEXIST`, `EISDIR`, `ENOTDIR`, `ENOMEM`, `ENOSPC`. Nothing has changed then.
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
            && let Some(node) = self.nodes.remove(inode)
        {
            let contents = if let Body::File(contents) = node.body { contents.memory() } else { 0 };
            self.used -= COST + contents;
        }
    }

    /// Adds a name that does not exist yet, and its inode.
    fn add(&mut self, directory: Inode, name: &str, body: Body, now: u64) -> Result<Inode, Errno> {
        if self.directory(directory)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let used = self.used + COST + name.len() as u64;
        if used > self.limit {
            return Err(Errno::ENOSPC);
        }
        let inode = self.nodes.add(Node { body, parent: directory, named: true, opens: 0, changed: now })?;
        if let Err(error) = self.names_mut(directory)?.insert(name, inode) {
            self.nodes.remove(inode);
            return Err(error);
        }
        self.node_mut(directory)?.changed = now;
        self.used = used;
        Ok(inode)
    }

    /// Makes a file with fixed contents, and the directories that contain it.
    ///
    /// # Errors
    /// As [`Tree::open`]; directories may have been created then.
    pub fn add_fixed(&mut self, path: &str, bytes: &'static [u8]) -> Result<(), Errno> {
        let whole = Path::new(path)?;
        if whole.wants_directory() {
            return Err(Errno::EISDIR);
        }
        let (parent, name) = whole.split_last().ok_or(Errno::EISDIR)?;
        let mut directory = ROOT;
        for name in parent {
            directory = match self.step(directory, name) {
                Err(Errno::ENOENT) => self.add(directory, name, Body::Directory(Names::new()), 0)?,
                found => found?,
            };
        }
        self.add(directory, name, Body::File(Contents::Fixed(bytes)), 0).map(|_| ())
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// Besides those of every path: `EEXIST`, `ENOMEM`, `ENOSPC`.
    pub fn make_directory(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let (directory, name) = self.place(Path::new(path)?)?;
        self.add(directory, name, Body::Directory(Names::new()), now).map(|_| ())
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
        if self.directory(inode)?.len() > 0 {
            return Err(Errno::ENOTEMPTY);
        }
        if inode == ROOT || self.node(inode)?.opens > 0 {
            return Err(Errno::EBUSY);
        }
        self.unname(path, now)
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
        self.unname(path, now)
    }

    /// Removes a name, and what it names unless that is open.
    fn unname(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        let (directory, name) = Path::new(path)?
            .split_last()
            .map_or(Err(Errno::EINVAL), |(parent, name)| Ok((self.walk(parent)?, name)))?;
        let inode = self.names_mut(directory)?.remove(name).ok_or(Errno::ENOENT)?;
        self.node_mut(directory)?.changed = now;
        self.used -= name.len() as u64;
        self.node_mut(inode)?.named = false;
        self.reclaim(inode);
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
        let before = contents.memory();
        let written = contents.write(offset, bytes, before + room)?;
        let after = contents.memory();
        node.changed = now;
        self.used = self.used - before + after;
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
            Body::Directory(names) => (names.len() as u64, 0),
        };
        let links = u32::from(node.named);
        Ok(Stat { inode, kind: node.body.kind(), size, allocated, links, changed: node.changed })
    }

    /// Returns the names in a directory that come after `name`, sorted, without `.` and `..`; all come after an empty one.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn entries_after(&self, inode: Inode, name: &str) -> Result<impl Iterator<Item = Entry<'_>>, Errno> {
        Ok(self.directory(inode)?.after(name).filter_map(|(name, inode)| {
            Some(Entry { name, inode: *inode, kind: self.nodes.get(*inode)?.body.kind() })
        }))
    }
}
