//! `storm`: spawns and reaps processes on all CPUs as fast as possible, and checks that nothing is left behind.
//!
//! One spawner process for each CPU, pinned to it, with a few children at a time ([`lane`]). The latencies are those
//! between two readings of the counter: by the child, as the last thing its program does, and by its parent when
//! wait4 returns, or by the next child that comes up on the same stack ([`reuse`]).

mod lane;
mod reuse;

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use asphodel::api::{
    Arguments, Census, CpuMask, LwpAttributes, Pid, Priority, Program, SpawnAttributes, census, cpus_online,
    now_ns, println, program, set_affinity, spawn, wait4,
};
use asphodel_console_parts::histogram::{Histogram, Octave};

use crate::programs::{REFUSED, complain};
use crate::units::{Time, number_or};
use lane::Lane;
use reuse::StackUsers;

program!("storm", storm);

const DEFAULT_LIVES: u64 = 10_000;
const MOST_LIVES: u64 = 1_000_000_000;
/// Time between reports of progress.
const REPORT_NANOSECONDS: u64 = 1_000_000_000;
/// Spawners run before their children, because the measured time is the system's, not the other children's.
const SPAWNER_PRIORITY: Option<Priority> = Priority::new(Priority::NORMAL.level() + 1);

/// The data that all spawners share.
struct Storm {
    /// The number of processes to be run.
    lives: u64,
    /// The number of processes that spawners have taken.
    taken: AtomicU64,
    /// The number of children that were spawned.
    spawned: AtomicU64,
    /// The number of children that were reaped.
    reaped: AtomicU64,
    /// The number of children whose status from wait4 was wrong.
    wrong: AtomicU64,
    began: u64,
    next_report: AtomicU64,
    stacks: StackUsers,
}

impl Storm {
    fn new(lives: u64) -> Self {
        let began = now_ns();
        Self {
            lives,
            taken: AtomicU64::new(0),
            spawned: AtomicU64::new(0),
            reaped: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            began,
            next_report: AtomicU64::new(began + REPORT_NANOSECONDS),
            stacks: StackUsers::new(),
        }
    }

    /// Takes one life for the caller, if any is left.
    fn take(&self) -> bool {
        let more = |taken| (taken < self.lives).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts one more reaped child, and reports the progress if it is due.
    fn count_reaped(&self) {
        let reaped = self.reaped.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, due) = (now_ns(), self.next_report.load(Ordering::Relaxed));
        let next = now + REPORT_NANOSECONDS;
        if now >= due
            && self.next_report.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            println!("storm: {reaped} of {} lives, {} a second", self.lives, rate(reaped, now - self.began));
        }
    }
}

fn rate(lives: u64, nanoseconds: u64) -> u64 {
    (u128::from(lives) * 1_000_000_000 / u128::from(nanoseconds.max(1))) as u64
}

/// Entry of the program.
fn storm(arguments: &Arguments<'_>) -> i32 {
    match number_or(arguments.get(0), DEFAULT_LIVES, 1, MOST_LIVES) {
        Ok(lives) => carry_out(lives),
        Err(what) => complain("storm", &what),
    }
}

fn carry_out(lives: u64) -> i32 {
    let online = cpus_online();
    let cpus: Vec<u32> = (0..64).filter(|cpu| online.contains(*cpu)).take(lives as usize).collect();
    println!("storm: {lives} lives on {} CPUs, {} at a time on each", cpus.len(), lane::ABREAST);
    // Not freed if the storm is killed, because its spawners may continue for a moment.
    let storm = &*Box::leak(Box::new(Storm::new(lives)));
    let lanes: Vec<&Lane> = cpus.iter().map(|cpu| &*Box::leak(Box::new(Lane::new(storm, *cpu)))).collect();
    settle(online);
    let before = census();
    let spawners = lanes.iter().filter_map(|lane| start(lane)).count();
    let lost = lanes.len() - spawners + (0..spawners).filter(|_| !spawner_did_well()).count();
    let took = now_ns() - storm.began;
    settle(online);
    let after = census();
    let (to_parent, to_reuse) = (Histogram::new(), Histogram::new());
    for lane in &lanes {
        to_parent.merge(&lane.to_parent);
        to_reuse.merge(&lane.to_reuse);
    }
    let reaped = storm.reaped.load(Ordering::Relaxed);
    println!("storm: {reaped} lives in {}, {} a second", Time(took), rate(reaped, took));
    show("exit to parent-runs", &to_parent);
    show("exit to stack-reused", &to_reuse);
    let leaked = verdict(storm, lost, before, after);
    let spawned = storm.spawned.load(Ordering::Relaxed);
    // No process that could read them is left.
    free(lanes, storm);
    println!("storm: {spawned} lives, {reaped} reaped, {leaked} leaked");
    i32::from(leaked != 0 || reaped != lives || lost != 0)
}

/// Starts a lane's spawner.
fn start(lane: &Lane) -> Option<Pid> {
    let lwp = LwpAttributes {
        affinity: CpuMask::one(lane.cpu),
        priority: SPAWNER_PRIORITY.unwrap_or_default(),
        ..LwpAttributes::default()
    };
    let attributes =
        SpawnAttributes { lwp, number: core::ptr::from_ref(lane) as usize, ..SpawnAttributes::default() };
    let spawner = spawn(&Program::new("storm-lane", lane::run), &[], &attributes);
    spawner.inspect_err(|error| println!("storm: no spawner for cpu{}: {error}", lane.cpu)).ok()
}

/// Waits for one spawner.
fn spawner_did_well() -> bool {
    match wait4(-1, 0) {
        Ok(Some(report)) if report.status.code() == Some(0) => true,
        Ok(Some(report)) if report.status.code() == Some(REFUSED as u8) => false,
        other => {
            println!("storm: a spawner ended badly: {other:?}");
            false
        }
    }
}

/// Lets every CPU finish with the LWPs that have exited there: a child can be reaped before the CPU on which it exited
/// has freed its last record, but that CPU runs nothing else before it has.
fn settle(online: CpuMask) {
    for cpu in (0..64).filter(|cpu| online.contains(*cpu)) {
        // The CPU is online, so the affinity is not refused.
        let _ = set_affinity(CpuMask::one(cpu));
    }
    let _ = set_affinity(CpuMask::ALL);
}

/// Returns the number of objects that were left behind, with their kinds. Nothing else should run in the system,
/// because objects that others have made meanwhile count, too.
fn verdict(storm: &Storm, lost: usize, before: Census, after: Census) -> u64 {
    let wrong = storm.wrong.load(Ordering::Relaxed);
    if wrong > 0 {
        println!("storm: wait4 reported a wrong status of {wrong}");
    }
    if lost > 0 {
        println!("storm: {lost} spawners did not do their part");
    }
    let more = |what: &str, before: u64, after: u64| {
        let more = after.saturating_sub(before);
        if more > 0 {
            println!("storm: {more} {what} more than before");
        }
        more
    };
    let processes = more("processes", before.processes, after.processes);
    let threads = more("threads", before.threads, after.threads);
    let stacks = more("stacks", before.stacks, after.stacks);
    let heap = more("bytes of heap", before.heap, after.heap);
    processes.max(threads).max(stacks).max(u64::from(heap > 0)).max(wrong)
}

/// One histogram: a summary, and a bar for each power of two.
fn show(what: &str, histogram: &Histogram) {
    const WIDTH: u64 = 40;
    let (Some(min), Some(median), Some(p99), Some(max)) =
        (histogram.min(), histogram.quantile(500), histogram.quantile(990), histogram.max())
    else {
        println!("storm: {what}: never seen");
        return;
    };
    println!(
        "storm: {what}: min {}, median {}, p99 {}, max {}",
        Time(min),
        Time(median),
        Time(p99),
        Time(max)
    );
    let most = histogram.octaves().map(|octave| octave.count).max().unwrap_or(1).max(1);
    for Octave { low, high, count } in histogram.octaves() {
        let bar = "#".repeat((count * WIDTH).div_ceil(most) as usize);
        let line = format!("{:>12} .. {:>8} {count:>9} {bar}", Time(low), Time(high.saturating_add(1)));
        println!("{}", line.trim_end());
    }
}

/// Frees the memory that [`carry_out`] has leaked on purpose.
fn free(lanes: Vec<&Lane>, storm: &Storm) {
    for lane in lanes {
        // SAFETY: made by `Box::leak`; the spawners and their children have been reaped, and this is the last use.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(lane).cast_mut()) });
    }
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(core::ptr::from_ref(storm).cast_mut()) });
}
