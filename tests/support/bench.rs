//! Support for bench images.
//!
//! A bench image runs under an emulator whose counter ticks once for each executed instruction, of all CPUs together,
//! and skips the time in which all of them sleep. A row is measured in rounds; a round is a closure that does a number
//! of operations and returns their cost as an [`Interval`]. After a round to warm up, the median of [`ROUNDS`] rounds
//! is printed as `bench NAME CPUS VALUE UNIT`. Rows may be selected by the boot argument `filter=PATTERN`. The images'
//! own programs use it, in thread context.

use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use asphodel::api::{
    CpuMask, LwpAttributes, Program, SpawnAttributes, boot_argument, cpus_online, now_ticks, power_off,
    println, set_affinity, spawn, ticks_per_second, wait4,
};
use asphodel_platform as _;

/// Rounds whose median is the value of a row.
pub const ROUNDS: usize = 11;
/// The rate at which one tick of the counter is one instruction.
const ONE_INSTRUCTION_PER_TICK: u64 = 1_000_000_000;

/// The cost of some operations.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// Ticks of the counter: instructions of all CPUs.
    pub ticks: u64,
    /// Operations that were done in this time.
    pub operations: u64,
}

impl Interval {
    /// Returns thousandths of a tick for one operation.
    fn thousandths(self) -> u64 {
        self.ticks * 1000 / self.operations
    }
}

/// Returns the counter at the beginning of an interval. It is a function of its own, so that a trace of the emulator
/// contains it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn bench_begin() -> u64 {
    compiler_fence(Ordering::SeqCst);
    now_ticks()
}

/// Returns the counter at the end of an interval; see [`bench_begin`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn bench_end() -> u64 {
    let now = now_ticks();
    compiler_fence(Ordering::SeqCst);
    now
}

/// Returns the cost of the two readings themselves.
#[must_use]
pub fn overhead() -> u64 {
    let begin = bench_begin();
    bench_end() - begin
}

/// Measures `work`, which does `operations`.
#[inline(always)]
pub fn time(operations: u64, work: impl FnOnce()) -> Interval {
    let begin = bench_begin();
    work();
    since(begin, operations)
}

/// Returns the interval since `begin`, a value of [`bench_begin`].
#[inline(always)]
pub fn since(begin: u64, operations: u64) -> Interval {
    let end = bench_end();
    Interval { ticks: (end - begin).saturating_sub(overhead()), operations }
}

/// Measures `operations` calls of `operation`.
#[inline(always)]
pub fn repeat(operations: u64, mut operation: impl FnMut()) -> Interval {
    time(operations, || {
        for _ in 0..operations {
            operation();
        }
    })
}

/// Returns whether the row is to be measured.
#[must_use]
pub fn selected(name: &str) -> bool {
    boot_argument("filter").is_none_or(|pattern| name.contains(pattern))
}

/// Measures a row in instructions, if it is selected.
pub fn row(name: &str, round: impl FnMut() -> Interval) {
    if selected(name) {
        report(name, median(round), "instructions");
    }
}

/// Returns the median of [`ROUNDS`] rounds after one to warm up, in thousandths of a tick for one operation.
pub fn median(mut round: impl FnMut() -> Interval) -> u64 {
    let _warm_up = round();
    let mut values: [u64; ROUNDS] = core::array::from_fn(|_| round().thousandths());
    values.sort_unstable();
    values[ROUNDS / 2]
}

/// Prints a row of `thousandths` of `unit`.
pub fn report(name: &str, thousandths: u64, unit: &str) {
    println!("bench {name} {} {}.{:03} {unit}", cpus(), thousandths / 1000, thousandths % 1000);
}

/// Returns the number of CPUs that are online.
#[must_use]
pub fn cpus() -> u32 {
    cpus_online().bits().count_ones()
}

/// Returns attributes of an LWP that stays on one CPU.
#[must_use]
pub fn on_cpu(cpu: u32) -> LwpAttributes {
    LwpAttributes { affinity: CpuMask::one(cpu), ..LwpAttributes::default() }
}

/// Returns attributes of a process whose first LWP stays on one CPU.
#[must_use]
pub fn process_on_cpu(cpu: u32) -> SpawnAttributes {
    SpawnAttributes { lwp: on_cpu(cpu), ..SpawnAttributes::default() }
}

/// Runs `work` with the calling LWP on one CPU.
///
/// # Panics
/// If there is no such CPU.
pub fn pinned<T>(cpu: u32, work: impl FnOnce() -> T) -> T {
    set_affinity(CpuMask::one(cpu)).expect("the CPU is online");
    let result = work();
    set_affinity(CpuMask::ALL).expect("some CPU is online");
    result
}

/// Counter value when process 1 began.
static BOOTED: AtomicU64 = AtomicU64::new(0);

/// Prints the row `boot.to_init_ms`: from the first instruction to process 1's first step.
pub fn report_boot() {
    if selected("boot.to_init_ms") {
        // A tick is a nanosecond, so a thousandth of a millisecond is a thousand ticks.
        report("boot.to_init_ms", BOOTED.load(Ordering::Relaxed) / 1000, "ms");
    }
}

/// Body of a bench image's process 1: runs `rows` in a process of their own and powers the system off.
pub fn run(rows: fn(&asphodel::api::Arguments<'_>) -> i32) -> i32 {
    BOOTED.store(now_ticks(), Ordering::Relaxed);
    if ticks_per_second() != ONE_INSTRUCTION_PER_TICK {
        println!(
            "bench: the counter runs at {} Hz, not at 1 GHz: it does not count instructions",
            ticks_per_second()
        );
        return 2;
    }
    let program = Program::new("bench", rows);
    let status = spawn(&program, &[], &SpawnAttributes::default()).and_then(|pid| wait4(pid.raw(), 0));
    match status {
        Ok(Some(report)) if report.status.shell_code() == 0 => power_off(0),
        other => {
            println!("bench: failed: {other:?}");
            1
        }
    }
}

/// Makes an image that measures `rows`: a `fn()` that calls [`row`](crate::bench::row) for each.
#[macro_export]
macro_rules! bench_image {
    ($rows:path) => {
        fn rows_of_image(_: &::asphodel::api::Arguments<'_>) -> i32 {
            $rows();
            0
        }

        fn init_of_image(_: &::asphodel::api::Arguments<'_>) -> i32 {
            $crate::bench::run(rows_of_image)
        }

        ::asphodel::program!("init", init_of_image);
    };
}
