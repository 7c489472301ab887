//! The run queue of one CPU: a FIFO list per priority and a bitmap of those that are not empty.
//!
//! Used by its own CPU only, interrupts masked, as in LWKT; everything is O(1). Round robin inside a priority follows
//! from FIFO: a thread that used up its slice, or came late, goes to the end, so none waits for more than one turn of
//! each other thread of its priority.

use crate::list::{List, Nodes};
use crate::sched::priority::Priority;

/// The runnable threads of one CPU, except the running one.
#[derive(Debug)]
pub struct RunQueue {
    /// Bit n is set while `levels[n]` is not empty.
    occupied: u32,
    len: u32,
    levels: [List; Priority::LEVELS],
}

impl RunQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { occupied: 0, len: 0, levels: [const { List::new() }; Priority::LEVELS] }
    }

    /// Returns the number of threads.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether no thread waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Returns the best priority that waits.
    #[inline]
    pub fn best(&self) -> Option<Priority> {
        // The bitmap has 32 bits, so the level is always valid.
        self.occupied.checked_ilog2().map(Priority::from_level)
    }

    /// Adds a thread after all others of its priority.
    #[inline]
    pub fn push_back<N: Nodes + ?Sized>(&mut self, nodes: &N, thread: u32, priority: Priority) {
        self.levels[usize::from(priority.level())].push_back(nodes, thread);
        self.occupied |= 1 << priority.level();
        self.len += 1;
    }

    /// Adds a thread before all others of its priority, because a better one preempted it within its slice.
    #[inline]
    pub fn push_front<N: Nodes + ?Sized>(&mut self, nodes: &N, thread: u32, priority: Priority) {
        self.levels[usize::from(priority.level())].push_front(nodes, thread);
        self.occupied |= 1 << priority.level();
        self.len += 1;
    }

    /// Takes out the thread to run next.
    #[inline]
    pub fn pop_best<N: Nodes + ?Sized>(&mut self, nodes: &N) -> Option<u32> {
        let level = self.occupied.checked_ilog2()?;
        // The index of a bit of a 32-bit word, so that no bounds check stays.
        let list = &mut self.levels[level as usize % Priority::LEVELS];
        let thread = list.pop_front(nodes)?;
        if list.is_empty() {
            self.occupied &= !(1 << level);
        }
        self.len -= 1;
        Some(thread)
    }

    /// Puts `thread` after all others of its `priority`, of which there is at least one, and takes out the first of
    /// these: a turn of the round robin, for less than a `push_back` and a `pop_best`.
    #[inline]
    pub fn rotate<N: Nodes + ?Sized>(&mut self, nodes: &N, thread: u32, priority: Priority) -> Option<u32> {
        self.levels[usize::from(priority.level())].rotate(nodes, thread)
    }

    /// Takes out a thread that `may_leave` to run on another CPU: the best priority first, and of that the last in
    /// line, so that threads that are about to run here stay. Examines no more than `limit` threads.
    pub fn steal<N: Nodes + ?Sized>(
        &mut self,
        nodes: &N,
        limit: u32,
        mut may_leave: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut looked = 0;
        let mut remaining = self.occupied;
        while let Some(level) = remaining.checked_ilog2() {
            remaining &= !(1 << level);
            let mut at = self.levels[level as usize].last();
            while let Some(thread) = at {
                if looked == limit {
                    return None;
                }
                looked += 1;
                if may_leave(thread) {
                    self.take(nodes, thread, level);
                    return Some(thread);
                }
                at = self.levels[level as usize].previous(nodes, thread);
            }
        }
        None
    }

    /// `thread`, which waits with the priority `from` or `to`, waits with `to` from here on: after the others of that
    /// priority, unless it is at one end of these already.
    pub fn requeue<N: Nodes + ?Sized>(&mut self, nodes: &N, thread: u32, from: Priority, to: Priority) {
        let better = &self.levels[usize::from(to.level())];
        if from == to || better.first() == Some(thread) || better.last() == Some(thread) {
            return;
        }
        // If it is in the middle of the better list, its removal touches its neighbours only, whichever list is named.
        self.take(nodes, thread, u32::from(from.level()));
        self.push_back(nodes, thread, to);
    }

    /// Takes out `thread`, which waits at `level`.
    fn take<N: Nodes + ?Sized>(&mut self, nodes: &N, thread: u32, level: u32) {
        let list = &mut self.levels[level as usize];
        list.remove(nodes, thread);
        if list.is_empty() {
            self.occupied &= !(1 << level);
        }
        self.len -= 1;
    }
}

impl Default for RunQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::list::Links;

    struct Threads(Vec<Links>);

    impl Nodes for Threads {
        fn links(&self, index: u32) -> &Links {
            &self.0[index as usize]
        }
    }

    fn threads() -> Threads {
        Threads((0..16).map(|_| Links::new()).collect())
    }

    /// A queue with `waiting` in it, all of one priority.
    fn filled(threads: &Threads, waiting: core::ops::Range<u32>) -> RunQueue {
        let mut queue = RunQueue::new();
        waiting.for_each(|thread| queue.push_back(threads, thread, Priority::NORMAL));
        queue
    }

    #[test]
    fn better_priority_runs_first() {
        let threads = threads();
        let mut queue = filled(&threads, 0..2);
        queue.push_back(&threads, 2, Priority::HIGHEST);
        queue.push_back(&threads, 3, Priority::LOWEST);
        assert_eq!(queue.best(), Some(Priority::HIGHEST));
        let order: Vec<u32> = core::iter::from_fn(|| queue.pop_best(&threads)).collect();
        assert_eq!(order, [2, 0, 1, 3]);
        assert_eq!((queue.is_empty(), queue.len(), queue.best()), (true, 0, None));
    }

    #[test]
    fn round_robin_gives_equal_turns() {
        let threads = threads();
        let mut queue = filled(&threads, 0..5);
        let mut turns = [0; 5];
        for _ in 0..5 * 20 {
            let running = queue.pop_best(&threads).expect("five threads take turns");
            turns[running as usize] += 1;
            queue.push_back(&threads, running, Priority::NORMAL);
        }
        assert_eq!(turns, [20; 5]);
    }

    /// Late arrivals are treated fairly: a newcomer waits one turn of each thread that was there, and no more.
    #[test]
    fn a_late_arrival_waits_one_round() {
        let threads = threads();
        let mut queue = filled(&threads, 0..5);
        queue.push_back(&threads, 9, Priority::NORMAL);
        for turn in 0..6 {
            let running = queue.pop_best(&threads).expect("there are six");
            assert_eq!(running == 9, turn == 5, "turn {turn}");
            queue.push_back(&threads, running, Priority::NORMAL);
        }
    }

    #[test]
    fn a_preempted_thread_goes_on_first() {
        let threads = threads();
        let mut queue = filled(&threads, 0..3);
        queue.push_front(&threads, 7, Priority::NORMAL);
        assert_eq!(queue.pop_best(&threads), Some(7));
    }

    #[test]
    fn a_raised_thread_is_moved_from_any_place() {
        let (from, to) = (Priority::NORMAL, Priority::HIGHEST);
        for raised in 0..3 {
            let threads = threads();
            let mut queue = filled(&threads, 0..3);
            queue.push_back(&threads, 9, to);
            queue.requeue(&threads, raised, from, to);
            assert_eq!((queue.len(), queue.best()), (4, Some(to)));
            let order: Vec<u32> = core::iter::from_fn(|| queue.pop_best(&threads)).collect();
            let others = (0..3).filter(|other| *other != raised);
            assert!(order.iter().copied().eq([9, raised].into_iter().chain(others)), "{order:?}");
            assert_eq!((queue.is_empty(), queue.len()), (true, 0));
        }
    }

    // Its CPU may have queued it with the new priority before the message came.
    #[test]
    fn one_that_was_queued_after_its_raise_stays_in_its_list() {
        let (from, to) = (Priority::LOWEST, Priority::HIGHEST);
        for count in 1..5 {
            for raised in 0..count {
                for with_others in [false, true] {
                    let threads = threads();
                    let mut queue = RunQueue::new();
                    (0..count).for_each(|thread| queue.push_back(&threads, thread, to));
                    if with_others {
                        queue.push_back(&threads, 9, from);
                    }
                    queue.requeue(&threads, raised, from, to);
                    let mut order: Vec<u32> = core::iter::from_fn(|| queue.pop_best(&threads)).collect();
                    assert_eq!(order.pop_if(|last| *last == 9).is_some(), with_others);
                    order.sort_unstable();
                    assert!(order.into_iter().eq(0..count));
                    assert_eq!((queue.is_empty(), queue.len()), (true, 0));
                }
            }
        }
    }

    #[test]
    fn stealing_takes_the_last_of_the_best() {
        let threads = threads();
        let mut queue = filled(&threads, 0..4);
        queue.push_back(&threads, 8, Priority::LOWEST);
        assert_eq!(queue.steal(&threads, 8, |_| true), Some(3));
        assert_eq!(
            queue.steal(&threads, 8, |thread| thread < 2),
            Some(1),
            "the others are bound to this CPU"
        );
        assert_eq!(queue.steal(&threads, 2, |thread| thread == 8), None, "looked at two only");
        assert_eq!(queue.steal(&threads, 3, |thread| thread == 8), Some(8));
        assert_eq!(queue.len(), 2);
    }
}
