//! The LWP list: the LWPs of a process, in lists that make a kill resumable and an LWP's number findable.
//!
//! ```text
//!   insert --> LIVE --mark_next_killed--> KILLED     remove --> EXITED (a handle exists) --unlist, take_exited--> OFF
//!                `-----------------------------`-----------> OFF (no handle)
//! ```
//!
//! A killer moves LWPs from the live list to the killed list in batches, so it keeps its place when it drops the lock;
//! an LWP that leaves in between removes itself (R9). Guarded by the lock around the [`LwpList`].

use crate::list::{Links, List, Nodes};
use crate::shim::guarded::Cell32;

const LIVE: u32 = 0;
const KILLED: u32 = 1;
const EXITED: u32 = 2;
const OFF: u32 = 3;

/// An LWP's entry: its number, and which of the lists it is in. Guarded by the LWP list's lock.
#[derive(Debug)]
pub struct LwpEntry {
    links: Links,
    list: Cell32,
    tid: Cell32,
}

impl LwpEntry {
    /// The entry of a record that is in no LWP list.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Links::new(), list: Cell32::new(OFF), tid: Cell32::new(0) }
    }

    /// The number of the LWP in its process. It stays valid when the LWP leaves.
    #[inline(always)]
    pub fn tid(&self) -> u32 {
        self.tid.get()
    }
}

impl Default for LwpEntry {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the list entry of an LWP by the LWP's index.
pub trait LwpEntries {
    /// Returns the entry of LWP `index`.
    fn list_entry(&self, index: u32) -> &LwpEntry;
}

/// Views a table of LWPs as nodes of LWP lists.
struct LwpNodes<'a, M: ?Sized>(&'a M);

impl<M: LwpEntries + ?Sized> Nodes for LwpNodes<'_, M> {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        &self.0.list_entry(index).links
    }
}

/// The LWPs of one process.
#[derive(Debug)]
pub struct LwpList {
    /// LWPs without a kill pending.
    live: List,
    /// LWPs with a kill pending, and the exit owner to which no kill applies any more.
    killed: List,
    /// LWPs that have left and for which a handle exists.
    exited: List,
    /// The number of the LWP that was added last.
    last_tid: u32,
}

impl LwpList {
    /// An empty LWP list; the next number is 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { live: List::new(), killed: List::new(), exited: List::new(), last_tid: 0 }
    }

    /// Restarts the numbers at 1. Called for a record that is reused, whose LWP list must be empty.
    pub fn reset(&mut self) {
        debug_assert!(self.is_empty() && self.exited.is_empty(), "LWPs of the last occupant are left");
        self.last_tid = 0;
    }

    /// Returns whether all LWPs have left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.killed.is_empty()
    }

    /// Returns whether no LWP that has left is listed for its handle.
    #[must_use]
    pub fn has_no_exited(&self) -> bool {
        self.exited.is_empty()
    }

    /// Adds a new LWP and numbers it. The caller has counted it at the gate under the same acquisition of the lock
    /// (R7).
    #[inline]
    pub fn insert<M: LwpEntries + ?Sized>(&mut self, entries: &M, index: u32) {
        let entry = entries.list_entry(index);
        self.last_tid += 1;
        entry.tid.set(self.last_tid);
        entry.list.set(LIVE);
        self.live.push_back(&LwpNodes(entries), index);
    }

    /// Returns the next LWP without a kill pending, other than `spared`, and moves it to the killed list. `None`: there
    /// is no other. The spared LWP stays in the live list, so a later killer still finds it.
    #[inline]
    pub fn mark_next_killed<M: LwpEntries + ?Sized>(
        &mut self,
        entries: &M,
        spared: Option<u32>,
    ) -> Option<u32> {
        let nodes = LwpNodes(entries);
        let first = self.live.first()?;
        let index = if Some(first) == spared { self.live.next(&nodes, first)? } else { first };
        self.spare(entries, index);
        Some(index)
    }

    /// No killer finds LWP `index` any more.
    pub fn spare<M: LwpEntries + ?Sized>(&mut self, entries: &M, index: u32) {
        let entry = entries.list_entry(index);
        if entry.list.get() == LIVE {
            self.live.remove(&LwpNodes(entries), index);
            entry.list.set(KILLED);
            self.killed.push_back(&LwpNodes(entries), index);
        }
    }

    /// Renumbers the only LWP as 1, because it continues as the first LWP of another program.
    pub fn renumber<M: LwpEntries + ?Sized>(&mut self, entries: &M, index: u32) {
        debug_assert!(self.iter(entries).eq([index]), "it is not the only one");
        entries.list_entry(index).tid.set(1);
        self.last_tid = 1;
    }

    /// Removes an LWP that leaves: its number names no LWP from here on (T97). `listed`: a handle exists that the
    /// process must be able to revoke.
    #[inline]
    pub fn remove<M: LwpEntries + ?Sized>(&mut self, entries: &M, index: u32, listed: bool) {
        let nodes = LwpNodes(entries);
        let entry = entries.list_entry(index);
        let list = if entry.list.get() == KILLED { &mut self.killed } else { &mut self.live };
        list.remove(&nodes, index);
        if listed {
            self.exited.push_back(&nodes, index);
        }
        entry.list.set(if listed { EXITED } else { OFF });
    }

    /// Removes `index` if it has left. Called when its handle has been given back.
    #[inline]
    pub fn unlist<M: LwpEntries + ?Sized>(&mut self, entries: &M, index: u32) {
        let entry = entries.list_entry(index);
        if entry.list.get() == EXITED {
            self.exited.remove(&LwpNodes(entries), index);
            entry.list.set(OFF);
        }
    }

    /// Removes and returns one LWP that has left and whose handle still exists.
    #[inline]
    pub fn take_exited<M: LwpEntries + ?Sized>(&mut self, entries: &M) -> Option<u32> {
        let index = self.exited.pop_front(&LwpNodes(entries))?;
        entries.list_entry(index).list.set(OFF);
        Some(index)
    }

    /// Returns the LWPs that have not left.
    pub fn iter<'a, M: LwpEntries + ?Sized>(
        &'a self,
        entries: &'a M,
    ) -> impl Iterator<Item = u32> + use<'a, M> {
        iterate(&self.live, entries).chain(iterate(&self.killed, entries))
    }

    /// Returns the LWP with number `tid`, if it has not left.
    pub fn find<M: LwpEntries + ?Sized>(&self, entries: &M, tid: u32) -> Option<u32> {
        self.iter(entries).find(|&index| entries.list_entry(index).tid.get() == tid)
    }
}

/// Iterates over the LWPs in one list of an LWP list.
fn iterate<'a, M: LwpEntries + ?Sized>(
    list: &'a List,
    entries: &'a M,
) -> impl Iterator<Item = u32> + use<'a, M> {
    core::iter::successors(list.first(), move |&index| list.next(&LwpNodes(entries), index))
}

impl Default for LwpList {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<LwpEntry>);

    impl LwpEntries for Table {
        fn list_entry(&self, index: u32) -> &LwpEntry {
            &self.0[index as usize]
        }
    }

    /// LWPs `0..count`, with the numbers `1..=count`.
    fn lwps(count: u32) -> (Table, LwpList) {
        let table = Table((0..count).map(|_| LwpEntry::new()).collect());
        let mut lwps = LwpList::new();
        (0..count).for_each(|index| lwps.insert(&table, index));
        (table, lwps)
    }

    fn kill_other_lwps(lwps: &mut LwpList, table: &Table, spared: Option<u32>) -> Vec<u32> {
        core::iter::from_fn(|| lwps.mark_next_killed(table, spared)).collect()
    }

    #[test]
    fn lwps_are_numbered_from_one() {
        let (table, mut lwps) = lwps(2);
        assert_eq!((table.list_entry(0).tid(), table.list_entry(1).tid()), (1, 2));
        assert_eq!((lwps.find(&table, 2), lwps.find(&table, 3)), (Some(1), None));
        lwps.remove(&table, 1, false);
        assert_eq!(lwps.find(&table, 2), None, "T97");
        lwps.insert(&table, 1);
        assert_eq!(lwps.find(&table, 3), Some(1), "T98: a number is not used again");
        lwps.remove(&table, 0, false);
        lwps.remove(&table, 1, false);
        lwps.reset();
        lwps.insert(&table, 0);
        assert_eq!(table.list_entry(0).tid(), 1);
    }

    /// T42, R9: the walk resumes where it stopped, even if LWPs leave meanwhile.
    #[test]
    fn a_walk_is_resumed() {
        let (table, mut lwps) = lwps(4);
        assert_eq!(lwps.mark_next_killed(&table, None), Some(0));
        lwps.remove(&table, 1, false);
        lwps.remove(&table, 0, false);
        assert_eq!(kill_other_lwps(&mut lwps, &table, None), [2, 3]);
        assert_eq!(lwps.iter(&table).collect::<Vec<_>>(), [2, 3], "they have been notified, and are there");
    }

    /// A later killer finds the spared LWP wherever it stands.
    #[test]
    fn one_is_spared() {
        for spared in 0..3 {
            let (table, mut lwps) = lwps(3);
            let others: Vec<u32> = (0..3).filter(|&index| index != spared).collect();
            assert_eq!(kill_other_lwps(&mut lwps, &table, Some(spared)), others);
            assert_eq!(kill_other_lwps(&mut lwps, &table, None), [spared]);
        }
    }

    /// T27: the LWP that continues is numbered 1 again.
    #[test]
    fn the_only_one_is_renumbered() {
        let (table, mut lwps) = lwps(2);
        lwps.remove(&table, 0, false);
        lwps.renumber(&table, 1);
        lwps.insert(&table, 0);
        assert_eq!((table.list_entry(1).tid(), table.list_entry(0).tid()), (1, 2));
    }

    #[test]
    fn handles_of_the_departed_are_listed() {
        let (table, mut lwps) = lwps(3);
        lwps.remove(&table, 0, true);
        lwps.remove(&table, 1, true);
        lwps.unlist(&table, 0);
        lwps.unlist(&table, 2);
        assert_eq!((lwps.take_exited(&table), lwps.take_exited(&table)), (Some(1), None));
        assert!(lwps.has_no_exited() && !lwps.is_empty());
        lwps.remove(&table, 2, false);
        assert!(lwps.is_empty());
    }
}
