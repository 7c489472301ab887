//! The workloads of the explorer as storms: the same programs on real CPUs. T10, T27, T41, T43, T74, T78, T85, T158, T161, T166,
//! T175, T191, T192, T199, T200, T202, R7, R8, R13, R17.
//!
//! Each test runs rounds of one workload for some seconds; the workload itself checks the kernel's guarantees, and the
//! runner finds everything that is left behind: processes, LWPs, stacks, single bytes of the heap. `storm=N` makes the
//! same choices again.
//! deadline: 180
//! soak: rounds=3000
//! soak-deadline: 3600
#![no_std]
#![no_main]

use asphodel::api::{println, reaper_acquire};
use asphodel_test::{RACE_DEADLINE_MS, race_rounds, test};
use asphodel_workloads::{find, leave_no_heap, round};

asphodel_test::image!();

/// Runs rounds of the workload `name`, as many as there is time for.
fn storm(name: &str) {
    let workload = find(name).expect("there is such a workload");
    let seed = asphodel_test::Dice::storm_seed();
    println!("# storm={seed}");
    let mut dice = asphodel_workloads::Dice::new(seed);
    leave_no_heap();
    assert_eq!(reaper_acquire(), Ok(()));
    for _ in race_rounds() {
        round(workload, &mut dice);
    }
}

test!(
    /// T191, T192: trees of processes that do everything.
    t192_actors,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("actors");
    }
);

test!(
    /// T191, T192: trees of processes that do a few things, others in each round.
    t192_swarm,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("swarm");
    }
);

test!(
    /// R8: what LWPs wait for, counted strictly.
    r08_pool,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("pool");
    }
);

test!(
    /// R8: two such things at a time.
    r08_pools,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("pools");
    }
);

test!(
    /// R8: consumers are killed, and the others get the rest.
    r08_killed_consumers,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("killed-consumers");
    }
);

test!(
    /// Call-outs and tasks, counted strictly.
    deferred,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("deferred");
    }
);

test!(
    /// A token that is free, and an LWP that waits for it.
    token,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("token");
    }
);

test!(
    /// A wake-up for one, and a thread that does not sleep.
    registration,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("registration");
    }
);

test!(
    /// T10, T27, T74, T78, T158, T161, T166, R17: the guarantees of single calls.
    t078_promises,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("promises");
    }
);

test!(
    /// T158, T161, T166, R16, R17, R19: what parents and reapers are promised.
    t161_parents,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("parents");
    }
);

test!(
    /// LWPs that compute side by side, each where it may run.
    turns,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("turns");
    }
);

test!(
    /// T197: LWPs that compute while CPUs are deactivated.
    t197_parking,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("parking");
    }
);

test!(
    /// T175: members that never end, killed once by group or domain.
    t175_bomb,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("bomb");
    }
);

test!(
    /// T202: processes that get no CPU are killed.
    t202_starved,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("starved");
    }
);

test!(
    /// R46: processes of the highest priority compute and are killed.
    r46_urgent,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("urgent");
    }
);

test!(
    /// T41, R7: LWPs that create LWPs while their process ends.
    r07_creators,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("creators");
    }
);

test!(
    /// T85, R13: handles across processes, against the end of the LWP's.
    t085_handles,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("handles");
    }
);

test!(
    /// T199: mutexes whose holders end.
    t199_holders,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("holders");
    }
);

test!(
    /// T43, T199: kills that guards delay end their LWPs in the middle of other guards.
    t43_overdue,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("overdue");
    }
);

test!(
    /// T200: LWPs that join each other in a ring.
    t200_rings,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("rings");
    }
);

test!(
    /// Descriptors and files, against the end of their process.
    files,
    deadline_ms = RACE_DEADLINE_MS,
    {
        storm("files");
    }
);
