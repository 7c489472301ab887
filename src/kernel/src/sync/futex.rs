//! Futexes: sleeping for as long as a word has a value.
//!
//! futex(2), Linux's: a word in memory that programs change by themselves; the kernel is only called to sleep, and to
//! wake sleepers. The queues are those of channels (`channel`): a sleeper registers, reads the word, and sleeps, so no
//! wake-up is lost in between. The address is the key; the word is read only to sleep, never to wake, and where a word
//! that is not mapped ends the program: under no lock.

use core::sync::atomic::AtomicU32;

use asphodel_core::errno::Errno;
use asphodel_core::shim::atomic::{self, Ordering};
use asphodel_core::wait::reason::Reason;

use crate::cpu::NEVER;
use crate::sync::channel::{self, Key};
use crate::sync::park;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitResult};

/// Sleeps while `word` is `expected`, until a [`futex_wake`], or for no longer than `timeout` nanoseconds. It may return
/// early: test the condition again. Killable. Thread context; blocks.
///
/// # Errors
/// `EAGAIN`: the word has another value. `ETIMEDOUT`. `EINTR`: the caller is being killed, which only kernel code sees.
// Inlined, so that a wait without a deadline does not ask for it.
#[inline(always)]
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<u64>) -> Result<(), Errno> {
    let word = atomic::of_program(word);
    let key = Key::futex(word.as_ptr() as usize);
    let deadline = timeout.map_or(NEVER, crate::time::deadline_after);
    let options = WaitOptions::killable(Reason::Futex).until(deadline);
    loop {
        let registration = channel::register_under(key);
        if word.load(Ordering::SeqCst) != expected {
            return Err(Errno::EAGAIN);
        }
        let _section = KernelSection::enter_from_program();
        // Each turn of the loop is a wake-up that came before the sleep.
        match registration.block(options) {
            None if channel::is_killed() => return Err(Errno::EINTR),
            None if park::has_passed(deadline) => return Err(Errno::ETIMEDOUT),
            None => {}
            Some(WaitResult::TimedOut) => return Err(Errno::ETIMEDOUT),
            Some(WaitResult::Killed) => return Err(Errno::EINTR),
            Some(WaitResult::Ready) => return Ok(()),
        }
    }
}

/// Wakes up to `count` threads that sleep on the word at `address`, those first that have slept longest; returns how
/// many. The word need not exist any more. Any context; never blocks.
pub fn futex_wake(address: usize, count: u32) -> u32 {
    channel::wake(Key::futex(address), count)
}
