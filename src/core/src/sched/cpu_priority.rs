//! The CPU of a thread and its priority, in one word, so that a thread can be raised wherever it waits.
//!
//! A run queue is used by its own CPU only, so a thread that waits in the queue of another one is moved up by that CPU,
//! by message. The message must reach the right CPU although the thread may move meanwhile. A raise and a move are one
//! transition of the word each: either the raise names the CPU that has taken the thread over, or that CPU reads the new
//! priority when it takes it over. A CPU that queues a thread which was its own before only reads the word: interrupts are
//! masked from then until the thread is queued, and the message of a later raise is an interrupt. Model:
//! `tests/loom_raise.rs`.

use crate::sched::priority::Priority;
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;

const PRIORITY: u32 = 0x1f;
const RAISED: u32 = 1 << 5;
const BEFORE_SHIFT: u32 = 6;
const PROGRAM_SHIFT: u32 = 11;
const CPU_SHIFT: u32 = 16;
const CPU: u32 = 0xffff << CPU_SHIFT;

/// The CPU and the priority of one thread.
#[derive(Debug)]
pub struct CpuPriority(AtomicU32);

/// What the word said at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// Returns the CPU that the thread runs on, is queued on, or ran on last.
    #[inline(always)]
    #[must_use]
    pub const fn cpu(self) -> u32 {
        self.0 >> CPU_SHIFT
    }

    /// Returns the priority with which the thread is queued from then on.
    #[inline(always)]
    #[must_use]
    pub const fn priority(self) -> Priority {
        Priority::from_level(self.0)
    }

    /// Returns whether the thread has been raised.
    #[inline]
    #[must_use]
    pub const fn is_raised(self) -> bool {
        self.0 & RAISED != 0
    }

    /// Returns the priority that the thread had before it was raised.
    #[inline]
    #[must_use]
    pub const fn before(self) -> Priority {
        Priority::from_level(self.0 >> BEFORE_SHIFT)
    }

    /// Returns the priority that the thread has while it runs program code.
    #[inline]
    #[must_use]
    pub const fn program_priority(self) -> Priority {
        if self.is_raised() { Priority::from_level(self.0 >> PROGRAM_SHIFT) } else { self.priority() }
    }

    /// Returns whether the thread has been raised, or has at least this priority.
    #[inline(always)]
    const fn is_as_good(self, priority: Priority) -> bool {
        // One comparison: the mark is worth more than any priority.
        self.0 & (RAISED | PRIORITY) >= priority.level() as u32
    }

    /// With `priority` in the field that begins at bit `shift`.
    fn with(self, shift: u32, priority: Priority) -> Self {
        Self(self.0 & !(PRIORITY << shift) | u32::from(priority.level()) << shift)
    }

    /// Raised for the first time: to `priority`, and for program code to `program` at least.
    #[inline(always)]
    fn raised_first(self, priority: Priority, program: Priority) -> Self {
        let before = self.priority();
        let field = |shift: u32, priority: Priority| u32::from(priority.level()) << shift;
        let program = field(PROGRAM_SHIFT, before.max(program));
        Self(self.0 & CPU | RAISED | field(0, priority) | field(BEFORE_SHIFT, before) | program)
    }

    /// Raised to `priority` at least, and for program code to `program`. What was before the first raise is kept.
    fn raised(self, priority: Priority, program: Priority) -> Self {
        let priority = self.priority().max(priority);
        if self.is_raised() { self.with(0, priority) } else { self.raised_first(priority, program) }
    }
}

impl CpuPriority {
    const_unless_loom! {
        /// The word of a thread that has not been created yet.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// Begins anew, for a thread that no other code can reach.
    #[inline(always)]
    pub fn set(&self, cpu: u32, priority: Priority) {
        self.0.store(cpu << CPU_SHIFT | u32::from(priority.level()), Ordering::Relaxed);
    }

    /// Returns what it says now. Exact for the CPU that the thread is queued on, with interrupts masked, but for a raise.
    #[inline(always)]
    pub fn get(&self) -> Place {
        Place(self.0.load(Ordering::Relaxed))
    }

    /// Returns what it says, of which no transition by another CPU has come before that the caller does not see.
    #[inline]
    pub fn latest(&self) -> Place {
        // AcqRel: what the caller has read before was not written after a later move, and what it reads afterwards is as
        // new as the last one.
        Place(self.0.fetch_or(0, Ordering::AcqRel))
    }

    /// The thread belongs to `cpu` from here on: called by the CPU that has it, before it queues it, or by the one that
    /// gives it away. Returns what holds then.
    #[inline]
    pub fn move_to(&self, cpu: u32) -> Place {
        self.change(|place| Place(place.0 & !CPU | cpu << CPU_SHIFT))
    }

    /// The thread itself changes its priority. One that was raised stays so.
    pub fn set_priority(&self, priority: Priority) {
        self.change(|place| if place.is_raised() { place } else { place.with(0, priority) });
    }

    /// Raises the thread to `priority`, and for program code to `program`, whatever it does, unless that has happened
    /// before. Returns where it is to be moved up; `None` if there is nothing to do. Any CPU.
    #[inline]
    #[must_use = "if it waits, it is still queued with its old priority"]
    pub fn raise(&self, priority: Priority, program: Priority) -> Option<Place> {
        let mut place = self.get();
        loop {
            if place.is_as_good(priority) {
                return None;
            }
            let raised = place.raised_first(priority, program);
            match self.replace(place, raised) {
                Ok(()) => return Some(raised),
                Err(seen) => place = seen,
            }
        }
    }

    /// The thread itself raises itself, once more if it was raised before.
    pub fn raise_self(&self, priority: Priority) {
        // As a rule its killer has raised it as far.
        let place = self.get();
        if !place.is_raised() || place.priority() < priority {
            self.change(|place| place.raised(priority, Priority::NORMAL));
        }
    }

    /// The thread itself, if it was raised, continues with the priority for program code.
    pub fn lower_self(&self) {
        self.change(|place| place.with(0, place.program_priority()));
    }

    /// One transition. Returns what holds afterwards.
    #[inline(always)]
    fn change(&self, mut change: impl FnMut(Place) -> Place) -> Place {
        let mut place = self.get();
        loop {
            let changed = change(place);
            match self.replace(place, changed) {
                Ok(()) => return changed,
                Err(seen) => place = seen,
            }
        }
    }

    /// Replaces `old` by `new`, unless the word says something else by now.
    ///
    /// # Errors
    /// What it says.
    #[inline(always)]
    fn replace(&self, old: Place, new: Place) -> Result<(), Place> {
        // AcqRel: see `latest`.
        match self.0.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(seen) => Err(Place(seen)),
        }
    }
}

impl Default for CpuPriority {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn thread(cpu: u32, priority: Priority) -> CpuPriority {
        let word = CpuPriority::new();
        word.set(cpu, priority);
        word
    }

    fn values(word: &CpuPriority) -> (u32, Priority, bool) {
        (word.get().cpu(), word.get().priority(), word.get().is_raised())
    }

    /// Raises it for its death by a killer of ordinary priority.
    fn raise(word: &CpuPriority, priority: Priority) -> Option<Place> {
        word.raise(priority, Priority::NORMAL)
    }

    #[test]
    fn a_raise_names_the_cpu_and_the_queue() {
        let word = thread(63, Priority::LOWEST);
        let place = raise(&word, Priority::HIGHEST).expect("it was lower");
        assert_eq!(
            (place.cpu(), place.before(), place.priority()),
            (63, Priority::LOWEST, Priority::HIGHEST)
        );
        assert_eq!(raise(&word, Priority::HIGHEST), None, "once is enough");
        assert_eq!(word.move_to(2).priority(), Priority::HIGHEST);
        assert_eq!(values(&word), (2, Priority::HIGHEST, true));
    }

    #[test]
    fn one_that_is_as_good_is_not_moved_up() {
        let word = thread(1, Priority::NORMAL);
        assert_eq!(raise(&word, Priority::NORMAL), None);
        assert_eq!(raise(&word, Priority::LOWEST), None);
        assert_eq!(values(&word), (1, Priority::NORMAL, false));
    }

    #[test]
    fn one_that_was_raised_does_not_lower_itself() {
        let word = thread(1, Priority::LOWEST);
        word.set_priority(Priority::NORMAL);
        assert_eq!(values(&word), (1, Priority::NORMAL, false));
        assert!(raise(&word, Priority::HIGHEST).is_some());
        word.set_priority(Priority::LOWEST);
        assert_eq!(values(&word), (1, Priority::HIGHEST, true));
    }

    #[test]
    fn program_code_has_the_best_of_its_own_priority_and_that_of_the_killer() {
        let (low, normal, kernel) = (Priority::LOWEST, Priority::NORMAL, Priority::KERNEL);
        for (before, killer, during) in
            [(low, normal, normal), (low, kernel, kernel), (kernel, normal, kernel)]
        {
            let word = thread(1, before);
            word.lower_self();
            assert_eq!(values(&word), (1, before, false), "it was not raised");
            assert!(word.raise(Priority::HIGHEST, killer).is_some());
            word.lower_self();
            assert_eq!(values(&word), (1, during, true));
            word.raise_self(Priority::HIGHEST);
            assert_eq!((word.get().priority(), word.get().before()), (Priority::HIGHEST, before));
            assert_eq!(word.get().program_priority(), during);
        }
    }
}
