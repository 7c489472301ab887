//! Being inside a kernel service, and the kill points at its edges.
//!
//! Programs call the kernel like any function, on their own stack. What tells kernel code from program code is a
//! depth in the thread's record: every service enters by [`Section::enter`]. An LWP that has been told to die does so
//! when it leaves the outermost service (kill point (a)), or when an interrupt returns to it at depth 0 (kill point
//! (c)); in between, a killable wait returns at once (kill point (b)) and the service unwinds by ordinary returns, so
//! guards are dropped. An LWP never dies inside a service, hence never with a kernel lock.

use asphodel_core::shim::atomic::{Ordering, compiler_fence};
use core::marker::PhantomData;

use spin::Once;

use crate::arch::cpu;
use crate::thread::Thread;

/// The running thread is not to be killed for as long as this lives. Nests. Not `Send`. What it adds to the depth tells
/// why.
#[must_use = "the service ends when this is dropped"]
#[derive(Debug)]
pub struct Section<const WEIGHT: u32>(PhantomData<*const ()>);

/// It is in a kernel service.
pub type Service = Section<1>;

/// It runs program code that holds a kernel guard: a mutex, a token, a registration, or preemption disabled.
pub type Custody = Section<CUSTODY>;

/// Depths below this are services: they do not nest that deep.
const CUSTODY: u32 = 1 << 8;

static EXECUTIONER: Once<fn() -> !> = Once::new();

/// Registers how a doomed LWP dies: the layer above knows. Once, at boot.
pub(crate) fn set_executioner(executioner: fn() -> !) {
    EXECUTIONER.call_once(|| executioner);
}

impl<const WEIGHT: u32> Section<WEIGHT> {
    /// Enters it. Thread context; never blocks.
    #[inline(always)]
    pub fn enter() -> Self {
        cpu::probe_stack();
        let depth = &Thread::current().service_depth;
        depth.set(depth.get() + WEIGHT);
        Self(PhantomData)
    }
}

impl<const WEIGHT: u32> Drop for Section<WEIGHT> {
    #[inline(always)]
    fn drop(&mut self) {
        let thread = Thread::current();
        let depth = thread.service_depth.get() - WEIGHT;
        thread.service_depth.set(depth);
        // An interrupt that finds the depth above 0 does not kill: the test comes after, for the compiler, too.
        compiler_fence(Ordering::SeqCst);
        if depth == 0 && is_doomed(thread) {
            execute();
        }
    }
}

/// Whether the running `thread` runs program code, holding guards perhaps, and no service.
#[inline(always)]
pub(crate) fn is_in_program(thread: &Thread) -> bool {
    thread.service_depth.get().is_multiple_of(CUSTODY)
}

/// How many services `thread` is in, and how many guards it holds: 0 if it can be killed where it is.
pub(crate) fn depth_of(thread: &Thread) -> u32 {
    let depth = thread.service_depth.get();
    depth / CUSTODY + depth % CUSTODY
}

/// Whether the guard that the running thread has just entered is its outermost, and in no service.
#[inline(always)]
pub(crate) fn is_first_custody() -> bool {
    Thread::current().service_depth.get() == CUSTODY
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
