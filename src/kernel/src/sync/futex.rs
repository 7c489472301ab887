//! Futexes: sleeping for as long as a word has a value.
//!
//! futex(2), Linux's: a word in memory that programs change by themselves; the kernel is only called to sleep, and to
//! wake those who may be asleep. The queues are those of channels (`channel`): a futex is a channel with a comparison
//! under the queue's lock, so no wake-up is lost between the two. A word is found by its address, which is looked at
//! when somebody sleeps, never when somebody is woken.

use core::sync::atomic::AtomicU32;

use asphodel_core::errno::Errno;
use asphodel_core::shim::atomic::{self, Ordering};
use asphodel_core::wait::reason::Reason;

use crate::cpu::NEVER;
use crate::sync::channel;
use crate::sync::service::{self, Service};
use crate::sync::wait_queue::{Manner, Woken};
use crate::thread::Thread;

/// Sleeps while `word` is `expected`, until a [`futex_wake`], or for no longer than `timeout` nanoseconds. It may return
/// early: test the condition again. Killable. Thread context; blocks.
///
/// # Errors
/// `EAGAIN`: the word has another value. `ETIMEDOUT`. `EINTR`: the caller is being killed, which only kernel code sees.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<u64>) -> Result<(), Errno> {
    let word = atomic::of_program(word);
    // Here, where a word that is not there ends the program, and where no lock is held.
    if word.load(Ordering::Relaxed) != expected {
        return Err(Errno::EAGAIN);
    }
    let _service = Service::enter();
    let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
    let manner = Manner::killable(Reason::Futex).until(deadline);
    let address = word.as_ptr() as usize;
    let differs = || word.load(Ordering::SeqCst) != expected;
    match channel::sleep_unless(address, manner, differs) {
        None => Err(Errno::EAGAIN),
        Some(Woken::TimedOut) => Err(Errno::ETIMEDOUT),
        Some(Woken::Killed) => Err(Errno::EINTR),
        Some(Woken::Ready) => {
            if service::is_doomed(Thread::current()) {
                // It will do nothing with it any more: another one may.
                channel::wakeup_one(address);
            }
            Ok(())
        }
    }
}

/// Wakes up to `count` threads that sleep on the word at `address`, those first that have slept longest; returns how
/// many. There need not be a word any more. Any context; never blocks.
pub fn futex_wake(address: usize, count: u32) -> u32 {
    channel::wake(address, count)
}
