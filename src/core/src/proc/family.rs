//! The family: who is whose child, which children are ready to be reaped, and who adopts whom.
//!
//! Each parent has a [`Brood`], guarded by that parent's own lock: a list of its living children and one of its
//! zombies in the order of their death (T118: first dead, first reported). There is no lock for the whole tree. A
//! child's parent may change (the parent died, R19), so whoever comes from the child's side reads the parent, locks
//! that parent's brood, and asks [`Brood::has`] whether it is still the parent; if not, it reads again. Each reading
//! again means that an adoption has happened, and the last adopter, process 1, never dies: the loop ends.
//!
//! Lock order where two broods are locked: the dying parent's before the adopter's. Model: `tests/family.rs`.

use crate::id::Pid;
use crate::list::{Links, List, Nodes};
use crate::proc::gate::{Claim, Gate};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell32;
use crate::wait::select::Selector;

/// The parent of a process that has none; slot 0 of the table is never used.
const NOBODY: u32 = 0;
const ZOMBIE: u32 = 1;
const CLONE_CLASS: u32 = 2;

/// What the family knows of one process. All but `parent` is guarded by the parent's brood lock.
#[derive(Debug)]
pub struct Kin {
    sibling: Links,
    parent: AtomicU32,
    pid: Cell32,
    group: Cell32,
    flags: Cell32,
}

impl Kin {
    const_unless_loom! {
        /// Of a record that is not in use.
        pub fn new() -> Self {
            Self {
                sibling: Links::new(),
                parent: AtomicU32::new(NOBODY),
                pid: Cell32::new(0),
                group: Cell32::new(0),
                flags: Cell32::new(0),
            }
        }
    }

    /// Names a new process; nobody else can reach the record yet. `clone_class`: its exit signal is not SIGCHLD.
    pub fn name(&self, pid: Pid, group: Pid, clone_class: bool) {
        self.pid.set(pid.raw() as u32);
        self.group.set(group.raw() as u32);
        self.flags.set(if clone_class { CLONE_CLASS } else { 0 });
    }

    /// The table slot of the parent now; stable only while that parent's brood is locked and still has the child.
    #[inline]
    pub fn parent(&self) -> u32 {
        // Acquire: pairs with the adopter's release, before the new parent's brood is looked at.
        self.parent.load(Ordering::Acquire)
    }

    /// The number of the process's group.
    #[inline]
    #[must_use]
    pub fn group(&self) -> Pid {
        Pid::from_raw(self.group.get() as i32)
    }

    /// Moves the process to another group, in one step; the parent's brood is locked (R34). The caller wakes the parent's
    /// waiters afterwards: no child may match any more.
    pub fn set_group(&self, group: Pid) {
        self.group.set(group.raw() as u32);
    }

    /// Whether a wait sees it only with WLINUXCLONE.
    #[inline]
    pub fn is_clone_class(&self) -> bool {
        self.flags.get() & CLONE_CLASS != 0
    }

    /// Whether it is in its parent's list of zombies.
    #[inline]
    pub fn is_zombie(&self) -> bool {
        self.flags.get() & ZOMBIE != 0
    }
}

impl Default for Kin {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds what the family knows of a process, by its table slot.
pub trait Kinship {
    /// Kin of the record in `slot`, whether in use or not; `None` if the table is not that long.
    fn kin(&self, slot: u32) -> Option<&Kin>;

    /// Kin of a record that is in a family's list, and so in the table.
    #[inline]
    fn listed(&self, slot: u32) -> &Kin {
        self.kin(slot).expect("a family list names records of the table only")
    }
}

struct Siblings<'a, K: ?Sized>(&'a K);

impl<K: Kinship + ?Sized> Siblings<'_, K> {
    #[inline(always)]
    fn get(&self, slot: u32) -> &Kin {
        self.0.listed(slot)
    }
}

impl<K: Kinship + ?Sized> Nodes for Siblings<'_, K> {
    #[inline]
    fn links(&self, index: u32) -> &Links {
        &self.get(index).sibling
    }
}

/// What a look for a child found. BSD folds these three into a counter and a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This zombie matches, and died before any other that does.
    Ready(u32),
    /// Children match, none is ready: wait for one.
    NotYet,
    /// No child matches: ECHILD.
    NoMatch,
}

/// What a parent did with a child that has become a zombie.
#[derive(Debug)]
#[must_use = "a zombie that its parent did not take is still to be published"]
pub enum Received {
    /// It has been adopted since its parent was read (R19): read again.
    NotMine,
    /// It can be waited for.
    Ready,
    /// Nobody will wait for it: it is the caller's to reap.
    Unwanted(Claim),
}

/// The children of one process. Guarded by that process's family lock.
#[derive(Debug)]
pub struct Brood {
    living: List,
    zombies: List,
    /// How many are in both lists.
    children: u32,
    /// How many of them are of the clone class.
    clone_class: u32,
}

impl Brood {
    /// No children.
    #[must_use]
    pub const fn new() -> Self {
        Self { living: List::new(), zombies: List::new(), children: 0, clone_class: 0 }
    }

    /// Number of children, zombies included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u32 {
        self.children
    }

    /// Whether there is no child at all.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some child: the first zombie, or else the eldest that lives.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.zombies.first().or(self.living.first())
    }

    /// Whether `child` is a child of `me`, whose brood this is.
    #[inline]
    pub fn has<K: Kinship + ?Sized>(&self, kinship: &K, me: u32, child: u32) -> bool {
        kinship.kin(child).is_some_and(|kin| kin.sibling.is_linked() && kin.parent() == me)
    }

    /// `child`, which has no parent now, becomes a child of `me`, whose brood this is.
    #[inline]
    pub fn add<K: Kinship + ?Sized>(&mut self, kinship: &K, me: u32, child: u32) {
        let siblings = Siblings(kinship);
        let kin = siblings.get(child);
        // Release: pairs with the acquire in `Kin::parent`.
        kin.parent.store(me, Ordering::Release);
        let list = if kin.is_zombie() { &mut self.zombies } else { &mut self.living };
        list.push_back(&siblings, child);
        self.children += 1;
        self.clone_class += u32::from(kin.is_clone_class());
    }

    /// `child` of this brood is a zombie now and can be reaped.
    #[inline]
    pub fn ready<K: Kinship + ?Sized>(&mut self, kinship: &K, child: u32) {
        let siblings = Siblings(kinship);
        let kin = siblings.get(child);
        debug_assert!(!kin.is_zombie(), "a process dies once");
        self.living.remove(&siblings, child);
        kin.flags.set(kin.flags.get() | ZOMBIE);
        self.zombies.push_back(&siblings, child);
    }

    /// Takes `child` out for good: it is being reaped.
    #[inline]
    pub fn remove<K: Kinship + ?Sized>(&mut self, kinship: &K, child: u32) {
        self.unlink(kinship, child);
        // Under the lock, so that `has` cannot mistake a later use of the record for this child.
        Siblings(kinship).get(child).parent.store(NOBODY, Ordering::Release);
    }

    fn unlink<K: Kinship + ?Sized>(&mut self, kinship: &K, child: u32) {
        let siblings = Siblings(kinship);
        let kin = siblings.get(child);
        let list = if kin.is_zombie() { &mut self.zombies } else { &mut self.living };
        list.remove(&siblings, child);
        self.children -= 1;
        self.clone_class -= u32::from(kin.is_clone_class());
    }

    /// `child` has become a zombie, and whoever publishes it has read that `me`, whose brood this is, is its parent.
    /// If it is wanted it is ready to be waited for, else it is claimed and taken out at once (PS_NOCLDWAIT, D19).
    #[inline]
    pub fn receive<K: Kinship + ?Sized>(
        &mut self,
        kinship: &K,
        me: u32,
        child: u32,
        gate: &Gate,
        unwanted: bool,
    ) -> Received {
        if !self.has(kinship, me, child) {
            return Received::NotMine;
        }
        self.ready(kinship, child);
        match if unwanted { gate.claim() } else { None } {
            Some(claim) => {
                self.remove(kinship, child);
                Received::Unwanted(claim)
            }
            None => Received::Ready,
        }
    }

    /// Looks for a child of `me`, whose brood this is. `clone_class` as in [`crate::wait::select::Options`].
    ///
    /// O(1) for a pid, and for any child unless zombies of the other class died before; O(children) for a group.
    #[inline]
    pub fn find<K: Kinship + ?Sized>(
        &self,
        kinship: &K,
        me: u32,
        selector: Selector,
        clone_class: bool,
    ) -> Found {
        let siblings = Siblings(kinship);
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
                if !pid.is_valid() || !self.has(kinship, me, slot) {
                    return Found::NoMatch;
                }
                let kin = siblings.get(slot);
                if kin.pid.get() != pid.raw() as u32 || kin.is_clone_class() != clone_class {
                    return Found::NoMatch;
                }
                if kin.is_zombie() { Found::Ready(slot) } else { Found::NotYet }
            }
            Selector::Group(group) => {
                let matches = |slot: &u32| {
                    let kin = siblings.get(*slot);
                    kin.group() == group && kin.is_clone_class() == clone_class
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

    /// Moves up to `limit` children of a dying parent to the brood of `adopter`, zombies first, and tells `moved` of each.
    /// They become of the normal class (T161). Returns how many of those moved are zombies, and whether children are
    /// left.
    ///
    /// Both broods are locked, this one first, and the adopter's role has been looked at under its lock.
    pub fn give_away<K: Kinship + ?Sized>(
        &mut self,
        kinship: &K,
        adopter_brood: &mut Self,
        adopter: u32,
        limit: u32,
        mut moved: impl FnMut(u32),
    ) -> (u32, bool) {
        let siblings = Siblings(kinship);
        let mut zombies = 0;
        for _ in 0..limit {
            let Some(child) = self.first() else { break };
            self.unlink(kinship, child);
            let kin = siblings.get(child);
            kin.flags.set(kin.flags.get() & !CLONE_CLASS);
            zombies += u32::from(kin.is_zombie());
            adopter_brood.add(kinship, adopter, child);
            moved(child);
        }
        (zombies, !self.is_empty())
    }
}

impl Default for Brood {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const PARENT: u32 = 1;

    /// Slots of the table are pids of generation 0.
    struct Table(Vec<Kin>);

    impl Kinship for Table {
        fn kin(&self, slot: u32) -> Option<&Kin> {
            self.0.get(slot as usize)
        }
    }

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number)
    }

    /// Children `2..2 + groups.len()` of `PARENT`, each in its group, with its class.
    fn family(children: &[(i32, bool)]) -> (Table, Brood) {
        let table = Table((0..16).map(|_| Kin::new()).collect());
        let mut brood = Brood::new();
        for (slot, &(group, clone_class)) in (2..).zip(children) {
            table.0[slot as usize].name(Pid::new(slot, 0), pid(group), clone_class);
            brood.add(&table, PARENT, slot);
        }
        (table, brood)
    }

    fn any(brood: &Brood, table: &Table) -> Found {
        brood.find(table, PARENT, Selector::Any, false)
    }

    /// What became of `child`, which died with `gate`, in the words of a test.
    fn received(brood: &mut Brood, table: &Table, child: u32, gate: &Gate, unwanted: bool) -> &'static str {
        match brood.receive(table, PARENT, child, gate, unwanted) {
            Received::NotMine => "not mine",
            Received::Ready => "ready",
            Received::Unwanted(_) => "unwanted",
        }
    }

    /// R19, D19: a zombie is ready, or made away with, or somebody else's.
    #[test]
    fn a_zombie_is_received_once() {
        let (table, mut brood) = family(&[(2, false), (3, false)]);
        let gate = Gate::new();
        let (_master, _publish) = (gate.exit(), gate.off_cpu());
        assert_eq!(received(&mut brood, &table, 2, &gate, false), "ready");
        assert_eq!(any(&brood, &table), Found::Ready(2));
        assert_eq!(received(&mut brood, &table, 3, &gate, true), "unwanted");
        assert!(gate.claim().is_none(), "the claim is the receiver's");
        assert_eq!(received(&mut brood, &table, 3, &gate, true), "not mine");
        assert_eq!(brood.len(), 1);
    }

    /// T107, T110, T116.
    #[test]
    fn no_children_no_match() {
        let (table, brood) = family(&[]);
        assert!(brood.is_empty());
        for selector in [Selector::Any, Selector::Process(pid(2)), Selector::Group(pid(2))] {
            assert_eq!(brood.find(&table, PARENT, selector, false), Found::NoMatch, "{selector:?}");
        }
    }

    /// T117, T118: one report for each zombie, first dead first, then ECHILD.
    #[test]
    fn zombies_come_in_the_order_of_death() {
        let (table, mut brood) = family(&[(9, false), (9, false), (9, false)]);
        assert_eq!(any(&brood, &table), Found::NotYet);
        for child in [3, 4, 2] {
            brood.ready(&table, child);
        }
        for child in [3, 4, 2] {
            assert_eq!(any(&brood, &table), Found::Ready(child));
            brood.remove(&table, child);
        }
        assert_eq!(any(&brood, &table), Found::NoMatch);
    }

    /// T110, T111, D37: a pid matches a child of this parent, in this life of its slot, and nothing else.
    #[test]
    fn a_pid_names_one_child() {
        let (table, mut brood) = family(&[(9, false), (9, false)]);
        table.0[7].name(pid(7), pid(9), false);
        Brood::new().add(&table, 2, 7);
        let find = |brood: &Brood, raw| brood.find(&table, PARENT, Selector::Process(pid(raw)), false);
        assert_eq!(find(&brood, 2), Found::NotYet);
        brood.ready(&table, 2);
        assert_eq!(find(&brood, 2), Found::Ready(2));
        assert_eq!(find(&brood, 3), Found::NotYet);
        assert_eq!(find(&brood, 7), Found::NoMatch, "a grandchild");
        assert_eq!(find(&brood, Pid::new(2, 1).raw()), Found::NoMatch, "another life of the slot");
        assert_eq!(find(&brood, Pid::new(999, 0).raw()), Found::NoMatch, "beyond the table");
    }

    /// T113, T114.
    #[test]
    fn a_group_matches_its_members_only() {
        let (table, mut brood) = family(&[(9, false), (8, false), (8, false)]);
        let find = |brood: &Brood, group| brood.find(&table, PARENT, Selector::Group(pid(group)), false);
        brood.ready(&table, 4);
        assert_eq!(find(&brood, 8), Found::Ready(4));
        assert_eq!(find(&brood, 9), Found::NotYet);
        assert_eq!(find(&brood, 7), Found::NoMatch);
        table.0[2].set_group(pid(7));
        assert_eq!(find(&brood, 7), Found::NotYet);
    }

    /// T123: each wait sees one class only.
    #[test]
    fn classes_do_not_mix() {
        let (table, mut brood) = family(&[(9, true), (9, false)]);
        brood.ready(&table, 2);
        for selector in [Selector::Any, Selector::Group(pid(9))] {
            assert_eq!(brood.find(&table, PARENT, selector, true), Found::Ready(2), "{selector:?}");
            assert_eq!(brood.find(&table, PARENT, selector, false), Found::NotYet, "{selector:?}");
        }
        assert_eq!(brood.find(&table, PARENT, Selector::Process(pid(2)), false), Found::NoMatch);
        brood.remove(&table, 3);
        assert_eq!(any(&brood, &table), Found::NoMatch, "only such children are left");
    }

    /// T158, T159, T161: zombies go first, all become of the normal class, the order of death stays.
    #[test]
    fn orphans_are_adopted_in_batches() {
        const INIT: u32 = 15;
        let (table, mut brood) = family(&[(9, true), (9, false), (9, true), (9, false)]);
        brood.ready(&table, 4);
        brood.ready(&table, 3);
        let mut inits = Brood::new();
        let mut moved = Vec::new();
        assert_eq!(brood.give_away(&table, &mut inits, INIT, 3, |child| moved.push(child)), (2, true));
        assert_eq!(moved, [4, 3, 2]);
        assert!(brood.has(&table, PARENT, 5) && !brood.has(&table, PARENT, 4));
        assert_eq!(brood.give_away(&table, &mut inits, INIT, 3, |_| ()), (0, false));
        assert_eq!((brood.len(), inits.len()), (0, 4));
        assert_eq!(inits.find(&table, INIT, Selector::Any, false), Found::Ready(4));
        assert_eq!(inits.find(&table, INIT, Selector::Any, true), Found::NoMatch);
        assert!((2..6).all(|child| inits.has(&table, INIT, child)));
    }

    #[test]
    fn a_reaped_child_is_nobodys() {
        let (table, mut brood) = family(&[(9, false)]);
        brood.ready(&table, 2);
        brood.remove(&table, 2);
        assert!(!brood.has(&table, PARENT, 2));
        assert_eq!(table.0[2].parent(), NOBODY);
    }
}
