//! The guarantees of single calls: vfork, peers, the word of extexit, SIGCHLD, reapers, exec against kill of an LWP,
//! automatic reaping.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, EXTEXIT_SETINT, Errno, LwpAttributes, P_PID, ProcCtl, Program, Signal,
    SpawnAttributes, WNOHANG, exec, exit, extexit, futex_wait, getpid, kill, kill_lwp, procctl,
    reaper_acquire, reaper_release, set_auto_reap, sigwait, sleep, spawn, wait4, yield_now,
};

use crate::common::{
    DONE, Dice, Roots, check, child, let_loose, lwp, reap, root, step, steps, sure_attributes,
};
use crate::handles::short;

/// Exit code of all children in this file.
const CODE: u8 = 7;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, promises, seed)])
}

fn leaf(_: &Arguments<'_>) -> i32 {
    step();
    i32::from(CODE)
}

fn usual() -> SpawnAttributes {
    SpawnAttributes::default()
}

/// T78: the call returns when the child has stopped using the memory that they share.
fn vfork(dice: &mut Dice) {
    static USED: AtomicU32 = AtomicU32::new(0);
    fn borrower(arguments: &Arguments<'_>) -> i32 {
        let number = arguments.number();
        steps(number as u64 % 9);
        if number & 16 != 0 {
            yield_now();
        }
        USED.store(1, Ordering::Relaxed);
        if number & 32 != 0 {
            let _error = exec(&Program::new("leaf", leaf), &[], 0);
        }
        i32::from(CODE)
    }
    USED.store(0, Ordering::Relaxed);
    let pid = child(borrower, dice.seed(), &SpawnAttributes { vfork: true, ..usual() });
    check!(USED.load(Ordering::Relaxed) == 1, "vfork came back before the child was done");
    check!(reap(pid) == CODE, "the status of a vfork child");
}

/// T74: no peer runs any more when a wait can find its leader.
fn peers(dice: &mut Dice) {
    static BEATS: AtomicU64 = AtomicU64::new(0);
    fn beater(_: &Arguments<'_>) -> i32 {
        loop {
            let beat = BEATS.fetch_add(1, Ordering::Relaxed);
            step();
            if beat.is_multiple_of(7) {
                yield_now();
            }
            if beat.is_multiple_of(31) {
                let _ = sleep(1_000);
            }
        }
    }
    fn leader(arguments: &Arguments<'_>) -> i32 {
        let number = arguments.number();
        for index in 0..1 + number % 3 {
            let attributes = SpawnAttributes { peer: true, no_wait: index == 1, ..usual() };
            let _peer = spawn(&Program::new("beater", beater), &[], &attributes);
        }
        steps(number as u64 % 13);
        if number & 16 != 0 {
            let _killed = kill(getpid(), i32::from(Signal::KILL.number()));
        }
        i32::from(CODE)
    }
    let pid = child(leader, dice.seed(), &usual());
    let _code = reap(pid);
    let beats = BEATS.load(Ordering::Relaxed);
    steps(dice.below(60));
    let _ = sleep(dice.below(9_000));
    check!(BEATS.load(Ordering::Relaxed) == beats, "a peer runs after its leader was reaped");
}

/// T10: the word of a leaving LWP is stored, and its waiters are woken.
fn word(dice: &mut Dice) {
    static WORD: AtomicU32 = AtomicU32::new(0);
    fn leaver(number: usize) -> usize {
        steps(number as u64 % 8);
        let _error = extexit(EXTEXIT_LWP | EXTEXIT_SETINT, 0, WORD.as_ptr().cast());
        0
    }
    WORD.store(1, Ordering::SeqCst);
    let handle = lwp(leaver, dice.index(256), &sure_attributes(dice));
    if dice.one_in(2) {
        handle.detach();
    }
    while WORD.load(Ordering::SeqCst) != 0 {
        step();
        let _ = futex_wait(&WORD, 1, None);
    }
}

/// T161: a wait finds the child when SIGCHLD has been delivered.
fn signal(dice: &mut Dice) {
    let set = 1 << Signal::CHLD.number();
    let _old = sigwait(set, Some(0));
    let pid = child(leaf, 0, &SpawnAttributes { lwp: sure_attributes(dice), ..usual() });
    let taken = sigwait(set, None);
    check!(taken == Ok(Signal::CHLD), "sigwait: {taken:?}");
    let ended = wait4(pid.raw(), WNOHANG);
    check!(matches!(ended, Ok(Some(_))), "after SIGCHLD: {ended:?}");
}

/// T158: an orphan is adopted by the reaper, which is notified of both ends.
fn orphans(dice: &mut Dice) {
    fn orphan(arguments: &Arguments<'_>) -> i32 {
        let number = arguments.number();
        if number & 64 != 0 {
            let _set = procctl(P_PID, 0, ProcCtl::DeathSignal(i32::from(Signal::TERM.number())));
        }
        steps(number as u64 % 11);
        if number & 16 != 0 {
            let _ = sleep(2_000);
        }
        i32::from(CODE)
    }
    fn middle(arguments: &Arguments<'_>) -> i32 {
        let _child = child(orphan, arguments.number(), &usual());
        steps(arguments.number() as u64 % 5);
        i32::from(CODE)
    }
    let _acquired = reaper_acquire();
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

/// T27: LWPs replace the program and kill each other; there is one status, of one of them.
fn race(dice: &mut Dice) {
    fn replace(_: usize) -> usize {
        step();
        let _error = exec(&Program::new("leaf", leaf), &[], 0);
        0
    }
    fn racer(arguments: &Arguments<'_>) -> i32 {
        let number = arguments.number();
        for index in 0..3 {
            let_loose(if number >> index & 1 == 0 { replace } else { short }, index);
        }
        steps(number as u64 % 9);
        match number >> 4 & 3 {
            0 => {}
            1 => drop(exec(&Program::new("leaf", leaf), &[], 0)),
            2 => drop(extexit(EXTEXIT_LWP, i32::from(CODE), core::ptr::null_mut())),
            _ => {
                let _killed = kill_lwp(2);
                exit(i32::from(CODE))
            }
        }
        i32::from(CODE)
    }
    let pid = child(racer, dice.seed(), &usual());
    let code = reap(pid);
    check!([0, CODE].contains(&code), "a racer ended with {code}");
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

/// An LWP that is killed by its number can be joined.
fn killed_lwp(dice: &mut Dice) {
    let handle = lwp(crate::bombs::forever, dice.seed(), &LwpAttributes::default());
    steps(dice.below(40));
    let _killed = kill_lwp(handle.tid());
    let joined = handle.join();
    check!(joined == Ok(None), "a join of a killed LWP gave {joined:?}");
}

fn promises(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    // SIGCHLD of a child that is reaped automatically may arrive when a wait reports that there is none any more, so
    // not both are tested in one process.
    let reaps_itself = dice.one_in(2);
    for _ in 0..5 {
        match dice.below(8) {
            0 => vfork(&mut dice),
            1 => peers(&mut dice),
            2 => word(&mut dice),
            3 if !reaps_itself => signal(&mut dice),
            4 => orphans(&mut dice),
            5 => race(&mut dice),
            6 if reaps_itself => automatic(&mut dice),
            _ => killed_lwp(&mut dice),
        }
    }
    i32::from(DONE)
}
