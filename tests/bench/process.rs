//! Bench: the cost of a process from its creation to its end.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Pid, Priority, Program, Semaphore, SpawnAttributes, exit, kill, lwp_run,
    lwp_spawn, sleep, spawn, wait4,
};
use asphodel_test::bench::{
    self, Interval, bench_begin, bench_end, on_cpu, overhead, pinned, process_on_cpu, repeat, row, since,
};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 100;
const SIGKILL: i32 = 9;
/// This is long enough for all LWPs that are about to sleep to do so.
const SETTLE_NANOSECONDS: u64 = 10_000_000;
/// Maximum length of a turn of one of the emulator's CPUs.
const BEAT_NANOSECONDS: u64 = 10_000;

/// Ends at once.
static NOTHING: Program = Program::new("nothing", |_| 0);
/// Has as many LWPs as its number says, all asleep.
static SLEEPERS: Program = Program::new("sleepers", sleepers);
/// Reports when it exits.
static LEAVER: Program = Program::new("leaver", leaver);
/// Spawns, waits, and again, as often as its number says.
static PARENT: Program = Program::new("parent", parent);

/// This semaphore is never posted.
static NEVER: Semaphore = Semaphore::new(0);
static READY: Semaphore = Semaphore::new(0);
/// A unit for each parent that is to begin.
static GO: Semaphore = Semaphore::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
static LEFT_AT: AtomicU64 = AtomicU64::new(0);

fn rows() {
    if bench::cpus() == 1 {
        row("process.spawn_exit_wait", || repeat(OPERATIONS, one_life));
    } else {
        row("process.spawn_exit_wait", all_cpus);
        row("process.spawn_exit_wait_one_parent", || repeat(OPERATIONS, one_life));
    }
    row("process.kill_10_per_lwp", || kill_sleepers(10));
    row("process.kill_100_per_lwp", || kill_sleepers(100));
    row("process.kill_1000_per_lwp", || kill_sleepers(1000));
    row("exit.to_parent", || pinned(0, || exit_to_parent(0)));
    if bench::cpus() > 1 {
        row("exit.to_parent_other_cpu", || pinned(0, || exit_to_parent(1)));
    }
}

/// Spawns, runs, ends and waits for processes one after another.
#[inline(always)]
fn one_life() {
    let pid = start(&NOTHING, &SpawnAttributes::default());
    reap(pid);
}

fn start(program: &Program, attributes: &SpawnAttributes) -> Pid {
    spawn(program, &[], attributes).expect("there is memory for a process")
}

fn reap(pid: Pid) {
    let report = wait4(pid.raw(), 0);
    assert!(matches!(report, Ok(Some(report)) if report.pid == pid), "the child can be waited for");
}

/// Kills a process whose LWPs all sleep, and waits for its end.
fn kill_sleepers(count: u64) -> Interval {
    let pid = start(&SLEEPERS, &SpawnAttributes { number: count as usize, ..SpawnAttributes::default() });
    let _ready = READY.wait();
    let _settled = sleep(SETTLE_NANOSECONDS);
    let begin = bench_begin();
    kill(pid, SIGKILL).expect("the process is there");
    reap(pid);
    since(begin, count)
}

fn sleepers(arguments: &Arguments<'_>) -> i32 {
    for _ in 1..arguments.number() {
        let lwp = lwp_spawn(
            |_| {
                let _never = NEVER.wait();
                0
            },
            0,
            &LwpAttributes::default(),
        );
        drop(lwp.expect("there is memory for an LWP"));
    }
    READY.post();
    let _never = NEVER.wait();
    0
}

/// Measures from a child's call of exit on CPU `cpu` to its parent's return from wait4, in which it slept.
fn exit_to_parent(cpu: u32) -> Interval {
    let mut sum = Interval { ticks: 0, operations: 0 };
    for _ in 0..20 {
        let pid = start(&LEAVER, &process_on_cpu(cpu));
        reap(pid);
        let at = bench_end();
        sum.ticks += (at - LEFT_AT.load(Ordering::Relaxed)).saturating_sub(overhead());
        sum.operations += 1;
    }
    sum
}

fn leaver(_: &Arguments<'_>) -> i32 {
    // The parent sleeps when this LWP continues.
    let _settled = sleep(SETTLE_NANOSECONDS);
    LEFT_AT.store(bench_begin(), Ordering::Relaxed);
    exit(0)
}

/// Each CPU has a parent of its own, and all are busy. The result is the instructions of all CPUs, spinning included,
/// for one process. What it costs more than with one CPU is the price of sharing.
///
/// The emulator lets its CPUs take turns, and a turn ends when a timer expires. An LWP that sleeps briefly, over and
/// over, keeps the turns about as long as a few processes take, so that the CPUs meet at any point, also with locks
/// held. The result includes the cost of that LWP itself.
fn all_cpus() -> Interval {
    const LIVES: u64 = 300;
    let cpus = bench::cpus();
    let parents: heapless::Vec<Pid, 64> = (0..cpus)
        .map(|cpu| start(&PARENT, &SpawnAttributes { number: LIVES as usize, ..process_on_cpu(cpu) }))
        .collect();
    for _ in &parents {
        let _ready = READY.wait();
    }
    let _settled = sleep(SETTLE_NANOSECONDS);
    STOP.store(false, Ordering::Relaxed);
    let metronome = lwp_run(beat, &LwpAttributes { priority: Priority::HIGHEST, ..on_cpu(0) });
    let begin = bench_begin();
    for _ in &parents {
        GO.post();
    }
    for _ in &parents {
        let _done = READY.wait();
    }
    let interval = since(begin, LIVES * u64::from(cpus));
    STOP.store(true, Ordering::Relaxed);
    metronome.expect("there is memory for an LWP").join().expect("it is not killed");
    for pid in parents {
        reap(pid);
    }
    interval
}

/// Keeps the emulator's turns short.
fn beat() {
    while !STOP.load(Ordering::Relaxed) {
        let _timed_out = sleep(BEAT_NANOSECONDS);
    }
}

fn parent(arguments: &Arguments<'_>) -> i32 {
    READY.post();
    let _go = GO.wait();
    for _ in 0..arguments.number() {
        one_life();
    }
    READY.post();
    0
}
