//! Deferred work of the kernel: per-CPU task queues, each served by a kernel thread of its CPU. No program's function
//! runs there: `proc::life::deferred` has what programs defer.
//!
//! taskqueue(9). A [`Task`] is enqueued from any context, runs in thread context where it may block, and an enqueue
//! while it runs makes it run again (T100): the state machine is `asphodel_core::task`.

pub(crate) mod callout;
pub(crate) mod worker;

use asphodel_core::shim::atomic::{AtomicUsize, Ordering};

use asphodel_core::task::{Enqueue, TaskState};

use crate::arch::{cpu, daif};
use crate::sched::ready;

/// A piece of deferred work. It is in a static.
#[derive(Debug)]
pub(crate) struct Task {
    state: TaskState,
    function: fn(usize),
    argument: AtomicUsize,
    /// Next in the queue, as an address; guarded by the queue's lock.
    next: AtomicUsize,
}

impl Task {
    /// A task that calls `function(argument)`.
    #[must_use]
    pub(crate) const fn new(function: fn(usize), argument: usize) -> Self {
        Self {
            state: TaskState::new(),
            function,
            argument: AtomicUsize::new(argument),
            next: AtomicUsize::new(0),
        }
    }

    /// Has the task run at least once from now on, on the CPU that executes this. Any context; never blocks.
    pub(crate) fn enqueue(&'static self) {
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
        cpu::mark_end_of_nested_service();
    }

    /// Runs it once. Returns `true` if it was requested meanwhile and must be linked again.
    fn run(&self) -> bool {
        self.state.begin();
        (self.function)(self.argument.load(Ordering::Relaxed));
        self.state.finish() == Enqueue::Link
    }
}
