//! Quotas, on the real ledgers: of two that race for the last unit exactly one gets it, and the other changes nothing.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | T81 two spawns, one place | `t081_two_spawns_for_the_last_place` | room is tested, then taken |
//! | T81 two tenants, one place in the outer | `t081_two_tenants_for_the_outer_place` | a refusal keeps what the inner granted |
//! | T81 reap against spawn | `t081_reap_meets_spawn` | - |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::proc::quota::{Ledger, NO_TENANT, Quota, Resource, Tenants, charge, discharge};
use loom::thread;
use models::{catches, check};

/// Tenants 1, 2 and 3: the last two inside the first.
struct Three([Ledger; 3]);

impl Tenants for Three {
    fn ledger(&self, tenant: u32) -> &Ledger {
        &self.0[tenant as usize - 1]
    }
}

impl Three {
    fn new(outer: u32, inner: u32) -> Arc<Self> {
        Self::around(1, outer, inner)
    }

    /// Same as `new`, with `around` as the tenant around the inner ones.
    fn around(around: u32, outer: u32, inner: u32) -> Arc<Self> {
        let three = Self([Ledger::new(), Ledger::new(), Ledger::new()]);
        let processes = |processes| Quota { processes, ..Quota::UNLIMITED };
        three.0[0].open(processes(outer), NO_TENANT);
        three.0[1].open(processes(inner), around);
        three.0[2].open(processes(inner), around);
        Arc::new(three)
    }

    fn used(&self) -> [u64; 3] {
        [0, 1, 2].map(|index| self.0[index].used(Resource::Processes))
    }
}

fn spawn(tenants: &Three, tenant: u32) -> bool {
    charge(tenants, tenant, Resource::Processes, 1)
}

/// Two members of the tenants `who` spawn at the same time, where one unit is left in all.
fn race(tenants: &Arc<Three>, who: [u32; 2], spawn: fn(&Three, u32) -> bool) {
    let other = tenants.clone();
    let first = thread::spawn(move || spawn(&other, who[0]));
    let second = spawn(tenants, who[1]);
    let first = first.join().expect("no model panics in a thread of its own");
    assert!(first != second, "the last place was had {} times", u32::from(first) + u32::from(second));
    let mut expected = [1, 0, 0];
    let winner = if first { who[0] } else { who[1] };
    expected[winner as usize - 1] = 1;
    assert_eq!(tenants.used(), expected, "the loser has left something");
}

#[test]
fn t081_two_spawns_for_the_last_place() {
    check(3, || race(&Three::new(1, 9), [1, 1], spawn));
    check(3, || race(&Three::new(9, 1), [2, 2], spawn));
}

#[test]
fn t081_two_spawns_for_the_last_place_seeded() {
    catches("was had 2 times", || {
        let unlimited = Three::new(u32::MAX, u32::MAX);
        race(&unlimited, [1, 1], |tenants, tenant| tenants.used()[0] < 1 && spawn(tenants, tenant));
    });
}

#[test]
fn t081_two_tenants_for_the_outer_place() {
    check(3, || race(&Three::new(1, 9), [2, 3], spawn));
}

#[test]
fn t081_two_tenants_for_the_outer_place_seeded() {
    catches("has left something", || {
        // One after the other, each by itself.
        race(&Three::around(NO_TENANT, 1, 9), [2, 3], |tenants, tenant| {
            spawn(tenants, tenant) && spawn(tenants, 1)
        });
    });
}

/// A zombie is reaped while others spawn: a unit is charged once at a time, and one is free in the end.
#[test]
fn t081_reap_meets_spawn() {
    check(3, || {
        let tenants = Three::new(1, 1);
        assert!(spawn(&tenants, 2));
        let (reaper, other) = (tenants.clone(), tenants.clone());
        let reaping = thread::spawn(move || discharge(&*reaper, 2, Resource::Processes, 1));
        let spawning = thread::spawn(move || spawn(&other, 3));
        let second = spawn(&tenants, 2);
        reaping.join().expect("no model panics in a thread of its own");
        let third = spawning.join().expect("no model panics in a thread of its own");
        assert!(!(second && third), "one place, had twice");
        let used = u64::from(second) + u64::from(third);
        assert_eq!(tenants.used()[0], used);
        // A refusal may have met a unit that was just being returned; a retry gets it.
        assert_eq!(spawn(&tenants, 3), used == 0);
    });
}
