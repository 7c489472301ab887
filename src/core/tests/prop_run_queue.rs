//! The run queue against a sorted vector, for any sequence of operations.
#![cfg(not(loom))]

use asphodel_core::list::{Links, Nodes};
use asphodel_core::sched::priority::Priority;
use asphodel_core::sched::run_queue::RunQueue;
use proptest::prelude::*;

const THREADS: u32 = 24;

struct Threads(Vec<Links>);

impl Nodes for Threads {
    fn links(&self, index: u32) -> &Links {
        &self.0[index as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PushBack(u32, u8),
    PushFront(u32, u8),
    Pop,
    /// Steals among the threads whose bit is set, examining that many.
    Steal(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..THREADS, 0..32_u8).prop_map(|(thread, level)| Step::PushBack(thread, level)),
        1 => (0..THREADS, 0..32_u8).prop_map(|(thread, level)| Step::PushFront(thread, level)),
        3 => Just(Step::Pop),
        2 => (any::<u32>(), 0..8_u32).prop_map(|(movable, limit)| Step::Steal(movable, limit)),
    ]
}

/// The expected content of the queue: thread and level, in the order of running.
#[derive(Default)]
struct Model(Vec<(u32, u8)>);

impl Model {
    fn has(&self, thread: u32) -> bool {
        self.0.iter().any(|&(member, _)| member == thread)
    }

    fn push_back(&mut self, thread: u32, level: u8) {
        let at = self.0.iter().position(|&(_, other)| other < level).unwrap_or(self.0.len());
        self.0.insert(at, (thread, level));
    }

    fn push_front(&mut self, thread: u32, level: u8) {
        let at = self.0.iter().position(|&(_, other)| other <= level).unwrap_or(self.0.len());
        self.0.insert(at, (thread, level));
    }

    fn pop(&mut self) -> Option<u32> {
        (!self.0.is_empty()).then(|| self.0.remove(0).0)
    }

    fn steal(&mut self, movable: u32, limit: u32) -> Option<u32> {
        let mut candidates = self.0.clone();
        candidates.reverse();
        candidates.sort_by_key(|&(_, level)| core::cmp::Reverse(level));
        let &(thread, _) =
            candidates.iter().take(limit as usize).find(|&&(thread, _)| movable >> thread & 1 != 0)?;
        self.0.retain(|&(member, _)| member != thread);
        Some(thread)
    }
}

fn apply(step: Step, threads: &Threads, queue: &mut RunQueue, model: &mut Model) {
    let level = |level| Priority::new(level).expect("the strategy makes levels below 32");
    match step {
        // A thread is on one queue at a time: the caller's duty.
        Step::PushBack(thread, _) | Step::PushFront(thread, _) if model.has(thread) => {}
        Step::PushBack(thread, at) => {
            queue.push_back(threads, thread, level(at));
            model.push_back(thread, at);
        }
        Step::PushFront(thread, at) => {
            queue.push_front(threads, thread, level(at));
            model.push_front(thread, at);
        }
        Step::Pop => assert_eq!(queue.pop_best(threads), model.pop()),
        Step::Steal(movable, limit) => {
            let stolen = queue.steal(threads, limit, |thread| movable >> thread & 1 != 0);
            assert_eq!(stolen, model.steal(movable, limit));
        }
    }
    assert_eq!(queue.len() as usize, model.0.len());
    assert_eq!(queue.best().map(Priority::level), model.0.first().map(|&(_, level)| level));
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_vector(steps in prop::collection::vec(step(), 0..200)) {
        let threads = Threads((0..THREADS).map(|_| Links::new()).collect());
        let (mut queue, mut model) = (RunQueue::new(), Model::default());
        for step in steps {
            apply(step, &threads, &mut queue, &mut model);
        }
        while let Some(thread) = model.pop() {
            prop_assert_eq!(queue.pop_best(&threads), Some(thread));
        }
        prop_assert!(queue.is_empty());
    }

    /// With late arrivals at any rate, a thread waits for no more turns than there were threads before it.
    #[test]
    fn nobody_waits_longer_than_one_round(
        waiting in 1..12_u32,
        arrivals in prop::collection::vec(any::<bool>(), 12),
    ) {
        let threads = Threads((0..THREADS).map(|_| Links::new()).collect());
        let mut queue = RunQueue::new();
        (0..waiting).for_each(|thread| queue.push_back(&threads, thread, Priority::NORMAL));
        let last = waiting - 1;
        let mut newcomers = 12..THREADS;
        for turn in 0..waiting {
            if arrivals[turn as usize] {
                queue.push_back(&threads, newcomers.next().expect("twelve at most"), Priority::NORMAL);
            }
            let running = queue.pop_best(&threads).expect("a thread waits");
            prop_assert_eq!(running == last, turn == last);
            queue.push_back(&threads, running, Priority::NORMAL);
        }
    }
}
