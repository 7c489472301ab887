//! R2, kept stacks: an LWP that is killed by its process's exit leaves its stack to the exit owner, because a sibling
//! may still borrow from it (DESIGN, decision 10); on the real `Gate` and `RecordRefs`.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R2 a kept stack | `r02_kept_stacks_go_with_the_last_sibling` | listed after the LWP has been counted off its CPU |
//! | R2 a kept stack | `r02_kept_stacks_go_with_the_last_sibling` | freed at once |
//! | R2 a stack pinned from outside | `r02_a_pin_from_outside_meets_the_end` | pinned without a reference |
//! | R2 a stack pinned from outside | `r02_a_pin_from_outside_meets_the_end` | unpinned without a reference |
//!
//! The exit owner, when it is alone, finds every dead LWP and frees each stack once; no LWP uses a stack after that.
//!
//! And a handle to which another process has a reference: the exit owner revokes it while the holder pins or unpins the
//! stack. The record, which names the owner of the stack, outlasts every pin.
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;

use asphodel_core::proc::gate::{Gate, OffCpu};
use asphodel_core::thread::refs::{FreeStack, OffStack, RecordRefs};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use models::{Bell, catches, check};

const NO_LWP: u32 = u32::MAX;

struct Lwp {
    refs: RecordRefs,
    stack: UnsafeCell<u32>,
    next: AtomicU32,
}

/// An exit owner, which is not in `siblings`, and two siblings; the second borrows from the stack of the first.
struct Process {
    gate: Gate,
    alone: Bell,
    dead_lwps: AtomicU32,
    siblings: [Lwp; 2],
}

impl Process {
    fn new() -> Arc<Self> {
        let gate = Gate::new();
        (0..2).for_each(|_| gate.create().expect("a new process accepts LWPs"));
        let lwp = || Lwp { refs: RecordRefs::new(), stack: UnsafeCell::new(0), next: AtomicU32::new(NO_LWP) };
        Arc::new(Self {
            gate,
            alone: Bell::new(),
            dead_lwps: AtomicU32::new(NO_LWP),
            siblings: [lwp(), lwp()],
        })
    }

    /// The kernel's `keep_dead_lwp`.
    fn list(&self, sibling: u32) {
        let mut head = self.dead_lwps.load(Ordering::Relaxed);
        loop {
            self.siblings[sibling as usize].next.store(head, Ordering::Relaxed);
            match self.dead_lwps.compare_exchange(head, sibling, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    fn off_cpu(&self) {
        if self.gate.off_cpu() == OffCpu::WakeLast {
            self.alone.ring();
        }
    }

    /// Both siblings read what is on the first one's stack, as long as they run.
    fn run(&self) {
        // SAFETY: loom checks that no thread writes the stack meanwhile; the pointer is valid inside the closure.
        self.siblings[0].stack.with(|stack| unsafe { *stack });
    }

    fn free(&self, sibling: u32) {
        // SAFETY: loom checks that no other thread uses the stack; the pointer is valid inside the closure.
        self.siblings[sibling as usize].stack.with_mut(|stack| unsafe { *stack += 1 });
    }

    /// The context after a sibling's last switch, without a bug.
    fn finish_dead_thread(&self, sibling: u32) {
        self.list(sibling);
        self.siblings[sibling as usize].refs.retire_pinned(OffStack::assert());
        self.off_cpu();
    }

    /// The exit owner waits, and frees the stacks that it finds; returns how many.
    fn finish(&self) -> u32 {
        while !self.gate.is_last_present() {
            self.alone.wait();
        }
        let mut freed = 0;
        let mut next = self.dead_lwps.load(Ordering::Acquire);
        while next != NO_LWP {
            if self.siblings[next as usize].refs.unpin().is_some() {
                self.free(next);
                freed += 1;
            }
            next = self.siblings[next as usize].next.load(Ordering::Relaxed);
        }
        freed
    }
}

fn exit(finish_dead_thread: fn(&Process, u32)) {
    let process = Process::new();
    let _exit_owner = process.gate.exit();
    let siblings: Vec<_> = (0..2)
        .map(|sibling| {
            let process = process.clone();
            thread::spawn(move || {
                process.run();
                let _thread_exit = process.gate.thread_exit();
                finish_dead_thread(&process, sibling);
            })
        })
        .collect();
    let freed = process.finish();
    siblings.into_iter().for_each(|sibling| sibling.join().expect("a sibling leaves"));
    assert_eq!(freed, 2, "I4: a stack is lost");
}

#[test]
fn r02_kept_stacks_go_with_the_last_sibling() {
    check(2, || exit(Process::finish_dead_thread));
}

#[test]
fn r02_seeded_listed_after_being_counted_off() {
    catches("I4", || {
        exit(|process, sibling| {
            process.siblings[sibling as usize].refs.retire_pinned(OffStack::assert());
            process.off_cpu();
            process.list(sibling);
        });
    });
}

#[test]
fn r02_seeded_given_back_at_once() {
    catches("Causality violation", || {
        exit(|process, sibling| {
            if process.siblings[sibling as usize].refs.retire(OffStack::assert()).is_some() {
                process.free(sibling);
            }
            process.off_cpu();
        });
    });
}

/// The record's key while the handle has not been revoked, and also while the stack is pinned.
const KEY: u32 = 1;
const PINNED: u32 = 2;

/// The process that is named in an LWP's record while it is in use.
const OWNER: u32 = 1;

/// An LWP to whose handle another process has a reference.
struct Foreign {
    refs: RecordRefs,
    key: AtomicU32,
    /// The owner of the stack; 0 when the record is free.
    process: UnsafeCell<u32>,
    /// How often the stack was freed.
    stack: UnsafeCell<u32>,
}

impl Foreign {
    fn free_stack(&self, _duty: FreeStack) {
        // SAFETY: loom checks that no thread frees the record meanwhile; the pointer is valid inside the closure.
        let process = self.process.with(|process| unsafe { *process });
        assert_eq!(process, OWNER, "I12: the stack is given back to another process");
        // SAFETY: loom checks that no other thread frees the stack; the pointer is valid inside the closure.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
    }

    fn unpin(&self) {
        if let Some(duty) = self.refs.unpin() {
            self.free_stack(duty);
        }
    }

    fn put(&self) {
        if self.refs.put().is_some() {
            // SAFETY: loom checks that no other thread uses the record; the pointer is valid inside the closure.
            self.process.with_mut(|process| unsafe { *process = 0 });
        }
    }

    /// The LWP retires, and its process ends.
    fn end(&self) {
        if let Some(duty) = self.refs.retire(OffStack::assert()) {
            self.free_stack(duty);
        }
        let key = self.key.swap(0, Ordering::AcqRel);
        if key & PINNED != 0 {
            self.unpin();
        }
        if key != 0 {
            self.put();
        }
        self.put();
    }

    fn change_key(&self, from: u32, to: u32) -> bool {
        self.key.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn pin(&self) -> bool {
        self.refs.try_pin() && {
            let ours = self.change_key(KEY, KEY | PINNED);
            if !ours {
                self.unpin();
            }
            ours
        }
    }

    fn drop_pin(&self) -> bool {
        let ours = self.change_key(KEY | PINNED, KEY);
        if ours {
            self.unpin();
        }
        ours
    }

    /// The kernel's `while_held`.
    fn while_held(&self, act: fn(&Self) -> bool) -> bool {
        if !self.refs.try_get() {
            return false;
        }
        let done = self.key.load(Ordering::Acquire) & KEY != 0 && act(self);
        self.put();
        done
    }
}

fn pin_meets_end(pin: fn(&Foreign) -> bool, drop_pin: fn(&Foreign) -> bool) {
    let lwp = Foreign {
        refs: RecordRefs::free(),
        key: AtomicU32::new(KEY),
        process: UnsafeCell::new(OWNER),
        stack: UnsafeCell::new(0),
    };
    lwp.refs.occupy_shared();
    let lwp = Arc::new(lwp);
    let foreign = lwp.clone();
    let holder = thread::spawn(move || {
        if pin(&foreign) {
            drop_pin(&foreign);
        }
    });
    lwp.end();
    holder.join().expect("the holder returns");
    assert_eq!(lwp.refs.counts(), (0, 0));
    // SAFETY: loom checks that no thread writes them meanwhile; the pointers are valid inside the closures.
    let end = unsafe { (lwp.process.with(|process| *process), lwp.stack.with(|stack| *stack)) };
    assert_eq!(end, (0, 1), "I4: freed once");
}

/// T85.
#[test]
fn r02_a_pin_from_outside_meets_the_end() {
    check(3, || pin_meets_end(|lwp| lwp.while_held(Foreign::pin), |lwp| lwp.while_held(Foreign::drop_pin)));
}

#[test]
fn r02_seeded_pinned_without_a_hold() {
    catches("Causality violation", || pin_meets_end(Foreign::pin, |lwp| lwp.while_held(Foreign::drop_pin)));
}

#[test]
fn r02_seeded_unpinned_without_a_hold() {
    catches("Causality violation", || pin_meets_end(|lwp| lwp.while_held(Foreign::pin), Foreign::drop_pin));
}
