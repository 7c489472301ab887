//! The holder of a mutex, named by the mutex's word, and mutexes whose holder ends.
//!
//! A thread has one number at a time ([`HolderId`]), and the word of a mutex that it holds ([`HolderWord`]) is that
//! number. A thread that ends and may hold mutexes takes another number: no mutex is found or touched for that, but
//! its former number names no thread any more, so the next one that wants one of these mutexes takes it over. A thread
//! has stated that it waits for a mutex ([`HolderWait`]) before it reads whether the number names a thread, and the
//! thread that ends takes the new number before it reads which threads wait. So either the waiter takes the mutex over,
//! or the thread that ends wakes the waiter. Model: `tests/loom_holder.rs`.
//!
//! For which holder a thread waits is not stated, because a mutex can change hands while its waiters sleep. So those
//! that wait for other mutexes are woken, too, test theirs again, and sleep on: the end of a holder is rare.

use crate::shim::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::shim::const_unless_loom;

/// The word of a mutex that is not held.
const FREE: u64 = 0;
/// Added to the holder's number: a thread may wait.
const CONTENDED: u64 = 1;
/// A number has the thread's index above that mark, so that the thread is found.
const INDEX_SHIFT: u32 = 1;
/// Above the index there is a count of the numbers that the thread has had.
const COUNT_ONE: u64 = 1 << 33;

/// The number by which a thread is named as the holder of mutexes. Written by the thread itself.
#[derive(Debug)]
pub struct HolderId(AtomicU64);

impl HolderId {
    const_unless_loom! {
        /// That of the thread with this index, which is not 0.
        pub fn new(index: u32) -> Self {
            Self(AtomicU64::new((index as u64) << INDEX_SHIFT))
        }
    }

    /// Returns the number. Called by the thread itself.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The thread gives up what it holds, and takes another number. It wakes every thread that waits afterwards
    /// ([`HolderWait::is_any`]).
    pub fn renew(&self) {
        let former = self.get();
        // Release: pairs with the Acquire in `is_given_up`, for what the holder has written to the values.
        self.0.store(former.wrapping_add(COUNT_ONE), Ordering::Release);
        // Store-load order against `HolderWord::take_or_announce`.
        fence(Ordering::SeqCst);
    }
}

/// Finds the number of a thread by the thread's index.
pub trait Holders {
    /// Returns the number of thread `index`.
    fn holder_id(&self, index: u32) -> &HolderId;
}

/// Whether a thread waits for a mutex. Written by the thread itself.
#[derive(Debug)]
pub struct HolderWait(AtomicBool);

impl HolderWait {
    const_unless_loom! {
        /// The thread waits for none.
        pub fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    /// The thread waits no more.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Returns whether the thread waits. Called after [`HolderId::renew`].
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for HolderWait {
    fn default() -> Self {
        Self::new()
    }
}

/// How a mutex was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It was free.
    Free,
    /// Its holder has given it up.
    GivenUp,
}

/// The word of a mutex. Lock-free.
#[derive(Debug)]
pub struct HolderWord(AtomicU64);

impl HolderWord {
    const_unless_loom! {
        /// That of a free mutex.
        pub fn new() -> Self {
            Self(AtomicU64::new(FREE))
        }
    }

    /// Takes a free mutex for the thread with number `id`.
    #[inline(always)]
    pub fn take(&self, id: u64) -> bool {
        self.0.compare_exchange(FREE, id, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes a mutex whose holder has given it up, for the thread with number `id`.
    pub fn take_over<H: Holders + ?Sized>(&self, holders: &H, id: u64) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        // A waiter of the former holder may still be asleep.
        is_given_up(holders, word)
            && self.0.compare_exchange(word, id | CONTENDED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the mutex for the thread with number `id` if it is free or was given up. Otherwise marks that a thread waits
    /// for it, which `wait` states until [`HolderWait::end`]: `None`. Called by that thread, where those that wake the
    /// mutex's waiters find it from here on.
    pub fn take_or_announce<H: Holders + ?Sized>(
        &self,
        holders: &H,
        id: u64,
        wait: &HolderWait,
    ) -> Option<Taken> {
        wait.0.store(true, Ordering::Relaxed);
        // Store-load order against `HolderId::renew`.
        fence(Ordering::SeqCst);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let taken = match word {
                FREE => Some(Taken::Free),
                held => is_given_up(holders, held).then_some(Taken::GivenUp),
            };
            // With the mark, because others may wait, too.
            let new = if taken.is_some() { id } else { word } | CONTENDED;
            match self.0.compare_exchange(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(seen) => word = seen,
            }
        }
    }

    /// Frees the mutex; returns whether a thread may wait for it. The mutex may be gone afterwards.
    #[inline(always)]
    pub fn free(&self) -> bool {
        self.0.swap(FREE, Ordering::Release) & CONTENDED != 0
    }

    /// Returns whether its holder has given it up.
    pub fn is_given_up<H: Holders + ?Sized>(&self, holders: &H) -> bool {
        is_given_up(holders, self.0.load(Ordering::Relaxed))
    }
}

impl Default for HolderWord {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns whether the number in `word` names no thread any more.
fn is_given_up<H: Holders + ?Sized>(holders: &H, word: u64) -> bool {
    let id = word & !CONTENDED;
    // Acquire: pairs with the Release in `renew`.
    id != FREE && holders.holder_id((id >> INDEX_SHIFT) as u32).0.load(Ordering::Acquire) != id
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Threads([HolderId; 3]);

    impl Holders for Threads {
        fn holder_id(&self, index: u32) -> &HolderId {
            &self.0[index as usize]
        }
    }

    fn threads() -> Threads {
        Threads([0, 1, 2].map(HolderId::new))
    }

    #[test]
    fn a_mutex_has_one_holder() {
        let (threads, word, wait) = (threads(), HolderWord::new(), HolderWait::new());
        let [first, second] = [1, 2].map(|index| threads.0[index].get());
        assert!(word.take(first) && !word.take(second) && !word.take_over(&threads, second));
        assert!(!word.free(), "no thread has waited");
        assert!(word.take(second) && !wait.is_any());
        assert_eq!(word.take_or_announce(&threads, first, &wait), None);
        assert!(wait.is_any() && !word.is_given_up(&threads));
        assert!(word.free(), "one waits");
        assert_eq!(word.take_or_announce(&threads, first, &wait), Some(Taken::Free));
        assert!(word.free(), "others may wait");
        wait.end();
        assert!(!wait.is_any());
    }

    #[test]
    fn what_was_given_up_is_taken_over_once() {
        let (threads, word, wait) = (threads(), HolderWord::new(), HolderWait::new());
        let [first, second] = [1, 2].map(|index| threads.0[index].get());
        assert!(word.take(first));
        assert_eq!(word.take_or_announce(&threads, second, &wait), None);
        threads.0[1].renew();
        assert!(word.is_given_up(&threads));
        assert_eq!(word.take_or_announce(&threads, second, &wait), Some(Taken::GivenUp));
        // The one that has given it up goes on with its new number.
        let again = threads.0[1].get();
        assert!(!word.take(again) && !word.take_over(&threads, again));
        assert!(word.free() && word.take(again));
        threads.0[1].renew();
        assert!(word.take_over(&threads, second) && !word.is_given_up(&threads));
        assert!(word.free(), "a former waiter may sleep");
    }
}
