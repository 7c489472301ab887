//! The crew: the LWPs of a process, in lists that make a kill resumable and an LWP's number findable.
//!
//! ```text
//!   admit --> FREE --doom_next--> DOOMED        quit --> LEFT (a handle is out) --unlist, take_left--> NOWHERE
//!               `---------------------`---------------> NOWHERE (no handle)
//! ```
//!
//! A killer moves LWPs from the live list to the killed list in batches, so it keeps its place when it drops the lock;
//! an LWP that leaves in between removes itself (R9). Guarded by the lock around the [`Crew`].

use crate::list::{Links, List, Nodes};
use crate::shim::guarded::Cell32;

const FREE: u32 = 0;
const DOOMED: u32 = 1;
const LEFT: u32 = 2;
const NOWHERE: u32 = 3;

/// An LWP's entry: its number, and which of the lists it is in. Guarded by the crew's lock.
#[derive(Debug)]
pub struct Member {
    links: Links,
    place: Cell32,
    tid: Cell32,
}

impl Member {
    /// The entry of a record that is in no crew.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Links::new(), place: Cell32::new(NOWHERE), tid: Cell32::new(0) }
    }

    /// The number of the LWP in its process. It stays valid when the LWP leaves.
    #[inline(always)]
    pub fn tid(&self) -> u32 {
        self.tid.get()
    }
}

impl Default for Member {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the crew's part of an LWP by the LWP's index.
pub trait Members {
    /// Returns the entry of LWP `index`.
    fn member(&self, index: u32) -> &Member;
}

/// Views a table of LWPs as nodes of crews.
struct CrewNodes<'a, M: ?Sized>(&'a M);

impl<M: Members + ?Sized> Nodes for CrewNodes<'_, M> {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        &self.0.member(index).links
    }
}

/// The LWPs of one process.
#[derive(Debug)]
pub struct Crew {
    /// LWPs without a kill pending.
    free: List,
    /// LWPs with a kill pending.
    doomed: List,
    /// LWPs that have left and for which a handle exists.
    left: List,
    /// The number of the LWP that was added last.
    last_tid: u32,
}

impl Crew {
    /// An empty crew; the next number is 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: List::new(), doomed: List::new(), left: List::new(), last_tid: 0 }
    }

    /// Restarts the numbers at 1. Called for a record that is reused, whose crew must be empty.
    pub fn reset(&mut self) {
        debug_assert!(self.is_empty() && self.left.is_empty(), "LWPs of the last occupant are left");
        self.last_tid = 0;
    }

    /// Returns whether all LWPs have left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.free.is_empty() && self.doomed.is_empty()
    }

    /// Returns whether no LWP that has left is listed for its handle.
    #[must_use]
    pub fn has_no_left(&self) -> bool {
        self.left.is_empty()
    }

    /// Adds a new LWP and numbers it. The caller has counted it at the gate under the same acquisition of the lock
    /// (R7).
    #[inline]
    pub fn admit<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        let member = members.member(index);
        self.last_tid += 1;
        member.tid.set(self.last_tid);
        member.place.set(FREE);
        self.free.push_back(&CrewNodes(members), index);
    }

    /// Returns the next LWP without a kill pending, other than `spared`, and moves it to the killed list. `None`: there
    /// is no other. The spared LWP stays in the live list, so a later killer still finds it.
    #[inline]
    pub fn doom_next<M: Members + ?Sized>(&mut self, members: &M, spared: Option<u32>) -> Option<u32> {
        let nodes = CrewNodes(members);
        let first = self.free.first()?;
        let index = if Some(first) == spared { self.free.next(&nodes, first)? } else { first };
        self.free.remove(&nodes, index);
        members.member(index).place.set(DOOMED);
        self.doomed.push_back(&nodes, index);
        Some(index)
    }

    /// Renumbers the only LWP as 1, because it continues as the first LWP of another program.
    pub fn renumber<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        debug_assert!(self.iter(members).eq([index]), "it is not the only one");
        members.member(index).tid.set(1);
        self.last_tid = 1;
    }

    /// Removes an LWP that leaves: its number names no LWP from here on (T97). `listed`: a handle exists that the
    /// process must be able to revoke.
    #[inline]
    pub fn quit<M: Members + ?Sized>(&mut self, members: &M, index: u32, listed: bool) {
        let nodes = CrewNodes(members);
        let member = members.member(index);
        let list = if member.place.get() == DOOMED { &mut self.doomed } else { &mut self.free };
        list.remove(&nodes, index);
        if listed {
            self.left.push_back(&nodes, index);
        }
        member.place.set(if listed { LEFT } else { NOWHERE });
    }

    /// Removes `index` if it has left. Called when its handle has been given back.
    #[inline]
    pub fn unlist<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        let member = members.member(index);
        if member.place.get() == LEFT {
            self.left.remove(&CrewNodes(members), index);
            member.place.set(NOWHERE);
        }
    }

    /// Removes and returns one LWP that has left and whose handle still exists.
    #[inline]
    pub fn take_left<M: Members + ?Sized>(&mut self, members: &M) -> Option<u32> {
        let index = self.left.pop_front(&CrewNodes(members))?;
        members.member(index).place.set(NOWHERE);
        Some(index)
    }

    /// Returns the LWPs that have not left.
    pub fn iter<'a, M: Members + ?Sized>(&'a self, members: &'a M) -> impl Iterator<Item = u32> + use<'a, M> {
        iterate(&self.free, members).chain(iterate(&self.doomed, members))
    }

    /// Returns the LWP with number `tid`, if it has not left.
    pub fn find<M: Members + ?Sized>(&self, members: &M, tid: u32) -> Option<u32> {
        self.iter(members).find(|&index| members.member(index).tid.get() == tid)
    }
}

/// Iterates over the LWPs in one list of a crew.
fn iterate<'a, M: Members + ?Sized>(
    list: &'a List,
    members: &'a M,
) -> impl Iterator<Item = u32> + use<'a, M> {
    core::iter::successors(list.first(), move |&index| list.next(&CrewNodes(members), index))
}

impl Default for Crew {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<Member>);

    impl Members for Table {
        fn member(&self, index: u32) -> &Member {
            &self.0[index as usize]
        }
    }

    /// LWPs `0..count`, with the numbers `1..=count`.
    fn crew(count: u32) -> (Table, Crew) {
        let table = Table((0..count).map(|_| Member::new()).collect());
        let mut crew = Crew::new();
        (0..count).for_each(|index| crew.admit(&table, index));
        (table, crew)
    }

    fn doom_all(crew: &mut Crew, table: &Table, spared: Option<u32>) -> Vec<u32> {
        core::iter::from_fn(|| crew.doom_next(table, spared)).collect()
    }

    #[test]
    fn lwps_are_numbered_from_one() {
        let (table, mut crew) = crew(2);
        assert_eq!((table.member(0).tid(), table.member(1).tid()), (1, 2));
        assert_eq!((crew.find(&table, 2), crew.find(&table, 3)), (Some(1), None));
        crew.quit(&table, 1, false);
        assert_eq!(crew.find(&table, 2), None, "T97");
        crew.admit(&table, 1);
        assert_eq!(crew.find(&table, 3), Some(1), "T98: a number is not used again");
        crew.quit(&table, 0, false);
        crew.quit(&table, 1, false);
        crew.reset();
        crew.admit(&table, 0);
        assert_eq!(table.member(0).tid(), 1);
    }

    /// T42, R9: the walk resumes where it stopped, even if LWPs leave meanwhile.
    #[test]
    fn a_walk_is_resumed() {
        let (table, mut crew) = crew(4);
        assert_eq!(crew.doom_next(&table, None), Some(0));
        crew.quit(&table, 1, false);
        crew.quit(&table, 0, false);
        assert_eq!(doom_all(&mut crew, &table, None), [2, 3]);
        assert_eq!(crew.iter(&table).collect::<Vec<_>>(), [2, 3], "they have been told, and are there");
    }

    /// A later killer finds the spared LWP wherever it stands.
    #[test]
    fn one_is_spared() {
        for spared in 0..3 {
            let (table, mut crew) = crew(3);
            let others: Vec<u32> = (0..3).filter(|&index| index != spared).collect();
            assert_eq!(doom_all(&mut crew, &table, Some(spared)), others);
            assert_eq!(doom_all(&mut crew, &table, None), [spared]);
        }
    }

    /// T27: the LWP that goes on is numbered 1 again.
    #[test]
    fn the_only_one_is_renumbered() {
        let (table, mut crew) = crew(2);
        crew.quit(&table, 0, false);
        crew.renumber(&table, 1);
        crew.admit(&table, 0);
        assert_eq!((table.member(1).tid(), table.member(0).tid()), (1, 2));
    }

    #[test]
    fn handles_of_the_departed_are_listed() {
        let (table, mut crew) = crew(3);
        crew.quit(&table, 0, true);
        crew.quit(&table, 1, true);
        crew.unlist(&table, 0);
        crew.unlist(&table, 2);
        assert_eq!((crew.take_left(&table), crew.take_left(&table)), (Some(1), None));
        assert!(crew.has_no_left() && !crew.is_empty());
        crew.quit(&table, 2, false);
        assert!(crew.is_empty());
    }
}
