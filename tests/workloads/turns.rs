//! Turns: LWPs that compute side by side, more of them than there are CPUs, with restrictions on where they may run, while
//! CPUs are deactivated and activated again. T197.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, cpu_activate, cpu_deactivate, cpu_index, cpus_online, now_ns,
    set_affinity, set_priority, sleep, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, eventually, lwp, priority, root, step, steps};

/// How long an LWP computes at most: some slices.
const LONG: u64 = 80_000_000;
/// No CPU.
const NONE: u32 = u32::MAX;

/// The CPU that is deactivated, or [`NONE`].
static PARKED: AtomicU32 = AtomicU32::new(NONE);
/// The CPUs on which some LWP has computed, a bit each.
static USED: AtomicU32 = AtomicU32::new(0);
/// Those who compute are to stop.
static STOP: AtomicU32 = AtomicU32::new(0);

/// Starts a round of LWPs that compute.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, compute, seed)])
}

/// Starts a round in which CPUs are deactivated meanwhile.
pub(crate) fn parking(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, park, seed)])
}

/// A CPU that is online.
fn some_cpu(dice: &mut Dice) -> u32 {
    dice.below(u64::from(cpus_online().bits().ilog2() + 1)) as u32
}

/// Computes, most of the time restricted to some CPUs, and checks that it runs on these.
fn runner(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    if dice.one_in(3) {
        set_priority(priority(&mut dice));
    }
    let (begun, long) = (now_ns(), dice.below(LONG));
    while now_ns() - begun < long {
        let allowed = CpuMask::from_bits(CpuMask::one(some_cpu(&mut dice)).bits() | dice.below(16));
        if dice.one_in(3) || set_affinity(allowed).is_err() {
            steps(dice.below(300));
            continue;
        }
        for _ in 0..dice.below(300) {
            let cpu = cpu_index();
            check!(allowed.contains(cpu), "it runs on cpu {cpu} and may run on {:#x}", allowed.bits());
        }
        if dice.one_in(8) {
            yield_now();
        }
    }
    number ^ 0x55
}

/// Begins one LWP more than there are CPUs, with the same priority.
fn begin(entry: fn(usize) -> usize, dice: &mut Dice) -> heapless::Vec<(asphodel::api::LwpHandle, usize), 8> {
    let count = (cpus_online().count() as usize + 1).min(6);
    (0..count)
        .map(|_| {
            let number = dice.seed();
            (lwp(entry, number, &LwpAttributes::default()), number ^ 0x55)
        })
        .collect()
}

fn compute(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for (handle, result) in begin(runner, &mut dice) {
        let joined = handle.join();
        check!(joined == Ok(Some(result)), "a join of an LWP that computes gave {joined:?}");
    }
    i32::from(DONE)
}

/// Computes on any CPU that it may run on until it is stopped, and sleeps now and then while all CPUs are active.
fn guest(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    while STOP.load(Ordering::Relaxed) == 0 {
        USED.fetch_or(CpuMask::one(cpu_index()).bits() as u32, Ordering::Relaxed);
        step();
        if dice.one_in(30) && PARKED.load(Ordering::Relaxed) == NONE {
            let _ = sleep(dice.below(5_000));
        }
    }
    number ^ 0x55
}

/// Whether a guest has been seen on `cpu` in the next moments.
fn stays_in_use(cpu: u32) -> bool {
    USED.store(0, Ordering::Relaxed);
    let _ = sleep(5_000_000);
    is_used(cpu)
}

/// Whether a guest has been seen on `cpu` since `USED` was cleared.
fn is_used(cpu: u32) -> bool {
    CpuMask::from_bits(u64::from(USED.load(Ordering::Relaxed))).contains(cpu)
}

fn park(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    PARKED.store(NONE, Ordering::Relaxed);
    STOP.store(0, Ordering::Relaxed);
    let guests = begin(guest, &mut dice);
    for _ in 0..3 {
        let cpu = some_cpu(&mut dice);
        // The last active one stays active.
        if cpu_deactivate(cpu).is_ok() {
            PARKED.store(cpu, Ordering::Relaxed);
            steps(dice.below(3_000));
            // A guest that stays there is seen by the observer, too.
            eventually(|| !stays_in_use(cpu));
            PARKED.store(NONE, Ordering::Relaxed);
            let activated = cpu_activate(cpu);
            check!(activated == Ok(()), "a CPU that was deactivated: {activated:?}");
            USED.store(0, Ordering::Relaxed);
            eventually(|| is_used(cpu));
            check!(is_used(cpu), "cpu {cpu} was activated, and takes no work");
        }
        let _ = sleep(dice.below(5_000_000));
    }
    STOP.store(1, Ordering::Relaxed);
    for (handle, result) in guests {
        let joined = handle.join();
        check!(joined == Ok(Some(result)), "a join of an LWP that computes gave {joined:?}");
    }
    i32::from(DONE)
}
