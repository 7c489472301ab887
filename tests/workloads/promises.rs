//! The guarantees of single calls: vfork, peers, the word of extexit, SIGCHLD, reapers, exec against kill of an LWP,
//! automatic reaping.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, Errno, LwpAttributes, MemoryChoice, Pid, Program,
    Signal, SpawnAttributes, Status, at_exit, exec, exit, extexit, extexit_at, futex_wait, getpid, kill,
    kill_lwp, rm_at_exit, sleep, spawn, yield_now,
};

use crate::common::{
    CODE, DONE, Dice, Roots, check, child, leaf, let_loose, lwp, reap, root, step, steps, sure_attributes,
    usual,
};
use crate::handles::short;

/// Exit code of a child that a hook ends.
const ENDED_BY_HOOK: u8 = 77;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, promises, seed)])
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
        // SAFETY: the word is a static.
        let _error = unsafe { extexit_at(EXTEXIT_LWP | EXTEXIT_SETINT, 0, WORD.as_ptr().cast()) };
        0
    }
    WORD.store(1, Ordering::SeqCst);
    let handle = lwp(leaver, dice.index(256), &sure_attributes(dice));
    let tid = handle.tid();
    if dice.one_in(2) {
        handle.detach();
    }
    while WORD.load(Ordering::SeqCst) != 0 {
        step();
        let _ = futex_wait(&WORD, 1, None);
    }
    let killed = kill_lwp(tid);
    check!(killed == Err(Errno::ESRCH), "the word of an LWP that is still there was stored: {killed:?}");
}

/// T10: the word of a process that leaves is stored while the memory that it lies in is there, and wakes.
fn word_in_arena(dice: &mut Dice) {
    /// Leaves alone, with a word in its own memory.
    fn alone(_: &Arguments<'_>) -> i32 {
        let word = Box::leak(Box::new(AtomicU32::new(1)));
        // SAFETY: the word is never freed by the program.
        let _error =
            unsafe { extexit_at(EXTEXIT_PROC | EXTEXIT_SETINT, i32::from(CODE), word.as_ptr().cast()) };
        0
    }
    /// Leaves with a word in memory that it shares.
    fn borrower(arguments: &Arguments<'_>) -> i32 {
        steps(arguments.number() as u64 % 7);
        let word = arguments.number() as *mut i32;
        // SAFETY: the owner of the word waits until it is stored.
        let _error = unsafe { extexit_at(EXTEXIT_PROC | EXTEXIT_SETINT, 0, word) };
        i32::from(CODE)
    }
    /// Waits for the word of a process with which it shares its memory.
    fn sharer(_: &Arguments<'_>) -> i32 {
        let word = Box::new(AtomicU32::new(1));
        let address = word.as_ptr() as usize;
        let shared = SpawnAttributes { memory: MemoryChoice::SameAsParent, ..usual() };
        let pid = child(borrower, address, &shared);
        while word.load(Ordering::SeqCst) != 0 {
            step();
            let _ = futex_wait(&word, 1, None);
        }
        check!(reap(pid) == 0, "the status of a process that leaves with a word");
        i32::from(CODE)
    }
    let isolated = SpawnAttributes { memory: crate::common::ISOLATED, ..usual() };
    let pid = child(if dice.one_in(2) { alone } else { sharer }, 0, &isolated);
    check!(reap(pid) == CODE, "the status of an isolated process");
}

/// T201: an exit hook that ends its process changes the status; the next one is called, and none is called again.
fn hook_that_ends(_: &mut Dice) {
    static FOLLOWED: AtomicU32 = AtomicU32::new(0);
    fn ends(_: Pid, status: Status) {
        if status == Status::exited(i32::from(ENDED_BY_HOOK)) {
            exit(i32::from(CODE));
        }
    }
    fn follows(_: Pid, status: Status) {
        if status == Status::exited(i32::from(CODE)) {
            FOLLOWED.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn leaf(_: &Arguments<'_>) -> i32 {
        i32::from(ENDED_BY_HOOK)
    }
    // Another root may have registered them, too.
    let _registered = [at_exit(ends), at_exit(follows)];
    let before = FOLLOWED.load(Ordering::Relaxed);
    check!(reap(child(leaf, 0, &usual())) == CODE, "the status of a process whose hook has ended it");
    check!(FOLLOWED.load(Ordering::Relaxed) != before, "the hook after one that ends the process");
    rm_at_exit(ends);
    rm_at_exit(follows);
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
            2 => drop(extexit(EXTEXIT_LWP, i32::from(CODE), None)),
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

/// R38: two LWPs replace the program, the one that comes first is killed alone, and the first LWP leaves: whichever is left
/// ends the process.
fn losers(dice: &mut Dice) {
    fn replace(number: usize) -> usize {
        steps(number as u64);
        let _error = exec(&Program::new("leaf", leaf), &["some", "words", "for", "it"], 0);
        0
    }
    fn racer(arguments: &Arguments<'_>) -> i32 {
        let mut dice = Dice::new(arguments.number() as u64);
        for _ in 0..2 {
            let_loose(replace, dice.index(8));
        }
        steps(dice.below(40));
        let _killed = kill_lwp(2);
        let _error = extexit(EXTEXIT_LWP, i32::from(CODE), None);
        i32::from(CODE)
    }
    let code = reap(child(racer, dice.seed(), &usual()));
    check!([0, CODE].contains(&code), "a racer ended with {code}");
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
    for _ in 0..5 {
        match dice.below(8) {
            0 => vfork(&mut dice),
            1 => peers(&mut dice),
            2 => word(&mut dice),
            3 => word_in_arena(&mut dice),
            4 => hook_that_ends(&mut dice),
            5 => race(&mut dice),
            6 => losers(&mut dice),
            _ => killed_lwp(&mut dice),
        }
    }
    i32::from(DONE)
}
