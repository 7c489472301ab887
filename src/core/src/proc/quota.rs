//! Quotas: how much a process and all its descendants may use together.
//!
//! A process that is started with a quota founds a *tenant*, to which all its descendants belong. Tenants nest: the
//! usage of an inner one counts for the outer ones, too. Each has a [`Ledger`]; a charge goes to every ledger from the
//! inside out and is undone when one refuses, so a refusal changes nothing. In each ledger the test and the addition
//! are one step: of two that race for the last unit one gets it. Processes are charged until they have been reaped
//! (T81). Model: `tests/loom_quota.rs`.

use crate::shim::atomic::{AtomicU64, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::{Cell32, Cell64};

/// No tenant: the end of a chain of tenants.
pub const NO_TENANT: u32 = 0;

/// The most that a tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Processes, zombies included.
    pub processes: u32,
    /// LWPs, including those that have ended and for which a handle exists. The charge of an LWP that was joined is
    /// returned a moment later; that of a process's last one before the process can be waited for.
    pub lwps: u32,
    /// Bytes of memory: heap, stacks and arenas.
    pub memory: u64,
}

impl Quota {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { processes: u32::MAX, lwps: u32::MAX, memory: u64::MAX };
}

impl Default for Quota {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processes.
    Processes,
    /// LWPs.
    Lwps,
    /// Bytes of memory.
    Memory,
}

impl Resource {
    const COUNT: usize = 3;
}

/// The usage and the limits of one tenant, and the tenant around it.
#[derive(Debug)]
pub struct Ledger {
    /// Indexed by [`Resource`]. Written before the tenant has members.
    limits: [Cell64; Resource::COUNT],
    outer: Cell32,
    used: [AtomicU64; Resource::COUNT],
}

/// Finds ledgers by number.
pub trait Tenants {
    /// Returns the ledger of a tenant that has members.
    fn ledger(&self, tenant: u32) -> &Ledger;
}

impl Ledger {
    const_unless_loom! {
        /// A ledger without limits, of a tenant without an outer one.
        pub fn new() -> Self {
            Self {
                limits: [const { Cell64::new(u64::MAX) }; Resource::COUNT],
                outer: Cell32::new(NO_TENANT),
                used: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)],
            }
        }
    }

    /// Initializes it for a new tenant inside `outer`. Called before the tenant is reachable.
    pub fn open(&self, quota: Quota, outer: u32) {
        let limits = [u64::from(quota.processes), u64::from(quota.lwps), quota.memory];
        for (cell, limit) in self.limits.iter().zip(limits) {
            cell.set(limit);
        }
        self.outer.set(outer);
        for used in &self.used {
            used.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the tenant around this one, or [`NO_TENANT`].
    #[must_use]
    pub fn outer(&self) -> u32 {
        self.outer.get()
    }

    /// Returns its limits.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota {
            processes: self.limits[Resource::Processes as usize].get() as u32,
            lwps: self.limits[Resource::Lwps as usize].get() as u32,
            memory: self.limits[Resource::Memory as usize].get(),
        }
    }

    /// Returns how much the tenant uses.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u64 {
        self.used[resource as usize].load(Ordering::Relaxed)
    }

    /// Adds `amount` unless that would exceed the limit.
    fn take(&self, resource: Resource, amount: u64) -> bool {
        let (used, limit) = (&self.used[resource as usize], self.limits[resource as usize].get());
        // Relaxed: a count orders nothing else.
        let mut now = used.load(Ordering::Relaxed);
        loop {
            let Some(new) = now.checked_add(amount).filter(|new| *new <= limit) else { return false };
            match used.compare_exchange(now, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
    }

    /// Subtracts `amount`.
    fn give(&self, resource: Resource, amount: u64) {
        let before = self.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        debug_assert!(before >= amount, "a tenant gives back what it has (I12)");
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

/// Charges `amount` to `tenant` and all tenants around it. Returns `false` if one of them would exceed its limit; then
/// none is charged. Any context; the caller has references to the tenants.
#[must_use]
pub fn charge(tenants: &impl Tenants, tenant: u32, resource: Resource, amount: u64) -> bool {
    let mut next = tenant;
    while next != NO_TENANT {
        let ledger = tenants.ledger(next);
        if !ledger.take(resource, amount) {
            give_up_to(tenants, tenant, next, resource, amount);
            return false;
        }
        next = ledger.outer();
    }
    true
}

/// Undoes a charge. Context as for [`charge`].
pub fn discharge(tenants: &impl Tenants, tenant: u32, resource: Resource, amount: u64) {
    give_up_to(tenants, tenant, NO_TENANT, resource, amount);
}

/// Subtracts `amount` from `tenant` and those around it, up to `end`, which is excluded.
fn give_up_to(tenants: &impl Tenants, tenant: u32, end: u32, resource: Resource, amount: u64) {
    let mut next = tenant;
    while next != end {
        let ledger = tenants.ledger(next);
        // The outer tenant is read first, because the last member's charge may be what keeps the tenant.
        next = ledger.outer();
        ledger.give(resource, amount);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    impl Tenants for Vec<Ledger> {
        fn ledger(&self, tenant: u32) -> &Ledger {
            &self[tenant as usize - 1]
        }
    }

    /// Tenants 1, 2, ... each inside the one before.
    fn nested(quotas: &[Quota]) -> Vec<Ledger> {
        let ledgers: Vec<Ledger> = quotas.iter().map(|_| Ledger::new()).collect();
        for (outer, quota) in quotas.iter().enumerate() {
            ledgers[outer].open(*quota, outer as u32);
        }
        ledgers
    }

    const fn processes(processes: u32) -> Quota {
        Quota { processes, ..Quota::UNLIMITED }
    }

    /// T81: a unit can be charged again when it has been given back, and not before.
    #[test]
    fn a_limit_is_a_limit() {
        let tenants = nested(&[processes(2)]);
        assert!(charge(&tenants, 1, Resource::Processes, 1) && charge(&tenants, 1, Resource::Processes, 1));
        assert!(!charge(&tenants, 1, Resource::Processes, 1));
        assert_eq!(tenants[0].used(Resource::Processes), 2);
        discharge(&tenants, 1, Resource::Processes, 1);
        assert!(charge(&tenants, 1, Resource::Processes, 1));
        assert!(charge(&tenants, 1, Resource::Lwps, 1000), "each resource has its own limit");
    }

    #[test]
    fn inner_tenants_count_against_the_outer() {
        let tenants = nested(&[processes(3), processes(9)]);
        assert!(charge(&tenants, 2, Resource::Processes, 2));
        assert!(charge(&tenants, 1, Resource::Processes, 1));
        // If the outer tenant is full, the inner one's charge is refused and its usage does not change.
        assert!(!charge(&tenants, 2, Resource::Processes, 1));
        assert_eq!([0, 1].map(|index| tenants[index].used(Resource::Processes)), [3, 2]);
        discharge(&tenants, 2, Resource::Processes, 2);
        assert_eq!([0, 1].map(|index| tenants[index].used(Resource::Processes)), [1, 0]);
    }

    #[test]
    fn without_a_tenant_there_is_no_limit() {
        let tenants = nested(&[]);
        assert!(charge(&tenants, NO_TENANT, Resource::Memory, u64::MAX));
        discharge(&tenants, NO_TENANT, Resource::Memory, u64::MAX);
    }

    #[test]
    fn no_sum_wraps() {
        let tenants = nested(&[Quota::UNLIMITED]);
        assert!(charge(&tenants, 1, Resource::Memory, u64::MAX - 1));
        assert!(!charge(&tenants, 1, Resource::Memory, 2));
        assert!(charge(&tenants, 1, Resource::Lwps, u64::from(u32::MAX)), "more than there can be");
    }

    /// A record that was a tenant before starts as a new one.
    #[test]
    fn a_ledger_is_used_again() {
        let tenants = nested(&[processes(1)]);
        assert!(charge(&tenants, 1, Resource::Processes, 1));
        tenants[0].open(processes(2), NO_TENANT);
        assert!(charge(&tenants, 1, Resource::Processes, 2));
    }
}
