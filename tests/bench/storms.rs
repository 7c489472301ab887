//! Bench: rounds of the explorer's workloads, which do everything at random. What they cost is no figure of any service;
//! they are here for the sections with interrupts masked, which the emulator measures in every bench image.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;

use asphodel::api::{now_ticks, reaper_acquire};
use asphodel_test::bench::{report, selected};
use asphodel_test::bench_image;
use asphodel_workloads::{ALL, Dice, Workload, leave_no_heap, round};

bench_image!(rows);

/// The choices of a workload; any other number would do.
const SEED: u64 = 1;
/// Most rounds of a workload.
const ROUNDS: u64 = 200;
/// Instructions after which no further round of it begins.
const ENOUGH: u64 = 30_000_000;

/// This one would kill the processes of the image itself.
const KILLS_EVERYTHING: &str = "kill-all";

fn rows() {
    leave_no_heap();
    reaper_acquire().expect("a process may adopt orphans");
    for workload in ALL.iter().filter(|workload| workload.name != KILLS_EVERYTHING) {
        storm(workload);
    }
}

/// Runs rounds of a workload and prints what one costs on average.
fn storm(workload: &Workload) {
    let name = format!("storm.{}", workload.name);
    if !selected(&name) {
        return;
    }
    let mut dice = Dice::new(SEED);
    let (begin, mut rounds) = (now_ticks(), 0);
    while rounds < ROUNDS && now_ticks() - begin < ENOUGH {
        round(workload, &mut dice);
        rounds += 1;
    }
    report(&name, (now_ticks() - begin) * 1000 / rounds, "instructions");
}
