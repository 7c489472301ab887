//! Events: their trace with the boot argument `trace=events`, and the observer of an exploration.
//!
//! An observer sees everything and is no part of what is explored: while it works no other CPU goes on, no interrupt comes,
//! and no number of the seed is used.

use core::cell::Cell;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel_core::event::Event;

use super::cpus::{self, vcpu};
use super::entry::{self, is_explored as explored};
use super::words::{INDEX, THREAD};
use super::{counter, explore};

/// Longest line of a trace.
const LINE: usize = 200;

/// Whether somebody wants events.
static OBSERVED: AtomicBool = AtomicBool::new(false);
static TRACED: AtomicBool = AtomicBool::new(false);

/// What an observer wants to be called for.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Something happens; what the event says is so.
    pub event: fn(&Event),
    /// A sample, every [`explore::SAMPLE`] steps.
    pub sample: fn(),
    /// A violation has been told and the run is about to end: the place to say what the system looks like.
    pub report: fn(),
}

struct Registered(Cell<Option<Observer>>);

// SAFETY: used in explore mode only, in which there is one host thread.
unsafe impl Sync for Registered {}

static OBSERVER: Registered = Registered(Cell::new(None));

/// Which thread stands on a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Address of its record.
    pub thread: usize,
    /// Where its stack ends now.
    pub stack_pointer: usize,
    /// Whether the CPU waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// Says what happens. Any context. No point of interleaving.
#[inline(always)]
pub(crate) fn observe(event: impl FnOnce() -> Event) {
    if OBSERVED.load(Ordering::Relaxed) {
        tell(event);
    }
}

#[cold]
fn tell(event: impl FnOnce() -> Event) {
    quietly(|| {
        let event = event();
        if TRACED.load(Ordering::Relaxed) {
            trace(&event);
        }
        if !explored() {
            return;
        }
        match OBSERVER.0.get() {
            Some(observer) => (observer.event)(&event),
            None if event == Event::Fatal => violation(format_args!("a fatal error of the kernel")),
            None => {}
        }
    });
}

/// Writes one line, in one piece.
fn trace(event: &Event) {
    // By its record's address: what a record is, is known above.
    let thread = THREAD.get();
    let mut line = heapless::String::<LINE>::new();
    let _cut = writeln!(line, "trace: {} cpu{} thread {thread:#x} {event}", counter::now(), INDEX.get());
    entry::write(libc::STDOUT_FILENO, line.as_bytes());
}

/// Events are traced from here on. Before the kernel is entered.
pub(super) fn start_trace() {
    TRACED.store(true, Ordering::Relaxed);
    OBSERVED.store(true, Ordering::Relaxed);
}

/// Fatal errors end the run as violations from here on. Before the kernel is entered, in explore mode.
pub(super) fn start() {
    OBSERVED.store(true, Ordering::Relaxed);
}

/// Registers the observer. `false`: the machine is not being explored, nothing will be observed.
#[must_use]
pub fn set_observer(observer: Observer) -> bool {
    if explored() {
        OBSERVER.0.set(Some(observer));
    }
    explored()
}

/// Lets the observer look.
pub(super) fn sample() {
    if let Some(observer) = OBSERVER.0.get() {
        quietly(observer.sample);
    }
}

/// Whether the machine is being explored.
#[must_use]
pub fn is_explored() -> bool {
    explored()
}

/// Points of interleaving so far, and switches between CPUs.
#[must_use]
pub fn figures() -> (u64, u64) {
    explore::figures()
}

/// Calls `work` as if it took no time: under exploration nothing else goes on meanwhile.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    if explored() { explore::quietly(work) } else { work() }
}

/// Which thread stands on CPU `index`. `None`: the CPU has not come up, or is not scheduling yet.
#[must_use]
pub(crate) fn standing(index: usize) -> Option<Standing> {
    if index >= cpus::count() || !vcpu(index).is_online() {
        return None;
    }
    let (thread, stack_pointer) = if index as u64 == INDEX.get() {
        (THREAD.get(), (&raw const index).addr())
    } else {
        vcpu(index).explored.standing()
    };
    let is_idle = explore::is_idle(index);
    (thread != 0).then_some(Standing { thread: thread as usize, stack_pointer, is_idle })
}

/// Writes a line, without a lock: for the report of a violation.
pub fn say(line: fmt::Arguments<'_>) {
    entry::say(line);
}

/// Ends an exploration that has shown a violation: says `what` it is, and how it is shown again.
pub fn violation(what: fmt::Arguments<'_>) -> ! {
    quietly(|| {
        entry::tell_violation(what);
        // Once: the report may fail, too.
        if let Some(observer) = OBSERVER.0.take() {
            (observer.report)();
        }
        entry::end_over_violation()
    })
}
