//! A thread is raised for its death while another CPU takes it over and queues it; on the real `CpuPriority`. The thread
//! ends up in the queue for its new priority: the CPU that queues it reads that, or gets the message and moves it up.
//!
//! | property | test | seeded bug that must be caught |
//! |---|---|---|
//! | T202 no victim waits with its old priority | `t202_raise_meets_take_over` | the CPU's number is stored beside the raise |
//! | T202 no victim waits with its old priority | `t202_raise_meets_take_over` | the priority is read before the move |
//! | T202 no victim waits with its old priority | `t202_raise_meets_return` | – |
//! | T202 the message finds the thread's only queue | `t202_a_look_takes_no_other_queue` | its links are examined first only; last only |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::sched::cpu_priority::{CpuPriority, Place};
use asphodel_core::sched::priority::Priority;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicBool, AtomicU32};
use loom::thread;
use models::{catches, check};

const NOWHERE: u32 = u32::MAX;

/// A thread and two CPUs. Interrupts are masked while a CPU queues the thread, so its message is taken afterwards.
struct World {
    place: CpuPriority,
    /// The level of the queue that the thread is in; each CPU touches its own.
    queues: [AtomicU32; 2],
    messages: [AtomicBool; 2],
}

impl World {
    fn new() -> Arc<Self> {
        let world = Self {
            place: CpuPriority::new(),
            queues: [AtomicU32::new(NOWHERE), AtomicU32::new(NOWHERE)],
            messages: [AtomicBool::new(false), AtomicBool::new(false)],
        };
        world.place.set(0, Priority::LOWEST);
        Arc::new(world)
    }

    fn raise(&self) {
        if let Some(place) = self.place.raise(Priority::HIGHEST, Priority::NORMAL) {
            self.messages[place.cpu() as usize].swap(true, Release);
        }
    }

    /// CPU `cpu` queues the thread, as `place` says.
    fn queue(&self, cpu: usize, place: Place) {
        self.queues[cpu].store(u32::from(place.priority().level()), Relaxed);
    }

    /// CPU `cpu` takes its message, if there is one.
    fn interrupt(&self, cpu: usize) {
        if self.messages[cpu].swap(false, Acquire) {
            let place = self.place.latest();
            if place.cpu() as usize == cpu && self.queues[cpu].load(Relaxed) != NOWHERE {
                self.queue(cpu, place);
            }
        }
    }

    /// Both CPUs have taken their messages: the thread waits at the front.
    fn assert_moved_up(&self) {
        (0..2).for_each(|cpu| self.interrupt(cpu));
        let highest = u32::from(Priority::HIGHEST.level());
        assert!(
            self.queues.iter().any(|level| level.load(Relaxed) == highest),
            "T202: it waits behind others"
        );
    }
}

/// The thread slept, ran on CPU 0 last, and is taken over by CPU 1.
fn raise_meets_take_over(take_over: fn(&CpuPriority) -> Place) {
    let world = World::new();
    let killer = {
        let world = world.clone();
        thread::spawn(move || world.raise())
    };
    world.queue(1, take_over(&world.place));
    world.interrupt(1);
    killer.join().expect("it goes on");
    world.assert_moved_up();
}

#[test]
fn t202_raise_meets_take_over() {
    check(3, || raise_meets_take_over(|place| place.move_to(1)));
}

#[test]
fn t202_seeded_stores_the_cpu() {
    catches("T202", || {
        raise_meets_take_over(|place| {
            place.set(1, place.get().priority());
            place.get()
        });
    });
}

#[test]
fn t202_seeded_reads_the_priority_first() {
    catches("T202", || {
        raise_meets_take_over(|place| {
            let before = place.get();
            place.move_to(1);
            before
        });
    });
}

/// The thread is queued where it was before, without a transition.
#[test]
fn t202_raise_meets_return() {
    check(3, || {
        let world = World::new();
        let killer = {
            let world = world.clone();
            thread::spawn(move || world.raise())
        };
        world.queue(0, world.place.get());
        world.interrupt(0);
        killer.join().expect("it goes on");
        world.assert_moved_up();
    });
}

/// CPU 1 takes the thread over and links it, while CPU 0, which had it, looks for it: by the links, which are another
/// queue's then, and by the number of its CPU.
fn look_meets_take_over(before: bool, after: bool) {
    let world = World::new();
    let linked = Arc::new(AtomicBool::new(false));
    let taker = {
        let (world, linked) = (world.clone(), linked.clone());
        thread::spawn(move || {
            world.place.move_to(1);
            linked.store(true, Relaxed);
        })
    };
    let was_linked = !before || linked.load(Relaxed);
    let is_here = world.place.latest().cpu() == 0;
    let is_linked = !after || linked.load(Relaxed);
    assert!(!(was_linked && is_here && is_linked), "T202: it is in another queue");
    taker.join().expect("it goes on");
}

/// CPU 1 unlinks the thread and gives it to CPU 0, which looks for it before it has queued it.
fn look_meets_gift(before: bool, after: bool) {
    let world = World::new();
    world.place.set(1, Priority::LOWEST);
    let linked = Arc::new(AtomicBool::new(true));
    let giver = {
        let (world, linked) = (world.clone(), linked.clone());
        thread::spawn(move || {
            linked.store(false, Relaxed);
            world.place.move_to(0);
        })
    };
    let was_linked = !before || linked.load(Relaxed);
    let is_here = world.place.latest().cpu() == 0;
    let is_linked = !after || linked.load(Relaxed);
    assert!(!(was_linked && is_here && is_linked), "T202: it is in no queue");
    giver.join().expect("it goes on");
}

#[test]
fn t202_a_look_takes_no_other_queue() {
    check(3, || look_meets_take_over(true, true));
    check(3, || look_meets_gift(true, true));
}

#[test]
fn t202_seeded_looks_after_only() {
    catches("T202", || look_meets_take_over(false, true));
}

#[test]
fn t202_seeded_looks_before_only() {
    catches("T202", || look_meets_gift(true, false));
}
