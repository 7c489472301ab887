//! Starved: processes of low priorities are killed while others compute at a better one on every CPU, and end nevertheless.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, Pid, Priority, SpawnAttributes, cpus_online, kill_lwp, set_affinity,
    set_priority, sleep, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, child, kill_and_reap, let_loose, lwp, root, step, steps};

/// The priority of those who compute, and that of the root, which must come to kill.
const BETTER: u32 = 20;
const BEST: u32 = 22;
/// The priorities of the victims.
const WORSE: [u32; 3] = [0, 5, 12];

/// LWPs of victims that have come to life.
static ALIVE: AtomicU32 = AtomicU32::new(0);
/// CPUs on which an LWP computes that keeps all victims from it.
static BUSY: AtomicU32 = AtomicU32::new(0);
/// The kills begin: those who compute do not pause any more.
static KILLING: AtomicBool = AtomicBool::new(false);
/// The victims have ended.
static STOP: AtomicBool = AtomicBool::new(false);

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, kill_starved, seed)])
}

/// Computes until the victims have ended; pauses before they are killed, so that they run and move meanwhile.
fn hog(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    let mut is_busy = false;
    while !STOP.load(Ordering::Relaxed) {
        step();
        if KILLING.load(Ordering::Relaxed) {
            if !is_busy {
                BUSY.fetch_add(1, Ordering::Relaxed);
            }
            is_busy = true;
        } else if dice.one_in(20) {
            let _ = sleep(dice.below(20_000));
        }
    }
    number
}

/// Never returns: computes, moves, yields or sleeps until it is killed.
fn linger(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    ALIVE.fetch_add(1, Ordering::Relaxed);
    loop {
        steps(dice.below(10));
        match dice.below(6) {
            0 => {
                let _not_online = set_affinity(CpuMask::one(dice.below(4) as u32));
            }
            1 => {
                let _not_online = set_affinity(CpuMask::from_bits(1 + dice.below(15)));
            }
            2 => yield_now(),
            3 => set_priority(Priority::from_level(dice.pick(&WORSE))),
            4 => {
                let _killed = sleep(dice.below(10_000));
            }
            _ => {}
        }
    }
}

/// A victim, with as many LWPs as its number says.
fn victim(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 1..lwps_of(arguments.number()) {
        let_loose(linger, dice.seed());
    }
    // One more, which is killed alone.
    if dice.one_in(3) {
        kill_one_alone(&mut dice);
    }
    linger(dice.seed()) as i32
}

fn lwps_of(number: usize) -> u32 {
    1 + number as u32 % 3
}

/// Kills an LWP of the calling process that may wait for a CPU, and waits for its end.
fn kill_one_alone(dice: &mut Dice) {
    let spin = |_| loop {
        step();
    };
    let attributes = LwpAttributes { priority: Priority::LOWEST, ..LwpAttributes::default() };
    let one = lwp(spin, 0, &attributes);
    let _ = sleep(dice.below(20_000));
    let killed = kill_lwp(one.tid());
    check!(killed == Ok(()), "a kill of an LWP that never ends: {killed:?}");
    let joined = one.join();
    check!(joined == Ok(None), "a join of an LWP that was killed gave {joined:?}");
}

fn kill_starved(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for count in [&ALIVE, &BUSY] {
        count.store(0, Ordering::Relaxed);
    }
    for flag in [&KILLING, &STOP] {
        flag.store(false, Ordering::Relaxed);
    }
    set_priority(Priority::from_level(BEST));
    let cpus = cpus_online().bits().ilog2() + 1;
    let hogs: heapless::Vec<_, 64> = (0..cpus)
        .map(|cpu| {
            let priority = Priority::from_level(BETTER);
            let attributes =
                LwpAttributes { priority, affinity: CpuMask::one(cpu), ..LwpAttributes::default() };
            lwp(hog, dice.seed(), &attributes)
        })
        .collect();
    let (mut victims, mut lwps) = (heapless::Vec::<Pid, 3>::new(), 0);
    for _ in 0..1 + dice.below(3) {
        let number = dice.seed();
        let lwp =
            LwpAttributes { priority: Priority::from_level(dice.pick(&WORSE)), ..LwpAttributes::default() };
        let pid = child(victim, number, &SpawnAttributes { lwp, ..SpawnAttributes::default() });
        victims.push(pid).expect("there are three at most");
        lwps += lwps_of(number);
    }
    while ALIVE.load(Ordering::Relaxed) < lwps {
        let _ = sleep(50_000);
    }
    KILLING.store(true, Ordering::Relaxed);
    // In some rounds the victims may still run, in others none can.
    while dice.one_in(2) && BUSY.load(Ordering::Relaxed) < cpus {
        let _ = sleep(10_000);
    }
    kill_and_reap(&mut dice, &victims, 20);
    STOP.store(true, Ordering::Relaxed);
    for hog in hogs {
        let joined = hog.join();
        check!(joined.is_ok(), "a join of an LWP that computes gave {joined:?}");
    }
    i32::from(DONE)
}
