//! What is saved of a virtual CPU while another one runs. Used in explore mode only.

use core::cell::Cell;

/// State of a virtual CPU while another one runs, and what the scheduler knows of it.
pub(super) struct Context {
    pub(super) stack_pointer: Cell<u64>,
    pub(super) masked: Cell<u64>,
    pub(super) thread: Cell<u64>,
    pub(super) cpu: Cell<u64>,
    pub(super) tls: Cell<u64>,
    /// The step before which it does not continue, as long as others can.
    pub(super) held_until: Cell<u64>,
    pub(super) priority: Cell<i64>,
}

impl Context {
    pub(super) const fn new() -> Self {
        Self {
            stack_pointer: Cell::new(0),
            masked: Cell::new(1),
            thread: Cell::new(0),
            cpu: Cell::new(0),
            tls: Cell::new(0),
            held_until: Cell::new(0),
            priority: Cell::new(0),
        }
    }

    /// Returns the pointers of the thread and of the stack of a CPU that does not run.
    pub(super) fn standing(&self) -> (u64, usize) {
        (self.thread.get(), self.stack_pointer.get() as usize)
    }
}
