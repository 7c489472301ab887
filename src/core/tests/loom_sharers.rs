//! Memory of several processes, on the real `Sharers`: released once, after the last user, and before its addresses.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | T73 two users end at once | `t073_two_users_end` | "am I the last" tested, then retired |
//! | T73 the last one ends while the other is reaped | `t073_end_meets_reap` | reaped before the memory is released |
//! | T73 a user adds another and ends | `t073_end_meets_join` | added by one that has retired |
#![cfg(loom)]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

use asphodel_core::proc::sharers::Sharers;
use loom::cell::UnsafeCell;
use loom::thread;
use models::{catches, check};

/// An area: its memory, which users write and the releasing user takes, and its addresses.
struct Area {
    sharers: Sharers,
    memory: UnsafeCell<u32>,
    addresses: UnsafeCell<u32>,
    returned: Tally,
    freed: Tally,
}

// SAFETY: the exclusion is what the models check.
unsafe impl Sync for Area {}
// SAFETY: as above.
unsafe impl Send for Area {}

impl Area {
    fn new(users: u32) -> Arc<Self> {
        let area = Self {
            sharers: Sharers::new(),
            memory: UnsafeCell::new(0),
            addresses: UnsafeCell::new(0),
            returned: Tally::new(0),
            freed: Tally::new(0),
        };
        area.sharers.begin();
        (1..users).for_each(|_| area.sharers.join());
        Arc::new(area)
    }

    /// A user reads its memory: several users may do so at the same time, but not during the release.
    fn look(&self) {
        self.memory.with(|memory| {
            // SAFETY: loom reports a violation.
            let _value = unsafe { *memory };
        });
    }

    fn give_back(&self) {
        self.returned.fetch_add(1, Untracked);
        self.memory.with_mut(|_| ());
        self.addresses.with(|_| ());
    }

    fn free(&self) {
        self.freed.fetch_add(1, Untracked);
        self.addresses.with_mut(|_| ());
    }

    /// The first stage of a user's end.
    fn end(&self) {
        self.look();
        if let Some(_duty) = self.sharers.retire() {
            self.give_back();
        }
    }

    /// The second stage.
    fn reap(&self) {
        if let Some(_duty) = self.sharers.reap() {
            self.free();
        }
    }

    fn assert_gone(&self) {
        assert_eq!(self.returned.load(Untracked), 1, "the memory was given back another number of times");
        assert_eq!(self.freed.load(Untracked), 1, "the addresses were freed another number of times");
    }
}

/// Two users exist and end at the same time.
fn two(end: fn(&Area), reap: fn(&Area)) {
    let area = Area::new(2);
    let other = area.clone();
    let first = thread::spawn(move || {
        end(&other);
        reap(&other);
    });
    end(&area);
    reap(&area);
    first.join().expect("no model panics in a thread of its own");
    area.assert_gone();
}

#[test]
fn t073_two_users_end() {
    check(3, || two(Area::end, Area::reap));
}

#[test]
fn t073_two_users_end_seeded() {
    catches("given back another number of times", || {
        two(
            |area| {
                area.look();
                let last = area.sharers.counts().0 == 1;
                let _ignored = area.sharers.retire();
                if last {
                    area.give_back();
                }
            },
            Area::reap,
        );
    });
}

/// One has ended and is reaped while the last user ends.
fn end_meets_reap(last: fn(&Area)) {
    let area = Area::new(2);
    area.end();
    let reaper = area.clone();
    let reaping = thread::spawn(move || reaper.reap());
    last(&area);
    reaping.join().expect("no model panics in a thread of its own");
    area.assert_gone();
}

#[test]
fn t073_end_meets_reap() {
    check(3, || {
        end_meets_reap(|area| {
            area.end();
            area.reap();
        });
    });
}

#[test]
fn t073_end_meets_reap_seeded() {
    catches("Causality violation", || {
        end_meets_reap(|area| {
            let duty = area.sharers.retire();
            area.reap();
            if duty.is_some() {
                area.give_back();
            }
        });
    });
}

/// A user adds another, which ends in a thread of its own, and ends itself.
fn end_meets_join(bring_in: fn(&Arc<Area>)) {
    let area = Area::new(1);
    bring_in(&area);
}

#[test]
fn t073_end_meets_join() {
    check(3, || {
        end_meets_join(|area| {
            area.sharers.join();
            let child = area.clone();
            let child = thread::spawn(move || {
                child.end();
                child.reap();
            });
            area.end();
            area.reap();
            child.join().expect("no model panics in a thread of its own");
            area.assert_gone();
        });
    });
}

#[test]
fn t073_end_meets_join_seeded() {
    catches("Causality violation", || {
        end_meets_join(|area| {
            let child = area.clone();
            let child = thread::spawn(move || child.look());
            area.end();
            child.join().expect("no model panics in a thread of its own");
        });
    });
}
