//! Reaper domains: which process adopts the orphans of which.
//!
//! procctl(2) `PROC_REAP_*`, `struct sysreaper`. A reaper's domain is the set of descendants spawned since it became
//! one; every process knows the nearest reaper at the time of its spawn, its *outer* reaper, by table slot. Each
//! process keeps a reference to its outer reaper's record, so the chain can be walked when some have ended or have
//! released the role (T172, T173); it ends at process 1, which always adopts. A process also knows its *branch*: the
//! reaper's child that it descends from.
//!
//! The role of a process is guarded by the lock of its own child list: code that gives orphans to a reaper checks the
//! role under the same acquisition of the lock, so no orphan goes to a reaper that has given its own children away.
//! Everything else is set once, by the creator. Model: `tests/reapers.rs`.

use crate::id::Pid;
use crate::shim::guarded::Cell32;

const ORDINARY: u32 = 0;
const REAPER: u32 = 1;
/// The process has ended and adopts no more.
const CLOSED: u32 = 2;

/// What a process record stores about reapers.
#[derive(Debug)]
pub struct Domain {
    outer: Cell32,
    branch: Cell32,
    role: Cell32,
}

/// Finds the domain of the process in a table slot.
pub trait Domains {
    /// Returns the domain of the record in `slot`.
    fn domain(&self, slot: u32) -> &Domain;
}

/// The process already has, or does not have, the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unchanged;

impl Domain {
    /// The domain of a record that is not in use.
    #[must_use]
    pub const fn new() -> Self {
        Self { outer: Cell32::new(0), branch: Cell32::new(0), role: Cell32::new(ORDINARY) }
    }

    /// Puts a new process into the domain of `outer`, in the branch that its child `branch` founded. Called by the
    /// creator, before the record is reachable.
    pub fn enter(&self, outer: u32, branch: Pid) {
        self.outer.set(outer);
        self.branch.set(branch.raw() as u32);
        self.role.set(ORDINARY);
    }

    /// Returns the slot of the reaper that adopts this process's orphans, unless it has ended or released the role.
    #[inline]
    pub fn outer(&self) -> u32 {
        self.outer.get()
    }

    /// Returns whether it adopts orphans now. Exact only under the lock of its child list.
    #[inline]
    pub fn adopts(&self) -> bool {
        self.role.get() == REAPER
    }

    /// Makes it a reaper. The caller holds the lock of its child list.
    ///
    /// # Errors
    /// [`Unchanged`]: it already is one (EALREADY, T171), or it is ending.
    pub fn acquire(&self) -> Result<(), Unchanged> {
        self.change(ORDINARY, REAPER)
    }

    /// Makes it an ordinary process again; its children stay its children (T173). The caller holds the lock of its
    /// child list.
    ///
    /// # Errors
    /// [`Unchanged`]: it is not a reaper (ENOTCONN, T171).
    pub fn release(&self) -> Result<(), Unchanged> {
        self.change(REAPER, ORDINARY)
    }

    /// Closes the domain of a process that is ending and has no children left. The caller holds the lock of its child
    /// list.
    #[inline]
    pub fn close(&self) {
        self.role.set(CLOSED);
    }

    fn change(&self, from: u32, to: u32) -> Result<(), Unchanged> {
        if self.role.get() != from {
            return Err(Unchanged);
        }
        self.role.set(to);
        Ok(())
    }
}

impl Default for Domain {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the outer reaper and the branch of the process `child` that `parent` spawns. Reapers that no longer adopt
/// are skipped, so that chains of them do not grow.
pub fn of_child<D: Domains + ?Sized>(domains: &D, parent: u32, child: Pid) -> (u32, Pid) {
    let (mut outer, mut branch) = (parent, child);
    while !domains.domain(outer).adopts() {
        let domain = domains.domain(outer);
        branch = Pid::from_raw(domain.branch.get() as i32);
        outer = domain.outer();
    }
    (outer, branch)
}

/// Returns the branch of `reaper`'s domain that the process in `slot` is in; `None`: it is in another domain. The
/// domains of reapers inside it belong to it.
pub fn branch_in<D: Domains + ?Sized>(domains: &D, slot: u32, reaper: u32) -> Option<Pid> {
    let mut at = slot;
    loop {
        let domain = domains.domain(at);
        let outer = domain.outer();
        if at == outer {
            // Process 1 is in no domain.
            return None;
        }
        if outer == reaper {
            return Some(Pid::from_raw(domain.branch.get() as i32));
        }
        at = outer;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const INIT: u32 = 1;

    struct Table(Vec<Domain>);

    impl Domains for Table {
        fn domain(&self, slot: u32) -> &Domain {
            &self.0[slot as usize]
        }
    }

    fn pid(slot: u32) -> Pid {
        Pid::new(slot, 0)
    }

    /// Each of `2..` is a child of the one before; slots are pids.
    fn chain(count: u32, reapers: &[u32]) -> Table {
        let table = Table((0..=count).map(|_| Domain::new()).collect());
        table.0[1].enter(INIT, pid(INIT));
        assert_eq!(table.0[1].acquire(), Ok(()));
        for slot in 2..=count {
            let (outer, branch) = of_child(&table, slot - 1, pid(slot));
            table.0[slot as usize].enter(outer, branch);
            if reapers.contains(&slot) {
                assert_eq!(table.0[slot as usize].acquire(), Ok(()));
            }
        }
        table
    }

    fn outer(table: &Table, slot: u32) -> u32 {
        table.0[slot as usize].outer()
    }

    #[test]
    fn everybody_is_in_the_domain_of_the_nearest_reaper() {
        let table = chain(7, &[3, 5]);
        assert_eq!((2..=7).map(|slot| outer(&table, slot)).collect::<Vec<_>>(), [1, 1, 3, 3, 5, 5]);
        let branches = |reaper| (2..=7).map(|slot| branch_in(&table, slot, reaper)).collect::<Vec<_>>();
        assert_eq!(branches(INIT), [Some(pid(2)); 6]);
        assert_eq!(branches(3), [None, None, Some(pid(4)), Some(pid(4)), Some(pid(4)), Some(pid(4))]);
        assert_eq!(branches(5), [None, None, None, None, Some(pid(6)), Some(pid(6))]);
        assert_eq!(branch_in(&table, INIT, INIT), None, "process 1 is in no other process's");
    }

    /// T171.
    #[test]
    fn the_role_is_taken_and_given_back_once() {
        let domain = Domain::new();
        assert_eq!(domain.release(), Err(Unchanged));
        assert_eq!((domain.acquire(), domain.acquire()), (Ok(()), Err(Unchanged)));
        assert_eq!((domain.release(), domain.release()), (Ok(()), Err(Unchanged)));
        domain.close();
        assert_eq!(domain.acquire(), Err(Unchanged), "it is ending");
        assert!(!domain.adopts());
    }

    /// T172, T173: children spawned later skip a reaper that has ended or released the role.
    #[test]
    fn dead_reapers_are_passed_over() {
        let table = chain(7, &[3, 5]);
        table.0[5].close();
        assert_eq!(of_child(&table, 7, pid(6)), (3, pid(4)), "the branch is that of the outer domain");
        assert_eq!(table.0[3].release(), Ok(()));
        assert_eq!(of_child(&table, 7, pid(6)), (INIT, pid(2)));
    }
}
