//! T200: threads join each other at the same time and close a ring; on the real `thread::join::begin`. One of them is
//! refused, and no ring is asleep.
//!
//! | property | test | seeded bug that must be caught |
//! |---|---|---|
//! | T200 no ring asleep, one refused | `t200_two_close_a_ring` | the wait is stated after the look |
//! | T200 no ring asleep, one refused | `t200_two_close_a_ring` | each looks alone, without the lock |
//! | T200 no ring asleep, one refused | `t200_three_close_a_ring` | – |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::thread::join::{self, JoinEdge, Joins, Target};
use loom::sync::Mutex;
use loom::thread;
use models::{catches, check};

/// Threads none of which ends.
struct World {
    edges: Vec<JoinEdge>,
    lock: Mutex<()>,
}

impl Joins for World {
    fn join_edge(&self, index: u32) -> &JoinEdge {
        &self.edges[index as usize]
    }

    fn ends(&self, _target: Target) -> bool {
        false
    }
}

fn to(thread: u32) -> Target {
    Target { thread, key: u64::from(thread) + 1 }
}

fn begin(world: &World, me: u32, target: u32) -> bool {
    join::begin(world, (me, world.join_edge(me)), to(target), || world.lock.lock().expect("no thread panics"))
}

/// Each of `count` threads joins the next one by `begin`.
fn close_ring(count: u32, begin: fn(&World, u32, u32) -> bool) {
    let edges = (0..count).map(|_| JoinEdge::new()).collect();
    let world = Arc::new(World { edges, lock: Mutex::new(()) });
    let others: Vec<_> = (1..count)
        .map(|me| {
            let world = world.clone();
            thread::spawn(move || begin(&world, me, (me + 1) % count))
        })
        .collect();
    let mut refused = u32::from(!begin(&world, 0, 1));
    for other in others {
        refused += u32::from(!other.join().expect("it goes on"));
    }
    assert_eq!(refused, 1, "T200: refused");
}

#[test]
fn t200_two_close_a_ring() {
    check(3, || close_ring(2, begin));
}

#[test]
fn t200_three_close_a_ring() {
    check(2, || close_ring(3, begin));
}

#[test]
fn t200_seeded_looks_alone() {
    catches("T200", || {
        close_ring(2, |world, me, target| join::begin(world, (me, world.join_edge(me)), to(target), || ()))
    });
}

#[test]
fn t200_seeded_looks_before_it_states_its_wait() {
    catches("T200", || {
        close_ring(2, |world, me, target| {
            // Whether the target waits, by a wait for it that is withdrawn at once.
            let free = join::begin(world, (me, world.join_edge(me)), to(target), || ());
            world.edges[me as usize].end();
            let _stated = free && join::begin(&Blind(world), (me, world.join_edge(me)), to(target), || ());
            free
        });
    });
}

/// A world in which a thread sees its own wait only.
struct Blind<'a>(&'a World);

impl Joins for Blind<'_> {
    fn join_edge(&self, index: u32) -> &JoinEdge {
        self.0.join_edge(index)
    }

    fn ends(&self, _target: Target) -> bool {
        true
    }
}
