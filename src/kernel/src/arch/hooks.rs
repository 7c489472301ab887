//! The handlers of interrupts and exceptions in the layers above, registered at boot and called by both machines.
//!
//! This is the only way up from `arch`. Only the exception entries call the hooks.

use asphodel_core::shim::atomic::{AtomicPtr, Ordering};
use core::fmt;
use core::ptr::null_mut;

use super::machine::Fault;
use super::machine::frame::TrapFrame;

/// The kernel's handlers of exceptions from threads.
///
/// All but `preempt` run on the exception stack with interrupts masked, and must not block.
pub(crate) struct Hooks {
    /// Handles an interrupt. Returns `true` if the thread is to be preempted.
    pub(crate) irq: fn(&mut TrapFrame) -> bool,
    /// Handles a synchronous exception. May edit the frame: the thread continues with what is in it.
    pub(crate) fault: fn(&mut TrapFrame, &Fault),
    /// Called when an interrupted thread is to be preempted, and its stack has nothing mapped at an address that is
    /// needed for that. Maps the page, if it may be mapped now.
    pub(crate) room: fn(&TrapFrame, usize) -> Room,
    /// Called when the thread has used a floating-point register while the machine traps them. Context as for `fault`.
    #[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the hosted machine traps no register"))]
    pub(crate) fp: fn(&mut TrapFrame),
    /// Called on the interrupted thread's own stack, with interrupts masked, after `irq` returned `true`. Returns when
    /// the thread is to continue, on whatever CPU.
    pub(crate) preempt: fn(),
}

/// Result of [`Hooks::room`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The page is mapped now.
    Mapped,
    /// The page could be mapped, but there is no memory.
    OutOfMemory,
    /// The stack ends there.
    None,
}

static HOOKS: AtomicPtr<Hooks> = AtomicPtr::new(null_mut());

/// Registers the hooks. Called once, on the boot CPU, before interrupts are first unmasked.
pub(crate) fn set_hooks(hooks: &'static Hooks) {
    // Release: a CPU that sees the pointer sees the table that it points to.
    HOOKS.store(core::ptr::from_ref(hooks).cast_mut(), Ordering::Release);
}

/// Returns the hooks, once they are registered.
#[inline(always)]
pub(super) fn hooks() -> Option<&'static Hooks> {
    // SAFETY: null, or made from a `&'static Hooks` by `set_hooks`.
    unsafe { HOOKS.load(Ordering::Acquire).as_ref() }
}

/// A function that ends the system with a report.
type Fatal = fn(fmt::Arguments<'_>) -> !;

static FATAL: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Registers the function that ends the system with a report. Called once, as the first step of boot.
pub(crate) fn set_fatal(fatal: Fatal) {
    FATAL.store(fatal as *mut (), Ordering::Release);
}

/// Ends the system because of an exception that no hook can handle. Any context.
pub(super) fn fatal(report: fmt::Arguments<'_>) -> ! {
    let registered = FATAL.load(Ordering::Acquire);
    assert!(!registered.is_null(), "the first step of boot registers it");
    // SAFETY: the pointer is not null, so `set_fatal` made it from a function of this very type.
    let fatal: Fatal = unsafe { core::mem::transmute(registered) };
    fatal(report)
}
