//! CPUs: what each of them alone touches, and what others send it.

use std::cell::{Cell, RefCell};

use asphodel_core::mailbox::Mailbox;
use asphodel_core::sched::run_queue::RunQueue;
use asphodel_core::time::timers::TimerQueue;

use super::World;

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the context that runs next has to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrevAction {
    Nothing,
    /// This thread announced its sleep and switched away.
    Parked(u32),
    /// This thread may not run here any more.
    Moved(u32),
}

/// A CPU.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) index: u32,
    pub(crate) current: Cell<u32>,
    pub(crate) idle: Cell<u32>,
    pub(crate) masked: Cell<bool>,
    /// It does no step before this one.
    pub(crate) held_up_until: Cell<u64>,
    /// The idle thread waits for an interrupt.
    pub(crate) waits_for_interrupt: Cell<bool>,
    pub(crate) reschedule: Cell<bool>,
    pub(crate) switched_at: Cell<u64>,
    pub(crate) slice_end: Cell<u64>,
    pub(crate) share_at: Cell<u64>,
    pub(crate) run_queue: RefCell<RunQueue>,
    pub(crate) prev_action: Cell<PrevAction>,
    /// A thread that has died here and is to be finished on the idle thread's stack.
    pub(crate) dead: Cell<Option<u32>>,
    pub(crate) timers: RefCell<TimerQueue>,
    // What others touch.
    pub(crate) mailbox: Mailbox,
    pub(crate) message: Cell<bool>,
    pub(crate) requests: Cell<u64>,
    /// Length of its run queue, for others.
    pub(crate) ready: Cell<u32>,
    pub(crate) is_idle: Cell<bool>,
}

impl Cpu {
    /// A CPU that runs nothing.
    pub(crate) fn new(index: u32) -> Self {
        Self {
            index,
            current: Cell::new(0),
            idle: Cell::new(0),
            masked: Cell::new(true),
            held_up_until: Cell::new(0),
            waits_for_interrupt: Cell::new(false),
            reschedule: Cell::new(false),
            switched_at: Cell::new(0),
            slice_end: Cell::new(NEVER),
            share_at: Cell::new(NEVER),
            run_queue: RefCell::new(RunQueue::new()),
            prev_action: Cell::new(PrevAction::Nothing),
            dead: Cell::new(None),
            timers: RefCell::new(TimerQueue::new()),
            mailbox: Mailbox::new(),
            message: Cell::new(false),
            requests: Cell::new(0),
            ready: Cell::new(0),
            is_idle: Cell::new(false),
        }
    }

    /// When the timer fires next.
    pub(crate) fn timer_at(&self, w: &World) -> u64 {
        let sleepers = self.timers.borrow().earliest(&w.threads).unwrap_or(NEVER);
        let slice = if self.has_rival(w) { self.slice_end.get() } else { NEVER };
        sleepers.min(slice).min(self.share_at.get())
    }

    /// Whether an interrupt is pending.
    pub(crate) fn is_interrupted(&self, w: &World) -> bool {
        self.message.get() || self.timer_at(w) <= w.now.get()
    }

    /// Whether somebody of the running thread's priority waits.
    pub(crate) fn has_rival(&self, w: &World) -> bool {
        let current = self.current.get();
        current != self.idle.get()
            && self.run_queue.borrow().best() == Some(w.peek_thread(current).priority.get())
    }
}

impl World {
    /// Masks interrupts on this CPU; returns whether they were.
    pub(crate) fn mask(&self) -> bool {
        self.cpu().masked.replace(true)
    }

    /// Makes the mask what it was.
    pub(crate) fn restore(&self, masked: bool) {
        self.cpu().masked.set(masked);
    }
}
