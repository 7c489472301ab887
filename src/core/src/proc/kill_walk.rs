//! Killing a set of processes, a group, a subtree or all, while its members spawn: no process escapes.
//!
//! kill(2) of a group (RFPGLOCK) or of -1, PROC_REAP_KILL (T175). The killer announces its walk and goes through the process
//! table once; every member that it finds is marked and killed. A spawner makes its child findable, and then looks
//! whether walks are announced, one of which the child belongs to, and whether it has been marked itself. Either the
//! walk finds the child, or the spawner sees the announcement, or, when the walk is over, the spawner sees its own
//! mark, because the walk has found the spawner by then. Model: `tests/loom_kill_walk.rs`.
//!
//! A child of a member belongs to the subtree of the member, but perhaps to another group. So a mark states which kind
//! of set the member was killed with, and only that of a subtree applies to a child in another group.

use crate::id::Pid;
use crate::list::{Links, List, Nodes};
use crate::shim::atomic::{AtomicU32, Ordering, fence};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell32;
use crate::signal::Signal;

/// The processes that a walk kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All but process 1, and but the sender.
    All,
    /// Those of a group.
    Group(Pid),
    /// Those of the domain of the reaper in this slot.
    Domain(u32),
    /// Those of the branch of that domain that this child of the reaper has founded.
    Branch(u32, Pid),
}

impl Scope {
    /// Returns the kind of set that it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Group(_) => Kind::Group,
            Self::All | Self::Domain(_) | Self::Branch(..) => Kind::Subtree,
        }
    }
}

/// A kind of sets of processes that are killed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A group.
    Group,
    /// The domain of a reaper, a branch of it, or all processes.
    Subtree,
}

impl Kind {
    /// How far the signal of such a kill is shifted in the marks of a process.
    const fn shift(self) -> u32 {
        match self {
            Self::Group => 0,
            Self::Subtree => u8::BITS,
        }
    }
}

const SIGNAL: u32 = 0xff;

/// The marks that walks leave at a process: the signals that it was killed with.
#[derive(Debug)]
pub struct KillMarks(AtomicU32);

impl KillMarks {
    const_unless_loom! {
        /// No walk has found the process.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// For a new process. The record must not be reachable by others.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// A walk over a set of this kind has found the process, and kills it by `signal`. Of two kills of one kind the
    /// second one's signal replaces the first one's.
    pub fn set(&self, kind: Kind, signal: Signal) {
        let change =
            |marks: u32| Some(marks & !(SIGNAL << kind.shift()) | u32::from(signal.number()) << kind.shift());
        // Relaxed: `KillWalks::end` publishes it.
        let _before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Returns whether a walk has found the process.
    #[inline]
    fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Returns the mark of the process, a spawner, that applies to its child: the kind of the kill, and the signal.
    #[must_use]
    pub fn inherited(&self, same_group: bool) -> Option<(Kind, Signal)> {
        let marks = self.0.load(Ordering::Relaxed);
        let mark = |kind: Kind| Some((kind, Signal::new((marks >> kind.shift() & SIGNAL) as i32)?));
        mark(Kind::Subtree).or_else(|| mark(Kind::Group).filter(|_| same_group))
    }
}

impl Default for KillMarks {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of walks in progress in the whole system. Lock-free.
#[derive(Debug)]
pub struct KillWalks(AtomicU32);

impl KillWalks {
    const_unless_loom! {
        /// No walk is in progress.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// Begins a walk. Must be called before the first look into the table.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Store-load order against `is_any_after_spawn`: the announcement precedes the looks.
        fence(Ordering::SeqCst);
    }

    /// Ends a walk. Every member that it found has been marked and killed.
    pub fn end(&self) {
        // Release: a spawner that sees that the walk is over also sees what the walk wrote to its members.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Returns whether a walk is in progress. Called by a spawner that has just made its child findable, and that
    /// checks its own marks afterwards.
    #[inline]
    pub fn is_any_after_spawn(&self) -> bool {
        // The child becomes findable before the look.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Acquire) != 0
    }

    /// Returns whether a kill may apply to a child that its spawner, which has these marks, has just made findable.
    #[inline]
    pub fn may_concern_child_of(&self, spawner: &KillMarks) -> bool {
        // In this order: when a walk is over, it has marked the spawner.
        self.is_any_after_spawn() || spawner.is_any()
    }
}

impl Default for KillWalks {
    fn default() -> Self {
        Self::new()
    }
}

/// The announcement of the walk that a thread carries out. Guarded by the lock around the [`Announced`].
#[derive(Debug)]
pub struct Announcement {
    links: Links,
    kind: Cell32,
    /// The slot of the reaper, or the group.
    of: Cell32,
    branch: Cell32,
    signal: Cell32,
}

impl Announcement {
    /// The thread carries out no walk.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: Links::new(),
            kind: Cell32::new(0),
            of: Cell32::new(0),
            branch: Cell32::new(0),
            signal: Cell32::new(0),
        }
    }

    fn set(&self, scope: Scope, signal: Signal) {
        let (kind, of, branch) = match scope {
            Scope::Group(group) => (0, group.raw() as u32, 0),
            Scope::Domain(reaper) => (1, reaper, 0),
            Scope::Branch(reaper, child) => (2, reaper, child.raw() as u32),
            Scope::All => (3, 0, 0),
        };
        self.kind.set(kind);
        self.of.set(of);
        self.branch.set(branch);
        self.signal.set(u32::from(signal.number()));
    }

    fn get(&self) -> Option<(Scope, Signal)> {
        let scope = match self.kind.get() {
            0 => Scope::Group(Pid::from_raw(self.of.get() as i32)),
            1 => Scope::Domain(self.of.get()),
            3 => Scope::All,
            _ => Scope::Branch(self.of.get(), Pid::from_raw(self.branch.get() as i32)),
        };
        Some((scope, Signal::new(self.signal.get() as i32)?))
    }
}

impl Default for Announcement {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the announcement of a thread by the thread's index.
pub trait Announcements {
    /// Returns the announcement of thread `index`.
    fn announcement(&self, index: u32) -> &Announcement;
}

/// Views a table of threads as nodes of the list of announcements.
struct Walkers<'a, A: ?Sized>(&'a A);

impl<A: Announcements + ?Sized> Nodes for Walkers<'_, A> {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        &self.0.announcement(index).links
    }
}

/// The walks in progress, each by the index of the thread that carries it out. A list through the threads, so that
/// there is room for as many as there can be.
#[derive(Debug)]
pub struct Announced(List);

impl Announced {
    /// No walk is in progress.
    #[must_use]
    pub const fn new() -> Self {
        Self(List::new())
    }

    /// Thread `index` begins to kill the processes of `scope` by `signal`.
    pub fn add<A: Announcements + ?Sized>(&mut self, table: &A, index: u32, scope: Scope, signal: Signal) {
        table.announcement(index).set(scope, signal);
        self.0.push_back(&Walkers(table), index);
    }

    /// The walk of thread `index` is over.
    pub fn remove<A: Announcements + ?Sized>(&mut self, table: &A, index: u32) {
        self.0.remove(&Walkers(table), index);
    }

    /// Returns the first walk whose scope `has` a process, and its signal.
    pub fn find<A: Announcements + ?Sized>(
        &self,
        table: &A,
        has: impl Fn(Scope) -> bool,
    ) -> Option<(Scope, Signal)> {
        let walkers = Walkers(table);
        let mut walks = self.0.iter(&walkers).filter_map(|index| table.announcement(index).get());
        walks.find(|(scope, _)| has(*scope))
    }

    /// Returns whether no walk is in progress.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Announced {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const GROUP_7: Scope = Scope::Group(Pid::from_raw(7));
    const GROUP_8: Scope = Scope::Group(Pid::from_raw(8));

    #[test]
    fn walks_are_counted() {
        let walks = KillWalks::new();
        assert!(!walks.is_any_after_spawn());
        walks.begin();
        walks.begin();
        walks.end();
        assert!(walks.is_any_after_spawn());
        walks.end();
        assert!(!walks.is_any_after_spawn());
    }

    /// A group's kill applies to children in the same group, a subtree's to all.
    #[test]
    fn marks_go_over_to_children() {
        let marks = KillMarks::new();
        assert_eq!((marks.inherited(true), marks.inherited(false)), (None, None));
        marks.set(Kind::Group, Signal::TERM);
        assert_eq!(marks.inherited(true), Some((Kind::Group, Signal::TERM)));
        assert_eq!(marks.inherited(false), None);
        marks.set(Kind::Subtree, Signal::KILL);
        assert_eq!(marks.inherited(false), Some((Kind::Subtree, Signal::KILL)));
        marks.reset();
        assert_eq!(marks.inherited(true), None);
    }

    #[test]
    fn a_mark_makes_spawners_look() {
        let (walks, marks) = (KillWalks::new(), KillMarks::new());
        assert!(!walks.may_concern_child_of(&marks));
        marks.set(Kind::Group, Signal::TERM);
        assert!(walks.may_concern_child_of(&marks));
    }

    struct Threads(Vec<Announcement>);

    impl Announcements for Threads {
        fn announcement(&self, index: u32) -> &Announcement {
            &self.0[index as usize]
        }
    }

    #[test]
    fn announcements_are_found_by_scope() {
        let threads = Threads((0..4).map(|_| Announcement::new()).collect());
        let mut walks = Announced::new();
        assert!(walks.is_empty());
        let branch = Scope::Branch(3, Pid::from_raw(8));
        walks.add(&threads, 0, GROUP_7, Signal::TERM);
        walks.add(&threads, 2, branch, Signal::KILL);
        walks.add(&threads, 1, Scope::Domain(4), Signal::INT);
        let find = |walks: &Announced, wanted| walks.find(&threads, |scope| scope == wanted);
        assert_eq!(find(&walks, branch), Some((branch, Signal::KILL)));
        assert_eq!(find(&walks, Scope::Domain(4)), Some((Scope::Domain(4), Signal::INT)));
        assert_eq!((find(&walks, GROUP_8), find(&walks, Scope::All)), (None, None));
        walks.add(&threads, 3, Scope::All, Signal::KILL);
        assert_eq!(find(&walks, Scope::All), Some((Scope::All, Signal::KILL)));
        walks.remove(&threads, 3);
        walks.remove(&threads, 2);
        assert_eq!((find(&walks, branch), find(&walks, GROUP_7)), (None, Some((GROUP_7, Signal::TERM))));
        walks.remove(&threads, 0);
        walks.remove(&threads, 1);
        assert!(walks.is_empty());
    }
}
