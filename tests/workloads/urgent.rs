//! Urgent: LWPs of the highest priority, which a kill cannot raise, compute for ever, and are killed once, while their CPUs
//! switch to them.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, Pid, Priority, SpawnAttributes, cpus_online, set_priority, sleep,
};

use crate::common::{DONE, Dice, Roots, child, kill_and_reap, lwp, root, step};

/// LWPs of victims that have come to life.
static ALIVE: AtomicU32 = AtomicU32::new(0);

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, kill_urgent, seed)])
}

/// Sleeps once at most, then computes without ever calling the kernel.
fn compute(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    ALIVE.fetch_add(1, Ordering::Relaxed);
    if dice.one_in(2) {
        let _killed = sleep(dice.below(60_000));
    }
    loop {
        step();
    }
}

/// A victim: all of its LWPs have the CPU that the lowest digits of its number say, so that the end of one is a switch to
/// the next.
fn victim(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let attributes = on_cpu(arguments.number());
    for _ in 1..lwps_of(arguments.number()) {
        core::mem::forget(lwp(compute, dice.seed(), &attributes));
    }
    compute(dice.seed()) as i32
}

fn lwps_of(number: usize) -> u32 {
    1 + (number >> 8) as u32 % 3
}

/// Returns the attributes of the LWPs of the victim with this number.
fn on_cpu(number: usize) -> LwpAttributes {
    let cpus = cpus_online().bits().ilog2() + 1;
    let affinity = CpuMask::one(number as u32 % 256 % cpus);
    LwpAttributes { priority: Priority::HIGHEST, affinity, ..LwpAttributes::default() }
}

/// Kills some victims, one soon after the other.
fn kill_urgent(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    ALIVE.store(0, Ordering::Relaxed);
    set_priority(Priority::HIGHEST);
    let (mut victims, mut lwps) = (heapless::Vec::<Pid, 3>::new(), 0);
    for _ in 0..1 + dice.below(3) {
        let number = dice.seed();
        let attributes = SpawnAttributes { lwp: on_cpu(number), ..SpawnAttributes::default() };
        victims.push(child(victim, number, &attributes)).expect("there are three at most");
        lwps += lwps_of(number);
    }
    while ALIVE.load(Ordering::Relaxed) < lwps {
        let _ = sleep(20_000);
    }
    let _ = sleep(dice.below(60_000));
    kill_and_reap(&mut dice, &victims, 60);
    i32::from(DONE)
}
