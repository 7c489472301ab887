//! Signals of the host: from a handler to the kernel's exception hooks.
//!
//! A handler runs on a stack of its host thread's own and does very little: it copies the interrupted context to the
//! exception stack of its CPU, and makes the host continue there, with interrupts masked. From there on everything
//! happens as on a board: the hooks run on the exception stack, a preemption on the stack of the thread, and the way
//! back is the host's `rt_sigreturn`.

use core::mem::{MaybeUninit, zeroed};
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use super::fault::{Access, Fault};
use super::host::{INTERRUPT, give_up};
use super::saved::{self, ALIGNMENT, Context, RED_ZONE, Saved};
use super::stack::STACK_SIZE;
use super::words::{INDEX, MASKED};
use super::{cpus, interrupts, mmu};
use crate::arch::hooks::{self, Hooks, Room, hooks};

/// Room that is left below the saved context for `Hooks::preempt` on the interrupted thread's stack.
const PREEMPTION_ROOM: usize = 8 * 1024;

/// The synchronous signals: faults of the code that runs.
const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];

/// Registers the handlers. Called once, before the kernel is entered.
pub(super) fn install() {
    for signal in FAULTS.into_iter().chain([INTERRUPT]) {
        // SAFETY: all zeros is a value of this plain structure; the handler is of the form that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            libc::sigfillset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, null_mut());
        }
    }
}

/// Blocks the signal that interrupts CPUs for the calling host thread, which is not a CPU.
pub(crate) fn block_interrupts() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call initializes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), INTERRUPT);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), null_mut());
    }
}

/// The handler of all signals. It runs on the host thread's stack for signals, reaches no point and takes no lock.
extern "C" fn handler(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes it, for as long as the handler runs.
    let context = unsafe { &mut *context.cast::<Context>() };
    if signal == INTERRUPT {
        // The signal of a timer that expires while another is on its way is merged with that one.
        interrupts::check_timer(cpus::this());
        if saved::restart_return(context) {
            MASKED.set(1);
            return;
        }
        if MASKED.get() != 0 {
            return;
        }
    }
    let (bottom, top) = exception_stack();
    if top == 0 {
        give_up("a fault before the machine is set up");
    }
    let sp = saved::sp(context) as usize;
    // An exception inside a handler of one is put below what that handler has on the stack.
    let above = if (bottom..top).contains(&sp) { sp - RED_ZONE } else { top };
    // SAFETY: this is the host's context; the exception stack is mapped, and what is above `above` is not touched.
    unsafe {
        let place = ((above - saved::size(context)) & !(ALIGNMENT - 1)) as *mut Saved;
        saved::save(context, place, signal);
        saved::divert(context, exception, place);
    }
    MASKED.set(1);
}

/// Returns the exception stack of the CPU that executes this: its lowest address, and the address above it.
fn exception_stack() -> (usize, usize) {
    let top = cpus::vcpu(INDEX.get() as usize).exception_stack.load(Ordering::Relaxed);
    (top.saturating_sub(STACK_SIZE), top)
}

/// Where a CPU continues after a signal: on its exception stack, with interrupts masked.
extern "C" fn exception(saved: &mut Saved) -> ! {
    let Some(hooks) = hooks() else {
        hooks::fatal(format_args!("exception before the hooks are set\n{}", saved.frame()))
    };
    if saved.signal as i32 == INTERRUPT {
        interrupt(saved, hooks);
    } else {
        let (mut frame, fault) = (saved.frame(), fault_of(saved));
        (hooks.fault)(&mut frame, &fault);
        saved.apply(&frame);
    }
    saved::go_on_with(saved)
}

/// Same as [`exception`], for interrupts that became pending on the way back. On the exception stack or the thread's
/// own.
pub(super) extern "C" fn interrupted_again(saved: &mut Saved) -> ! {
    if let Some(hooks) = hooks() {
        interrupt(saved, hooks);
    }
    saved::go_on_with(saved)
}

/// Takes the pending interrupts. Does not return if the thread is to be preempted and its context is on the exception
/// stack.
fn interrupt(saved: &mut Saved, hooks: &'static Hooks) {
    let mut frame = saved.frame();
    let preempts = (hooks.irq)(&mut frame);
    saved.apply(&frame);
    if !preempts {
        return;
    }
    let (bottom, top) = exception_stack();
    if !(bottom..top).contains(&(&raw const *saved).addr()) {
        return (hooks.preempt)();
    }
    match place_on_thread_stack(saved, hooks) {
        // SAFETY: the room was checked just now, and the exception stack is not used any more.
        Ok(place) => unsafe {
            saved.move_to(place);
            saved::call_below(place, preempt)
        },
        Err(fault) => {
            let mut frame = saved.frame();
            (hooks.fault)(&mut frame, &fault);
            saved.apply(&frame);
        }
    }
}

/// The second half of a preempting interrupt, on the thread's own stack.
extern "C" fn preempt(saved: &mut Saved) -> ! {
    if let Some(hooks) = hooks() {
        (hooks.preempt)();
    }
    // This may be another CPU.
    saved::go_on_with(saved)
}

/// Returns where on the interrupted thread's stack its context is to be put, or the fault if the stack has no room.
fn place_on_thread_stack(saved: &Saved, hooks: &Hooks) -> Result<*mut Saved, Fault> {
    let frame = saved.frame();
    let overflow = || Fault::stack_overflow(frame.sp, frame.pc);
    let above = (frame.sp as usize).checked_sub(RED_ZONE).ok_or_else(overflow)?;
    let place = above.checked_sub(saved.size()).ok_or_else(overflow)? & !(ALIGNMENT - 1);
    let lowest = place.checked_sub(PREEMPTION_ROOM).ok_or_else(overflow)?;
    for address in [lowest, place, above - 1] {
        if !mmu::is_writable(address) {
            match (hooks.room)(&frame, address) {
                Room::Mapped => {}
                Room::OutOfMemory => return Err(Fault::stack_without_memory(address, frame.pc)),
                // Not the stack pointer, where something may be mapped: then this would be no fault.
                Room::None => return Err(Fault::stack_overflow(address as u64, frame.pc)),
            }
        }
    }
    Ok(place as *mut Saved)
}

/// Returns the fault that the signal of a saved context stands for.
fn fault_of(saved: &Saved) -> Fault {
    let access = saved.access().map(|(address, writes, jumps, missing)| {
        let access = match (writes, jumps) {
            (_, true) => Access::Jump,
            (true, _) => Access::Write,
            _ => Access::Read,
        };
        (address, access, missing)
    });
    Fault::of_signal(saved.signal as i32, saved.frame().pc, access)
}
