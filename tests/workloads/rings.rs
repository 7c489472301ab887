//! LWPs of one process or several that join each other in a ring, at the same time. One is refused, unless one is killed
//! or gives up meanwhile; all return. T200.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, Errno, LwpHandle, Mutex, Semaphore, SpawnAttributes, WaitResult, extexit,
    kill_lwp,
};

use crate::common::{DONE, Dice, Roots, check, child, lwp, reap, root, step, steps, sure_attributes};

/// The length of the longest ring.
const MOST: usize = 5;

/// The handle of each LWP of the ring.
static HANDLES: [Mutex<Option<LwpHandle>>; MOST] = [const { Mutex::new(None) }; MOST];
/// A unit for each LWP that may begin, and for each that is there.
static BEGIN: Semaphore = Semaphore::new(0);
static THERE: Semaphore = Semaphore::new(0);
static LENGTH: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);
/// Joins of the ring that were given up or killed.
static BROKEN: AtomicU32 = AtomicU32::new(0);

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, rings, seed)])
}

/// Drops what was not taken.
pub(crate) fn settle() {
    for place in &HANDLES {
        drop(place.lock().take());
    }
    while BEGIN.try_wait() || THERE.try_wait() {}
}

/// Joins the next one. The lowest byte of `number` is the place.
fn join_next(number: usize) -> usize {
    let (place, mut dice) = (number & 0xff, Dice::new(number as u64));
    if BEGIN.wait() != WaitResult::Ready {
        return 0;
    }
    let next = (place + 1) % LENGTH.load(Ordering::Relaxed) as usize;
    let handle = HANDLES[next].lock().take();
    let Some(handle) = handle else {
        check!(false, "the LWP at {next} has no handle");
        return 0;
    };
    steps(dice.below(12));
    let joined = if dice.one_in(12) { handle.wait_timeout(1 + dice.below(20_000)) } else { handle.wait() };
    match joined {
        Ok(()) => {}
        Err(Errno::EDEADLK) => drop(REFUSED.fetch_add(1, Ordering::Relaxed)),
        Err(_) => drop(BROKEN.fetch_add(1, Ordering::Relaxed)),
    }
    0
}

/// Creates some LWPs of the ring, from the place in the lowest byte of the number, as many as the next one says, and
/// leaves.
fn part(arguments: &Arguments<'_>) -> i32 {
    let (number, mut dice) = (arguments.number(), Dice::new(arguments.number() as u64));
    let (first, count) = (number & 0xff, number >> 8 & 0xff);
    for (place, slot) in HANDLES.iter().enumerate().skip(first).take(count) {
        let lwp = lwp(join_next, dice.seed() & !0xff | place, &sure_attributes(&mut dice));
        let tid = lwp.tid();
        *slot.lock() = Some(lwp);
        THERE.post();
        if dice.one_in(20) {
            steps(dice.below(200));
            BROKEN.fetch_add(1, Ordering::Relaxed);
            let _gone = kill_lwp(tid);
        }
    }
    let _error = extexit(EXTEXIT_LWP, i32::from(DONE), None);
    i32::from(DONE)
}

fn rings(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..3 {
        settle();
        REFUSED.store(0, Ordering::Relaxed);
        BROKEN.store(0, Ordering::Relaxed);
        let length = 2 + dice.index(MOST - 1);
        LENGTH.store(length as u32, Ordering::Relaxed);
        let mut children = heapless::Vec::<_, MOST>::new();
        let mut begin = 0;
        while begin < length {
            let count = 1 + dice.index(length - begin);
            let number = dice.seed() & !0xffff | count << 8 | begin;
            let _room = children.push(child(part, number, &SpawnAttributes::default()));
            begin += count;
        }
        for _ in 0..length {
            THERE.wait_uninterruptible();
        }
        for _ in 0..length {
            BEGIN.post();
            step();
        }
        for pid in children {
            let _code = reap(pid);
        }
        let (refused, broken) = (REFUSED.load(Ordering::Relaxed), BROKEN.load(Ordering::Relaxed));
        check!(refused == 1 || broken > 0 && refused < 2, "{refused} joins of a ring were refused");
    }
    i32::from(DONE)
}
