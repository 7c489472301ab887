//! The timer queue of one CPU: a pairing heap over indices, so that nothing is allocated.
//!
//! Insert O(1), earliest O(1), expiry and cancel O(log n) amortised. Guarded by the lock of the CPU's timer queue.

use crate::list::NIL;
use crate::shim::guarded::{Cell32, Cell64};

/// The links of one timer. Guarded by the lock of the queue it is in.
#[derive(Debug)]
pub struct TimerLinks {
    deadline: Cell64,
    /// First child in the heap.
    child: Cell32,
    /// Next sibling.
    next: Cell32,
    /// Previous sibling, or the parent of a first child. Itself for the root. NIL: not in a queue.
    prev: Cell32,
}

impl TimerLinks {
    /// A timer that is not armed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            deadline: Cell64::new(0),
            child: Cell32::new(NIL),
            next: Cell32::new(NIL),
            prev: Cell32::new(NIL),
        }
    }

    /// Returns whether the timer is in a queue.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.prev.get() != NIL
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
        links.child.set(NIL);
        links.next.set(NIL);
        self.set_root(timers, if self.root == NIL { index } else { meld(timers, self.root, index) });
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
        let children = merge_siblings(timers, links.child.get());
        if index == self.root {
            self.set_root(timers, children);
        } else {
            let (prev, next) = (links.prev.get(), links.next.get());
            if timers.timer(prev).child.get() == index {
                timers.timer(prev).child.set(next);
            } else {
                timers.timer(prev).next.set(next);
            }
            if next != NIL {
                timers.timer(next).prev.set(prev);
            }
            if children != NIL {
                let root = meld(timers, self.root, children);
                self.set_root(timers, root);
            }
        }
        links.prev.set(NIL);
        links.next.set(NIL);
        links.child.set(NIL);
    }

    fn set_root<T: Timers + ?Sized>(&mut self, timers: &T, root: u32) {
        self.root = root;
        if root != NIL {
            timers.timer(root).next.set(NIL);
            timers.timer(root).prev.set(root);
        }
    }
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Joins two heaps; the later root becomes the first child of the earlier one.
fn meld<T: Timers + ?Sized>(timers: &T, a: u32, b: u32) -> u32 {
    let (parent, child) =
        if timers.timer(b).deadline.get() < timers.timer(a).deadline.get() { (b, a) } else { (a, b) };
    let first = timers.timer(parent).child.get();
    let links = timers.timer(child);
    links.next.set(first);
    links.prev.set(parent);
    if first != NIL {
        timers.timer(first).prev.set(child);
    }
    timers.timer(parent).child.set(child);
    parent
}

/// Joins a chain of siblings into one heap: pairs from left to right, then all from right to left.
fn merge_siblings<T: Timers + ?Sized>(timers: &T, first: u32) -> u32 {
    let mut pairs = NIL;
    let mut at = first;
    while at != NIL {
        let a = at;
        let b = timers.timer(a).next.get();
        at = if b == NIL { NIL } else { timers.timer(b).next.get() };
        let pair = if b == NIL { a } else { meld(timers, a, b) };
        timers.timer(pair).next.set(pairs);
        pairs = pair;
    }
    let mut root = NIL;
    while pairs != NIL {
        let next = timers.timer(pairs).next.get();
        root = if root == NIL { pairs } else { meld(timers, root, pairs) };
        pairs = next;
    }
    root
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
