//! Sleeping mutexes.
//!
//! A guard is a kernel guard: an LWP that holds one is not killed before it has dropped it (DESIGN: never while it
//! holds kernel guards), so a kill loses no mutex (T43). An LWP that ends by itself with a guard (it exits, panics, or
//! faults) gives the mutex up: the next to lock it gets it, and finds it poisoned.
//!
//! How a mutex is given up without being found is the protocol of `asphodel_core::wait::holder`: a mutex is touched by
//! those alone that have borrowed it, so a guard may be forgotten. Its waiters sleep on its address (`channel`).

use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use asphodel_core::wait::holder::{HolderWord, Taken};
use asphodel_core::wait::reason::Reason;

use crate::arch::cpu;
use crate::sync::channel::{self, Key};
use crate::sync::service::{self, Around, KernelSection, KillShield};
use crate::sync::wait_queue::{WaitOptions, WaitResult};
use crate::thread::{THREADS, Thread};

/// A value that one thread at a time may use; others sleep meanwhile.
///
/// # Poisoning
/// An LWP that exits, panics or faults while it holds a guard may leave the value half changed. Its mutex is given up
/// then, and is *poisoned*: [`Mutex::lock`] and [`Mutex::try_lock`] still return a guard, and whether the value can be
/// trusted is the caller's decision. Ask [`MutexGuard::is_poisoned`]; who has put the value right, or does not mind,
/// calls [`Mutex::clear_poison`]. (`PTHREAD_MUTEX_ROBUST` has `EOWNERDEAD` and `pthread_mutex_consistent` for this.) A
/// kill does not poison, because it takes effect when the guard is dropped.
#[derive(Debug)]
pub struct Mutex<T> {
    holder: HolderWord,
    /// Written by its holder.
    poisoned: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, and there is one guard at a time: a guard is dropped by the thread
// that made it, and one that was given up is never used again. The value goes from thread to thread, hence `T: Send`.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: moving the mutex moves the value.
unsafe impl<T: Send> Send for Mutex<T> {}

/// The right to use the value of a [`Mutex`]; dropping it unlocks. Not `Send`.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    // Dropped after `drop` has unlocked: the kill point at the end of the guard comes when the mutex is free.
    _shield: KillShield,
}

impl<T> Mutex<T> {
    /// A free mutex.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { holder: HolderWord::new(), poisoned: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Waits for the mutex. The value may be half changed if a former holder has ended in the middle: see
    /// [`MutexGuard::is_poisoned`]. If the LWP is killed while it waits, the call does not return. Thread context;
    /// blocks.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let shield = KillShield::enter();
        if !self.holder.take(Thread::current().holder_id.get()) && !self.lock_contended() {
            // Here, where no more of the stack is used than when it was probed.
            service::die_waiting(Thread::current());
        }
        cpu::mark_end_of_service();
        MutexGuard { mutex: self, _shield: shield }
    }

    /// As [`Mutex::lock`], for a wait that locks the mutex again at the end of its system call, the only one that the
    /// LWP is in. `None`: a kill has ended the wait for the mutex. Blocks.
    pub(super) fn lock_again(&self) -> Option<MutexGuard<'_, T>> {
        let shield = KillShield::enter();
        let locked = self.holder.take(Thread::current().holder_id.get()) || self.wait_for_holder();
        locked.then(|| MutexGuard { mutex: self, _shield: shield })
    }

    /// Returns the mutex's guard, if it is free now. The value may be half changed, as after [`Mutex::lock`]. Thread
    /// context; never blocks.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let shield = KillShield::enter();
        let id = Thread::current().holder_id.get();
        let locked = self.holder.take(id) || self.take_over(id);
        cpu::mark_end_of_service();
        // `then`, not `then_some`: dropping an eagerly built guard would unlock the holder's mutex.
        locked.then(|| MutexGuard { mutex: self, _shield: shield })
    }

    /// Takes a mutex whose holder has given it up, for the calling thread; `false`: there is a holder, or none.
    #[cold]
    fn take_over(&self, id: u64) -> bool {
        let taken = self.holder.take_over(&THREADS, id);
        if taken {
            self.poisoned.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Waits for the mutex and takes it; `false`: the LWP has to end instead. Program code, perhaps in a system call.
    #[cold]
    fn lock_contended(&self) -> bool {
        // A system call, because a kill that guards do not delay any more would end the LWP in the queue.
        let _section = KernelSection::enter();
        self.wait_for_holder()
    }

    /// Waits for the mutex and takes it; `false`: a kill has ended the wait. In a section that has been entered for this
    /// wait, and in the shield of the guard that is to be.
    fn wait_for_holder(&self) -> bool {
        let thread = Thread::current();
        // An LWP inside other sections (with other guards) must get this one, too, to leave them, so a kill must not
        // end its wait, unless all are guards of program code and it is overdue; without others it may die here.
        let options = match service::around_wait_for_guard(thread) {
            Around::Nothing => WaitOptions::killable(Reason::Mutex),
            Around::Guards => WaitOptions::until_overdue(Reason::Mutex),
            Around::Calls => WaitOptions::uninterruptible(Reason::Mutex),
        };
        let key = self.key();
        // Each turn is a wake-up: by the holder that has unlocked it, or by one that has given it up.
        while let Some(woken) = channel::sleep_unless(key, options, || self.take_or_announce(thread)) {
            if woken == WaitResult::Killed {
                thread.holder_wait.end();
                return false;
            }
        }
        thread.holder_wait.end();
        true
    }

    /// Takes the mutex for `thread`, the caller, or states that it waits. Called when it has registered for the sleep.
    fn take_or_announce(&self, thread: &Thread) -> bool {
        let taken = self.holder.take_or_announce(&THREADS, thread.holder_id.get(), &thread.holder_wait);
        if taken == Some(Taken::GivenUp) {
            self.poisoned.store(true, Ordering::Relaxed);
        }
        taken.is_some()
    }

    /// What its waiters sleep under: its address.
    fn key(&self) -> Key {
        Key::mutex(core::ptr::from_ref(&self.holder) as usize)
    }

    /// Returns whether a holder has ended while it held the mutex, and [`Mutex::clear_poison`] has not been called since.
    /// Exact if the caller holds it.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed) || self.holder.is_given_up(&THREADS)
    }

    /// The value is as it should be again. To be called by the holder.
    pub fn clear_poison(&self) {
        self.poisoned.store(false, Ordering::Relaxed);
    }

    /// The value, by exclusive access to the mutex itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// The running thread ends and may hold mutexes: they are given up, and those that wait for them are woken. In an exit
/// hook it may lock mutexes again. Thread context; never blocks.
#[cold]
pub(crate) fn give_up_all(thread: &Thread) {
    thread.holder_id.renew();
    for index in 1..THREADS.len() {
        let waiter = THREADS.get(index);
        if waiter.holder_wait.is_any() {
            // It sleeps, or has registered for it. One wake-up for each waiter: those who sleep again go behind the
            // others, so each is reached, and the walk ends.
            channel::wake(Key::of(waiter), 1);
        }
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Returns whether a former holder has ended while it held the mutex, so that the value may be half changed. See
    /// [`Mutex`].
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.mutex.poisoned.load(Ordering::Relaxed)
    }

    /// Unlocks the mutex and returns it, for waits that lock it again.
    pub(crate) fn unlock(self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let mutex = self.mutex;
        if mutex.holder.free() {
            // By its address, because the mutex may be gone as soon as it is free.
            channel::wake(mutex.key(), 1);
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only one, and borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}
