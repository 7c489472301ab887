//! The crew: the LWPs of a process, in lists that make killing them resumable and their numbers findable.
//!
//! ```text
//!   admit --> FREE --doom_next--> DOOMED        quit --> LEFT (a handle is out) --unlist, take_left--> NOWHERE
//!               `---------------------`---------------> NOWHERE (no handle)
//! ```
//!
//! A killer takes LWPs from the one list to the other in batches, so it never loses its place when it lets the lock
//! go; whoever leaves meanwhile takes itself out (R9). Guarded by the lock around the [`Crew`].

use crate::list::{Links, List, Nodes};
use crate::shim::guarded::Cell32;

const FREE: u32 = 0;
const DOOMED: u32 = 1;
const LEFT: u32 = 2;
const NOWHERE: u32 = 3;

/// Which list of its crew an LWP is in. Guarded by the crew's lock.
#[derive(Debug)]
pub struct Member {
    links: Links,
    place: Cell32,
    tid: Cell32,
}

impl Member {
    /// Of a record that is in no crew.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Links::new(), place: Cell32::new(NOWHERE), tid: Cell32::new(0) }
    }

    /// The number of the LWP in its process: it stays when the LWP leaves.
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

/// Finds the crew's part of an LWP, by its index.
pub trait Members {
    /// That of LWP `index`.
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
    /// Nobody has told them to die.
    free: List,
    /// They have been told to die.
    doomed: List,
    /// They have left, and somebody has a handle.
    left: List,
    /// Number of the LWP admitted last.
    last_tid: u32,
}

impl Crew {
    /// Nobody, and the next number is 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: List::new(), doomed: List::new(), left: List::new(), last_tid: 0 }
    }

    /// Numbers begin with 1 again: for a record that is used again, whose crew is empty.
    pub fn reset(&mut self) {
        debug_assert!(self.is_empty() && self.left.is_empty(), "LWPs of the last occupant are left");
        self.last_tid = 0;
    }

    /// Whether all have left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.free.is_empty() && self.doomed.is_empty()
    }

    /// Whether nobody who has left is listed for a handle.
    #[must_use]
    pub fn has_no_left(&self) -> bool {
        self.left.is_empty()
    }

    /// A new LWP joins, and gets its number. The gate has counted it, under the same hold of the lock (R7).
    #[inline]
    pub fn admit<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        let member = members.member(index);
        self.last_tid += 1;
        member.tid.set(self.last_tid);
        member.place.set(FREE);
        self.free.push_back(&CrewNodes(members), index);
    }

    /// The next LWP, other than `spared`, that nobody has told to die; it counts as doomed from here on. `None`: all
    /// are. The one who is spared stays one that a later killer can doom.
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

    /// The only LWP there is goes on as the first of another program: as number 1.
    pub fn renumber<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        debug_assert!(self.iter(members).eq([index]), "it is not the only one");
        members.member(index).tid.set(1);
        self.last_tid = 1;
    }

    /// An LWP leaves: its number names nobody from here on (T97). `listed`: somebody has a handle of it that the
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

    /// The handle of `index` has been given back: takes it out if it has left.
    #[inline]
    pub fn unlist<M: Members + ?Sized>(&mut self, members: &M, index: u32) {
        let member = members.member(index);
        if member.place.get() == LEFT {
            self.left.remove(&CrewNodes(members), index);
            member.place.set(NOWHERE);
        }
    }

    /// Takes out one LWP that has left and whose handle is out.
    #[inline]
    pub fn take_left<M: Members + ?Sized>(&mut self, members: &M) -> Option<u32> {
        let index = self.left.pop_front(&CrewNodes(members))?;
        members.member(index).place.set(NOWHERE);
        Some(index)
    }

    /// Those that have not left.
    pub fn iter<'a, M: Members + ?Sized>(&'a self, members: &'a M) -> impl Iterator<Item = u32> + use<'a, M> {
        iterate(&self.free, members).chain(iterate(&self.doomed, members))
    }

    /// The LWP with number `tid`, if it has not left.
    pub fn find<M: Members + ?Sized>(&self, members: &M, tid: u32) -> Option<u32> {
        self.iter(members).find(|&index| members.member(index).tid.get() == tid)
    }
}

/// The LWPs in one list of a crew.
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

    /// T42, R9: the walk is resumed where it stopped, whoever left meanwhile.
    #[test]
    fn a_walk_is_resumed() {
        let (table, mut crew) = crew(4);
        assert_eq!(crew.doom_next(&table, None), Some(0));
        crew.quit(&table, 1, false);
        crew.quit(&table, 0, false);
        assert_eq!(doom_all(&mut crew, &table, None), [2, 3]);
        assert_eq!(crew.iter(&table).collect::<Vec<_>>(), [2, 3], "they have been told, and are there");
    }

    /// Wherever it stands, the one who is spared is found by a later killer.
    #[test]
    fn one_is_spared() {
        for spared in 0..3 {
            let (table, mut crew) = crew(3);
            let others: Vec<u32> = (0..3).filter(|&index| index != spared).collect();
            assert_eq!(doom_all(&mut crew, &table, Some(spared)), others);
            assert_eq!(doom_all(&mut crew, &table, None), [spared]);
        }
    }

    /// T27: the one who goes on is the first again.
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
