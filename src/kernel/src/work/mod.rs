//! Deferred work: per-CPU task queues, each served by a kernel thread of its CPU.
//!
//! taskqueue(9). A [`Task`] is enqueued from any context, runs in thread context where it may block, and an enqueue
//! while it runs makes it run again (T100): the state machine is `asphodel_core::task`.

pub(crate) mod callout;
pub(crate) mod worker;

use asphodel_core::shim::atomic::{AtomicUsize, Ordering};

use asphodel_core::task::{Enqueue, TaskState};
use asphodel_core::wait::reason::Reason;

use crate::arch::{cpu, daif};
use crate::sched::ready;
use crate::sync::wait_queue::{WaitOptions, WaitQueue};

/// A piece of deferred work. It is in a static, or in memory that is never freed while the task may be queued.
#[derive(Debug)]
pub struct Task {
    state: TaskState,
    function: fn(usize),
    argument: AtomicUsize,
    /// Next in the queue, as an address; guarded by the queue's lock.
    next: AtomicUsize,
    /// Threads that wait for it not to run.
    idle: WaitQueue,
}

impl Task {
    /// A task that calls `function(argument)`.
    #[must_use]
    pub const fn new(function: fn(usize), argument: usize) -> Self {
        Self {
            state: TaskState::new(),
            function,
            argument: AtomicUsize::new(argument),
            next: AtomicUsize::new(0),
            idle: WaitQueue::new(),
        }
    }

    /// Has the task run at least once from now on, on the CPU that executes this. Any context; never blocks.
    pub fn enqueue(&'static self) {
        cpu::probe_nested_stack();
        // Masked: a program's LWP must not be killed between claiming the link and linking the task.
        let interrupts = daif::mask();
        if self.state.enqueue() == Enqueue::Link {
            worker::link(self);
        }
        daif::restore(interrupts);
        if !interrupts.was_masked() {
            ready::check_preemption();
        }
        cpu::mark_end_of_service();
    }

    /// Waits until the task neither runs nor is queued. Must not be called from a task. Thread context; blocks.
    pub fn drain(&self) {
        let _ready = self.idle.wait_in(WaitOptions::uninterruptible(Reason::Task), || self.state.is_idle());
    }

    /// Returns whether it neither runs nor is queued. Any context.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    /// Runs it once. Returns `true` if it was requested meanwhile and must be linked again.
    fn run(&self) -> bool {
        self.state.begin();
        (self.function)(self.argument.load(Ordering::Relaxed));
        let again = self.state.finish() == Enqueue::Link;
        if !again {
            self.idle.wake_all();
        }
        again
    }
}
