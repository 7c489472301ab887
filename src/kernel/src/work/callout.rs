//! Call-outs of the kernel: a function that is called once, at a later time. Those of programs are
//! `proc::life::deferred`'s.
//!
//! callout(9). One kernel thread sleeps until the earliest deadline and hands what is due to its CPU's task queue, so
//! a call-out may take locks and block for a short while.

use asphodel_core::shim::atomic::{AtomicU32, AtomicUsize, Ordering};

use asphodel_core::errno::Errno;
use asphodel_core::list::NIL;
use asphodel_core::shim::guarded::Cell32;
use asphodel_core::time::timers::{TimerLinks, TimerQueue, Timers};
use asphodel_core::wait::reason::Reason;

use crate::arch::counter;
use crate::arch::lock::InterruptLock;
use crate::cpu::NEVER;
use crate::mem::inject;
use crate::mem::slab::{Magazine, Record, Slab};
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::{WaitOptions, WaitQueue};
use crate::work::Task;

/// A function to be called later. It is in a static.
#[derive(Debug)]
pub(crate) struct Callout {
    /// Its slot in the table; 0 until it is armed for the first time.
    slot: AtomicU32,
    task: Task,
}

/// The timer queue's part of a call-out.
#[repr(align(64))]
struct Entry {
    timer: TimerLinks,
    /// Address of the `&'static Callout`.
    callout: AtomicUsize,
    next_free: Cell32,
}

struct Table(Slab<Entry, 3>);

static ENTRIES: Table = Table(Slab::new(1));
static SPARE: InterruptLock<Magazine> = InterruptLock::new(Magazine::new());
static ARMED: InterruptLock<TimerQueue> = InterruptLock::new(TimerQueue::new());
static EARLIER: WaitQueue = WaitQueue::new();

impl Record for Entry {
    fn new(_index: u32) -> Self {
        Self { timer: TimerLinks::new(), callout: AtomicUsize::new(0), next_free: Cell32::new(NIL) }
    }

    fn next_free(&self) -> &Cell32 {
        &self.next_free
    }
}

impl Timers for Table {
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.0.get(index).timer
    }
}

impl Callout {
    /// A call-out of `function(argument)`, not armed.
    #[must_use]
    pub(crate) const fn new(function: fn(usize), argument: usize) -> Self {
        Self { slot: AtomicU32::new(0), task: Task::new(function, argument) }
    }

    /// Allocates the memory that arming it needs, so that arming cannot fail any more. Thread context.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn reserve(&'static self) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        self.slot().map(|_| ())
    }

    /// Arms it for `nanoseconds` from now; if it is armed already, the new time replaces the old one. Thread context.
    ///
    /// # Errors
    /// `ENOMEM`. It is not armed.
    pub(crate) fn arm(&'static self, nanoseconds: u64) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        let slot = self.slot()?;
        let deadline = crate::time::deadline_after(nanoseconds);
        let earliest = {
            let mut armed = ARMED.lock();
            if ENTRIES.timer(slot).is_armed() {
                armed.remove(&ENTRIES, slot);
            }
            armed.insert(&ENTRIES, slot, deadline)
        };
        if earliest {
            EARLIER.wake_all();
        }
        Ok(())
    }

    /// Returns its slot, which is taken from the table the first time.
    fn slot(&'static self) -> Result<u32, Errno> {
        let slot = self.slot.load(Ordering::Relaxed);
        if slot != 0 {
            return Ok(slot);
        }
        if inject::fails() {
            return Err(Errno::ENOMEM);
        }
        let take = || {
            let mut spare = SPARE.lock();
            let slot = self.slot.load(Ordering::Relaxed);
            if slot != 0 {
                return Some(slot);
            }
            let slot = ENTRIES.0.take(&mut spare)?;
            ENTRIES.0.get(slot).callout.store(core::ptr::from_ref(self) as usize, Ordering::Relaxed);
            self.slot.store(slot, Ordering::Relaxed);
            Some(slot)
        };
        ENTRIES.0.take_or_grow(take).ok_or(Errno::ENOMEM)
    }
}

/// Serves the call-outs for ever: the last duty of the kernel thread that starts the system. Call-outs that were armed
/// before are served, too.
pub(crate) fn serve() -> ! {
    loop {
        let now = counter::now();
        while let Some(due) = take_due(now) {
            enqueue(due);
        }
        let deadline = ARMED.lock().earliest(&ENTRIES).unwrap_or(NEVER);
        let options = WaitOptions::uninterruptible(Reason::Callout);
        // TIMED: the deadline is the time that was asked for, and the call-out is due then.
        let _earlier_or_due = EARLIER.wait_in(options.until(deadline), || earliest() < deadline);
    }
}

/// Takes one call-out out that is due.
fn take_due(now: u64) -> Option<u32> {
    ARMED.lock().expire(&ENTRIES, now)
}

/// The call-out in `slot` is due.
fn enqueue(slot: u32) {
    let address = ENTRIES.0.get(slot).callout.load(Ordering::Relaxed) as *const Callout;
    // SAFETY: stored by `Callout::slot` from a `&'static Callout`, before the slot could be armed.
    unsafe { &*address }.task.enqueue();
}

fn earliest() -> u64 {
    ARMED.lock().earliest(&ENTRIES).unwrap_or(NEVER)
}
