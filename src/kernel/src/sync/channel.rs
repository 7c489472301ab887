//! `tsleep` and `wakeup`: sleeping on an address.
//!
//! tsleep(9), wakeup(9). The address is only a key and is never read. Threads that sleep on different addresses may
//! share a queue; a wake-up takes out those of its own address alone. A thread registers first ([`Registration`]),
//! re-tests its condition, and sleeps then, so that a wake-up in between is not lost (tsleep_interlock). A registration
//! is the count of the queue's wake-ups and nothing else: it may be dropped, forgotten, made twice or outlive its LWP.
//!
//! Mutexes and futexes have their sleepers here, too, each under keys of its own ([`Key`]): a program may sleep on any
//! channel, and would take the wake-up of another one's mutex or futex at that address.
//!
//! A wake-up that has chosen a thread which is being killed is passed on to another one. A sleep may end once too often,
//! also because of a wake-up of another address that shares the queue, and the condition is tested again.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::queue::Waiters;
use asphodel_core::wait::reason::Reason;
use asphodel_core::wait::wake_ups::{Seen, WakeUps};

use crate::arch::daif;
use crate::arch::lock::InterruptLock;
use crate::cpu::{NEVER, Unfinished};
use crate::sched::{ready, switch};
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::{WaitOptions, WaitResult, sleep_queued};
use crate::thread::{THREADS, Thread};

/// As many as threads usually sleep at a time, so that few queues have sleepers of more than one address.
const BUCKETS: usize = 1024;
static TABLE: [Bucket; BUCKETS] = [const { Bucket::new() }; BUCKETS];

/// What sleepers are found by: an address, and what is slept for there.
///
/// That is shown by the two highest bits, which have the same value in all addresses that are in use; channels that
/// differ in them alone are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

impl Key {
    const KIND: usize = 0b11 << (usize::BITS - 2);

    /// That of a program's channel.
    #[inline(always)]
    const fn channel(channel: usize) -> Self {
        Self(channel & !Self::KIND)
    }

    /// That of a mutex.
    #[inline(always)]
    pub(super) const fn mutex(address: usize) -> Self {
        Self(address & !Self::KIND | 0b10 << (usize::BITS - 2))
    }

    /// That of a futex.
    #[inline(always)]
    pub(super) const fn futex(address: usize) -> Self {
        Self(address | Self::KIND)
    }

    /// That on which `thread` sleeps, or is about to.
    pub(super) fn of(thread: &Thread) -> Self {
        Self(thread.channel.load(Ordering::Relaxed))
    }
}

/// The sleepers under some keys, and the count of their wake-ups.
// Aligned to a power of two, so that its address is computed by a shift.
#[derive(Debug)]
#[repr(align(32))]
struct Bucket {
    waiters: InterruptLock<Waiters>,
    wake_ups: WakeUps,
}

impl Bucket {
    const fn new() -> Self {
        Self { waiters: InterruptLock::new(Waiters::new()), wake_ups: WakeUps::new() }
    }

    /// The one of a key. Multiplicative hashing: neighbouring words go to different ones.
    fn of(key: Key) -> &'static Self {
        // Of 32 bits, because a factor of 64 bits takes longer to load than to multiply by.
        let folded = (key.0 ^ key.0 >> 32) as u32;
        &TABLE[(folded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BUCKETS.ilog2())) as usize % BUCKETS]
    }

    /// Sleeps under `key`, if the calling `thread` can be enlisted by `enqueue`; otherwise returns `None`. In a section.
    // Inlined, so that each kind of wait has code for its own options only.
    #[inline(always)]
    fn block(
        &self,
        key: Key,
        options: WaitOptions,
        enqueue: impl FnOnce(&Thread) -> bool,
    ) -> Option<WaitResult> {
        let thread = Thread::current();
        switch::assert_may_sleep(thread);
        thread.channel.store(key.0, Ordering::Relaxed);
        let woken = enqueue(thread).then(|| sleep_queued(&self.waiters, options));
        thread.channel.store(0, Ordering::Relaxed);
        if woken == Some(WaitResult::Ready) && options.sleep == Sleep::Killable && is_killed() {
            wake(key, 1);
            return Some(WaitResult::Killed);
        }
        woken
    }

    /// Wakes the thread that sleeps longest under `key`; `false`: none does.
    #[inline(always)]
    fn wake_next(&self, key: Key) -> bool {
        let matches = |thread: u32| Key::of(THREADS.get(thread)) == key;
        ready::wake_from(&self.waiters, |waiters| {
            self.wake_ups.count();
            waiters.wake_matching(&THREADS, matches)
        })
    }

    /// Wakes up to `limit` threads that sleep under `key`; returns how many.
    #[cold]
    #[inline(never)]
    fn wake_more(&self, key: Key, limit: u32) -> u32 {
        let mut count = 0;
        while count < limit && self.wake_next(key) {
            count += 1;
        }
        count
    }
}

/// The moment from which on wake-ups of a channel count for a sleep.
#[must_use = "a registration that is dropped at once does nothing"]
#[derive(Debug)]
pub struct Registration {
    key: Key,
    bucket: &'static Bucket,
    seen: Seen,
}

/// Registers for a sleep on `channel`: a wake-up from now on ends the sleep that [`Registration::sleep`] begins. Any
/// context; never blocks.
pub fn register(channel: usize) -> Registration {
    register_under(Key::channel(channel))
}

/// As [`register`], for whatever has that key.
#[inline(always)]
pub(super) fn register_under(key: Key) -> Registration {
    let bucket = Bucket::of(key);
    Registration { key, bucket, seen: bucket.wake_ups.seen() }
}

impl Registration {
    /// Sleeps until the channel is woken up, or for no longer than `timeout` nanoseconds. Killable. A wake-up since
    /// the registration counts; the sleep may also end for no reason. Thread context; blocks.
    pub fn sleep(self, timeout: Option<u64>) -> WaitResult {
        let _section = KernelSection::enter();
        let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
        self.block(WaitOptions::killable(Reason::Channel).until(deadline)).unwrap_or(WaitResult::Ready)
    }

    /// The same, with any options; `None`: a wake-up has come before the sleep. In a section.
    #[inline(always)]
    pub(super) fn block(self, options: WaitOptions) -> Option<WaitResult> {
        let Self { key, bucket, seen } = self;
        bucket.block(key, options, |thread| {
            bucket.wake_ups.enqueue(&bucket.waiters, seen, &THREADS, thread.index, options.sleep)
        })
    }
}

/// Sleeps under `key` unless `is_over`, which is the kernel's code, returns `true`, and returns the reason for waking
/// up; `None`: it has returned `true`. A wake-up since it was called counts. The thread's record has the key when it
/// is called, for those that look for waiters there. Without a deadline. In a section.
pub(super) fn sleep_unless(
    key: Key,
    options: WaitOptions,
    mut is_over: impl FnMut() -> bool,
) -> Option<WaitResult> {
    let thread = Thread::current();
    loop {
        let registration = register_under(key);
        thread.channel.store(key.0, Ordering::Relaxed);
        if is_over() {
            thread.channel.store(0, Ordering::Relaxed);
            return None;
        }
        let woken = registration.block(options);
        if woken.is_some() {
            return woken;
        }
    }
}

/// Sleeps on `channel` until it is woken up, or for no longer than `timeout` nanoseconds. Killable. Blocks.
///
/// A wake-up that comes before the call is missed: where that matters, use [`register`].
pub fn tsleep(channel: usize, timeout: Option<u64>) -> WaitResult {
    let _section = KernelSection::enter();
    let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
    let options = WaitOptions::killable(Reason::Channel).until(deadline);
    let key = Key::channel(channel);
    let bucket = Bucket::of(key);
    let woken = bucket.block(key, options, |thread| {
        bucket.waiters.lock().prepare(&THREADS, thread.index, options.sleep);
        true
    });
    woken.expect("it is enlisted in any case")
}

/// Wakes all threads that sleep on `channel`; returns how many. Any context; never blocks.
pub fn wakeup(channel: usize) -> u32 {
    wake(Key::channel(channel), u32::MAX)
}

/// Wakes the thread that sleeps longest on `channel`; `false`: none does. Any context; never blocks.
pub fn wakeup_one(channel: usize) -> bool {
    wake(Key::channel(channel), 1) == 1
}

/// Wakes all that sleep on the word at `address`, as on a futex or as on a channel: for a caller that may have interrupts
/// masked, so a crowd is woken in parts, by message. Any context.
pub(crate) fn wake_word(address: usize) {
    let step = |key| wake(Key(key), ready::PART) == ready::PART;
    let interrupts = daif::mask();
    for Key(argument) in [Key::futex(address), Key::channel(address)] {
        ready::in_parts(Unfinished { step, argument });
    }
    daif::restore(interrupts);
}

/// Wakes up to `limit` threads that sleep under `key`; returns how many. Any context; never blocks.
pub(super) fn wake(key: Key, limit: u32) -> u32 {
    let bucket = Bucket::of(key);
    if limit == 1 {
        return u32::from(bucket.wake_next(key));
    }
    // Most words have at most one sleeper.
    if limit == 0 || !bucket.wake_next(key) { 0 } else { 1 + bucket.wake_more(key, limit - 1) }
}

/// Returns whether the calling thread has a kill pending: for loops of its own around kernel waits.
pub(crate) fn is_killed() -> bool {
    service::is_kill_pending(Thread::current())
}

/// Returns how many queues have waiters, except those that are being changed. For observers.
pub(crate) fn queues_in_use() -> usize {
    TABLE.iter().filter(|bucket| bucket.waiters.try_lock().is_some_and(|queue| !queue.is_empty())).count()
}
