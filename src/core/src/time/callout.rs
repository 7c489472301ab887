//! Call-outs that are due: they move from the timer queue to a task queue without a moment in between.
//!
//! A canceller of a call-out disarms its timer and then waits until its task is idle. A timer that has been taken out
//! of the queue and whose task is not enqueued yet is neither, and its function would run after the cancel (R32, D17):
//! so both are done under one acquisition of the queue's lock. Model: `tests/loom_task.rs`.

use crate::time::timers::{TimerQueue, Timers};
use crate::wait::queue::Exclusive;

/// Passes one timer that is due to `hand_over`, which enqueues its task. Returns `false` if none is due. A holder of
/// the lock of `queue` finds a call-out armed, or its task not idle, or its call over.
pub fn hand_over_due<T: Timers + ?Sized>(
    queue: &impl Exclusive<TimerQueue>,
    timers: &T,
    now: u64,
    hand_over: impl FnOnce(u32),
) -> bool {
    queue.with(|queue| queue.expire(timers, now).map(hand_over).is_some())
}

/// First half of a cancel: disarms `timer`. Returns `true` if it was armed and will not be due. In both cases a call
/// that was due before may be in progress, so the caller waits until the task is idle.
pub fn disarm<T: Timers + ?Sized>(queue: &impl Exclusive<TimerQueue>, timers: &T, timer: u32) -> bool {
    queue.with(|queue| {
        let armed = timers.timer(timer).is_armed();
        if armed {
            queue.remove(timers, timer);
        }
        armed
    })
}

/// Last half of a cancel, after the wait: returns whether `timer` is not armed and its task, tested under the same
/// acquisition of the lock, is idle. If not, the call that the canceller waited for has armed it anew, and the cancel
/// starts again.
pub fn is_over<T: Timers + ?Sized>(
    queue: &impl Exclusive<TimerQueue>,
    timers: &T,
    timer: u32,
    task_is_idle: impl FnOnce() -> bool,
) -> bool {
    queue.with(|_| !timers.timer(timer).is_armed() && task_is_idle())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::timers::TimerLinks;

    use std::cell::RefCell;

    struct Alone(RefCell<TimerQueue>);

    impl Exclusive<TimerQueue> for Alone {
        fn with<R>(&self, f: impl FnOnce(&mut TimerQueue) -> R) -> R {
            f(&mut self.0.borrow_mut())
        }
    }

    struct One(TimerLinks);

    impl Timers for One {
        fn timer(&self, _index: u32) -> &TimerLinks {
            &self.0
        }
    }

    /// T59: a disarmed timer does not become due, a due timer is not armed.
    #[test]
    fn a_timer_is_due_or_disarmed() {
        let (timers, queue) = (One(TimerLinks::new()), Alone(RefCell::new(TimerQueue::new())));
        queue.with(|queue| queue.insert(&timers, 0, 5));
        assert!(!hand_over_due(&queue, &timers, 4, |_| unreachable!("not due")));
        let mut due = None;
        assert!(hand_over_due(&queue, &timers, 5, |timer| due = Some(timer)));
        assert_eq!(due, Some(0));
        assert!(!disarm(&queue, &timers, 0));
        queue.with(|queue| queue.insert(&timers, 0, 9));
        assert!(disarm(&queue, &timers, 0) && !disarm(&queue, &timers, 0));
        assert!(!hand_over_due(&queue, &timers, 9, |_| unreachable!("disarmed")));
        assert!(is_over(&queue, &timers, 0, || true) && !is_over(&queue, &timers, 0, || false));
        queue.with(|queue| queue.insert(&timers, 0, 11));
        assert!(!is_over(&queue, &timers, 0, || true), "armed anew by the call that was waited for");
    }
}
