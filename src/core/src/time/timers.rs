//! The timer queue of one CPU: a leftist heap over indices, so that nothing is allocated.
//!
//! The earliest deadline takes constant time, insertion, expiry and cancelling O(log n) in the worst case, because
//! interrupts are masked meanwhile: of a heap that only amortises, the first expiry of many timers may take O(n). Guarded
//! by the lock of the CPU's timer queue.
//!
//! A node's *rank* is the number of nodes on its right spine. No node has a right child of a higher rank than its left
//! one, so a right spine has at most log2(n + 1) nodes, and only right spines are walked.

use crate::list::NIL;
use crate::shim::guarded::{Cell32, Cell64};

/// The links of one timer. Guarded by the lock of the queue it is in.
#[derive(Debug)]
pub struct TimerLinks {
    deadline: Cell64,
    left: Cell32,
    right: Cell32,
    /// The root's is itself. NIL: not in a queue.
    parent: Cell32,
    rank: Cell32,
}

impl TimerLinks {
    /// A timer that is not armed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            deadline: Cell64::new(0),
            left: Cell32::new(NIL),
            right: Cell32::new(NIL),
            parent: Cell32::new(NIL),
            rank: Cell32::new(0),
        }
    }

    /// Returns whether the timer is in a queue.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.parent.get() != NIL
    }

    /// Returns the deadline, in counter ticks.
    #[inline]
    pub fn deadline(&self) -> u64 {
        self.deadline.get()
    }
}

impl Default for TimerLinks {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the links of a timer by its index.
pub trait Timers {
    /// Returns the links of timer `index`.
    fn timer(&self, index: u32) -> &TimerLinks;
}

/// Timers ordered by deadline.
#[derive(Debug)]
pub struct TimerQueue {
    root: u32,
}

impl TimerQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: NIL }
    }

    /// Returns the earliest deadline.
    #[inline]
    pub fn earliest<T: Timers + ?Sized>(&self, timers: &T) -> Option<u64> {
        (self.root != NIL).then(|| timers.timer(self.root).deadline.get())
    }

    /// Arms `index`, which is in no queue, for `deadline`. Returns `true` if it is now the earliest.
    pub fn insert<T: Timers + ?Sized>(&mut self, timers: &T, index: u32, deadline: u64) -> bool {
        let links = timers.timer(index);
        debug_assert!(!links.is_armed(), "timer is armed already");
        links.deadline.set(deadline);
        links.left.set(NIL);
        links.right.set(NIL);
        links.rank.set(1);
        self.set_root(timers, meld(timers, self.root, index));
        self.root == index
    }

    /// Takes out one timer whose deadline is not after `now`.
    pub fn expire<T: Timers + ?Sized>(&mut self, timers: &T, now: u64) -> Option<u32> {
        if self.earliest(timers)? > now {
            return None;
        }
        let index = self.root;
        self.remove(timers, index);
        Some(index)
    }

    /// Takes `index`, which is in this queue, out of it.
    pub fn remove<T: Timers + ?Sized>(&mut self, timers: &T, index: u32) {
        let links = timers.timer(index);
        debug_assert!(links.is_armed(), "timer is not armed");
        let children = meld(timers, links.left.get(), links.right.get());
        if index == self.root {
            self.set_root(timers, children);
        } else {
            let parent = links.parent.get();
            let above = timers.timer(parent);
            if above.left.get() == index {
                above.left.set(children);
            } else {
                above.right.set(children);
            }
            if children != NIL {
                timers.timer(children).parent.set(parent);
            }
            self.restore_ranks(timers, parent);
        }
        links.parent.set(NIL);
    }

    /// Restores the ranks from `node` upwards, where a child has become another one. Of the nodes above, only those that
    /// had the child on their right spine have another rank now.
    fn restore_ranks<T: Timers + ?Sized>(&self, timers: &T, mut node: u32) {
        loop {
            let links = timers.timer(node);
            let before = links.rank.get();
            restore_rank(timers, links);
            if links.rank.get() == before || node == self.root {
                return;
            }
            node = links.parent.get();
        }
    }

    fn set_root<T: Timers + ?Sized>(&mut self, timers: &T, root: u32) {
        self.root = root;
        if root != NIL {
            timers.timer(root).parent.set(root);
        }
    }
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the rank of `node`, which may be NIL.
fn rank_of<T: Timers + ?Sized>(timers: &T, node: u32) -> u32 {
    if node == NIL { 0 } else { timers.timer(node).rank.get() }
}

/// Restores the order of a node's children, and its rank, after one of them has changed.
fn restore_rank<T: Timers + ?Sized>(timers: &T, node: &TimerLinks) {
    let (left, right) = (node.left.get(), node.right.get());
    let (of_left, of_right) = (rank_of(timers, left), rank_of(timers, right));
    if of_left < of_right {
        node.left.set(right);
        node.right.set(left);
    }
    node.rank.set(of_left.min(of_right) + 1);
}

/// Joins two heaps, each of which may be NIL, and returns the root, whose parent the caller sets: their right spines
/// become one, in the order of deadlines.
fn meld<T: Timers + ?Sized>(timers: &T, mut a: u32, mut b: u32) -> u32 {
    let mut root = NIL;
    let mut last = NIL;
    while a != NIL && b != NIL {
        if timers.timer(b).deadline.get() < timers.timer(a).deadline.get() {
            core::mem::swap(&mut a, &mut b);
        }
        append(timers, &mut root, last, a);
        last = a;
        a = timers.timer(a).right.get();
    }
    append(timers, &mut root, last, if a == NIL { b } else { a });
    let mut node = last;
    while node != NIL {
        restore_rank(timers, timers.timer(node));
        node = if node == root { NIL } else { timers.timer(node).parent.get() };
    }
    root
}

/// Makes `node`, which may be NIL, the right child of `last`, or the root if that is NIL.
fn append<T: Timers + ?Sized>(timers: &T, root: &mut u32, last: u32, node: u32) {
    if last == NIL {
        *root = node;
    } else {
        timers.timer(last).right.set(node);
        if node != NIL {
            timers.timer(node).parent.set(last);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<TimerLinks>);

    impl Timers for Table {
        fn timer(&self, index: u32) -> &TimerLinks {
            &self.0[index as usize]
        }
    }

    fn armed(deadlines: &[u64]) -> (Table, TimerQueue) {
        let table = Table(deadlines.iter().map(|_| TimerLinks::new()).collect());
        let mut queue = TimerQueue::new();
        for (index, &deadline) in (0..).zip(deadlines) {
            queue.insert(&table, index, deadline);
        }
        (table, queue)
    }

    #[test]
    fn expire_in_the_order_of_deadlines() {
        let (table, mut queue) = armed(&[30, 10, 20, 40]);
        assert_eq!(queue.earliest(&table), Some(10));
        assert_eq!(queue.expire(&table, 9), None);
        let expired: Vec<u32> = core::iter::from_fn(|| queue.expire(&table, 30)).collect();
        assert_eq!(expired, [1, 2, 0]);
        assert_eq!(queue.earliest(&table), Some(40));
    }

    #[test]
    fn insert_tells_of_a_new_earliest() {
        let (table, mut queue) = armed(&[30, 50]);
        queue.remove(&table, 0);
        assert!(queue.insert(&table, 0, 40));
        queue.remove(&table, 0);
        assert!(!queue.insert(&table, 0, 60));
    }

    /// The nodes that are touched most: those of a right spine.
    #[test]
    fn no_right_spine_is_longer_than_the_logarithm() {
        let count = 1 << 12;
        for step in [0, 1, u64::MAX, 7_919] {
            let deadlines: Vec<u64> =
                (0..count).map(|number: u64| number.wrapping_mul(step) % 10_007).collect();
            let (table, mut queue) = armed(&deadlines);
            for removed in 0..count as u32 {
                let spine = |node: u32| {
                    let right =
                        |node: &u32| Some(table.timer(*node).right.get()).filter(|right| *right != NIL);
                    core::iter::successors(Some(node), right).count()
                };
                if removed.is_multiple_of(64) {
                    let longest = (removed..count as u32).map(spine).max();
                    assert!(longest <= Some(13), "{longest:?} of {} timers", count as u32 - removed);
                }
                queue.remove(&table, removed);
            }
            assert_eq!(queue.earliest(&table), None);
        }
    }

    #[test]
    fn a_timer_can_be_armed_again() {
        let (table, mut queue) = armed(&[1]);
        for deadline in [5, 3] {
            assert!(table.timer(0).is_armed());
            queue.remove(&table, 0);
            assert!(!table.timer(0).is_armed() && queue.earliest(&table).is_none());
            queue.insert(&table, 0, deadline);
            assert_eq!(table.timer(0).deadline(), deadline);
        }
    }
}
