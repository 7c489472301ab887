//! Model A: the gate under every way to end a process, on the real `Gate`.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R5 two exit owners | `r05_two_lwps_exit` | the flag is tested first and set later |
//! | R6 undead process | `r06_last_two_lwps_leave` | "am I last" decided by a count that is not yet decremented |
//! | R7 creation against kill | `r07_create_meets_exit` | counted before it can be found by the killer's walk |
//! | R8 flag before signal | `r08_exit_meets_a_sleeping_sibling` | woken first, killed later |
//! | R12 lost wake-up on the LWP count | `r12_last_sibling_wakes_the_exit_owner` | the count is read, then decremented |
//! | R14 zombie while LWPs run | `r14_zombie_after_the_last_switch` | counted off its CPU while still on its stack |
//! | R16 two waiters, one zombie | `r16_two_waiters_claim` | ZOMBIE and CLAIMED tested, the claim not |
//! | R38 exec against exit | `r38_single_meets_exit` | the winner does not wait for the others |
//! | R38 exec against kill | `r38_single_meets_kill` | the loser leaves quietly, whatever it has become |
//!
//! Each model also asserts I1 (one exit owner), I3 (no undead: the process always becomes a zombie), I9 (no creation
//! after the election), and, because loom reports deadlocks, I13 (termination).
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed};

use asphodel_core::proc::gate::{ExitRole, Gate, OffCpu};
use asphodel_core::thread::park::{Park, Sleep, Unpark};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;
use loom::thread::{self, JoinHandle};
use models::{Bell, catches, check};

/// A process. It carries out the gate's duties and counts them.
struct Process {
    gate: Gate,
    /// The exit owner sleeps here.
    last: Bell,
    /// The LWP that single-threads the process sleeps here.
    single: Bell,
    /// `true` if the LWP that single-threads the process has a kill pending. Changed before its bell is rung.
    single_killed: AtomicBool,
    /// How often the body of exit ran, and the zombie was published. Not part of the protocol.
    exit_owners: Tally,
    published: Tally,
    zombie: Bell,
}

impl Process {
    /// Creates a process with `lwps` LWPs.
    fn new(lwps: usize) -> Arc<Self> {
        let gate = Gate::new();
        (1..lwps).for_each(|_| gate.create().expect("a new process accepts LWPs"));
        Arc::new(Self {
            gate,
            last: Bell::new(),
            single: Bell::new(),
            single_killed: AtomicBool::new(false),
            exit_owners: Tally::new(0),
            published: Tally::new(0),
            zombie: Bell::new(),
        })
    }

    /// An LWP exits by the gate's decision, up to and including the context after its last switch.
    fn exit_as(&self, leave: ExitRole) {
        if let ExitRole::Process(_) = leave {
            self.tear_down();
        }
        self.after_switch();
    }

    /// The exit owner's work before it leaves.
    fn tear_down(&self) {
        assert_eq!(self.exit_owners.fetch_add(1, Relaxed), 0, "I1: two exit owners");
        assert!(self.gate.create().is_err(), "I9: creation after the election");
        while !self.gate.is_last_present() {
            self.last.wait();
        }
    }

    fn after_switch(&self) {
        match self.gate.off_cpu() {
            OffCpu::Nothing => {}
            OffCpu::WakeLast => {
                self.last.ring();
                self.single.ring();
            }
            OffCpu::Publish => {
                self.published.fetch_add(1, Relaxed);
                self.zombie.ring();
            }
        }
    }

    /// Asserts I1 and I3 when all LWPs have ended.
    fn assert_dead(&self) {
        let view = self.gate.view();
        assert!(view.zombie && view.present == 0, "I3: undead {view:?}");
        assert_eq!(
            (self.exit_owners.load(Relaxed), self.published.load(Relaxed)),
            (1, 1),
            "I3: not ended once"
        );
    }
}

type Lwp = fn(&Process);

const LEAVES: Lwp = |process| process.exit_as(process.gate.thread_exit());
const EXITS: Lwp = |process| process.exit_as(process.gate.exit());

/// Every LWP runs in a thread of its own, the first in this one.
fn all_end(lwps: &[Lwp]) {
    let process = Process::new(lwps.len());
    let spawn = |lwp: &Lwp| {
        let (process, lwp) = (process.clone(), *lwp);
        thread::spawn(move || lwp(&process))
    };
    let others: Vec<JoinHandle<()>> = lwps[1..].iter().map(spawn).collect();
    lwps[0](&process);
    others.into_iter().for_each(|other| other.join().expect("an LWP of the model ends"));
    process.assert_dead();
}

/// T21, T22.
#[test]
fn r05_two_lwps_exit() {
    check(3, || all_end(&[EXITS, EXITS]));
    check(2, || all_end(&[EXITS, EXITS, EXITS]));
}

#[test]
fn r05_seeded_test_then_set() {
    const BUG: Lwp = |process| {
        if process.gate.is_exiting() {
            return process.exit_as(process.gate.thread_exit());
        }
        let _ = process.gate.exit();
        process.tear_down();
        process.after_switch();
    };
    catches("I1: two exit owners", || all_end(&[BUG, BUG]));
}

/// T15, T16.
#[test]
fn r06_last_two_lwps_leave() {
    check(3, || all_end(&[LEAVES, LEAVES]));
    check(2, || all_end(&[LEAVES, LEAVES, LEAVES]));
}

#[test]
fn r06_seeded_count_not_yet_decremented() {
    const BUG: Lwp = |process| {
        let last = process.gate.view().live == 1;
        let leave = process.gate.thread_exit();
        if last {
            process.exit_as(leave);
        } else {
            process.after_switch();
        }
    };
    catches("I3: not ended once", || all_end(&[BUG, BUG]));
}

/// Some leave, some exit: T14, T24.
#[test]
fn r06_leave_meets_exit() {
    check(3, || all_end(&[LEAVES, EXITS]));
    check(2, || all_end(&[LEAVES, EXITS, LEAVES]));
}

/// How a creator and a killer's walk find each other: the list of LWPs, and the kill of one of them.
struct Roster {
    process: Arc<Process>,
    /// `true` if the new LWP is in the list.
    listed: Mutex<bool>,
    kill_pending: AtomicBool,
    kill_bell: Bell,
}

impl Roster {
    fn new() -> Arc<Self> {
        let (listed, kill_pending) = (Mutex::new(false), AtomicBool::new(false));
        Arc::new(Self { process: Process::new(2), listed, kill_pending, kill_bell: Bell::new() })
    }

    fn list(&self, new_lwp: bool) {
        *self.listed.lock().expect("no model panics with the list locked") = new_lwp;
    }

    /// The killer: elected, then kills every LWP in the list.
    fn kill(&self) {
        let leave = self.process.gate.exit();
        if *self.listed.lock().expect("no model panics with the list locked") {
            self.kill_pending.store(true, Relaxed);
            self.kill_bell.ring();
        }
        self.process.exit_as(leave);
    }

    /// The new LWP runs its program for ever, unless it has a kill pending.
    fn endless_program(&self) {
        while !self.kill_pending.load(Relaxed) {
            self.kill_bell.wait();
        }
        self.process.exit_as(self.process.gate.thread_exit());
    }
}

/// One LWP creates another, in `order`, while a second LWP exits.
fn create_meets_exit(create: fn(&Roster) -> bool) {
    let roster = Roster::new();
    let creator = roster.clone();
    let creating = thread::spawn(move || {
        if create(&creator) {
            creator.process.exit_as(creator.process.gate.thread_exit());
            creator.endless_program();
        } else {
            creator.process.exit_as(creator.process.gate.thread_exit());
        }
    });
    roster.kill();
    creating.join().expect("the creator and the new LWP end");
    roster.process.assert_dead();
}

/// T40, T41: listed first, counted last, and on refusal taken from the list again; or both under the list's lock.
#[test]
fn r07_create_meets_exit() {
    check(3, || {
        create_meets_exit(|roster| {
            let mut listed = roster.listed.lock().expect("no model panics with the list locked");
            *listed = roster.process.gate.create().is_ok();
            *listed
        });
    });
    check(3, || {
        create_meets_exit(|roster| {
            roster.list(true);
            let created = roster.process.gate.create().is_ok();
            if !created {
                roster.list(false);
            }
            created
        });
    });
}

#[test]
fn r07_seeded_counted_before_listed() {
    catches("deadlock", || {
        create_meets_exit(|roster| {
            let created = roster.process.gate.create().is_ok();
            if created {
                roster.list(true);
            }
            created
        });
    });
}

/// A sibling in a killable sleep that only the kill ends.
struct Sleeper {
    process: Arc<Process>,
    park: Park,
    kill_pending: AtomicBool,
    runnable: Bell,
}

impl Sleeper {
    fn sleep_until_killed(&self) {
        self.park.prepare(Sleep::Killable);
        if self.kill_pending.load(Relaxed) {
            self.park.cancel();
        } else if self.park.commit() {
            self.runnable.wait();
        }
        assert!(self.kill_pending.load(Relaxed), "nothing else ends this sleep");
        self.process.exit_as(self.process.gate.thread_exit());
    }

    fn post_kill(&self) {
        self.kill_pending.store(true, Relaxed);
    }

    fn wake(&self) {
        if self.park.unpark_killable() == Unpark::Enqueue {
            self.runnable.ring();
        }
    }
}

fn exit_meets_sleeper(kill: fn(&Sleeper)) {
    let sleeper = Arc::new(Sleeper {
        process: Process::new(2),
        park: Park::new(),
        kill_pending: AtomicBool::new(false),
        runnable: Bell::new(),
    });
    let sibling = sleeper.clone();
    let sleeping = thread::spawn(move || sibling.sleep_until_killed());
    let leave = sleeper.process.gate.exit();
    kill(&sleeper);
    sleeper.process.exit_as(leave);
    sleeping.join().expect("the sibling dies");
    sleeper.process.assert_dead();
}

/// T33.
#[test]
fn r08_exit_meets_a_sleeping_sibling() {
    check(3, || {
        exit_meets_sleeper(|sleeper| {
            sleeper.post_kill();
            sleeper.wake();
        });
    });
}

#[test]
fn r08_seeded_woken_before_killed() {
    catches("deadlock", || {
        exit_meets_sleeper(|sleeper| {
            sleeper.wake();
            sleeper.post_kill();
        });
    });
}

#[test]
fn r12_last_sibling_wakes_the_exit_owner() {
    check(3, || all_end(&[EXITS, LEAVES, LEAVES]));
}

#[test]
fn r12_seeded_count_read_then_decremented() {
    const BUG: Lwp = |process| match process.gate.thread_exit() {
        ExitRole::Process(exit_owner) => process.exit_as(ExitRole::Process(exit_owner)),
        ExitRole::Thread(_) => {
            let before = process.gate.view();
            if process.gate.off_cpu() == OffCpu::Publish {
                process.published.fetch_add(1, Relaxed);
            }
            if before.exiting && before.present == 2 {
                process.last.ring();
            }
        }
    };
    catches("deadlock", || all_end(&[EXITS, BUG, BUG]));
}

/// A process whose LWPs have stacks, and one waiter that reaps it.
struct Stacks {
    process: Arc<Process>,
    stacks: [UnsafeCell<u32>; 2],
}

impl Stacks {
    fn new() -> Arc<Self> {
        Arc::new(Self { process: Process::new(2), stacks: [UnsafeCell::new(0), UnsafeCell::new(0)] })
    }

    fn run_on(&self, lwp: usize) {
        // SAFETY: loom checks that no other thread uses the stack; the pointer is valid inside the closure.
        self.stacks[lwp].with_mut(|stack| unsafe { *stack += 1 });
    }

    /// Waits, claims, and frees both stacks.
    fn reap(&self) {
        self.process.zombie.wait();
        let _claim = self.process.gate.claim().expect("a published zombie can be claimed");
        self.run_on(0);
        self.run_on(1);
    }
}

fn stacks_end(after_switch: fn(&Stacks, usize)) {
    let stacks = Stacks::new();
    let (waiter, sibling) = (stacks.clone(), stacks.clone());
    let waiting = thread::spawn(move || waiter.reap());
    let leaving = thread::spawn(move || {
        let _ = sibling.process.gate.thread_exit();
        after_switch(&sibling, 1);
    });
    let _ = stacks.process.gate.exit();
    after_switch(&stacks, 0);
    leaving.join().expect("the sibling leaves");
    waiting.join().expect("the waiter reaps");
}

/// T86: whichever LWP is last, none uses its stack once a waiter has the claim.
#[test]
fn r14_zombie_after_the_last_switch() {
    check(2, || {
        stacks_end(|stacks, lwp| {
            stacks.run_on(lwp);
            stacks.process.after_switch();
        });
    });
}

/// The exit owner frees the dead LWPs of its siblings as soon as it is alone: it sees all that they did.
#[test]
fn r14_exit_owner_is_alone_when_it_thinks_so() {
    check(3, || {
        let stacks = Stacks::new();
        let sibling = stacks.clone();
        let leaving = thread::spawn(move || {
            let _ = sibling.process.gate.thread_exit();
            sibling.run_on(1);
            sibling.process.after_switch();
        });
        let leave = stacks.process.gate.exit();
        if let ExitRole::Process(_) = leave {
            stacks.process.tear_down();
            stacks.run_on(1);
        }
        stacks.process.after_switch();
        leaving.join().expect("the sibling leaves");
    });
}

#[test]
fn r14_seeded_counted_off_its_cpu_too_early() {
    catches("Causality violation", || {
        stacks_end(|stacks, lwp| {
            stacks.process.after_switch();
            stacks.run_on(lwp);
        });
    });
}

/// A zombie, and two LWPs of its parent that both want it; `claim` says whether a caller may reap.
fn two_reap(claim: fn(&Gate) -> bool) {
    let zombie = Arc::new((Process::new(1), UnsafeCell::new(0_u32)));
    zombie.0.exit_as(zombie.0.gate.exit());
    let reap = move |zombie: &(Arc<Process>, UnsafeCell<u32>)| {
        let mine = claim(&zombie.0.gate);
        if mine {
            // SAFETY: loom checks that no other thread uses the record; the pointer is valid inside the closure.
            zombie.1.with_mut(|record| unsafe { *record += 1 });
        }
        u32::from(mine)
    };
    let other = zombie.clone();
    let waiting = thread::spawn(move || reap(&other));
    let reports = reap(&zombie) + waiting.join().expect("the other waiter returns");
    assert_eq!(reports, 1, "I6: reported once");
}

/// T129.
#[test]
fn r16_two_waiters_claim() {
    check(3, || two_reap(|gate| gate.claim().is_some()));
}

#[test]
fn r16_seeded_state_tested_instead_of_claimed() {
    catches("Causality violation", || {
        two_reap(|gate| {
            let view = gate.view();
            let mine = view.zombie && !view.claimed;
            let _ = gate.claim();
            mine
        });
    });
}

/// A process whose image an LWP replaces once it is the only one.
struct Image {
    process: Arc<Process>,
    image: UnsafeCell<u32>,
}

impl Image {
    /// Accesses of a program to its image.
    fn execute(&self) {
        // SAFETY: loom checks that no thread writes the image meanwhile; the pointer is valid inside the closure.
        self.image.with(|image| unsafe { *image });
    }

    /// exec: single-threads, waits for the others, replaces the image. `waits`: without a bug.
    fn exec(&self, waits: bool) {
        self.execute();
        let gate = &self.process.gate;
        let single = match gate.single_thread() {
            Ok(single) => single,
            Err(leave) => return self.process.exit_as(leave),
        };
        let kill_pending = || self.process.single_killed.load(Relaxed);
        while waits && !gate.is_last_present() && !gate.is_exiting() && !kill_pending() {
            self.process.single.wait();
        }
        if kill_pending() && !gate.is_last_present() {
            return self.process.exit_as(gate.thread_exit());
        }
        match gate.end_single_threading(single) {
            Ok(()) => {
                // SAFETY: loom checks that no other thread uses the image; the pointer is valid inside the closure.
                self.image.with_mut(|image| unsafe { *image += 1 });
                self.process.exit_as(gate.exit());
            }
            Err(_) => self.process.exit_as(gate.thread_exit()),
        }
    }

    fn exit(&self) {
        self.execute();
        let leave = self.process.gate.exit();
        if let ExitRole::Process(_) = leave {
            // The kill of the siblings: ends the sleep in `exec`, whose condition includes it.
            self.process.single.ring();
        }
        self.process.exit_as(leave);
    }

    /// kill_lwp of the LWP that single-threads the process. The caller continues.
    fn kill_single(&self) {
        self.execute();
        self.process.single_killed.store(true, Relaxed);
        self.process.single.ring();
    }

    /// A sibling that exits at a kill point.
    fn leave(&self) {
        self.execute();
        self.process.exit_as(self.process.gate.thread_exit());
    }
}

fn exec_meets(waits: bool, sibling: fn(&Image)) {
    let image = Arc::new(Image { process: Process::new(2), image: UnsafeCell::new(0) });
    let other = image.clone();
    let running = thread::spawn(move || sibling(&other));
    image.exec(waits);
    running.join().expect("the sibling ends");
    image.process.assert_dead();
}

/// T27, T28, T29.
#[test]
fn r38_single_meets_exit() {
    check(3, || exec_meets(true, Image::leave));
    check(3, || exec_meets(true, Image::exit));
    check(2, || exec_meets(true, |image| image.exec(true)));
}

#[test]
fn r38_seeded_winner_does_not_wait() {
    catches("Causality violation", || exec_meets(false, Image::leave));
}

/// T29: the winner is killed alone while it waits, and the loser calls exec when it is the last LWP.
#[test]
fn r38_single_meets_kill() {
    check(3, || {
        exec_meets(true, |image| {
            image.kill_single();
            image.exec(true);
        });
    });
    check(3, || {
        exec_meets(true, |image| {
            image.kill_single();
            image.leave();
        });
    });
}

#[test]
fn r38_seeded_last_loser_leaves_quietly() {
    catches("I3: not ended once", || {
        exec_meets(true, |image| {
            image.kill_single();
            match image.process.gate.single_thread() {
                Ok(single) => {
                    let _ = image.process.gate.end_single_threading(single);
                    image.process.exit_as(image.process.gate.thread_exit());
                }
                Err(_) => image.process.after_switch(),
            }
        });
    });
}
