//! Events: their trace with the boot argument `trace=events`, and the observer of an exploration.
//!
//! An observer sees everything and is not part of what is explored: while it works, no other CPU continues, no
//! interrupt is taken, and no number of the seed is used.

use core::cell::Cell;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel_core::event::Event;

use super::clock::PROGRESS;
use super::cpus::{self, is_explored as explored, vcpu};
use super::host::Output;
use super::words::{INDEX, THREAD};
use super::{clock, command_line, explore, host};

/// Exit status of a run that has found a violation.
const VIOLATION: i32 = 70;

/// Longest line of a trace.
const LINE: usize = 200;

/// `true` if there is a trace or an observer.
static OBSERVED: AtomicBool = AtomicBool::new(false);
static TRACED: AtomicBool = AtomicBool::new(false);

/// The functions that an observer registers.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Called for each event, when what the event says already holds.
    pub event: fn(&Event),
    /// Called for a sample, every [`explore::SAMPLE`] steps.
    pub sample: fn(),
    /// Called when a violation has been reported and the run is about to end: prints the state of the system.
    pub report: fn(),
}

struct Registered(Cell<Option<Observer>>);

// SAFETY: used in explore mode only, in which there is one host thread.
unsafe impl Sync for Registered {}

static OBSERVER: Registered = Registered(Cell::new(None));

/// The thread that is on a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Address of its record.
    pub thread: usize,
    /// Its current stack pointer.
    pub stack_pointer: usize,
    /// `true` if the CPU waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// Reports an event. Any context. This is not a point of interleaving.
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
    // The thread is named by its record's address, because only the layers above know what a record is.
    let thread = THREAD.get();
    let mut line = heapless::String::<LINE>::new();
    let _cut = writeln!(line, "trace: {} cpu{} thread {thread:#x} {event}", clock::now(), INDEX.get());
    host::write(libc::STDOUT_FILENO, line.as_bytes());
}

/// Starts the trace of events. Called before the kernel is entered.
pub(super) fn start_trace() {
    TRACED.store(true, Ordering::Relaxed);
    OBSERVED.store(true, Ordering::Relaxed);
}

/// Makes fatal errors end the run as violations. Called before the kernel is entered, in explore mode.
pub(super) fn start() {
    OBSERVED.store(true, Ordering::Relaxed);
}

/// Registers the observer. Returns `false` if the machine is not being explored, so that nothing will be observed.
#[must_use]
pub fn set_observer(observer: Observer) -> bool {
    if explored() {
        OBSERVER.0.set(Some(observer));
    }
    explored()
}

/// Calls the observer for a sample.
pub(super) fn sample() {
    if let Some(observer) = OBSERVER.0.get() {
        quietly(observer.sample);
    }
}

/// Returns whether the machine is being explored.
#[must_use]
pub fn is_explored() -> bool {
    explored()
}

/// Returns the points of interleaving, and the switches between CPUs, so far.
#[must_use]
pub fn figures() -> (u64, u64) {
    PROGRESS.figures()
}

/// Calls `work` as if it took no time: under exploration nothing else runs meanwhile.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    if explored() { explore::quietly(work) } else { work() }
}

/// Returns the thread on CPU `index`; `None` if the CPU has not come up, or is not scheduling yet.
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

/// Writes a line, without a lock, for the report of a violation.
pub fn say(line: fmt::Arguments<'_>) {
    host::say(line);
}

/// Ends an exploration that has found a violation: prints `what` it is, and how to reproduce it.
pub fn violation(what: fmt::Arguments<'_>) -> ! {
    quietly(|| {
        tell_violation(what);
        // Only once, because the report may fail, too.
        if let Some(observer) = OBSERVER.0.take() {
            (observer.report)();
        }
        end_over_violation()
    })
}

/// Reports that an exploration has found a violation.
fn tell_violation(what: fmt::Arguments<'_>) {
    let (steps, switches) = PROGRESS.figures();
    let mut out = Output(libc::STDOUT_FILENO);
    let _ = writeln!(out, "VIOLATION: {what}");
    let _ = writeln!(out, "after {steps} points of interleaving and {switches} switches between CPUs");
}

/// Ends an exploration that has found a violation, after printing the words that reproduce it.
fn end_over_violation() -> ! {
    let _ = writeln!(Output(libc::STDOUT_FILENO), "replay: {}", command_line::words());
    host::exit(VIOLATION)
}
