//! Tenants: processes that share a quota (exit-wait 5.2: charged until they are reaped; T81).
//!
//! The founder's record has the ledger (`asphodel_core::proc::quota`). Every member's record has a reference to its
//! founder's, and a founder's to that of the tenant around it, until the record itself is freed, so a caller with a
//! reference to a process can charge its tenants. A process without a tenant, which is the usual case, costs a test for
//! zero.

use core::mem;

use asphodel_core::errno::Errno;
use asphodel_core::proc::quota::{self, Ledger, NO_TENANT, Quota, Resource, Tenants};

use crate::proc::state::table::{PROCESSES, Process, Table};

impl Tenants for Table {
    #[inline(always)]
    fn ledger(&self, tenant: u32) -> &Ledger {
        &self.get(tenant).resources.ledger
    }
}

impl Process {
    /// Joins the tenant of its spawner, or founds one with a quota of its own inside that. Called by the creator,
    /// before the record is reachable.
    pub(in crate::proc) fn join_tenant(&self, spawner: &Self, own: Option<Quota>) {
        let around = spawner.resources.tenant.get();
        if around != NO_TENANT {
            PROCESSES.get(around).get_ref().into_raw();
        }
        match own {
            Some(quota) => {
                self.resources.ledger.open(quota, around);
                self.resources.tenant.set(self.slot);
            }
            None => self.resources.tenant.set(around),
        }
    }

    /// Returns the tenant to whose founder's record this one has a reference, or `NO_TENANT`.
    pub(in crate::proc) fn held_tenant(&self) -> u32 {
        let tenant = self.resources.tenant.get();
        if tenant == self.slot { self.resources.ledger.outer() } else { tenant }
    }

    /// Charges its tenants. The caller has a reference, or is one of its LWPs. Any context.
    ///
    /// # Errors
    /// `EAGAIN`, for memory `ENOMEM`: one of them would exceed its limit. None is charged.
    #[inline]
    pub(in crate::proc) fn reserve(&self, resource: Resource, amount: u64) -> Result<(), Errno> {
        let tenant = self.resources.tenant.get();
        if tenant == NO_TENANT { Ok(()) } else { reserve(tenant, resource, amount) }
    }

    /// As [`Process::reserve`], until the result is dropped, or kept.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(in crate::proc) fn charge(&self, resource: Resource, amount: u64) -> Result<Charge<'_>, Errno> {
        self.reserve(resource, amount)?;
        Ok(Charge { process: self, resource, amount })
    }

    /// Charges them with an LWP, and with the memory of its stack.
    ///
    /// # Errors
    /// As [`Process::reserve`], for either; nothing is charged then.
    #[inline(always)]
    pub(in crate::proc) fn charge_lwp(&self, stack: u64) -> Result<(Charge<'_>, Charge<'_>), Errno> {
        // One look for both, because most processes have none.
        if self.resources.tenant.get() != NO_TENANT {
            self.reserve_lwp(stack)?;
        }
        let charge = |resource, amount| Charge { process: self, resource, amount };
        Ok((charge(Resource::Lwps, 1), charge(Resource::Memory, stack)))
    }

    #[cold]
    #[inline(never)]
    fn reserve_lwp(&self, stack: u64) -> Result<(), Errno> {
        let place = self.charge(Resource::Lwps, 1)?;
        self.reserve(Resource::Memory, stack)?;
        place.keep();
        Ok(())
    }

    /// Undoes such a charge.
    #[inline]
    pub(in crate::proc) fn unreserve(&self, resource: Resource, amount: u64) {
        let tenant = self.resources.tenant.get();
        if tenant != NO_TENANT {
            unreserve(tenant, resource, amount);
        }
    }
}

/// What the tenants of a process are charged with for something that is being made. Dropping it gives it back.
#[must_use = "the charge is undone when this is dropped"]
pub(in crate::proc) struct Charge<'a> {
    process: &'a Process,
    resource: Resource,
    amount: u64,
}

impl Charge<'_> {
    /// Leaves the charge to what has been made. Returns the amount.
    #[inline(always)]
    pub(in crate::proc) fn keep(self) -> u64 {
        let amount = self.amount;
        mem::forget(self);
        amount
    }
}

impl Drop for Charge<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.process.unreserve(self.resource, self.amount);
    }
}

#[cold]
#[inline(never)]
fn reserve(tenant: u32, resource: Resource, amount: u64) -> Result<(), Errno> {
    let refused = if resource == Resource::Memory { Errno::ENOMEM } else { Errno::EAGAIN };
    if quota::charge(&PROCESSES, tenant, resource, amount) { Ok(()) } else { Err(refused) }
}

#[cold]
#[inline(never)]
fn unreserve(tenant: u32, resource: Resource, amount: u64) {
    quota::discharge(&PROCESSES, tenant, resource, amount);
}
