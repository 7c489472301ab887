//! The image `explore`: process 1 runs workloads under the observer, round after round. `cargo xtask explore` starts it.
//!
//! Boot arguments, besides those of the machine: `steps=N` (begin no round after that many points), `workload=NAME`
//! (only that one; otherwise one is chosen at random in each round).
#![no_std]
#![no_main]

use asphodel::api::{
    Arguments, Pid, Status, WNOHANG, at_exit, boot_argument, census, println, program, sleep, wait4,
};
use asphodel::testing::{figures, is_explored, violation};
use asphodel_explore::{hook_called, left_behind, round_begins, start, totals};
use asphodel_platform as _;
use asphodel_workloads::{Dice, Workload, any, find, round};

program!("init", init);

/// Exit status when the boot arguments are invalid: `EX_USAGE` of sysexits(3).
const USAGE: i32 = 64;
/// Points of a run, if no other number is given.
const STEPS: u64 = 2_000_000;
/// How often the counts are checked after a round before a difference counts as left behind.
const LOOKS: u64 = 60;
/// Number of checks after which the counts are taken as final.
const SETTLED: u64 = 20;

/// Counts for the observer; registered before any process ends, so that it is called for every process.
fn count(pid: Pid, _: Status) {
    hook_called(pid);
}

fn number(key: &str, default: u64) -> u64 {
    boot_argument(key).and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Waits until nothing is left of a round; the counts at that point are the base of the next ones.
fn settle(base: &mut Option<asphodel::api::Census>, workload: &Workload) {
    let mut left = None;
    for look in 0..LOOKS {
        let now = census();
        left = left_behind(*base, now);
        if base.is_none() && look >= SETTLED {
            *base = Some(now);
        }
        if left.is_none() && base.is_some() {
            return;
        }
        while let Ok(Some(_)) = wait4(-1, WNOHANG) {}
        let _ = sleep(20_000 + look * 20_000);
    }
    let what = left.unwrap_or("nothing");
    violation(format_args!("I12: left behind by {}: {what}: {:?}, before {base:?}", workload.name, census()));
}

fn init(_: &Arguments<'_>) -> i32 {
    let chosen = boot_argument("workload").map(|name| (name, find(name)));
    if let Some((name, None)) = chosen {
        println!("explore: there is no workload {name}; there are:");
        asphodel_workloads::ALL
            .iter()
            .for_each(|workload| println!("  {:13} {}", workload.name, workload.summary));
        return USAGE;
    }
    if !is_explored() || !start() {
        println!("explore: this image is to be run with explore=SEED");
        return USAGE;
    }
    at_exit(count).expect("there is room for a hook");
    let steps = number("steps", STEPS);
    let mut dice = Dice::new(number("explore", 0) ^ 0x00ab_cdef);
    let (mut base, mut rounds) = (None, 0);
    while figures().0 < steps {
        let workload = chosen.and_then(|(_, workload)| workload).unwrap_or_else(|| any(&mut dice));
        round_begins();
        round(workload, &mut dice);
        settle(&mut base, workload);
        rounds += 1;
    }
    let sums = totals();
    println!(
        "observed: {rounds} rounds, {} lives, {} LWPs, {} execs, {} signals, {} events",
        sums.lives, sums.lwps, sums.execs, sums.signals, sums.events
    );
    0
}
