//! What is left of an LWP: who may still look at its record, who still needs its stack, and who frees them.
//!
//! One word counts two kinds of reference. A *hold* keeps the record; a *pin* keeps the stack as well. The LWP itself
//! has one of each until it is dead. Its pin is given back by [`Remains::retire`], which takes an [`OffStack`]: only
//! the code that runs after the LWP has left its stack can make one, so "stack freed while running" (R2) cannot be written.
//! Whoever gives back the last reference gets the duty to free as a value; nobody waits for a reference to go away,
//! nobody polls (D4, D5), and a corpse that somebody still holds delays no other (T101). Model: `tests/loom_corpse.rs`.

use crate::shim::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::shim::const_unless_loom;

const HOLD: u64 = 1;
const HOLD_MASK: u64 = 0xffff_ffff;
const PIN: u64 = 1 << 32;
const PIN_MASK: u64 = 0x00ff_ffff << 32;
const RETIRED: u64 = 1 << 63;

/// Proof that the CPU stands on another stack than the dead LWP's. Made by the code after the context switch only.
#[derive(Debug)]
pub struct OffStack(());

impl OffStack {
    /// States that the previous context of this CPU will never run again and that its stack is out of use.
    ///
    /// Only for the code that runs right after the final context switch (the scheduler), and for an LWP that was
    /// never started. The kernel has no other caller.
    #[must_use]
    pub const fn assert() -> Self {
        Self(())
    }

    /// Stores in `word` what the dead LWP asked for (clear-tid, SETINT): whoever sees `value` may use again all that
    /// the LWP used, its stack included (R43). The caller wakes those who sleep on the word.
    #[inline]
    pub fn announce(&self, word: &AtomicU32, value: u32) {
        // Release: everything the LWP did comes before.
        word.store(value, Ordering::Release);
    }
}

/// The duty to free the stack: nobody needs it any more.
#[derive(Debug)]
#[must_use = "the stack leaks if the duty is dropped"]
pub struct FreeStack(());

/// The duty to free the record: nobody can reach it any more.
#[derive(Debug)]
#[must_use = "the record leaks if the duty is dropped"]
pub struct FreeRecord(());

/// Reference counts of one LWP record and its stack. Lock-free; every method may be called in any context.
#[derive(Debug)]
pub struct Remains(AtomicU64);

impl Remains {
    const_unless_loom! {
        /// Of a record in use by its LWP: one hold, one pin.
        pub fn new() -> Self {
            Self(AtomicU64::new(HOLD | PIN))
        }
    }

    const_unless_loom! {
        /// Of a record that is free: nobody can take a hold on it.
        pub fn free() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Puts a free record into use by a new LWP. Only for a record that nobody can reach yet.
    #[inline]
    pub fn occupy(&self) {
        self.0.store(HOLD | PIN, Ordering::Release);
    }

    /// As [`Remains::occupy`], by an LWP that somebody holds from the beginning.
    #[inline]
    pub fn occupy_held(&self) {
        self.0.store((2 * HOLD) | PIN, Ordering::Release);
    }

    /// Takes one more hold; the caller has one.
    #[inline]
    pub fn hold(&self) {
        // Relaxed: the caller's own hold keeps the record what it is.
        let before = self.0.fetch_add(HOLD, Ordering::Relaxed);
        debug_assert!(before & HOLD_MASK != 0, "the caller has a hold (I12)");
    }

    /// Takes a hold through a reference that is not one itself (a list, a table). Refused once the record is free.
    #[inline]
    #[must_use]
    pub fn try_hold(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & HOLD_MASK != 0 {
            match self.0.compare_exchange_weak(word, word + HOLD, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// Gives a hold back. The last one brings the duty to free the record.
    #[inline]
    pub fn release(&self) -> Option<FreeRecord> {
        // Release: what this holder did to the record comes before its being freed.
        let before = self.0.fetch_sub(HOLD, Ordering::Release);
        debug_assert!(before & HOLD_MASK != 0, "hold count below zero (I12)");
        if before & HOLD_MASK != HOLD {
            return None;
        }
        // Acquire: pairs with every other holder's release, before the record is used again.
        fence(Ordering::Acquire);
        Some(FreeRecord(()))
    }

    /// Pins the stack; the caller has a hold. Refused when the stack may be gone already.
    #[inline]
    #[must_use]
    pub fn try_pin(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & PIN_MASK != 0 {
            match self.0.compare_exchange_weak(word, word + PIN, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// Gives a pin back. The last one brings the duty to free the stack.
    #[inline]
    pub fn unpin(&self) -> Option<FreeStack> {
        self.drop_pin(PIN)
    }

    /// The LWP is off its stack for good: gives its own pin back and marks it retired, in one step.
    #[inline]
    pub fn retire(&self, _proof: OffStack) -> Option<FreeStack> {
        // One subtraction both drops the pin and (by wrapping into the top bit) sets RETIRED, which was clear.
        self.drop_pin(PIN.wrapping_sub(RETIRED))
    }

    /// As [`Remains::retire`], but the LWP's own pin becomes the caller's: the stack is to be kept for a while.
    #[inline]
    pub fn retire_pinned(&self, _proof: OffStack) {
        // Release: as in `drop_pin`, for whoever sees that it is retired.
        self.0.fetch_or(RETIRED, Ordering::Release);
    }

    /// Subtracts `amount`, which contains one pin.
    #[inline]
    fn drop_pin(&self, amount: u64) -> Option<FreeStack> {
        // Release: the last access to the stack comes before its being freed or used by another LWP.
        let before = self.0.fetch_sub(amount, Ordering::Release);
        debug_assert!(before & PIN_MASK != 0, "pin count below zero (I12)");
        if before & PIN_MASK != PIN {
            return None;
        }
        // Acquire: pairs with the other pins' releases (R2 on weak memory).
        fence(Ordering::Acquire);
        Some(FreeStack(()))
    }

    /// Whether the LWP is off its CPU for good: what a join waits for.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.0.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Holds and pins now, for diagnosis and tests.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Relaxed);
        ((word & HOLD_MASK) as u32, ((word & PIN_MASK) >> 32) as u32)
    }
}

impl Default for Remains {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_lwp_that_nobody_looks_at_goes_at_once() {
        let remains = Remains::new();
        assert!(!remains.is_retired());
        assert!(remains.retire(OffStack::assert()).is_some());
        assert!(remains.is_retired());
        assert!(remains.release().is_some());
    }

    /// T82: a hold keeps the record, not the stack.
    #[test]
    fn a_hold_keeps_the_record() {
        let remains = Remains::new();
        assert!(remains.try_hold());
        assert!(remains.retire(OffStack::assert()).is_some());
        assert!(remains.release().is_none());
        assert!(remains.release().is_some());
    }

    /// T85: a pin keeps the stack; the last one brings the duty to free it.
    #[test]
    fn a_pin_keeps_the_stack() {
        let remains = Remains::new();
        assert!(remains.try_hold() && remains.try_pin());
        assert!(remains.retire(OffStack::assert()).is_none());
        assert!(remains.is_retired());
        assert!(remains.unpin().is_some());
        assert_eq!(remains.counts(), (2, 0));
    }

    /// T90, T97: what is gone cannot be held again.
    #[test]
    fn nothing_is_taken_from_the_dead() {
        let remains = Remains::new();
        assert!(remains.retire(OffStack::assert()).is_some());
        assert!(!remains.try_pin());
        assert!(remains.release().is_some());
        assert!(!remains.try_hold());
        assert!(!Remains::free().try_hold() && !Remains::free().try_pin());
    }

    /// DESIGN, decision 10: the stack of a retired LWP that somebody keeps.
    #[test]
    fn a_pin_is_passed_on() {
        let remains = Remains::free();
        remains.occupy_held();
        assert_eq!(remains.counts(), (2, 1));
        remains.retire_pinned(OffStack::assert());
        assert!(remains.is_retired());
        assert_eq!(remains.counts(), (2, 1));
        remains.hold();
        assert!(remains.unpin().is_some() && !remains.try_pin());
        assert_eq!(remains.counts(), (3, 0));
    }

    #[test]
    fn a_record_is_used_again() {
        let remains = Remains::free();
        for _ in 0..2 {
            remains.occupy();
            assert_eq!(remains.counts(), (1, 1));
            assert!(!remains.is_retired());
            assert!(remains.retire(OffStack::assert()).is_some() && remains.release().is_some());
        }
    }

    /// I12.
    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "below zero")]
    fn a_hold_is_given_back_once() {
        let _ = Remains::free().release();
    }
}
