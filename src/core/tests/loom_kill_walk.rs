//! T175, RFPGLOCK: the kill of a subtree or of a group races with a member that spawns; on the real `KillWalks` and
//! `KillMarks`. Whatever the order of the slots in the table, a child that belongs to the set has been killed in the
//! end.
//!
//! | property | test | seeded bug that must be caught |
//! |---|---|---|
//! | T175 no survivor | `t175_no_child_slips_through` | the spawner looks before the child is findable |
//! | T175 no survivor | `t175_no_child_slips_through` | the spawner does not look at its own marks |
//! | T175 no survivor | `t175_no_child_slips_through` | the walk is not announced |
//! | T175 no survivor | `t175_no_child_slips_through` | the walk ends before it has marked what it found |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::proc::kill_walk::{KillMarks, KillWalks, Kind};
use asphodel_core::signal::Signal;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use models::{catches, check};

/// A set of processes with one member, which spawns another one.
struct Set {
    kind: Kind,
    walks: KillWalks,
    /// The child can be found in the table.
    born: AtomicBool,
    child_killed: AtomicBool,
    /// The marks of the spawner.
    spawner: KillMarks,
}

impl Set {
    fn kill_child(&self) {
        self.child_killed.store(true, Ordering::Relaxed);
    }

    /// The walk over the table, with the child's slot before the spawner's, or after it.
    fn walk(&self, child_first: bool) {
        let look_at_child = || {
            if self.born.load(Ordering::Acquire) {
                self.kill_child();
            }
        };
        if child_first {
            look_at_child();
        }
        self.spawner.set(self.kind, Signal::KILL);
        if !child_first {
            look_at_child();
        }
    }

    fn kill(&self, child_first: bool) {
        self.walks.begin();
        self.walk(child_first);
        self.walks.end();
    }

    /// The spawner has made the child findable, in its own group.
    fn judge_child(&self, look: impl FnOnce() -> bool) {
        // What is announced, there is only one, has the child.
        if look() || self.spawner.inherited(true).is_some() {
            self.kill_child();
        }
    }

    fn spawn(&self) {
        self.born.store(true, Ordering::Release);
        if self.walks.may_concern_child_of(&self.spawner) {
            self.judge_child(|| true);
        }
    }
}

fn meet(kind: Kind, kill: fn(&Set, bool), spawn: fn(&Set), child_first: bool) {
    let set = Arc::new(Set {
        kind,
        walks: KillWalks::new(),
        born: AtomicBool::new(false),
        child_killed: AtomicBool::new(false),
        spawner: KillMarks::new(),
    });
    let spawner = set.clone();
    let spawning = thread::spawn(move || spawn(&spawner));
    kill(&set, child_first);
    spawning.join().expect("the spawner goes on");
    assert!(set.child_killed.load(Ordering::Relaxed), "T175: a survivor");
}

const KINDS: [Kind; 2] = [Kind::Group, Kind::Subtree];

#[test]
fn t175_no_child_slips_through() {
    for kind in KINDS {
        check(3, move || meet(kind, Set::kill, Set::spawn, true));
        check(3, move || meet(kind, Set::kill, Set::spawn, false));
    }
}

/// Asserts that the bug is found with each kind of set.
fn finds(kill: fn(&Set, bool), spawn: fn(&Set)) {
    for kind in KINDS {
        catches("T175", move || meet(kind, kill, spawn, true));
    }
}

#[test]
fn t175_seeded_looks_before_birth() {
    finds(Set::kill, |set| {
        let seen = set.walks.may_concern_child_of(&set.spawner);
        set.born.store(true, Ordering::Release);
        if seen {
            set.judge_child(|| true);
        }
    });
}

#[test]
fn t175_seeded_own_marks_not_looked_at() {
    finds(Set::kill, |set| {
        set.born.store(true, Ordering::Release);
        if set.walks.is_any_after_spawn() {
            set.kill_child();
        }
    });
}

#[test]
fn t175_seeded_walk_not_announced() {
    finds(Set::walk, Set::spawn);
}

#[test]
fn t175_seeded_marked_after_the_end() {
    let kill: fn(&Set, bool) = |set, _child_first| {
        set.walks.begin();
        if set.born.load(Ordering::Acquire) {
            set.kill_child();
        }
        set.walks.end();
        set.spawner.set(set.kind, Signal::KILL);
    };
    finds(kill, Set::spawn);
}
