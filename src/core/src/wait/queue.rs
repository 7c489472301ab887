//! The wait-queue protocol: prepare, re-test, commit; one named waker for every condition.
//!
//! A sleeper enlists and announces its sleep *while the queue's lock is held*, after re-testing its condition under the
//! same lock; a waker changes the condition first and takes the lock then. So either the sleeper sees the new
//! condition, or the waker sees the sleeper (R12, R17). A timeout or a kill does not touch the queue: it makes the
//! thread runnable, and the thread withdraws itself. The party that unlinks a sleeper decides how its wait ended.
//! Model: `tests/loom_wait.rs`.

use crate::list::{Links, List, Nodes};
use crate::thread::park::{Park, Sleep, Unpark};

/// Finds the wait-queue state of a thread by the thread's index.
pub trait Sleepers {
    /// Returns the links for wait queues (a thread waits in one queue at a time). Guarded by that queue's lock.
    fn wait_links(&self, thread: u32) -> &Links;
    /// Returns the parking state.
    fn park(&self, thread: u32) -> &Park;
}

/// A lock around a value, as a closure: the common interface of the kernel's spin lock and loom's mutex.
pub trait Exclusive<T> {
    /// Runs `f` with the value under the lock. `f` must be short and must not block.
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

/// Views a table of threads as nodes of wait queues.
struct WaitNodes<'a, S: ?Sized>(&'a S);

impl<S: Sleepers + ?Sized> Nodes for WaitNodes<'_, S> {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        self.0.wait_links(index)
    }
}

/// The sleepers of one queue, in the order of their arrival. Guarded by the queue's lock.
#[derive(Debug, Default)]
pub struct Waiters(List);

impl Waiters {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self(List::new())
    }

    /// Returns the number of sleepers, counted one by one: for diagnosis.
    #[must_use]
    pub fn count<S: Sleepers + ?Sized>(&self, sleepers: &S) -> usize {
        self.0.iter(&WaitNodes(sleepers)).count()
    }

    /// Returns whether no thread waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The caller, running as `thread`, enlists and announces its sleep. The caller holds the queue's lock and has
    /// re-tested the condition under it.
    #[inline]
    pub fn prepare<S: Sleepers + ?Sized>(&mut self, sleepers: &S, thread: u32, sleep: Sleep) {
        self.0.push_back(&WaitNodes(sleepers), thread);
        sleepers.park(thread).prepare(sleep);
    }

    /// Takes the sleeper that waits longest out of the queue and makes it runnable. Returns the sleeper, and whether
    /// the caller must enqueue it; `None` if no thread waits.
    #[inline]
    #[must_use = "a thread to enqueue is lost if the result is dropped"]
    pub fn wake_one<S: Sleepers + ?Sized>(&mut self, sleepers: &S) -> Option<(u32, Unpark)> {
        let thread = self.0.pop_front(&WaitNodes(sleepers))?;
        Some((thread, sleepers.park(thread).unpark_taken()))
    }

    /// Takes the first sleeper that `matches` out of the queue and makes it runnable.
    #[must_use = "a thread to enqueue is lost if the result is dropped"]
    pub fn wake_matching<S: Sleepers + ?Sized>(
        &mut self,
        sleepers: &S,
        mut matches: impl FnMut(u32) -> bool,
    ) -> Option<(u32, Unpark)> {
        let nodes = WaitNodes(sleepers);
        let thread = self.0.iter(&nodes).find(|&thread| matches(thread))?;
        self.0.remove(&nodes, thread);
        Some((thread, sleepers.park(thread).unpark_taken()))
    }

    /// The caller, running as `thread`, leaves the queue unless a waker has taken it out already. Returns `true` if no
    /// waker came: the wait ended by timeout, kill, or a stray wake-up. The caller holds the queue's lock.
    #[inline]
    pub fn withdraw<S: Sleepers + ?Sized>(&mut self, sleepers: &S, thread: u32) -> bool {
        let linked = sleepers.wait_links(thread).is_linked();
        if linked {
            self.0.remove(&WaitNodes(sleepers), thread);
        }
        linked
    }
}

/// First half of a wait: enlists unless `ready` holds under the lock. Returns `false` if it holds: there is nothing to
/// wait for.
///
/// Everything else that can end the wait comes after this, because a wake-up is remembered only from here on: a timeout
/// is armed now, and a killable sleeper now tests whether it has a kill pending (R8). It then calls [`Park::cancel`] or
/// switches away, and in both cases [`was_woken`].
#[inline]
pub fn enqueue_unless<S: Sleepers + ?Sized>(
    queue: &impl Exclusive<Waiters>,
    sleepers: &S,
    thread: u32,
    sleep: Sleep,
    ready: impl FnOnce() -> bool,
) -> bool {
    queue.with(|waiters| {
        if ready() {
            return false;
        }
        waiters.prepare(sleepers, thread, sleep);
        true
    })
}

/// Second half of a wait, after the thread runs again: returns whether a waker ended it.
///
/// The links alone are not enough: a timeout or a kill may have made the thread runnable while a waker is still between
/// the unlinking and its `unpark`, and the thread could enlist elsewhere, or die, before that waker is done with it
/// (R4, R13). The parking state is enough without a lock if that waker was the last to touch it.
#[inline]
pub fn was_woken<S: Sleepers + ?Sized>(queue: &impl Exclusive<Waiters>, sleepers: &S, thread: u32) -> bool {
    sleepers.park(thread).was_taken() || !queue.with(|waiters| waiters.withdraw(sleepers, thread))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    use std::cell::RefCell;

    struct Threads(Vec<(Links, Park)>);

    impl Sleepers for Threads {
        fn wait_links(&self, thread: u32) -> &Links {
            &self.0[thread as usize].0
        }
        fn park(&self, thread: u32) -> &Park {
            &self.0[thread as usize].1
        }
    }

    struct Alone(RefCell<Waiters>);

    impl Exclusive<Waiters> for Alone {
        fn with<R>(&self, f: impl FnOnce(&mut Waiters) -> R) -> R {
            f(&mut self.0.borrow_mut())
        }
    }

    fn threads() -> Threads {
        Threads((0..4).map(|_| (Links::new(), Park::new())).collect())
    }

    /// `0..count` sleep in this order.
    fn asleep(threads: &Threads, count: u32) -> Waiters {
        let mut waiters = Waiters::new();
        for thread in 0..count {
            waiters.prepare(threads, thread, Sleep::Killable);
            assert!(threads.park(thread).commit());
        }
        waiters
    }

    #[test]
    fn longest_sleeper_wakes_first() {
        let threads = threads();
        let mut waiters = asleep(&threads, 2);
        assert_eq!(waiters.wake_one(&threads), Some((0, Unpark::Enqueue)));
        assert_eq!(waiters.wake_one(&threads), Some((1, Unpark::Enqueue)));
        assert_eq!(waiters.wake_one(&threads), None);
    }

    #[test]
    fn a_chosen_sleeper_wakes() {
        let threads = threads();
        let mut waiters = asleep(&threads, 3);
        assert_eq!(waiters.wake_matching(&threads, |thread| thread == 1), Some((1, Unpark::Enqueue)));
        assert_eq!(waiters.wake_matching(&threads, |thread| thread == 1), None);
        assert_eq!(waiters.count(&threads), 2);
    }

    #[test]
    fn whoever_unlinks_decides() {
        let threads = threads();
        let queue = Alone(RefCell::new(asleep(&threads, 2)));
        let woken = queue.with(|waiters| waiters.wake_one(&threads));
        assert_eq!(woken, Some((0, Unpark::Enqueue)));
        assert!(was_woken(&queue, &threads, 0));
        assert_eq!(threads.park(1).unpark_killable(), Unpark::Enqueue);
        assert!(!was_woken(&queue, &threads, 1), "the kill ended it");
        assert!(queue.0.borrow().is_empty(), "T89: no stale entry");
    }

    #[test]
    fn a_condition_that_holds_needs_no_sleep() {
        let threads = threads();
        let queue = Alone(RefCell::new(Waiters::new()));
        assert!(!enqueue_unless(&queue, &threads, 0, Sleep::Killable, || true));
        assert!(threads.park(0).sleeping().is_none() && queue.0.borrow().is_empty());
        assert!(enqueue_unless(&queue, &threads, 0, Sleep::Killable, || false));
        assert!(threads.park(0).is_parking());
    }
}
