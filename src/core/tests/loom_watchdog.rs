//! The arming of the watchdog, on the real `Arming`: an exit that is in progress is seen by a check, or the timer is
//! armed for one to come. An exit that is missed could be stuck for ever without a report (D38).
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | T195 exit against check | `t195_an_exit_meets_the_look` | armed before it is in progress; disarmed after the check; no fence in the exit; no fence after disarming |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::watchdog::Arming;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};
use loom::thread;
use models::{catches, check};

const EXITS: usize = 2;

struct Machine {
    arming: Arming,
    /// The exits that are in progress: their stamps.
    elected: [AtomicBool; EXITS],
    /// How often the timer has been armed and has not fired.
    armed: AtomicU32,
    /// The exits that a check has seen.
    seen: [AtomicBool; EXITS],
}

impl Machine {
    /// Creates one whose timer is armed, and about to expire.
    fn new() -> Arc<Self> {
        let machine = Self {
            arming: Arming::new(),
            elected: [AtomicBool::new(false), AtomicBool::new(false)],
            armed: AtomicU32::new(0),
            seen: [AtomicBool::new(false), AtomicBool::new(false)],
        };
        assert!(machine.arming.begin());
        Arc::new(machine)
    }

    fn arm(&self) {
        self.armed.fetch_add(1, Relaxed);
    }

    fn ask(&self) {
        if self.arming.begin() {
            self.arm();
        }
    }

    /// Checks all exits. Returns `true` if some are in progress.
    fn look(&self) -> bool {
        let mut any = false;
        for (elected, seen) in self.elected.iter().zip(&self.seen) {
            if elected.load(Relaxed) {
                seen.store(true, Relaxed);
                any = true;
            }
        }
        any
    }
}

fn exit(machine: &Machine, number: usize) {
    machine.elected[number].store(true, Relaxed);
    machine.ask();
}

fn watchdog(machine: &Machine) {
    machine.arming.fired();
    if machine.look() {
        machine.ask();
    }
}

/// The timer expires while two exits begin.
fn exits_meet_the_look(exit: fn(&Machine, usize), watchdog: fn(&Machine)) {
    let machine = Machine::new();
    let exiting: Vec<_> = (0..EXITS)
        .map(|number| {
            let machine = machine.clone();
            thread::spawn(move || exit(&machine, number))
        })
        .collect();
    watchdog(&machine);
    for exit in exiting {
        exit.join().expect("the exit goes on");
    }
    let armed = machine.armed.load(Relaxed);
    assert!(armed <= 1, "armed twice");
    for seen in &machine.seen {
        assert!(armed == 1 || seen.load(Relaxed), "an exit was missed");
    }
    // An exit that has been seen is still in progress, so there must be another check.
    assert_eq!(armed, 1, "no check follows");
}

/// T195.
#[test]
fn t195_an_exit_meets_the_look() {
    check(3, || exits_meet_the_look(exit, watchdog));
}

#[test]
fn t195_seeded_asked_for_before_it_is_in_progress() {
    const BUG: fn(&Machine, usize) = |machine, number| {
        machine.ask();
        machine.elected[number].store(true, Relaxed);
    };
    catches("an exit was missed", || exits_meet_the_look(BUG, watchdog));
}

#[test]
fn t195_seeded_disarmed_after_the_look() {
    const BUG: fn(&Machine) = |machine| {
        let any = machine.look();
        machine.arming.fired();
        if any {
            machine.ask();
        }
    };
    catches("an exit was missed", || exits_meet_the_look(exit, BUG));
}

/// A twin of the real word, for bugs inside it.
struct Bare {
    armed: AtomicBool,
    elected: AtomicBool,
}

/// One exit with `begin` against one check with `fired`, both without the operations of the real ones.
fn bare(begin: fn(&AtomicBool) -> bool, fired: fn(&AtomicBool)) {
    let bare = Arc::new(Bare { armed: AtomicBool::new(true), elected: AtomicBool::new(false) });
    let other = bare.clone();
    let exiting = thread::spawn(move || {
        other.elected.store(true, Relaxed);
        begin(&other.armed)
    });
    fired(&bare.armed);
    let seen = bare.elected.load(Relaxed);
    let armed = exiting.join().expect("the exit goes on");
    assert!(seen || armed, "an exit was missed");
}

fn begin(armed: &AtomicBool) -> bool {
    fence(SeqCst);
    !armed.load(Relaxed) && !armed.swap(true, Relaxed)
}

fn fired(armed: &AtomicBool) {
    armed.store(false, Relaxed);
    fence(SeqCst);
}

#[test]
fn t195_the_twin_is_right() {
    check(3, || bare(begin, fired));
}

#[test]
fn t195_seeded_no_fence_in_the_exit() {
    const BUG: fn(&AtomicBool) -> bool = |armed| !armed.load(Relaxed) && !armed.swap(true, Relaxed);
    catches("an exit was missed", || bare(BUG, fired));
}

#[test]
fn t195_seeded_no_fence_after_disarming() {
    const BUG: fn(&AtomicBool) = |armed| armed.store(false, Relaxed);
    catches("an exit was missed", || bare(begin, BUG));
}
