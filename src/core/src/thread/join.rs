//! Joins that would wait for each other in a ring, of any length, whose processes do not matter.
//!
//! A thread that waits for another one's end states that before it looks ([`JoinEdge`]), so of the threads that close a
//! ring the last one to state its wait finds all others. Others may find the ring, too; they look a second time under
//! one lock, and the first one that still finds it withdraws, so one thread of a ring is refused. Model:
//! `tests/loom_join.rs`.
//!
//! Only waits without a deadline count, because others end by themselves, and only those of threads without a kill
//! pending.

use crate::shim::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::shim::const_unless_loom;

/// The thread whose end is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its index.
    pub thread: u32,
    /// Identifies it among the threads that use the index in turn; not 0.
    pub key: u64,
}

/// For whose end a thread waits. Written by the thread itself.
#[derive(Debug)]
pub struct JoinEdge {
    /// The key of the target, 0: it waits for none.
    key: AtomicU64,
    thread: AtomicU32,
}

impl JoinEdge {
    const_unless_loom! {
        /// The thread waits for none.
        pub fn new() -> Self {
            Self { key: AtomicU64::new(0), thread: AtomicU32::new(0) }
        }
    }

    fn begin(&self, target: Target) {
        // A look that meets the new index with the former key finds a thread that has ended, or none of that key.
        self.thread.store(target.thread, Ordering::Relaxed);
        self.key.store(target.key, Ordering::Release);
        // Store-load order: of two threads that state their waits at the same time, one sees the other's.
        fence(Ordering::SeqCst);
    }

    /// The thread waits no more.
    #[inline]
    pub fn end(&self) {
        self.key.store(0, Ordering::Release);
    }

    #[inline]
    fn is_any(&self) -> bool {
        self.key.load(Ordering::Relaxed) != 0
    }

    /// Returns the target. One that changes meanwhile may be read as none, or as one that has ended.
    fn get(&self) -> Option<Target> {
        // Acquire, twice: the key is read before the index and after it.
        let key = self.key.load(Ordering::Acquire);
        let thread = self.thread.load(Ordering::Acquire);
        (key != 0 && self.key.load(Ordering::Acquire) == key).then_some(Target { thread, key })
    }
}

impl Default for JoinEdge {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds out about a thread by its index.
pub trait Joins {
    /// Returns for whom thread `index` waits.
    fn join_edge(&self, index: u32) -> &JoinEdge;

    /// Returns whether `target` has ended, or will do so without waiting, because it has a kill pending.
    fn ends(&self, target: Target) -> bool;
}

/// Thread `me`, the caller, whose edge is `edge`, is about to wait for the end of `target`, without a deadline: states that, until
/// [`JoinEdge::end`]. Returns `false`, and states nothing, if the wait would close a ring. `lock` excludes other callers
/// until its result is dropped; it is called only if there is a ring.
#[inline]
pub fn begin<J: Joins + ?Sized, G>(
    joins: &J,
    (me, edge): (u32, &JoinEdge),
    target: Target,
    lock: impl FnOnce() -> G,
) -> bool {
    edge.begin(target);
    if !joins.join_edge(target.thread).is_any() || !closes_ring(joins, me, target) {
        return true;
    }
    let _one_at_a_time = lock();
    let ring = closes_ring(joins, me, target);
    if ring {
        edge.end();
    }
    !ring
}

/// Returns whether `target` waits for `me`, perhaps by way of others.
#[inline(never)]
fn closes_ring<J: Joins + ?Sized>(joins: &J, me: u32, target: Target) -> bool {
    // No ring without `me` can be met, because the last one to close it has been refused.
    let chain = core::iter::successors(Some(target), |target| joins.join_edge(target.thread).get());
    for target in chain {
        if joins.ends(target) {
            return false;
        }
        if target.thread == me {
            return true;
        }
    }
    false
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Threads, and which of them have ended. The key is the index plus 100.
    struct Threads(Vec<JoinEdge>, Vec<u32>);

    impl Joins for Threads {
        fn join_edge(&self, index: u32) -> &JoinEdge {
            &self.0[index as usize]
        }

        fn ends(&self, target: Target) -> bool {
            self.1.contains(&target.thread) || target != to(target.thread)
        }
    }

    fn to(thread: u32) -> Target {
        Target { thread, key: u64::from(thread) + 100 }
    }

    fn threads(count: u32, ended: &[u32]) -> Threads {
        Threads((0..count).map(|_| JoinEdge::new()).collect(), ended.to_vec())
    }

    fn begins(threads: &Threads, me: u32, target: u32) -> bool {
        begin(threads, (me, threads.join_edge(me)), to(target), || ())
    }

    #[test]
    fn a_ring_of_any_length_is_refused() {
        for length in 2..9 {
            let threads = threads(length, &[]);
            assert!((0..length - 1).all(|me| begins(&threads, me, me + 1)));
            assert!(!begins(&threads, length - 1, 0));
            threads.0[0].end();
            assert!(begins(&threads, length - 1, 0), "it does not wait any more");
        }
    }

    #[test]
    fn chains_and_trees_are_no_rings() {
        let threads = threads(6, &[]);
        assert!(
            [(5, 0), (4, 0), (3, 4), (0, 1), (1, 2)].iter().all(|&(me, target)| begins(&threads, me, target))
        );
        assert!(!begins(&threads, 2, 3), "3, 4, 0, 1, 2");
    }

    /// The wait of a thread whose target has ended, or that will not wait, is over soon.
    #[test]
    fn what_ends_closes_no_ring() {
        let threads = threads(3, &[1]);
        assert!(begins(&threads, 0, 1) && begins(&threads, 1, 2) && begins(&threads, 2, 0));
    }

    #[test]
    fn the_next_user_of_an_index_is_another_thread() {
        let threads = threads(2, &[]);
        assert!(begin(&threads, (0, threads.join_edge(0)), Target { thread: 1, key: 7 }, || ()));
        assert!(begins(&threads, 1, 0), "0 waits for a former 1");
    }
}
