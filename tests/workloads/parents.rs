//! What parents and reapers are promised: each child is reported once, to those who wait for it, wherever it has gone.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, LwpAttributes, P_PID, ProcCtl, Signal, SpawnAttributes, State, WNOHANG, futex_wait,
    futex_wake, getpid, getppid, procctl, process, reaper_acquire, reaper_release, set_auto_reap, sigwait,
    sleep, wait4, yield_now,
};

use crate::common::{
    CODE, DONE, Dice, Roots, check, child, leaf, lwp, reap, root, steps, sure_attributes, usual,
};

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, parents, seed)])
}

/// R49: a child that is seen as a zombie can be waited for, and its SIGCHLD has come.
fn seen_as_zombie(set: u32) {
    let pid = child(leaf, 0, &usual());
    while process(pid).is_some_and(|report| report.state != State::Zombie) {
        yield_now();
    }
    let taken = sigwait(set, Some(0));
    check!(taken == Ok(Signal::CHLD), "of a zombie: {taken:?}");
    let ended = wait4(-1, WNOHANG);
    check!(matches!(ended, Ok(Some(_))), "a zombie: {ended:?}");
}

/// T161: a child can be waited for when SIGCHLD has come.
fn signal(dice: &mut Dice) {
    let set = 1 << Signal::CHLD.number();
    seen_as_zombie(set);
    // The signal of a child that was reaped has come, however early it was seen.
    let polled = child(leaf, 0, &usual());
    while wait4(polled.raw(), WNOHANG) == Ok(None) {
        yield_now();
    }
    let _old = sigwait(set, Some(0));
    let pid = child(leaf, 0, &SpawnAttributes { lwp: sure_attributes(dice), ..usual() });
    let taken = sigwait(set, None);
    check!(taken == Ok(Signal::CHLD), "sigwait: {taken:?}");
    let ended = wait4(pid.raw(), WNOHANG);
    check!(matches!(ended, Ok(Some(_))), "after SIGCHLD: {ended:?}");
}

/// T158: an orphan comes to the reaper, which sees both ends.
fn orphans(dice: &mut Dice) {
    static MIDDLE: AtomicU32 = AtomicU32::new(0);
    static REAPER: AtomicU32 = AtomicU32::new(0);
    fn orphan(arguments: &Arguments<'_>) -> i32 {
        let number = arguments.number();
        if number & 64 != 0 {
            let _set = procctl(P_PID, 0, ProcCtl::DeathSignal(i32::from(Signal::TERM.number())));
        }
        // While the parent is replaced, too, it is one or the other.
        for _ in 0..number % 60 {
            let parent = getppid().raw() as u32;
            let known = [&MIDDLE, &REAPER].map(|pid| pid.load(Ordering::Relaxed)).contains(&parent);
            check!(known, "an orphan's parent is {parent}");
        }
        if number & 16 != 0 {
            let _ = sleep(2_000);
        }
        i32::from(CODE)
    }
    fn middle(arguments: &Arguments<'_>) -> i32 {
        MIDDLE.store(getpid().raw() as u32, Ordering::Relaxed);
        let _child = child(orphan, arguments.number(), &usual());
        steps(arguments.number() as u64 % 5);
        i32::from(CODE)
    }
    let _acquired = reaper_acquire();
    REAPER.store(getpid().raw() as u32, Ordering::Relaxed);
    let number = dice.seed();
    let pid = child(middle, number, &usual());
    let mut ends = 0;
    while let Ok(Some(ended)) = wait4(-1, 0) {
        ends += 1;
        let code = ended.status.shell_code();
        let died_with_it = code == 128 + Signal::TERM.number() && number & 64 != 0;
        check!(code == CODE || ended.pid != pid && died_with_it, "{} ended with {code}", ended.pid);
    }
    check!(ends == 2, "a reaper saw {ends} ends of 2");
    let _released = reaper_release();
}

/// T158: a reaper is notified of a zombie that it adopts, although none of its own children ends.
fn adopted_zombie(dice: &mut Dice) {
    static HAS_COME: AtomicU32 = AtomicU32::new(0);
    /// Ends when its child has ended, or a moment before.
    fn inner(arguments: &Arguments<'_>) -> i32 {
        let _child = child(leaf, 0, &usual());
        steps(arguments.number() as u64 % 300);
        0
    }
    /// Stays until the reaper has seen the one that it adopts.
    fn outer(arguments: &Arguments<'_>) -> i32 {
        let _code = reap(child(inner, arguments.number(), &usual()));
        while HAS_COME.load(Ordering::SeqCst) == 0 {
            let _ = futex_wait(&HAS_COME, 0, None);
        }
        0
    }
    HAS_COME.store(0, Ordering::SeqCst);
    let _acquired = reaper_acquire();
    let stays = child(outer, dice.seed(), &usual());
    let first = wait4(-1, 0);
    check!(
        matches!(first, Ok(Some(ended)) if ended.pid != stays && ended.status.shell_code() == CODE),
        "a reaper waits for an orphan: {first:?}"
    );
    HAS_COME.store(1, Ordering::SeqCst);
    futex_wake(HAS_COME.as_ptr() as usize, 1);
    check!(reap(stays) == 0, "the one that stays");
    let _released = reaper_release();
}

/// R16, R17: LWPs that wait for the same children see each of them once.
fn waiters(dice: &mut Dice) {
    static REPORTED: AtomicU32 = AtomicU32::new(0);
    fn waiter(number: usize) -> usize {
        let options = if number.is_multiple_of(2) { WNOHANG } else { 0 };
        loop {
            match wait4(-1, options) {
                Ok(Some(ended)) => {
                    check!(ended.status.shell_code() == CODE, "{} ended with {}", ended.pid, ended.status);
                    REPORTED.fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => yield_now(),
                Err(_) => return 0,
            }
        }
    }
    REPORTED.store(0, Ordering::Relaxed);
    let count = 2 + dice.below(5) as u32;
    for _ in 0..count {
        // None of a lower priority: those who poll would not let it run.
        child(leaf, 0, &usual());
    }
    let lwps = [(); 3].map(|()| lwp(waiter, dice.index(2), &LwpAttributes::default()));
    for handle in lwps {
        check!(handle.join() == Ok(Some(0)), "an LWP that waits for children has not returned");
    }
    let reported = REPORTED.load(Ordering::Relaxed);
    check!(reported == count, "{reported} ends of {count} children were reported");
}

/// R19: parents that poll for their child and end as soon as they have seen it end, while the child still wakes them.
fn quick_parents(dice: &mut Dice) {
    fn parent(_: &Arguments<'_>) -> i32 {
        let pid = child(leaf, 0, &usual());
        loop {
            match wait4(pid.raw(), WNOHANG) {
                Ok(None) => yield_now(),
                Ok(Some(_)) => return i32::from(CODE),
                Err(error) => check!(false, "wait4 of a child: {error:?}"),
            }
        }
    }
    for _ in 0..4 + dice.below(4) {
        let pid = child(parent, 0, &usual());
        check!(reap(pid) == CODE, "the status of a parent that polls");
        // The record of that parent stays free for a while.
        steps(dice.below(600));
    }
}

/// T166: no wait is needed for children that are reaped automatically.
fn automatic(dice: &mut Dice) {
    set_auto_reap(true);
    for _ in 0..1 + dice.below(3) {
        child(leaf, 0, &SpawnAttributes { lwp: sure_attributes(dice), ..usual() });
    }
    let ended = wait4(-1, 0);
    check!(ended == Err(Errno::ECHILD), "children that reap themselves: {ended:?}");
    set_auto_reap(false);
}

/// R19, T172: an orphan is not given to a reaper that is ending itself.
fn ending_reapers(dice: &mut Dice) {
    fn orphan(arguments: &Arguments<'_>) -> i32 {
        steps(arguments.number() as u64 % 60);
        i32::from(CODE)
    }
    fn middle(arguments: &Arguments<'_>) -> i32 {
        let _child = child(orphan, arguments.number() >> 8, &usual());
        i32::from(CODE)
    }
    fn inner_reaper(arguments: &Arguments<'_>) -> i32 {
        let _acquired = reaper_acquire();
        let _child = child(middle, arguments.number(), &usual());
        steps(arguments.number() as u64 % 200);
        i32::from(CODE)
    }
    let _acquired = reaper_acquire();
    for _ in 0..2 + dice.below(4) {
        let _child = child(inner_reaper, dice.seed(), &usual());
        let mut ends = 0;
        while let Ok(Some(ended)) = wait4(-1, 0) {
            ends += 1;
            check!(ended.status.shell_code() == CODE, "{} ended with {}", ended.pid, ended.status);
        }
        check!(ends == 3, "a reaper saw {ends} ends of 3");
    }
    let _released = reaper_release();
}

fn parents(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    // SIGCHLD of a child that reaps itself may come when a wait says that there is none any more: not both in one process.
    let reaps_itself = dice.one_in(2);
    for _ in 0..5 {
        match dice.below(6) {
            0 if reaps_itself => automatic(&mut dice),
            0 => signal(&mut dice),
            1 => orphans(&mut dice),
            2 => adopted_zombie(&mut dice),
            3 => waiters(&mut dice),
            4 => quick_parents(&mut dice),
            _ => ending_reapers(&mut dice),
        }
    }
    i32::from(DONE)
}
