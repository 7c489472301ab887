//! Futexes: sleeping for as long as a word has a value.
//!
//! futex(2), Linux's: a word in memory that programs change by themselves; the kernel is only called to sleep, and to
//! wake sleepers. The queues are those of channels (`channel`): a futex is a channel with a comparison under the
//! queue's lock, so no wake-up is lost between the two. The address is the key; the word is read only to sleep, never
//! to wake.

use core::sync::atomic::AtomicU32;

use asphodel_core::errno::Errno;
use asphodel_core::shim::atomic::{self, Ordering};
use asphodel_core::wait::reason::Reason;

use crate::cpu::NEVER;
use crate::sync::channel;
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::{WaitOptions, WaitResult};
use crate::thread::Thread;

/// Sleeps while `word` is `expected`, until a [`futex_wake`], or for no longer than `timeout` nanoseconds. It may return
/// early: test the condition again. Killable. Thread context; blocks.
///
/// # Errors
/// `EAGAIN`: the word has another value. `ETIMEDOUT`. `EINTR`: the caller is being killed, which only kernel code sees.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<u64>) -> Result<(), Errno> {
    let word = atomic::of_program(word);
    // Read here, where an unmapped word ends the program, and where no lock is held.
    if word.load(Ordering::Relaxed) != expected {
        return Err(Errno::EAGAIN);
    }
    let _section = KernelSection::enter();
    let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
    let options = WaitOptions::killable(Reason::Futex).until(deadline);
    let address = word.as_ptr() as usize;
    let differs = || word.load(Ordering::SeqCst) != expected;
    match channel::sleep_unless(address, options, differs) {
        None => Err(Errno::EAGAIN),
        Some(WaitResult::TimedOut) => Err(Errno::ETIMEDOUT),
        Some(WaitResult::Killed) => Err(Errno::EINTR),
        Some(WaitResult::Ready) => {
            if service::is_kill_pending(Thread::current()) {
                // The killed thread passes the wake-up on, because it will not use it.
                channel::wakeup_one(address);
            }
            Ok(())
        }
    }
}

/// Wakes up to `count` threads that sleep on the word at `address`, those first that have slept longest; returns how
/// many. The word need not exist any more. Any context; never blocks.
pub fn futex_wake(address: usize, count: u32) -> u32 {
    channel::wake(address, count)
}
