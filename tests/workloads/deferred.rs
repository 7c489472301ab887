//! Deferred work: call-outs and tasks, counted strictly. One that was cancelled neither runs nor will run; one that was
//! enqueued runs afterwards.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{Arguments, Callout, EXTEXIT_LWP, LwpAttributes, Task, extexit, sleep};

use crate::common::{DONE, Dice, Roots, check, eventually, fail, lwp, root, step, steps};

static TASKS: [Task; 3] = [Task::new(task, 0), Task::new(task, 1), Task::new(task, 2)];
static CALLOUTS: [Callout; 3] =
    [Callout::new(callout, 0), Callout::new(callout, 1), Callout::new(callout, 2)];

/// How often each has run, tasks first.
static RAN: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];
static RUNNING: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];

/// Of how many runs of a piece of work one ends its worker.
const LEAVES: u32 = 5;

/// Only the strict part uses them, and no process is killed: each run has its end.
static STRICT: AtomicBool = AtomicBool::new(false);

/// The task and the call-out that only the strict part uses.
const OWN: usize = 2;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    STRICT.store(true, Ordering::Relaxed);
    Roots::from_iter([root(dice, works, seed)])
}

/// Checks that nothing is armed or queued afterwards.
pub(crate) fn settle() {
    for callout in &CALLOUTS {
        callout.cancel();
    }
    for task in &TASKS {
        let drained = task.drain();
        check!(drained == Ok(()), "a task that is left: {drained:?}");
    }
    STRICT.store(false, Ordering::Relaxed);
    for running in &RUNNING {
        running.store(0, Ordering::Relaxed);
    }
}

/// Does something with a task or a call-out that all share.
pub(crate) fn anything(dice: &mut Dice) {
    match dice.below(5) {
        0 | 1 => {
            let _enqueued = TASKS[dice.index(3)].enqueue();
        }
        2 => {
            let _armed = CALLOUTS[dice.index(3)].arm(dice.below(20_000));
        }
        3 => {
            CALLOUTS[dice.index(3)].cancel();
        }
        _ => {
            let _drained = TASKS[dice.index(3)].drain();
        }
    }
}

fn run(index: usize, sleeps: bool) {
    let before = RUNNING[index].fetch_add(1, Ordering::Relaxed);
    check!(before == 0 || !STRICT.load(Ordering::Relaxed), "piece of work {index} runs twice at a time");
    step();
    if sleeps {
        let _ = sleep(2_000);
    }
    step();
    RUNNING[index].fetch_sub(1, Ordering::Relaxed);
    // Now and then the worker ends with it, and another one goes on.
    if RAN[index].fetch_add(1, Ordering::Relaxed) % LEAVES == LEAVES - 1 {
        fail(format_args!("an LWP goes on after extexit: {:?}", extexit(EXTEXIT_LWP, 0, None)));
    }
}

fn task(index: usize) {
    run(index, index == 1);
}

fn callout(index: usize) {
    run(3 + index, index == 1);
}

fn ran(index: usize) -> u32 {
    RAN[index].load(Ordering::Relaxed)
}

fn arming(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    let callout = &CALLOUTS[number & 1];
    for _ in 0..6 {
        match dice.below(3) {
            0 => {
                let _armed = callout.arm(dice.below(5_000));
            }
            1 => {
                callout.cancel();
            }
            _ => {
                let _ = sleep(dice.below(3_000));
            }
        }
        steps(dice.below(6));
    }
    0
}

fn cancel_strictly(dice: &mut Dice) {
    let before = ran(3 + OWN);
    let _armed = CALLOUTS[OWN].arm(dice.below(4_000));
    steps(dice.below(6));
    if dice.one_in(2) {
        let _ = sleep(dice.below(5_000));
    }
    let cancelled = CALLOUTS[OWN].cancel();
    let after = ran(3 + OWN);
    check!(RUNNING[3 + OWN].load(Ordering::Relaxed) == 0, "a call-out runs after it was cancelled");
    check!(
        after - before == u32::from(!cancelled),
        "call-out: cancelled {cancelled}, ran {}",
        after - before
    );
    let _ = sleep(dice.below(6_000));
    check!(ran(3 + OWN) == after, "a call-out ran after it was cancelled");
}

fn enqueue_strictly(dice: &mut Dice) {
    let before = ran(OWN);
    check!(TASKS[OWN].enqueue() == Ok(()), "a task is refused");
    if dice.one_in(2) {
        check!(TASKS[OWN].enqueue() == Ok(()), "a task is refused the second time");
    }
    check!(TASKS[OWN].drain() == Ok(()), "a task cannot be waited for");
    let times = ran(OWN) - before;
    check!((1..=2).contains(&times), "a task ran {times} times");
}

fn works(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..4 {
        cancel_strictly(&mut dice);
        enqueue_strictly(&mut dice);
    }
    let lwps = [(); 3].map(|()| lwp(arming, dice.seed(), &LwpAttributes::default()));
    for handle in lwps {
        check!(handle.join() == Ok(Some(0)), "an LWP that arms call-outs has not returned");
    }
    for index in 0..OWN {
        CALLOUTS[index].cancel();
        check!(RUNNING[3 + index].load(Ordering::Relaxed) == 0, "a call-out runs after it was cancelled");
    }
    let before = ran(3);
    let _armed = CALLOUTS[0].arm(1_000);
    eventually(|| ran(3) != before);
    check!(ran(3) == before + 1, "a call-out that was armed has run {} times", ran(3) - before);
    i32::from(DONE)
}
