//! R23, vfork: the spawner continues when the child has stopped using the memory they share, neither before nor never;
//! on the real `Loan`.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R23 the flag | `r23_the_spawner_waits_for_the_memory` | the flag is cleared before the last use |
//! | R23 the wake-up | `r23_the_spawner_waits_for_the_memory` | woken before the flag is cleared |
//! | R23 the circle | `r23_the_spawner_waits_for_the_memory` | the child waits for the spawner's hold before it gives back |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::proc::loan::Loan;
use asphodel_core::thread::remains::Remains;
use loom::cell::UnsafeCell;
use loom::thread;
use models::{Bell, catches, check};

struct Child {
    loan: Loan,
    memory: UnsafeCell<u32>,
    /// The spawner sleeps here.
    lender: Bell,
    /// The child's record, to which the spawner has a reference.
    record: Remains,
    released: Bell,
}

impl Child {
    fn use_memory(&self) {
        // SAFETY: loom checks that no other thread uses it; the pointer is valid inside the closure.
        self.memory.with_mut(|memory| unsafe { *memory += 1 });
    }

    /// The spawner's wait, and its accesses afterwards.
    fn lend(&self) {
        while self.loan.is_lent() {
            self.lender.wait();
        }
        self.use_memory();
        if self.record.release().is_some() {
            panic!("the child holds its own record");
        }
        self.released.ring();
    }
}

fn life(child_body: fn(&Child)) {
    let child = Arc::new(Child {
        loan: Loan::new(),
        memory: UnsafeCell::new(0),
        lender: Bell::new(),
        record: Remains::new(),
        released: Bell::new(),
    });
    child.loan.set(true);
    assert!(child.record.try_hold());
    let spawner = child.clone();
    let lender = thread::spawn(move || spawner.lend());
    child_body(&child);
    lender.join().expect("the spawner goes on");
}

/// T78, T79.
#[test]
fn r23_the_spawner_waits_for_the_memory() {
    check(3, || {
        life(|child| {
            child.use_memory();
            if child.loan.give_back() {
                child.lender.ring();
            }
        });
    });
}

#[test]
fn r23_seeded_flag_cleared_before_the_last_use() {
    catches("Causality violation", || {
        life(|child| {
            let wake = child.loan.give_back();
            child.use_memory();
            if wake {
                child.lender.ring();
            }
        });
    });
}

#[test]
fn r23_seeded_woken_before_the_flag() {
    catches("deadlock", || {
        life(|child| {
            child.use_memory();
            child.lender.ring();
            let _ = child.loan.give_back();
        });
    });
}

#[test]
fn r23_seeded_waits_for_the_spawners_hold() {
    catches("deadlock", || {
        life(|child| {
            child.use_memory();
            child.released.wait();
            if child.loan.give_back() {
                child.lender.ring();
            }
        });
    });
}
