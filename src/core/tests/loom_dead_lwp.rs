//! Model B: the exit of an LWP under relaxed memory, on the real `RecordRefs`, `Gate` and `Park`.
//!
//! Stacks and records are loom cells: a use that is not ordered before the freeing, or that comes after it, is reported
//! as a causality violation. "The next context" is the code of the same thread after its last use of the stack.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R1 exit decided by stale values | `r01_death_is_one_step` | the counts are read, the record freed later |
//! | R2 stack freed under a running thread | `r02_stack_outlives_the_switch` | retired before the last use; relaxed counts |
//! | R3 preemption looks like an exit | `r03_preempted_is_not_dead` | the preempting context retires the thread |
//! | R4 residue, late wake-up | `r04_late_wake_up` | the waker has no reference |
//! | R10 reference taken after the test | `r10_reference_meets_unlink` | a refused reference is ignored |
//! | R11 waiter unlinks under a scanner | `r11_reap_meets_scan` | the reaper frees without giving a reference back |
//! | R13 wake-up on freed memory | `r13_wake_up_meets_reap` | the process's reference is released before the wake-up |
//! | R15 process freed before a dead LWP | `r15_dead_lwp_outlives_reap` | the reaper frees without giving a reference back |
//! | R37 message carries a reference | `r37_message_carries_a_reference` | the sender releases it |
//! | R39 pid reuse | `r39_look_up_meets_reuse` | the pid is compared before the reference is taken; the generation changes after the slot is given away |
//! | R42 head of line | `r42_a_held_dead_lwp_delays_no_other` | dead LWPs are freed one after the other |
//! | R43 "gone" said too early | `r43_announced_from_another_stack` | announced before the last use of the stack; stored relaxed |
//! | R44 order of disposal | `r44_process_is_released_last` | the process is released before the stack |
//!
//! Asserted throughout: I4 and I5 (nothing is freed while in use), every object is freed exactly once, I12.
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed};

use asphodel_core::proc::gate::{Gate, OffCpu};
use asphodel_core::proc::slot_refs::SlotRefs;
use asphodel_core::thread::park::Park;
use asphodel_core::thread::refs::{OffStack, RecordRefs};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use models::{Bell, catches, check};

/// Memory with any number of users that is freed once: a free is a write, a use is a read.
struct Memory {
    cell: UnsafeCell<u32>,
    freed: Tally,
}

impl Memory {
    fn new() -> Self {
        Self { cell: UnsafeCell::new(0), freed: Tally::new(0) }
    }

    /// Uses it in a way that excludes other uses.
    fn write(&self) {
        assert_eq!(self.freed.load(Relaxed), 0, "I4: use after free");
        // SAFETY: loom checks that no other thread uses the cell; the pointer is valid inside the closure.
        self.cell.with_mut(|cell| unsafe { *cell += 1 });
    }

    fn read(&self) {
        assert_eq!(self.freed.load(Relaxed), 0, "I4: use after free");
        // SAFETY: loom checks that no thread writes the cell meanwhile; the pointer is valid inside the closure.
        self.cell.with(|cell| unsafe { *cell });
    }

    fn free(&self) {
        assert_eq!(self.freed.fetch_add(1, Relaxed), 0, "freed twice");
        // SAFETY: loom checks that no other thread uses the cell; the pointer is valid inside the closure.
        self.cell.with_mut(|cell| unsafe { *cell += 1 });
    }

    fn is_freed(&self) -> bool {
        self.freed.load(Relaxed) == 1
    }
}

/// One LWP: its counts, its stack, its record, and where a scanner finds it.
struct Lwp {
    refs: RecordRefs,
    stack: Memory,
    record: Memory,
    /// The data that the LWP leaves to its joiner.
    result: Memory,
    listed: Mutex<bool>,
    park: Park,
    /// The interrupt of the CPU to which a message about this LWP was sent.
    bell: Bell,
}

impl Lwp {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            refs: RecordRefs::new(),
            stack: Memory::new(),
            record: Memory::new(),
            result: Memory::new(),
            listed: Mutex::new(true),
            park: Park::new(),
            bell: Bell::new(),
        })
    }

    /// The last use of the stack, then the steps of the next context: stack first, record last.
    fn die(&self) {
        self.run();
        self.retire();
        self.put();
    }

    /// The LWP runs: it uses its stack and its record.
    fn run(&self) {
        self.stack.read();
        self.record.read();
        self.result.write();
    }

    fn retire(&self) {
        if self.refs.retire(OffStack::assert()).is_some() {
            self.stack.free();
        }
    }

    fn unpin(&self) {
        if self.refs.unpin().is_some() {
            self.stack.free();
        }
    }

    fn put(&self) {
        if self.refs.put().is_some() {
            self.record.free();
        }
    }

    /// A reader of the record only.
    fn look(&self) {
        if self.refs.try_get() {
            self.record.read();
            self.put();
        }
    }

    /// A reader of the stack: a backtrace of another CPU's thread, when that thread is stopped.
    fn pin_and_look(&self) {
        if self.refs.try_get() {
            if self.refs.try_pin() {
                self.stack.read();
                self.unpin();
            }
            self.put();
        }
    }

    fn unlink(&self) {
        *self.listed.lock().expect("no model panics with the list locked") = false;
    }

    /// A scanner takes its reference while the LWP is in the list.
    fn hold_listed(&self) -> bool {
        let listed = self.listed.lock().expect("no model panics with the list locked");
        *listed && self.refs.try_get()
    }

    fn assert_gone(&self) {
        assert!(self.stack.is_freed() && self.record.is_freed(), "leaked: {:?}", self.refs.counts());
    }
}

/// The LWP exits in one thread while `others` run in theirs; in the end everything has been freed.
fn dies(die: fn(&Lwp), others: &[fn(&Lwp)]) {
    let lwp = Lwp::new();
    let spawn = |other: &fn(&Lwp)| {
        let (lwp, other) = (lwp.clone(), *other);
        thread::spawn(move || other(&lwp))
    };
    let handles: Vec<_> = others.iter().map(spawn).collect();
    die(&lwp);
    handles.into_iter().for_each(|handle| handle.join().expect("everybody is done with the LWP"));
    lwp.assert_gone();
}

/// T82, T83: dropping the last reference frees.
#[test]
fn r01_death_is_one_step() {
    check(3, || dies(Lwp::die, &[Lwp::look]));
    check(2, || dies(Lwp::die, &[Lwp::look, Lwp::pin_and_look]));
}

#[test]
fn r01_seeded_facts_read_one_after_the_other() {
    const BUG: fn(&Lwp) = |lwp| {
        lwp.run();
        lwp.retire();
        if lwp.refs.counts() == (1, 0) {
            lwp.record.free();
        }
    };
    catches("use after free", || dies(BUG, &[Lwp::look]));
}

/// T85, T86, T87.
#[test]
fn r02_stack_outlives_the_switch() {
    check(3, || dies(Lwp::die, &[Lwp::pin_and_look]));
    check(2, || dies(Lwp::die, &[Lwp::pin_and_look, Lwp::pin_and_look]));
}

#[test]
fn r02_seeded_retired_before_the_last_use() {
    const BUG: fn(&Lwp) = |lwp| {
        lwp.retire();
        lwp.stack.read();
        lwp.put();
    };
    catches("use after free", || dies(BUG, &[]));
    catches("use after free", || dies(BUG, &[Lwp::pin_and_look]));
}

/// A twin of the pin count of `RecordRefs` whose subtraction orders as `ordering` says.
fn two_pins(ordering: Ordering) {
    let twin = Arc::new((AtomicU64::new(2), Memory::new()));
    let unpin = move |twin: &(AtomicU64, Memory)| {
        if twin.0.fetch_sub(1, ordering) == 1 {
            loom::sync::atomic::fence(Ordering::Acquire);
            twin.1.free();
        }
    };
    let other = twin.clone();
    let reader = thread::spawn(move || {
        other.1.read();
        unpin(&other);
    });
    twin.1.read();
    unpin(&twin);
    reader.join().expect("both let go");
    assert!(twin.1.is_freed());
}

#[test]
fn r02_seeded_relaxed_count() {
    check(3, || two_pins(Ordering::Release));
    catches("Causality violation", || two_pins(Relaxed));
}

/// A joiner on another CPU: the LWP's own data belong to the joiner once the LWP is retired (T11).
fn join(lwp: &Lwp) {
    if lwp.refs.try_get() {
        if lwp.refs.is_retired() {
            lwp.result.write();
        }
        lwp.put();
    }
}

/// The LWP is preempted in its last steps: `preempting` runs on its CPU, then the LWP continues and exits.
fn preempted(preempting: fn(&Lwp)) {
    let lwp = Lwp::new();
    let joiner = lwp.clone();
    let joining = thread::spawn(move || join(&joiner));
    lwp.run();
    preempting(&lwp);
    lwp.die();
    joining.join().expect("the joiner returns");
    lwp.assert_gone();
}

/// T88: a context that preempts sees a thread that does not run and is not retired.
#[test]
fn r03_preempted_is_not_dead() {
    check(3, || preempted(|lwp| assert!(!lwp.refs.is_retired())));
}

#[test]
fn r03_seeded_preempting_context_retires() {
    catches("use after free", || preempted(Lwp::retire));
}

/// T90: a wake-up for an LWP that exits meanwhile; `wake` has found it in a queue.
fn late_wake_up(wake: fn(&Lwp)) {
    let lwp = Lwp::new();
    let waker = lwp.clone();
    assert!(lwp.refs.try_get(), "the queue's reference: taken when the LWP enlisted");
    let waking = thread::spawn(move || wake(&waker));
    lwp.die();
    waking.join().expect("the waker returns");
    lwp.assert_gone();
}

fn unpark(lwp: &Lwp) {
    lwp.record.read();
    let _ = lwp.park.unpark();
}

#[test]
fn r04_late_wake_up() {
    check(3, || {
        late_wake_up(|lwp| {
            unpark(lwp);
            lwp.put();
        });
    });
}

#[test]
fn r04_seeded_waker_without_reference() {
    catches("use after free", || {
        late_wake_up(|lwp| {
            lwp.put();
            unpark(lwp);
        });
    });
}

/// The LWP leaves the list of its process, then exits.
fn unlink_and_die(lwp: &Lwp) {
    lwp.unlink();
    lwp.die();
}

/// T84.
#[test]
fn r10_reference_meets_unlink() {
    const SCAN: fn(&Lwp) = |lwp| {
        if lwp.hold_listed() {
            lwp.record.read();
            lwp.put();
        }
    };
    check(3, || dies(unlink_and_die, &[SCAN]));
    check(2, || dies(unlink_and_die, &[SCAN, SCAN]));
}

#[test]
fn r10_seeded_refused_hold_ignored() {
    const BUG: fn(&Lwp) = |lwp| {
        let found = *lwp.listed.lock().expect("no model panics with the list locked");
        if found {
            let held = lwp.refs.try_get();
            lwp.record.read();
            if held {
                lwp.put();
            }
        }
    };
    catches("use after free", || dies(unlink_and_die, &[BUG]));
}

/// The reaper takes the last LWP out of the list and disposes of it, while a scanner is at it.
fn reap_meets_scan(dispose: fn(&Lwp)) {
    let lwp = Lwp::new();
    let scanner = lwp.clone();
    let scanning = thread::spawn(move || {
        if scanner.hold_listed() {
            scanner.record.read();
            scanner.put();
        }
    });
    lwp.run();
    lwp.retire();
    lwp.unlink();
    dispose(&lwp);
    scanning.join().expect("the scanner returns");
    lwp.assert_gone();
}

#[test]
fn r11_reap_meets_scan() {
    check(3, || reap_meets_scan(Lwp::put));
}

#[test]
fn r11_seeded_reaper_frees_regardless() {
    catches("Causality violation", || reap_meets_scan(|lwp| lwp.record.free()));
}

/// A process record: each LWP references it until it is disposed of, the table until it is reaped.
struct Process {
    gate: Gate,
    refs: RecordRefs,
    record: Memory,
    /// The memory that the LWPs' stacks are part of.
    arena: Memory,
    last: Bell,
    zombie: Bell,
}

impl Process {
    /// References of the two LWPs and of the table.
    fn new() -> Arc<Self> {
        let (gate, refs) = (Gate::new(), RecordRefs::new());
        gate.create().expect("a new process accepts LWPs");
        assert!(refs.try_get() && refs.try_get());
        Arc::new(Self {
            gate,
            refs,
            record: Memory::new(),
            arena: Memory::new(),
            last: Bell::new(),
            zombie: Bell::new(),
        })
    }

    fn put(&self) {
        if self.refs.put().is_some() {
            self.arena.free();
            self.record.free();
        }
    }

    /// The effect of the gate is carried out with the process's record.
    fn carry_out(&self, effect: OffCpu) {
        self.record.read();
        match effect {
            OffCpu::Nothing => {}
            OffCpu::WakeLast => self.last.ring(),
            OffCpu::Publish => self.zombie.ring(),
        }
    }

    fn exit_owner(&self) {
        let _exit_owner = self.gate.exit();
        while !self.gate.is_last_present() {
            self.last.wait();
        }
        self.carry_out(self.gate.off_cpu());
        self.put();
    }

    fn reap(&self) {
        self.zombie.wait();
        let _claim = self.gate.claim().expect("a published zombie can be claimed");
        self.put();
    }
}

/// A process of two LWPs ends and is reaped; `sibling` is the behaviour of the LWP that is not the exit owner after its
/// switch.
fn process_ends(sibling: fn(&Process), reap: fn(&Process)) {
    let process = Process::new();
    let (leaver, waiter) = (process.clone(), process.clone());
    let leaving = thread::spawn(move || {
        let _thread_exit = leaver.gate.thread_exit();
        sibling(&leaver);
    });
    let waiting = thread::spawn(move || reap(&waiter));
    process.exit_owner();
    leaving.join().expect("the sibling leaves");
    waiting.join().expect("the waiter reaps");
    assert!(process.record.is_freed() && process.arena.is_freed(), "leaked");
}

/// The behaviour of the context after a sibling's last switch, its dead LWP included.
fn dispose(process: &Process) {
    process.arena.read();
    process.carry_out(process.gate.off_cpu());
    process.put();
}

/// T91.
#[test]
fn r13_wake_up_meets_reap() {
    check(2, || process_ends(dispose, Process::reap));
}

#[test]
fn r13_seeded_released_before_the_wake_up() {
    const BUG: fn(&Process) = |process| {
        let effect = process.gate.off_cpu();
        process.put();
        process.carry_out(effect);
    };
    catches("Causality violation", || process_ends(BUG, Process::reap));
}

/// The dead LWP waits in a queue after the gate has counted it off its CPU, and is disposed of later.
fn dispose_later(process: &Process) {
    process.carry_out(process.gate.off_cpu());
    process.record.read();
    process.put();
}

#[test]
fn r15_dead_lwp_outlives_reap() {
    check(2, || process_ends(dispose_later, Process::reap));
}

#[test]
fn r15_seeded_reaper_frees_regardless() {
    const BUG: fn(&Process) = |process| {
        process.zombie.wait();
        let _claim = process.gate.claim().expect("a published zombie can be claimed");
        process.record.free();
    };
    catches("Causality violation", || process_ends(dispose_later, BUG));
}

/// The stack is part of the process's arena: it is freed while the process still has a reference.
#[test]
fn r44_process_is_released_last() {
    check(2, || {
        process_ends(
            |process| {
                process.carry_out(process.gate.off_cpu());
                process.arena.read();
                process.put();
            },
            Process::reap,
        );
    });
}

#[test]
fn r44_seeded_process_released_before_the_stack() {
    const BUG: fn(&Process) = |process| {
        process.carry_out(process.gate.off_cpu());
        process.put();
        process.arena.read();
    };
    catches("Causality violation", || process_ends(BUG, Process::reap));
}

/// CPU 0 sends CPU 1 a message about an LWP, which exits meanwhile. The message owns the sender's reference.
fn message(after_sending: fn(&Lwp), receive: fn(&Lwp)) {
    let lwp = Lwp::new();
    assert!(lwp.refs.try_get(), "the sender has found it in a list");
    let (sender, receiver) = (lwp.clone(), lwp.clone());
    let sending = thread::spawn(move || {
        sender.bell.ring();
        after_sending(&sender);
    });
    let receiving = thread::spawn(move || {
        receiver.bell.wait();
        receive(&receiver);
    });
    lwp.die();
    sending.join().expect("the sender returns");
    receiving.join().expect("the receiver returns");
    lwp.assert_gone();
}

#[test]
fn r37_message_carries_a_reference() {
    check(2, || {
        message(
            |_| {},
            |lwp| {
                lwp.record.read();
                lwp.put();
            },
        );
    });
}

#[test]
fn r37_seeded_sender_releases() {
    catches("use after free", || message(Lwp::put, |lwp| lwp.record.read()));
}

/// A slot of the table: its references, its record, and the list of free slots that the next process takes it from.
struct Slot {
    refs: SlotRefs,
    record: UnsafeCell<u32>,
    free: Mutex<bool>,
    vacated: Bell,
}

/// The generation of the process that is looked up.
const OLD: u32 = 0;

impl Slot {
    /// Creates a slot that a process of generation [`OLD`] occupies.
    fn new() -> Arc<Self> {
        let refs = SlotRefs::new();
        refs.occupy();
        Arc::new(Self { refs, record: UnsafeCell::new(OLD), free: Mutex::new(false), vacated: Bell::new() })
    }

    /// Returns the generation of the process to which the record belongs. Called with a reference.
    fn occupant(&self) -> u32 {
        // SAFETY: loom checks that no thread writes the record meanwhile; the pointer is valid inside the closure.
        self.record.with(|record| unsafe { *record })
    }

    fn put(&self) {
        if self.refs.put().is_some() {
            self.give_away();
        }
    }

    fn give_away(&self) {
        *self.free.lock().expect("no model panics with the list locked") = true;
        self.vacated.ring();
    }

    /// The next process takes the slot once it is free.
    fn move_in(&self) {
        self.vacated.wait();
        assert!(*self.free.lock().expect("no model panics with the list locked"));
        // SAFETY: loom checks that no other thread uses the record; the pointer is valid inside the closure.
        self.record.with_mut(|record| unsafe { *record += 1 });
        self.refs.occupy();
    }

    /// Looks the pid of the old process up: the result is that process, or none.
    fn find(&self) {
        if !self.refs.try_get() {
            return;
        }
        if self.refs.generation() == OLD {
            assert_eq!(self.occupant(), OLD, "a stale pid names a stranger");
        }
        self.put();
    }
}

/// The old process is reaped and a new one takes its slot, while another thread looks the old one up.
fn look_up_meets_reuse(reap: fn(&Slot), find: fn(&Slot)) {
    let slot = Slot::new();
    let (reaper, next) = (slot.clone(), slot.clone());
    let reaping = thread::spawn(move || reap(&reaper));
    let moving_in = thread::spawn(move || next.move_in());
    find(&slot);
    reaping.join().expect("the old process is reaped");
    moving_in.join().expect("the new process comes");
    assert_eq!(slot.refs.generation(), OLD + 1);
}

/// T135, D37.
#[test]
fn r39_look_up_meets_reuse() {
    check(3, || look_up_meets_reuse(Slot::put, Slot::find));
}

#[test]
fn r39_seeded_compared_before_the_reference() {
    const BUG: fn(&Slot) = |slot| {
        let mine = slot.refs.generation() == OLD;
        if mine && slot.refs.try_get() {
            assert_eq!(slot.occupant(), OLD, "a stale pid names a stranger");
            slot.put();
        }
    };
    catches("a stale pid names a stranger", || look_up_meets_reuse(Slot::put, BUG));
}

/// The twin of the slot's references whose generation changes only after the slot is in the list of free ones.
#[test]
fn r39_seeded_generation_changed_after_the_slot_is_given_away() {
    catches("a stale pid names a stranger", || {
        let (refs, generation) = (Arc::new(RecordRefs::new()), Arc::new(AtomicU32::new(OLD)));
        let occupant = Arc::new(AtomicU32::new(OLD));
        let given_away = Arc::new(Bell::new());
        let next = (refs.clone(), occupant.clone(), given_away.clone());
        let moving_in = thread::spawn(move || {
            next.2.wait();
            next.1.store(OLD + 1, Relaxed);
            next.0.occupy();
        });
        let finder = (refs.clone(), occupant, generation.clone());
        let finding = thread::spawn(move || {
            if finder.0.try_get() && finder.2.load(Relaxed) == OLD {
                assert_eq!(finder.1.load(Relaxed), OLD, "a stale pid names a stranger");
            }
        });
        if refs.put().is_some() {
            given_away.ring();
            generation.store(OLD + 1, Relaxed);
        }
        moving_in.join().expect("the new process comes");
        finding.join().expect("the look-up returns");
    });
}

/// Two LWPs exit; a reader keeps the first one's record until the second one's is free.
fn two_dead_lwps(dispose: fn(&[Arc<Lwp>; 2], &Bell)) {
    let lwps = [Lwp::new(), Lwp::new()];
    let second_is_free = Arc::new(Bell::new());
    assert!(lwps[0].refs.try_get() && lwps[0].refs.try_pin());
    let (holder, free) = (lwps[0].clone(), second_is_free.clone());
    let holding = thread::spawn(move || {
        free.wait();
        holder.stack.read();
        holder.unpin();
        holder.put();
        holder.bell.ring();
    });
    lwps.iter().for_each(|lwp| lwp.run());
    dispose(&lwps, &second_is_free);
    holding.join().expect("the holder lets go");
    lwps.iter().for_each(|lwp| lwp.assert_gone());
}

/// T101: the holder that drops the last reference frees; no thread waits for a reference.
#[test]
fn r42_a_held_dead_lwp_delays_no_other() {
    check(3, || {
        two_dead_lwps(|lwps, second_is_free| {
            for lwp in lwps {
                lwp.retire();
                lwp.put();
            }
            lwps[1].assert_gone();
            second_is_free.ring();
        });
    });
}

#[test]
fn r42_seeded_freed_one_after_the_other() {
    catches("deadlock", || {
        two_dead_lwps(|lwps, second_is_free| {
            for lwp in lwps {
                lwp.retire();
                lwp.put();
                // The reaper waits until this one is gone before it takes the next.
                while !lwp.record.is_freed() {
                    lwp.bell.wait();
                }
            }
            second_is_free.ring();
        });
    });
}

/// The value that means "the LWP is gone".
const GONE: u32 = 5;

/// An LWP stores a word (extexit with SETINT); another LWP reads it and then reuses the memory.
fn announces(leave: fn(&Lwp, &AtomicU32)) {
    let shared = Arc::new((Lwp::new(), AtomicU32::new(0)));
    let observer = shared.clone();
    let observing = thread::spawn(move || {
        if observer.1.load(Ordering::Acquire) == GONE {
            observer.0.result.write();
        }
    });
    leave(&shared.0, &shared.1);
    observing.join().expect("the observer returns");
}

/// T10, T11.
#[test]
fn r43_announced_from_another_stack() {
    check(3, || {
        announces(|lwp, word| {
            lwp.run();
            let proof = OffStack::assert();
            proof.announce(word, GONE);
            if lwp.refs.retire(proof).is_some() {
                lwp.stack.free();
            }
        });
    });
}

#[test]
fn r43_seeded_announced_before_the_last_use() {
    catches("Causality violation", || {
        announces(|lwp, word| {
            OffStack::assert().announce(word, GONE);
            lwp.run();
        });
    });
}

#[test]
fn r43_seeded_stored_relaxed() {
    catches("Causality violation", || {
        announces(|lwp, word| {
            lwp.run();
            word.store(GONE, Relaxed);
        });
    });
}
