//! Reference counts of a record and its stack: readers, users of the stack, and the duty to free both.
//!
//! One word counts two kinds of reference. A *reference* keeps the record; a *pin* keeps the stack as well. The LWP
//! itself has one of each until it is dead. Its pin is released by [`RecordRefs::retire`], which takes an [`OffStack`]:
//! only the code that runs after the LWP has left its stack can make one, so "stack freed while running" (R2) cannot be
//! written. The caller that releases the last reference gets the duty to free as a value. No thread waits for a
//! reference to be released, none polls (D4, D5), and a dead LWP with references delays no other (T101). Model:
//! `tests/loom_dead_lwp.rs`.

use crate::shim::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::shim::const_unless_loom;

const REF: u64 = 1;
const REF_MASK: u64 = 0xffff_ffff;
const PIN: u64 = 1 << 32;
const PIN_MASK: u64 = 0x00ff_ffff << 32;
const RETIRED: u64 = 1 << 63;

/// Proof that the CPU runs on another stack than the dead LWP's. Made only by the code after the context switch.
#[derive(Debug)]
pub struct OffStack(());

impl OffStack {
    /// States that the previous context of this CPU will never run again and that its stack is out of use.
    ///
    /// Called only by the code that runs right after the final context switch (the scheduler), and for an LWP that was
    /// never started.
    #[must_use]
    pub const fn assert() -> Self {
        Self(())
    }

    /// Stores in `word` what the dead LWP asked for (clear-tid, SETINT): a reader that sees `value` may reuse all that
    /// the LWP used, its stack included (R43). The caller wakes the sleepers on the word.
    #[inline]
    pub fn announce(&self, word: &AtomicU32, value: u32) {
        // Release: everything the LWP did precedes the store.
        word.store(value, Ordering::Release);
    }
}

/// The duty to free the stack, which is not used any more.
#[derive(Debug)]
#[must_use = "the stack leaks if the duty is dropped"]
pub struct FreeStack(());

/// The duty to free the record, which is not reachable any more.
#[derive(Debug)]
#[must_use = "the record leaks if the duty is dropped"]
pub struct FreeRecord(());

/// Reference counts of one LWP record and its stack. Lock-free; every method may be called in any context.
#[derive(Debug)]
pub struct RecordRefs(AtomicU64);

impl RecordRefs {
    const_unless_loom! {
        /// A record in use by its LWP: one reference, one pin.
        pub fn new() -> Self {
            Self(AtomicU64::new(REF | PIN))
        }
    }

    const_unless_loom! {
        /// A free record, to which no reference can be taken.
        pub fn free() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Puts a free record into use by a new LWP. The record must not be reachable by others yet.
    #[inline]
    pub fn occupy(&self) {
        self.0.store(REF | PIN, Ordering::Release);
    }

    /// As [`RecordRefs::occupy`], by an LWP to which a handle exists from the beginning.
    #[inline]
    pub fn occupy_shared(&self) {
        self.0.store((2 * REF) | PIN, Ordering::Release);
    }

    /// Takes one more reference; the caller has one.
    #[inline]
    pub fn get(&self) {
        // Relaxed: the caller's own reference keeps the record valid.
        let before = self.0.fetch_add(REF, Ordering::Relaxed);
        debug_assert!(before & REF_MASK != 0, "the caller has a reference (I12)");
    }

    /// Takes a reference through a link that is not counted (a list, a table). Refused once the record is free.
    #[inline]
    #[must_use]
    pub fn try_get(&self) -> bool {
        self.add_unless_zero(REF, REF_MASK)
    }

    /// Drops a reference. The last one returns the duty to free the record.
    #[inline]
    pub fn put(&self) -> Option<FreeRecord> {
        // Release: this holder's accesses to the record precede its being freed.
        let before = self.0.fetch_sub(REF, Ordering::Release);
        debug_assert!(before & REF_MASK != 0, "reference count below zero (I12)");
        if before & REF_MASK != REF {
            return None;
        }
        // Acquire: pairs with every other holder's release, before the record is used again.
        fence(Ordering::Acquire);
        Some(FreeRecord(()))
    }

    /// Pins the stack; the caller has a reference. Refused when the stack may be freed already.
    #[inline]
    #[must_use]
    pub fn try_pin(&self) -> bool {
        self.add_unless_zero(PIN, PIN_MASK)
    }

    /// Adds `one` unless the count under `mask` is zero. Returns whether it was added.
    #[inline(always)]
    fn add_unless_zero(&self, one: u64, mask: u64) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & mask != 0 {
            match self.0.compare_exchange(word, word + one, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// Drops a pin. The last one returns the duty to free the stack.
    #[inline]
    pub fn unpin(&self) -> Option<FreeStack> {
        self.drop_pin(PIN)
    }

    /// The LWP is off its stack for good: drops its own pin and marks it retired, in one step.
    #[inline]
    pub fn retire(&self, _proof: OffStack) -> Option<FreeStack> {
        // One subtraction both drops the pin and (by wrapping into the top bit) sets RETIRED, which was clear.
        self.drop_pin(PIN.wrapping_sub(RETIRED))
    }

    /// As [`RecordRefs::retire`], but the LWP's own pin becomes the caller's, because the stack must be kept for a
    /// while.
    #[inline]
    pub fn retire_pinned(&self, _proof: OffStack) {
        // Release: as in `drop_pin`, for readers that see that it is retired.
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

    /// Returns whether the LWP is off its CPU for good: the condition of a join.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.0.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Returns the numbers of references and pins, for diagnosis and tests.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Relaxed);
        ((word & REF_MASK) as u32, ((word & PIN_MASK) >> 32) as u32)
    }
}

impl Default for RecordRefs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_lwp_that_nobody_looks_at_goes_at_once() {
        let refs = RecordRefs::new();
        assert!(!refs.is_retired());
        assert!(refs.retire(OffStack::assert()).is_some());
        assert!(refs.is_retired());
        assert!(refs.put().is_some());
    }

    /// T82: a reference keeps the record, not the stack.
    #[test]
    fn a_reference_keeps_the_record() {
        let refs = RecordRefs::new();
        assert!(refs.try_get());
        assert!(refs.retire(OffStack::assert()).is_some());
        assert!(refs.put().is_none());
        assert!(refs.put().is_some());
    }

    /// T85: a pin keeps the stack; the last one returns the duty to free it.
    #[test]
    fn a_pin_keeps_the_stack() {
        let refs = RecordRefs::new();
        assert!(refs.try_get() && refs.try_pin());
        assert!(refs.retire(OffStack::assert()).is_none());
        assert!(refs.is_retired());
        assert!(refs.unpin().is_some());
        assert_eq!(refs.counts(), (2, 0));
    }

    /// T90, T97: no reference can be taken to a freed record.
    #[test]
    fn nothing_is_taken_from_the_dead() {
        let refs = RecordRefs::new();
        assert!(refs.retire(OffStack::assert()).is_some());
        assert!(!refs.try_pin());
        assert!(refs.put().is_some());
        assert!(!refs.try_get());
        assert!(!RecordRefs::free().try_get() && !RecordRefs::free().try_pin());
    }

    /// DESIGN, decision 10: the stack of a retired LWP that is kept.
    #[test]
    fn a_pin_is_passed_on() {
        let refs = RecordRefs::free();
        refs.occupy_shared();
        assert_eq!(refs.counts(), (2, 1));
        refs.retire_pinned(OffStack::assert());
        assert!(refs.is_retired());
        assert_eq!(refs.counts(), (2, 1));
        refs.get();
        assert!(refs.unpin().is_some() && !refs.try_pin());
        assert_eq!(refs.counts(), (3, 0));
    }

    #[test]
    fn a_record_is_used_again() {
        let refs = RecordRefs::free();
        for _ in 0..2 {
            refs.occupy();
            assert_eq!(refs.counts(), (1, 1));
            assert!(!refs.is_retired());
            assert!(refs.retire(OffStack::assert()).is_some() && refs.put().is_some());
        }
    }

    /// I12.
    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "below zero")]
    fn a_reference_is_put_once() {
        let _ = RecordRefs::free().put();
    }
}
