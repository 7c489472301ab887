//! The family: which process is whose child, which children can be reaped, and which process adopts orphans.
//!
//! Each parent has a [`Children`], guarded by that parent's own lock: a list of its children that have not ended and
//! one of its zombies in the order of their ends (T118: the first one that ended is reported first). There is no lock
//! for the whole tree. A child's parent may change because the parent ended (R19), so code on the child's side reads
//! the parent, locks that parent's child list, and tests by [`Children::has`] whether it is still the parent; if not,
//! it reads again. Each retry means that an adoption has happened, and the last adopter, process 1, never exits, so the
//! loop ends.
//!
//! Lock order where two child lists are locked: the exiting parent's before the adopter's. Model: `tests/family.rs`.

use crate::id::Pid;
use crate::list::{Links, List, Nodes};
use crate::proc::gate::{Claim, Gate};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell32;
use crate::wait::select::Selector;

/// The parent of a process that has none. Slot 0 of the table is never used.
const NO_PARENT: u32 = 0;
const ZOMBIE: u32 = 1;
const CLONE_CLASS: u32 = 2;

/// The family links of one process. All but `parent` is guarded by the parent's child list's lock.
#[derive(Debug)]
pub struct FamilyLinks {
    sibling: Links,
    parent: AtomicU32,
    pid: Cell32,
    group: Cell32,
    flags: Cell32,
}

impl FamilyLinks {
    const_unless_loom! {
        /// The links of a record that is not in use.
        pub fn new() -> Self {
            Self {
                sibling: Links::new(),
                parent: AtomicU32::new(NO_PARENT),
                pid: Cell32::new(0),
                group: Cell32::new(0),
                flags: Cell32::new(0),
            }
        }
    }

    /// Initializes the links of a new process. Called before the record is reachable. `clone_class`: its exit signal is
    /// not SIGCHLD.
    pub fn init(&self, pid: Pid, group: Pid, clone_class: bool) {
        self.pid.set(pid.raw() as u32);
        self.group.set(group.raw() as u32);
        self.flags.set(if clone_class { CLONE_CLASS } else { 0 });
    }

    /// Returns the table slot of the parent. Stable only while that parent's child list is locked and still has the
    /// child.
    #[inline]
    pub fn parent(&self) -> u32 {
        // Acquire: pairs with the adopter's release, before the new parent's child list is read.
        self.parent.load(Ordering::Acquire)
    }

    /// Returns the number of the process's group.
    #[inline]
    #[must_use]
    pub fn group(&self) -> Pid {
        Pid::from_raw(self.group.get() as i32)
    }

    /// Moves the process to another group in one step; the caller holds the parent's child list's lock (R34) and wakes
    /// the parent's waiters afterwards, because it may be that no child matches any more.
    pub fn set_group(&self, group: Pid) {
        self.group.set(group.raw() as u32);
    }

    /// Returns whether only a wait with WLINUXCLONE sees it.
    #[inline]
    pub fn is_clone_class(&self) -> bool {
        self.flags.get() & CLONE_CLASS != 0
    }

    /// Returns whether it is in its parent's list of zombies.
    #[inline]
    pub fn is_zombie(&self) -> bool {
        self.flags.get() & ZOMBIE != 0
    }
}

impl Default for FamilyLinks {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the family links of a process by its table slot.
pub trait FamilyTable {
    /// Returns the links of the record in `slot`, whether in use or not; `None` if the table is not that long.
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks>;

    /// Returns the links of a record that is in a family's list, and so in the table.
    #[inline]
    fn listed(&self, slot: u32) -> &FamilyLinks {
        self.family_links(slot).expect("a family list names records of the table only")
    }
}

struct Siblings<'a, K: ?Sized>(&'a K);

impl<K: FamilyTable + ?Sized> Siblings<'_, K> {
    #[inline(always)]
    fn get(&self, slot: u32) -> &FamilyLinks {
        self.0.listed(slot)
    }
}

impl<K: FamilyTable + ?Sized> Nodes for Siblings<'_, K> {
    #[inline]
    fn links(&self, index: u32) -> &Links {
        &self.get(index).sibling
    }
}

/// The result of a search for a child. BSD folds these three into a counter and a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This zombie matches, and it ended before any other that does.
    Ready(u32),
    /// Children match, but none is ready: wait for one.
    NotYet,
    /// No child matches: ECHILD.
    NoMatch,
}

/// What a parent does with a child that has become a zombie.
#[derive(Debug)]
#[must_use = "a zombie that its parent did not take is still to be published"]
pub enum Received {
    /// The child has been adopted since its parent was read (R19): read again.
    NotMine,
    /// The child can be waited for.
    Ready,
    /// No process will wait for it: the caller must reap it.
    Unwanted(Claim),
}

/// The children of one process. Guarded by that process's family lock.
#[derive(Debug)]
pub struct Children {
    living: List,
    zombies: List,
    /// The number of children in both lists.
    children: u32,
    /// The number of them that are of the clone class.
    clone_class: u32,
}

impl Children {
    /// No children.
    #[must_use]
    pub const fn new() -> Self {
        Self { living: List::new(), zombies: List::new(), children: 0, clone_class: 0 }
    }

    /// Returns the number of children, zombies included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u32 {
        self.children
    }

    /// Returns whether there is no child at all.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns some child: the first zombie, or else the eldest that has not ended.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.zombies.first().or(self.living.first())
    }

    /// Returns whether `child` is a child of `me`, whose child list this is.
    #[inline]
    pub fn has<K: FamilyTable + ?Sized>(&self, table: &K, me: u32, child: u32) -> bool {
        table.family_links(child).is_some_and(|links| links.sibling.is_linked() && links.parent() == me)
    }

    /// Makes `child`, which has no parent now, a child of `me`, whose child list this is.
    #[inline]
    pub fn add<K: FamilyTable + ?Sized>(&mut self, table: &K, me: u32, child: u32) {
        let siblings = Siblings(table);
        let links = siblings.get(child);
        // Release: pairs with the acquire in `FamilyLinks::parent`.
        links.parent.store(me, Ordering::Release);
        let list = if links.is_zombie() { &mut self.zombies } else { &mut self.living };
        list.push_back(&siblings, child);
        self.children += 1;
        self.clone_class += u32::from(links.is_clone_class());
    }

    /// Moves `child`, which is a zombie now, to the list of those that can be reaped.
    #[inline]
    pub fn ready<K: FamilyTable + ?Sized>(&mut self, table: &K, child: u32) {
        let siblings = Siblings(table);
        let links = siblings.get(child);
        debug_assert!(!links.is_zombie(), "a process dies once");
        self.living.remove(&siblings, child);
        links.flags.set(links.flags.get() | ZOMBIE);
        self.zombies.push_back(&siblings, child);
    }

    /// Removes `child` for good, because it is being reaped.
    #[inline]
    pub fn remove<K: FamilyTable + ?Sized>(&mut self, table: &K, child: u32) {
        self.unlink(table, child);
        // Done under the lock, so that `has` cannot mistake a later use of the record for this child.
        Siblings(table).get(child).parent.store(NO_PARENT, Ordering::Release);
    }

    fn unlink<K: FamilyTable + ?Sized>(&mut self, table: &K, child: u32) {
        let siblings = Siblings(table);
        let links = siblings.get(child);
        let list = if links.is_zombie() { &mut self.zombies } else { &mut self.living };
        list.remove(&siblings, child);
        self.children -= 1;
        self.clone_class -= u32::from(links.is_clone_class());
    }

    /// Takes over `child`, which has become a zombie; the caller has read that its parent is `me`, whose child list
    /// this is. If the child is wanted it becomes ready to be waited for, otherwise it is claimed and removed at once
    /// (PS_NOCLDWAIT, D19).
    #[inline]
    pub fn receive<K: FamilyTable + ?Sized>(
        &mut self,
        table: &K,
        me: u32,
        child: u32,
        gate: &Gate,
        unwanted: bool,
    ) -> Received {
        if !self.has(table, me, child) {
            return Received::NotMine;
        }
        self.ready(table, child);
        match if unwanted { gate.claim() } else { None } {
            Some(claim) => {
                self.remove(table, child);
                Received::Unwanted(claim)
            }
            None => Received::Ready,
        }
    }

    /// Searches for a child of `me`, whose child list this is. `clone_class` as in [`crate::wait::select::Options`].
    ///
    /// O(1) for a pid, and for any child unless zombies of the other class ended before; O(children) for a group.
    #[inline]
    pub fn find<K: FamilyTable + ?Sized>(
        &self,
        table: &K,
        me: u32,
        selector: Selector,
        clone_class: bool,
    ) -> Found {
        let siblings = Siblings(table);
        match selector {
            Selector::Any => {
                let of_class = if clone_class { self.clone_class } else { self.len() - self.clone_class };
                if of_class == 0 {
                    return Found::NoMatch;
                }
                let ready = self
                    .zombies
                    .iter(&siblings)
                    .find(|&slot| siblings.get(slot).is_clone_class() == clone_class);
                ready.map_or(Found::NotYet, Found::Ready)
            }
            Selector::Process(pid) => {
                let slot = pid.slot();
                if !pid.is_valid() || !self.has(table, me, slot) {
                    return Found::NoMatch;
                }
                let links = siblings.get(slot);
                if links.pid.get() != pid.raw() as u32 || links.is_clone_class() != clone_class {
                    return Found::NoMatch;
                }
                if links.is_zombie() { Found::Ready(slot) } else { Found::NotYet }
            }
            Selector::Group(group) => {
                let matches = |slot: &u32| {
                    let links = siblings.get(*slot);
                    links.group() == group && links.is_clone_class() == clone_class
                };
                if let Some(slot) = self.zombies.iter(&siblings).find(matches) {
                    return Found::Ready(slot);
                }
                if self.living.iter(&siblings).any(|slot| matches(&slot)) {
                    Found::NotYet
                } else {
                    Found::NoMatch
                }
            }
        }
    }

    /// Moves up to `limit` children of an exiting parent to the child list of `adopter`, zombies first, and calls
    /// `moved` for each. They become of the normal class (T161). Returns how many of those moved are zombies, and
    /// whether children are left.
    ///
    /// The caller holds both child lists' locks, this one taken first, and has checked the adopter's role under its
    /// lock.
    pub fn give_away<K: FamilyTable + ?Sized>(
        &mut self,
        table: &K,
        adopter_children: &mut Self,
        adopter: u32,
        limit: u32,
        mut moved: impl FnMut(u32),
    ) -> (u32, bool) {
        let siblings = Siblings(table);
        let mut zombies = 0;
        for _ in 0..limit {
            let Some(child) = self.first() else { break };
            self.unlink(table, child);
            let links = siblings.get(child);
            links.flags.set(links.flags.get() & !CLONE_CLASS);
            zombies += u32::from(links.is_zombie());
            adopter_children.add(table, adopter, child);
            moved(child);
        }
        (zombies, !self.is_empty())
    }
}

impl Default for Children {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const PARENT: u32 = 1;

    /// Slots of the table are pids of generation 0.
    struct Table(Vec<FamilyLinks>);

    impl FamilyTable for Table {
        fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
            self.0.get(slot as usize)
        }
    }

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number)
    }

    /// Children `2..2 + groups.len()` of `PARENT`, each in its group, with its class.
    fn family(members: &[(i32, bool)]) -> (Table, Children) {
        let table = Table((0..16).map(|_| FamilyLinks::new()).collect());
        let mut children = Children::new();
        for (slot, &(group, clone_class)) in (2..).zip(members) {
            table.0[slot as usize].init(Pid::new(slot, 0), pid(group), clone_class);
            children.add(&table, PARENT, slot);
        }
        (table, children)
    }

    fn any(children: &Children, table: &Table) -> Found {
        children.find(table, PARENT, Selector::Any, false)
    }

    /// Returns what happens to `child`, which ended with `gate`, in the words of a test.
    fn received(
        children: &mut Children,
        table: &Table,
        child: u32,
        gate: &Gate,
        unwanted: bool,
    ) -> &'static str {
        match children.receive(table, PARENT, child, gate, unwanted) {
            Received::NotMine => "not mine",
            Received::Ready => "ready",
            Received::Unwanted(_) => "unwanted",
        }
    }

    /// R19, D19: a zombie is ready, or reaped at once, or another parent's.
    #[test]
    fn a_zombie_is_received_once() {
        let (table, mut children) = family(&[(2, false), (3, false)]);
        let gate = Gate::new();
        let (_exit_owner, _publish) = (gate.exit(), gate.off_cpu());
        assert_eq!(received(&mut children, &table, 2, &gate, false), "ready");
        assert_eq!(any(&children, &table), Found::Ready(2));
        assert_eq!(received(&mut children, &table, 3, &gate, true), "unwanted");
        assert!(gate.claim().is_none(), "the claim is the receiver's");
        assert_eq!(received(&mut children, &table, 3, &gate, true), "not mine");
        assert_eq!(children.len(), 1);
    }

    /// T107, T110, T116.
    #[test]
    fn no_children_no_match() {
        let (table, children) = family(&[]);
        assert!(children.is_empty());
        for selector in [Selector::Any, Selector::Process(pid(2)), Selector::Group(pid(2))] {
            assert_eq!(children.find(&table, PARENT, selector, false), Found::NoMatch, "{selector:?}");
        }
    }

    /// T117, T118: one report for each zombie, first dead first, then ECHILD.
    #[test]
    fn zombies_come_in_the_order_of_death() {
        let (table, mut children) = family(&[(9, false), (9, false), (9, false)]);
        assert_eq!(any(&children, &table), Found::NotYet);
        for child in [3, 4, 2] {
            children.ready(&table, child);
        }
        for child in [3, 4, 2] {
            assert_eq!(any(&children, &table), Found::Ready(child));
            children.remove(&table, child);
        }
        assert_eq!(any(&children, &table), Found::NoMatch);
    }

    /// T110, T111, D37: a pid matches a child of this parent, in this use of its slot, and nothing else.
    #[test]
    fn a_pid_names_one_child() {
        let (table, mut children) = family(&[(9, false), (9, false)]);
        table.0[7].init(pid(7), pid(9), false);
        Children::new().add(&table, 2, 7);
        let find =
            |children: &Children, raw| children.find(&table, PARENT, Selector::Process(pid(raw)), false);
        assert_eq!(find(&children, 2), Found::NotYet);
        children.ready(&table, 2);
        assert_eq!(find(&children, 2), Found::Ready(2));
        assert_eq!(find(&children, 3), Found::NotYet);
        assert_eq!(find(&children, 7), Found::NoMatch, "a grandchild");
        assert_eq!(find(&children, Pid::new(2, 1).raw()), Found::NoMatch, "another life of the slot");
        assert_eq!(find(&children, Pid::new(999, 0).raw()), Found::NoMatch, "beyond the table");
    }

    /// T113, T114.
    #[test]
    fn a_group_matches_its_members_only() {
        let (table, mut children) = family(&[(9, false), (8, false), (8, false)]);
        let find =
            |children: &Children, group| children.find(&table, PARENT, Selector::Group(pid(group)), false);
        children.ready(&table, 4);
        assert_eq!(find(&children, 8), Found::Ready(4));
        assert_eq!(find(&children, 9), Found::NotYet);
        assert_eq!(find(&children, 7), Found::NoMatch);
        table.0[2].set_group(pid(7));
        assert_eq!(find(&children, 7), Found::NotYet);
    }

    /// T123: each wait sees one class only.
    #[test]
    fn classes_do_not_mix() {
        let (table, mut children) = family(&[(9, true), (9, false)]);
        children.ready(&table, 2);
        for selector in [Selector::Any, Selector::Group(pid(9))] {
            assert_eq!(children.find(&table, PARENT, selector, true), Found::Ready(2), "{selector:?}");
            assert_eq!(children.find(&table, PARENT, selector, false), Found::NotYet, "{selector:?}");
        }
        assert_eq!(children.find(&table, PARENT, Selector::Process(pid(2)), false), Found::NoMatch);
        children.remove(&table, 3);
        assert_eq!(any(&children, &table), Found::NoMatch, "only such children are left");
    }

    /// T158, T159, T161: zombies go first, all become of the normal class, the order of their ends stays.
    #[test]
    fn orphans_are_adopted_in_batches() {
        const INIT: u32 = 15;
        let (table, mut children) = family(&[(9, true), (9, false), (9, true), (9, false)]);
        children.ready(&table, 4);
        children.ready(&table, 3);
        let mut inits = Children::new();
        let mut moved = Vec::new();
        assert_eq!(children.give_away(&table, &mut inits, INIT, 3, |child| moved.push(child)), (2, true));
        assert_eq!(moved, [4, 3, 2]);
        assert!(children.has(&table, PARENT, 5) && !children.has(&table, PARENT, 4));
        assert_eq!(children.give_away(&table, &mut inits, INIT, 3, |_| ()), (0, false));
        assert_eq!((children.len(), inits.len()), (0, 4));
        assert_eq!(inits.find(&table, INIT, Selector::Any, false), Found::Ready(4));
        assert_eq!(inits.find(&table, INIT, Selector::Any, true), Found::NoMatch);
        assert!((2..6).all(|child| inits.has(&table, INIT, child)));
    }

    #[test]
    fn a_reaped_child_is_nobodys() {
        let (table, mut children) = family(&[(9, false)]);
        children.ready(&table, 2);
        children.remove(&table, 2);
        assert!(!children.has(&table, PARENT, 2));
        assert_eq!(table.0[2].parent(), NO_PARENT);
    }
}
