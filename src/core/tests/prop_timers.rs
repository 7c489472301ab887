//! The timer queue against a plain vector, for any sequence of operations.
#![cfg(not(loom))]

use asphodel_core::time::timers::{TimerLinks, TimerQueue, Timers};
use proptest::prelude::*;

const TIMERS: u32 = 32;

struct Table(Vec<TimerLinks>);

impl Timers for Table {
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.0[index as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arm(u32, u64),
    Cancel(u32),
    /// Time advances by that many ticks, and everything due expires.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..TIMERS, 0..64_u64).prop_map(|(timer, delay)| Step::Arm(timer, delay)),
        2 => (0..TIMERS).prop_map(Step::Cancel),
        1 => (0..16_u64).prop_map(Step::Pass),
    ]
}

/// The deadline of each armed timer.
type Model = Vec<Option<u64>>;

fn earliest(model: &Model) -> Option<u64> {
    model.iter().flatten().min().copied()
}

/// Expires one timer after the other; each must be due, and the earliest of those left.
fn expire_all(table: &Table, queue: &mut TimerQueue, model: &mut Model, now: u64) {
    while let Some(timer) = queue.expire(table, now) {
        let deadline = model[timer as usize].take().expect("only armed timers expire");
        assert!(deadline <= now, "timer {timer} is early");
        assert!(earliest(model).is_none_or(|next| deadline <= next), "timer {timer} overtook another");
        assert!(!table.timer(timer).is_armed());
    }
    assert!(earliest(model).is_none_or(|next| next > now), "a timer is late");
}

fn apply(step: Step, table: &Table, queue: &mut TimerQueue, model: &mut Model, now: &mut u64) {
    match step {
        Step::Arm(timer, delay) if model[timer as usize].is_none() => {
            let is_earliest = earliest(model).is_none_or(|next| *now + delay < next);
            assert_eq!(queue.insert(table, timer, *now + delay), is_earliest);
            model[timer as usize] = Some(*now + delay);
        }
        Step::Cancel(timer) if model[timer as usize].take().is_some() => queue.remove(table, timer),
        Step::Arm(..) | Step::Cancel(_) => {}
        Step::Pass(ticks) => {
            *now += ticks;
            expire_all(table, queue, model, *now);
        }
    }
    assert_eq!(queue.earliest(table), earliest(model));
    for (timer, deadline) in (0..).zip(model.iter()) {
        assert_eq!(table.timer(timer).is_armed(), deadline.is_some(), "timer {timer}");
    }
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_vector(steps in prop::collection::vec(step(), 0..300)) {
        let table = Table((0..TIMERS).map(|_| TimerLinks::new()).collect());
        let (mut queue, mut model, mut now) = (TimerQueue::new(), vec![None; TIMERS as usize], 0);
        for step in steps {
            apply(step, &table, &mut queue, &mut model, &mut now);
        }
        expire_all(&table, &mut queue, &mut model, u64::MAX);
        prop_assert!(earliest(&model).is_none());
    }
}
