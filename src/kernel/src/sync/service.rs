//! Being inside a kernel service, and the kill points at its edges.
//!
//! Programs call the kernel like any function, on their own stack. What tells kernel code from program code is a
//! depth in the thread's record: every service enters by [`Service::enter`]. An LWP that has been told to die does so
//! when it leaves the outermost service (kill point (a)), or when an interrupt returns to it at depth 0 (kill point
//! (c)); in between, a killable wait returns at once (kill point (b)) and the service unwinds by ordinary returns, so
//! guards are dropped. An LWP never dies inside a service, hence never with a kernel lock.

use core::marker::PhantomData;
use core::sync::atomic::{Ordering, compiler_fence};

use spin::Once;

use crate::arch::cpu;
use crate::thread::Thread;

/// The running thread is in a kernel service for as long as this lives. Nests. Not `Send`.
#[must_use = "the service ends when this is dropped"]
#[derive(Debug)]
pub struct Service(PhantomData<*const ()>);

static EXECUTIONER: Once<fn() -> !> = Once::new();

/// Registers how a doomed LWP dies: the layer above knows. Once, at boot.
pub(crate) fn set_executioner(executioner: fn() -> !) {
    EXECUTIONER.call_once(|| executioner);
}

impl Service {
    /// Enters a service. Thread context; never blocks.
    #[inline(always)]
    pub fn enter() -> Self {
        cpu::probe_stack();
        let depth = &Thread::current().service_depth;
        depth.set(depth.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Service {
    #[inline(always)]
    fn drop(&mut self) {
        let thread = Thread::current();
        let depth = thread.service_depth.get() - 1;
        thread.service_depth.set(depth);
        // An interrupt that finds the depth above 0 does not kill: the test comes after, for the compiler, too.
        compiler_fence(Ordering::SeqCst);
        if depth == 0 && is_doomed(thread) {
            execute();
        }
    }
}

/// Whether `thread` has been told to die.
#[inline(always)]
pub(crate) fn is_doomed(thread: &Thread) -> bool {
    thread.doomed.is_set()
}

/// Kill point (a): the running LWP is doomed and leaves its outermost service.
#[cold]
#[inline(never)]
pub(crate) fn execute() -> ! {
    let executioner = EXECUTIONER.get().expect("no LWP is doomed before processes exist");
    executioner()
}
