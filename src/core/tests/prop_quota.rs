//! Properties of quotas: any tree of tenants and any sequence of charges, against a count of the members' own.
#![cfg(not(loom))]

use asphodel_core::proc::quota::{Ledger, NO_TENANT, Quota, Resource, Tenants, charge, discharge};
use proptest::prelude::*;

struct Forest(Vec<Ledger>);

impl Tenants for Forest {
    fn ledger(&self, tenant: u32) -> &Ledger {
        &self.0[tenant as usize - 1]
    }
}

/// Limits, and for each tenant the one around it: one of those before, or none.
fn forest() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((0_u64..40, any::<prop::sample::Index>()), 1..8).prop_map(|tenants| {
        let outer = |(index, (limit, pick)): (usize, (u64, prop::sample::Index))| {
            (limit, pick.index(index + 1) as u32)
        };
        tenants.into_iter().enumerate().map(outer).collect()
    })
}

/// The tenants from `tenant` outwards.
fn chain(outers: &[(u64, u32)], tenant: u32) -> Vec<u32> {
    let outer = |inner: &u32| Some(outers[*inner as usize - 1].1).filter(|outer| *outer != NO_TENANT);
    core::iter::successors(Some(tenant), outer).collect()
}

proptest! {
    /// A charge succeeds if and only if no tenant on the way out is full; the usage of a tenant is what its members
    /// were charged with and have not returned.
    #[test]
    fn ledgers_are_the_sums_of_their_members(
        tenants in forest(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..12, any::<bool>()), 0..60),
    ) {
        let ledgers = Forest(tenants.iter().map(|_| Ledger::new()).collect());
        for (ledger, (limit, outer)) in ledgers.0.iter().zip(&tenants) {
            ledger.open(Quota { memory: *limit, ..Quota::UNLIMITED }, *outer);
        }
        let mut own = vec![Vec::new(); tenants.len()];
        let mut expected = vec![0; tenants.len()];
        for (pick, amount, more) in steps {
            let index = pick.index(tenants.len());
            let way = chain(&tenants, index as u32 + 1);
            if more {
                let fits = way.iter().all(|t| expected[*t as usize - 1] + amount <= tenants[*t as usize - 1].0);
                prop_assert_eq!(charge(&ledgers, index as u32 + 1, Resource::Memory, amount), fits);
                if fits {
                    own[index].push(amount);
                    way.iter().for_each(|t| expected[*t as usize - 1] += amount);
                }
            } else if let Some(amount) = own[index].pop() {
                discharge(&ledgers, index as u32 + 1, Resource::Memory, amount);
                way.iter().for_each(|t| expected[*t as usize - 1] -= amount);
            }
            let used: Vec<u64> = ledgers.0.iter().map(|ledger| ledger.used(Resource::Memory)).collect();
            prop_assert_eq!(&used, &expected);
            prop_assert!(used.iter().zip(&tenants).all(|(used, (limit, _))| used <= limit));
        }
    }
}
