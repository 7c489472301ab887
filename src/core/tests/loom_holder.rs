//! T199: a thread that may hold a mutex ends, while others want the mutex; on the real `HolderWord`, `HolderId` and
//! `HolderWait`. The mutex is taken over by one of them, and none sleeps without being woken.
//!
//! | property | test | seeded bug that must be caught |
//! |---|---|---|
//! | T199 no sleep for the dead | `t199_a_waiter_takes_over_or_is_woken` | the end looks for waiters before it takes the new number |
//! | T199 one heir | `t199_one_takes_over` | – |
//! | T199 the value | `t199_the_value_is_seen` | – |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::wait::holder::{HolderId, HolderWait, HolderWord, Holders, Taken};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use models::{catches, check};

/// The dying thread is 1; the others are 2 and 3.
struct World {
    ids: [HolderId; 4],
    word: HolderWord,
    wait: HolderWait,
    value: AtomicU32,
    woken: AtomicBool,
}

impl Holders for World {
    fn holder_id(&self, index: u32) -> &HolderId {
        &self.ids[index as usize]
    }
}

impl World {
    /// Thread 1 holds the mutex.
    fn new() -> Arc<Self> {
        let world = Self {
            ids: [0, 1, 2, 3].map(HolderId::new),
            word: HolderWord::new(),
            wait: HolderWait::new(),
            value: AtomicU32::new(0),
            woken: AtomicBool::new(false),
        };
        assert!(world.word.take(world.ids[1].get()));
        Arc::new(world)
    }

    fn wake(&self) {
        if self.wait.is_any() {
            self.woken.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self) {
        self.ids[1].renew();
        self.wake();
    }

    fn want(&self) -> bool {
        self.word.take_or_announce(self, self.ids[2].get(), &self.wait) == Some(Taken::GivenUp)
    }
}

fn end_and_want(end: fn(&World), want: fn(&World) -> bool) {
    let world = World::new();
    let waiter = world.clone();
    let wanting = thread::spawn(move || want(&waiter));
    end(&world);
    let taken = wanting.join().expect("the waiter goes on");
    assert!(taken || world.woken.load(Ordering::Relaxed), "T199: asleep for ever");
}

#[test]
fn t199_a_waiter_takes_over_or_is_woken() {
    check(3, || end_and_want(World::end, World::want));
}

#[test]
fn t199_seeded_looks_before_the_new_number() {
    let end: fn(&World) = |world| {
        world.wake();
        world.ids[1].renew();
    };
    catches("T199", move || end_and_want(end, World::want));
}

#[test]
fn t199_one_takes_over() {
    check(3, || {
        let world = World::new();
        world.ids[1].renew();
        let other = world.clone();
        let wanting = thread::spawn(move || other.want());
        let mine = world.word.take_over(&*world, world.ids[3].get());
        assert!(mine ^ wanting.join().expect("it goes on"), "T199: one heir");
    });
}

#[test]
fn t199_the_value_is_seen() {
    check(3, || {
        let world = World::new();
        let waiter = world.clone();
        let wanting =
            thread::spawn(move || if waiter.want() { waiter.value.load(Ordering::Relaxed) } else { 7 });
        world.value.store(7, Ordering::Relaxed);
        world.end();
        assert_eq!(wanting.join().expect("it goes on"), 7, "T199: the value");
    });
}
