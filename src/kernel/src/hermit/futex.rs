//! Futexes, on which `std` builds mutexes, condition variables, parking and the rest.

use core::sync::atomic::AtomicU32;

use asphodel_core::errno::Errno;

use super::call::{entered_for_heap, failure, may_use_stack};
use super::own;
use super::symbol::Symbol;
use super::time::Timespec;
use crate::sync::futex;
use crate::time::now_ns;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_futex_wait", futex_wait as *const ()),
    Symbol::new("sys_futex_wake", futex_wake as *const ()),
];

/// Flag: the time is a duration, not a value of the monotonic clock.
const RELATIVE: u32 = 1;

/// Sleeps while the word at `address` is `expected`; without a time limit if there is none. May return early. Killable;
/// blocks.
///
/// `-EAGAIN`: it is not. `-ETIMEDOUT`. `-EINVAL`: the time is invalid, or the flags are unknown. `-EFAULT`: the word or
/// the time is not the program's.
extern "C" fn futex_wait(address: *mut u32, expected: u32, timeout: *const Timespec, flags: u32) -> i32 {
    entered_for_heap();
    if timeout.is_null() && flags & !RELATIVE == 0 && own::is_heap_word(address) {
        return wait(address, expected, None);
    }
    may_use_stack();
    wait_anywhere(address, expected, timeout, flags)
}

/// The same, for a word that may lie anywhere and a time.
#[cold]
#[inline(never)]
fn wait_anywhere(address: *mut u32, expected: u32, timeout: *const Timespec, flags: u32) -> i32 {
    // SAFETY: a time consists of numbers.
    let time = match (!timeout.is_null()).then(|| unsafe { own::read(timeout) }).transpose() {
        Ok(time) => time,
        Err(error) => return failure(error),
    };
    let nanoseconds = match time.as_ref().map(Timespec::nanoseconds) {
        Some(None) => return failure(Errno::EINVAL),
        Some(Some(time)) if flags == 0 => Some(time.saturating_sub(now_ns())),
        Some(Some(time)) => Some(time),
        None => None,
    };
    if flags & !RELATIVE != 0 {
        return failure(Errno::EINVAL);
    }
    let _kept = match own::word(address) {
        Ok(kept) => kept,
        Err(error) => return failure(error),
    };
    wait(address, expected, nanoseconds)
}

/// Sleeps, on an aligned word of the program, which is kept meanwhile.
#[inline(always)]
fn wait(address: *mut u32, expected: u32, nanoseconds: Option<u64>) -> i32 {
    // SAFETY: an aligned word of the program, which promises that it is only accessed atomically.
    let word = unsafe { AtomicU32::from_ptr(address) };
    match futex::futex_wait(word, expected, nanoseconds) {
        Ok(()) => 0,
        Err(error) => failure(error),
    }
}

/// Wakes up to `count` threads that sleep on the word at `address`, which need not be in use any more; returns their
/// number: 0 if it is not the program's.
extern "C" fn futex_wake(address: *mut u32, count: i32) -> i32 {
    entered_for_heap();
    if !own::is_heap_word(address) {
        may_use_stack();
        if is_foreign(address) {
            return 0;
        }
    }
    let count = u32::try_from(count).unwrap_or(0);
    futex::futex_wake(address as usize, count).try_into().unwrap_or(i32::MAX)
}

#[cold]
#[inline(never)]
fn is_foreign(address: *const u32) -> bool {
    own::word(address).is_err()
}
