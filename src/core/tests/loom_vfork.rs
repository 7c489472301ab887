//! R23, vfork: the spawner continues when the child has stopped using the memory that they share, neither before nor
//! never; on the real `VforkWait`.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R23 the flag | `r23_the_spawner_waits_for_the_memory` | the flag is cleared before the last use |
//! | R23 the wake-up | `r23_the_spawner_waits_for_the_memory` | woken before the flag is cleared |
//! | R23 the circle | `r23_the_spawner_waits_for_the_memory` | the child waits for the spawner's reference before it reports |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::proc::vfork::VforkWait;
use asphodel_core::thread::refs::RecordRefs;
use loom::cell::UnsafeCell;
use loom::thread;
use models::{Bell, catches, check};

struct Child {
    vfork_wait: VforkWait,
    memory: UnsafeCell<u32>,
    /// The spawner sleeps here.
    vfork_queue: Bell,
    /// The child's record, to which the spawner has a reference.
    record: RecordRefs,
    released: Bell,
}

impl Child {
    fn use_memory(&self) {
        // SAFETY: loom checks that no other thread uses it; the pointer is valid inside the closure.
        self.memory.with_mut(|memory| unsafe { *memory += 1 });
    }

    /// The spawner's wait, and its accesses afterwards.
    fn wait_for_child(&self) {
        while self.vfork_wait.in_progress() {
            self.vfork_queue.wait();
        }
        self.use_memory();
        if self.record.put().is_some() {
            panic!("the child holds its own record");
        }
        self.released.ring();
    }
}

fn life(child_body: fn(&Child)) {
    let child = Arc::new(Child {
        vfork_wait: VforkWait::new(),
        memory: UnsafeCell::new(0),
        vfork_queue: Bell::new(),
        record: RecordRefs::new(),
        released: Bell::new(),
    });
    child.vfork_wait.set(true);
    assert!(child.record.try_get());
    let spawner = child.clone();
    let vfork_queue = thread::spawn(move || spawner.wait_for_child());
    child_body(&child);
    vfork_queue.join().expect("the spawner goes on");
}

/// T78, T79.
#[test]
fn r23_the_spawner_waits_for_the_memory() {
    check(3, || {
        life(|child| {
            child.use_memory();
            if child.vfork_wait.done() {
                child.vfork_queue.ring();
            }
        });
    });
}

#[test]
fn r23_seeded_flag_cleared_before_the_last_use() {
    catches("Causality violation", || {
        life(|child| {
            let wake = child.vfork_wait.done();
            child.use_memory();
            if wake {
                child.vfork_queue.ring();
            }
        });
    });
}

#[test]
fn r23_seeded_woken_before_the_flag() {
    catches("deadlock", || {
        life(|child| {
            child.use_memory();
            child.vfork_queue.ring();
            let _ = child.vfork_wait.done();
        });
    });
}

#[test]
fn r23_seeded_waits_for_the_spawners_reference() {
    catches("deadlock", || {
        life(|child| {
            child.use_memory();
            child.released.wait();
            if child.vfork_wait.done() {
                child.vfork_queue.ring();
            }
        });
    });
}
