//! T175: the kill of a subtree races with a member that spawns; on the real `SubtreeKills`. Whatever the order of the
//! slots in the table, the child has been killed in the end.
//!
//! | property | test | seeded bug that must be caught |
//! |---|---|---|
//! | T175 no survivor | `t175_no_child_slips_through` | the spawner looks before the child is findable |
//! | T175 no survivor | `t175_no_child_slips_through` | the spawner does not look at its own fate |
//! | T175 no survivor | `t175_no_child_slips_through` | the walk is not announced |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::proc::subtree_kill::SubtreeKills;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use models::{catches, check};

struct Subtree {
    subtree_kills: SubtreeKills,
    /// The child can be found in the table.
    born: AtomicBool,
    child_told: AtomicBool,
    /// The signal that ends the spawner, as in its record.
    spawner_told: AtomicU32,
}

impl Subtree {
    fn tell_child(&self) {
        self.child_told.store(true, Ordering::Relaxed);
    }

    /// The walk over the table, with the child's slot before the spawner's, or after it.
    fn walk(&self, child_first: bool) {
        let look_at_child = || {
            if self.born.load(Ordering::Acquire) {
                self.tell_child();
            }
        };
        if child_first {
            look_at_child();
        }
        let _ = self.spawner_told.compare_exchange(0, 9, Ordering::AcqRel, Ordering::Relaxed);
        if !child_first {
            look_at_child();
        }
    }

    fn kill(&self, child_first: bool) {
        self.subtree_kills.begin();
        self.walk(child_first);
        self.subtree_kills.end();
    }

    fn spawn(&self) {
        self.born.store(true, Ordering::Release);
        if self.subtree_kills.is_any_after_spawn() || self.spawner_told.load(Ordering::Relaxed) != 0 {
            self.tell_child();
        }
    }
}

fn meet(kill: fn(&Subtree, bool), spawn: fn(&Subtree), child_first: bool) {
    let subtree = Arc::new(Subtree {
        subtree_kills: SubtreeKills::new(),
        born: AtomicBool::new(false),
        child_told: AtomicBool::new(false),
        spawner_told: AtomicU32::new(0),
    });
    let spawner = subtree.clone();
    let spawning = thread::spawn(move || spawn(&spawner));
    kill(&subtree, child_first);
    spawning.join().expect("the spawner goes on");
    assert!(subtree.child_told.load(Ordering::Relaxed), "T175: a survivor");
}

#[test]
fn t175_no_child_slips_through() {
    check(3, || meet(Subtree::kill, Subtree::spawn, true));
    check(3, || meet(Subtree::kill, Subtree::spawn, false));
}

#[test]
fn t175_seeded_looks_before_birth() {
    catches("T175", || {
        let spawn: fn(&Subtree) = |subtree| {
            let seen = subtree.subtree_kills.is_any_after_spawn()
                || subtree.spawner_told.load(Ordering::Relaxed) != 0;
            subtree.born.store(true, Ordering::Release);
            if seen {
                subtree.tell_child();
            }
        };
        meet(Subtree::kill, spawn, true);
    });
}

#[test]
fn t175_seeded_own_fate_not_looked_at() {
    catches("T175", || {
        let spawn: fn(&Subtree) = |subtree| {
            subtree.born.store(true, Ordering::Release);
            if subtree.subtree_kills.is_any_after_spawn() {
                subtree.tell_child();
            }
        };
        meet(Subtree::kill, spawn, true);
    });
}

#[test]
fn t175_seeded_walk_not_announced() {
    catches("T175", || meet(Subtree::walk, Subtree::spawn, true));
}
