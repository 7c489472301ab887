//! Serializing tokens: mutual exclusion for as long as the holder runs (lwkt_token(9)).
//!
//! A token is released when its holder blocks and taken back before the holder continues, all of its tokens together or
//! none: a thread that waits for a token holds none, so there is no lock order and no deadlock. The price is that
//! anything the token protects may change across a block, so the data are lent for non-blocking sections only
//! ([`TokenGuard::access`]): no borrow can live across a block, and a block inside such a section ends the process.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};
use core::cell::UnsafeCell;

use asphodel_core::wait::reason::Reason;

use crate::arch::cpu;
use crate::sync::preempt::preempt_disable;
use crate::sync::program_code;
use crate::sync::service::{self, KernelSection, KillShield};
use crate::sync::wait_queue::{WaitOptions, WaitQueue, WaitResult};
use crate::thread::{MAX_TOKENS, Thread, end_mark};

const FREE: u32 = 0;

/// A token without its data: the target of a thread's list of tokens.
#[derive(Debug)]
struct RawToken {
    /// The thread that owns it, or [`FREE`].
    owner: AtomicU32,
    /// A section of the owner uses the value.
    lent: AtomicBool,
    queue: WaitQueue,
}

/// A value protected by a serializing token.
#[derive(Debug)]
pub struct Token<T> {
    raw: RawToken,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the token's owner only, without a block in between, one section at a time.
unsafe impl<T: Send> Sync for Token<T> {}

/// A token that the running thread holds. See [`Token::with`].
#[derive(Debug)]
pub struct TokenGuard<'a, T> {
    token: &'a Token<T>,
}

impl<T> Token<T> {
    /// A free token around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawToken {
                owner: AtomicU32::new(FREE),
                lent: AtomicBool::new(false),
                queue: WaitQueue::new(),
            },
            value: UnsafeCell::new(value),
        }
    }

    /// Holds the token while `f` runs. `f` may block, and take more tokens, in any order; recursion is allowed.
    ///
    /// Taking a token that another thread holds is itself a block: tokens held already may pass to others meanwhile.
    /// The LWP is not killed before the call ends, unless a kill has been pending for a second or a little more. Thread
    /// context; blocks.
    ///
    /// # Panics
    /// When the thread would hold more than eight tokens.
    pub fn with<R>(&self, f: impl FnOnce(&mut TokenGuard<'_, T>) -> R) -> R {
        let _shield = KillShield::enter();
        let thread = Thread::current();
        let count = thread.token_count.get();
        assert!((count as usize) < MAX_TOKENS, "a thread holds at most {MAX_TOKENS} tokens");
        let recursive = self.raw.is_mine(thread);
        thread.tokens[count as usize].store(core::ptr::from_ref(&self.raw) as usize, Ordering::Relaxed);
        // An interrupt that ends the LWP finds the token in its place.
        compiler_fence(Ordering::SeqCst);
        thread.token_count.set(count + 1);
        if !recursive && !self.raw.try_take(thread) && !take_contended(thread, count) {
            // Here, where no more of the stack is used than when it was probed.
            service::die_waiting(thread);
        }
        cpu::mark_end_of_service();
        let result = program_code::call_in_place(|| f(&mut TokenGuard { token: self }));
        if !recursive {
            self.raw.give_back();
        }
        // It is listed until its waiter has been woken: see `give_up_all`.
        compiler_fence(Ordering::SeqCst);
        thread.token_count.set(count);
        result
    }
}

impl<T> TokenGuard<'_, T> {
    /// Lends the data for a section that does not block: preemption is disabled meanwhile.
    ///
    /// # Panics
    /// A nested section of the same token.
    pub fn access<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        let _stay = preempt_disable();
        let lent = &self.token.raw.lent;
        assert!(!lent.load(Ordering::Relaxed), "the value of a token is lent twice");
        lent.store(true, Ordering::Relaxed);
        // SAFETY: the running thread owns the token, and keeps it while it does not block; `&mut self` keeps a second
        // section of this hold out, and `lent` one of a recursive hold inside `f`.
        let value = unsafe { &mut *self.token.value.get() };
        let result = program_code::call_in_place(|| f(value));
        lent.store(false, Ordering::Relaxed);
        result
    }
}

impl RawToken {
    fn is_mine(&self, thread: &Thread) -> bool {
        self.owner.load(Ordering::Relaxed) == thread.index
    }

    fn try_take(&self, thread: &Thread) -> bool {
        self.owner.compare_exchange(FREE, thread.index, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn give_back(&self) {
        // An owner that ended in the middle of a section has left the flag set.
        self.lent.store(false, Ordering::Relaxed);
        self.owner.store(FREE, Ordering::Release);
        self.queue.wake_one();
    }
}

/// The tokens a thread has listed.
fn listed(thread: &Thread, count: u32) -> impl Iterator<Item = &'static RawToken> + '_ {
    thread.tokens[..count as usize].iter().map(|address| {
        // SAFETY: an address is listed only while the `Token::with` call that listed it is running, which borrows the
        // token; it cannot be forgotten, and an LWP that exits inside it calls `give_up_all` while its stack is there.
        unsafe { &*(address.load(Ordering::Relaxed) as *const RawToken) }
    })
}

/// Releases the first `count` tokens of `thread`, which stay listed.
fn release(thread: &Thread, count: u32) {
    for token in listed(thread, count).filter(|token| token.is_mine(thread)) {
        token.give_back();
    }
}

/// Releases all tokens of the running thread, which exits: it called exit, panicked, or was killed inside
/// [`Token::with`].
#[inline]
pub(crate) fn give_up_all(thread: &Thread) {
    let count = thread.token_count.get();
    if count != 0 {
        give_up(thread, count);
    }
}

#[cold]
fn give_up(thread: &Thread, count: u32) {
    thread.token_count.set(0);
    for token in listed(thread, count) {
        if token.is_mine(thread) {
            token.give_back();
        } else {
            // A kill may have ended it just after it had freed the token.
            token.queue.wake_one();
        }
    }
}

/// Takes the listed tokens, of which the last one is not free and the running `thread` has the first `count`; `false`:
/// the LWP has to end instead. Program code, perhaps in a system call.
#[cold]
fn take_contended(thread: &Thread, count: u32) -> bool {
    // A system call, because a kill that guards do not delay any more would end the LWP in a queue, or with a wake-up.
    let _section = KernelSection::enter();
    release(thread, count);
    take_all(thread)
}

/// Takes all listed tokens, or waits, holding none, for the one that is missing. `false`: the LWP has to end instead,
/// because a kill is overdue; it has no tokens, and none is listed. In a section.
///
/// Next it takes the one that it has waited for, before any other: a wake-up is for one thread, so if another token is
/// missing now, that one is given back, which wakes the next who waits for it. Left untried it would stay free, and its
/// waiters asleep, for as long as the other one is held.
fn take_all(thread: &Thread) -> bool {
    let count = thread.token_count.get();
    let options = WaitOptions::until_overdue(Reason::Token);
    let mut awaited = None;
    while let Some(missing) = awaited
        .into_iter()
        .chain(listed(thread, count))
        .find(|token| !token.is_mine(thread) && !token.try_take(thread))
    {
        release(thread, count);
        // The list is emptied, so that this wait does not try to release and take the tokens again.
        thread.token_count.set(0);
        // TIMED: there is no deadline; an overdue kill ends it.
        let woken = missing.queue.wait_in(options, || missing.owner.load(Ordering::Relaxed) == FREE);
        if woken == WaitResult::Killed {
            return false;
        }
        thread.token_count.set(count);
        awaited = Some(missing);
    }
    true
}

/// The thread, which has announced a sleep, releases its tokens for it, if it has any, until [`take_back`]. Called only
/// where threads go to sleep, perhaps again.
#[inline(always)]
pub(crate) fn release_for_sleep(thread: &Thread) {
    let count = thread.token_count.get();
    if count != 0 {
        release_all(thread, count);
    }
}

#[cold]
#[inline(never)]
fn release_all(thread: &Thread, count: u32) {
    // Emptied first, because a token that is released is not to be released once more.
    thread.token_count.set(0);
    thread.released_tokens.set(count);
    release(thread, count);
}

/// The sleep is over, and the thread is in no queue any more, because it may have to wait for a token: takes its tokens
/// back, unless a kill is overdue. Then the LWP ends with the system call that it is in, in which the kernel needs no
/// token.
#[inline(always)]
pub(crate) fn take_back(thread: &Thread) {
    let count = thread.released_tokens.get();
    if count != 0 {
        take_released(thread, count);
    }
}

#[cold]
#[inline(never)]
fn take_released(thread: &Thread, count: u32) {
    thread.released_tokens.set(0);
    thread.token_count.set(count);
    if !take_all(thread) {
        assert!(!service::is_in_program(thread), "threads go to sleep in system calls");
        thread.set_end_mark(end_mark::WITHOUT_TOKENS);
    }
}
