//! Kernel sections, and the kill points at their ends.
//!
//! Programs call the kernel like any function, on their own stack. Kernel code is distinguished from program code by a
//! depth in the thread's record: every system call enters by [`Section::enter`]. An LWP with a kill pending exits when
//! it leaves the outermost section (kill point (a)), or when an interrupt returns to it at depth 0 (kill point (c)); in
//! between, a killable wait returns at once (kill point (b)) and the system call unwinds by ordinary returns, so guards
//! are dropped. An LWP never exits inside a section, hence never with a kernel lock.
//!
//! A kill waits for the guards of program code ([`KillShield`]), which may be forgotten, or held in a loop. When that has
//! taken about a second the kill is *overdue* (`proc::life::overdue`): the LWP ends at a kill point in program code, or
//! where program code waits for one more guard, with the guards that it holds.
//!
//! The outermost section probes the stack for the most that any system call needs (`cpu::SERVICE_STACK`), before anything
//! is held, so an overflow of the stack is always the program's. A service without a section, such as a wake-up, probes
//! for less (`cpu::probe_small_stack`), which a system call that uses it has in reserve.

use asphodel_core::sched::priority::Priority;
use asphodel_core::shim::atomic::{Ordering, compiler_fence};
use core::marker::PhantomData;

use spin::Once;

use crate::arch::cpu;
use crate::thread::{Thread, end_mark};

/// The running thread must not be killed for as long as this exists. Nests. Not `Send`. Its weight in the depth
/// distinguishes the kinds.
#[must_use = "the service ends when this is dropped"]
#[derive(Debug)]
pub(crate) struct Section<const WEIGHT: u32>(PhantomData<*const ()>);

/// A system call.
pub(crate) type KernelSection = Section<1>;

/// Program code that holds a kernel guard: a mutex, a token, or preemption disabled.
pub(crate) type KillShield = Section<SHIELD>;

/// Depths below this are system calls, which do not nest that deep.
const HOOK: u32 = 1 << 7;
/// Depths below this are system calls, perhaps of an exit hook.
const SHIELD: u32 = 2 * HOOK;

static KILL_HANDLER: Once<fn() -> !> = Once::new();
static DELAY_HANDLER: Once<fn()> = Once::new();

/// Registers how an LWP with a kill pending exits, which a higher layer implements. Called once, at boot.
pub(crate) fn set_kill_handler(handler: fn() -> !) {
    KILL_HANDLER.call_once(|| handler);
}

/// Registers what is done when guards delay a kill, which a higher layer implements: it makes sure that the kill becomes
/// overdue if it is still pending after a while. Any context. Called once, at boot.
pub(crate) fn set_delay_handler(handler: fn()) {
    DELAY_HANDLER.call_once(|| handler);
}

impl<const WEIGHT: u32> Section<WEIGHT> {
    /// Enters it. Thread context; never blocks.
    #[inline(always)]
    pub(crate) fn enter() -> Self {
        let thread = Thread::current();
        let depth = thread.service_depth.get();
        // Once, before anything is held: an inner section uses the stack that the outermost one has probed.
        if depth.is_multiple_of(HOOK) {
            cpu::probe_stack();
        }
        thread.service_depth.set(depth + WEIGHT);
        Self(PhantomData)
    }
}

impl KernelSection {
    /// As [`Section::enter`], for a frequent system call that the kernel itself never calls: it is the outermost one.
    #[inline(always)]
    pub(crate) fn enter_from_program() -> Self {
        let thread = Thread::current();
        debug_assert!(is_in_no_call(thread), "the kernel does not call it");
        cpu::probe_stack();
        thread.service_depth.set(thread.service_depth.get() + 1);
        Self(PhantomData)
    }
}

impl<const WEIGHT: u32> Drop for Section<WEIGHT> {
    #[inline(always)]
    fn drop(&mut self) {
        let thread = Thread::current();
        let depth = thread.service_depth.get() - WEIGHT;
        thread.service_depth.set(depth);
        // An interrupt that finds the depth above 0 does not kill, so the test comes after it, for the compiler, too.
        compiler_fence(Ordering::SeqCst);
        if is_kill_pending(thread) && (depth == 0 || is_overdue_in_program(thread)) {
            if WEIGHT == SHIELD {
                // Program code, which may have gone deeper since the guard was made.
                cpu::probe_stack();
            }
            die_at_kill_point();
        }
        cpu::mark_end_of_service();
    }
}

/// Returns whether the kill of the running `thread`, which holds guards, is overdue, and it has left its outermost system
/// call: an LWP that does nothing but call the kernel is hardly ever interrupted in its program. An LWP that has not got
/// its tokens back must end, even if another kill has become pending since, which is not overdue.
#[cold]
#[inline(never)]
fn is_overdue_in_program(thread: &Thread) -> bool {
    let is_overdue = thread.kill_flag.is_overdue() || thread.has_end_mark(end_mark::WITHOUT_TOKENS);
    is_overdue && is_in_program(thread) && thread.preempt_depth.get() == 0
}

/// Calls an exit hook, from inside the system call that ends the process and holds nothing: the hook's own system calls
/// probe the stack as if they were outermost ones. The hook is not killed, and its memory is not the process's alone.
/// Returns whether it has left guards, which count no longer: the caller gives up what they hold.
#[must_use = "what is not given up stays locked"]
pub(crate) fn call_hook(hook: impl FnOnce()) -> bool {
    let depth = &Thread::current().service_depth;
    let before = depth.get();
    depth.set(before.next_multiple_of(HOOK));
    hook();
    let left_guards = depth.get() >= SHIELD;
    depth.set(before);
    left_guards
}

/// The running thread has left all system calls for good, and runs program code once more: it can be killed, unless it is
/// in an exit hook. Its guards still count, because this code may use them, or drop them.
pub(crate) fn return_to_program(thread: &Thread, in_hook: bool) {
    let depth = thread.service_depth.get();
    thread.service_depth.set(depth - depth % SHIELD + if in_hook { HOOK } else { 0 });
}

/// Returns whether the running `thread` runs program code, perhaps with guards, and no system call.
#[inline(always)]
pub(crate) fn is_in_program(thread: &Thread) -> bool {
    thread.service_depth.get().is_multiple_of(SHIELD)
}

/// Returns whether `thread` holds guards that shield it from a kill.
#[inline(always)]
pub(crate) fn holds_guards(thread: &Thread) -> bool {
    thread.service_depth.get() >= SHIELD
}

/// `thread` has a kill pending that its guards delay. Any context; never blocks.
#[cold]
pub(crate) fn kill_is_delayed(thread: &Thread) {
    // Once for each kill: the handler makes a thread runnable, and one that does so in each interrupt, at the end of a
    // slice, would keep the CPU from others.
    if thread.kill_flag.set_delayed()
        && let Some(handler) = DELAY_HANDLER.get()
    {
        handler();
    }
}

/// Returns whether the running `thread` is in no system call, except for that which ends its process, in a hook.
#[inline(always)]
pub(crate) fn is_in_no_call(thread: &Thread) -> bool {
    thread.service_depth.get().is_multiple_of(HOOK)
}

/// Returns the number of system calls that `thread` is in, plus the guards it holds: 0 if it can be killed where it is.
pub(crate) fn depth_of(thread: &Thread) -> u32 {
    let depth = thread.service_depth.get();
    depth / SHIELD + depth % SHIELD / HOOK + depth % HOOK
}

/// The running thread leaves its program for good, from wherever it is, and is in one system call from here on. What it
/// holds is still counted: [`drop_guards`]. Returns whether these are any guards.
#[inline(always)]
pub(crate) fn leave_program(thread: &Thread) -> bool {
    let depth = thread.service_depth.get();
    thread.service_depth.set(depth - depth % SHIELD + 1);
    depth >= SHIELD
}

/// The guards of the running thread, which has left its program, will not be dropped, and count no longer: returns
/// whether there are any.
#[inline(always)]
pub(crate) fn drop_guards(thread: &Thread) -> bool {
    let any = holds_guards(thread);
    if any {
        thread.service_depth.set(1);
    }
    any
}

/// What a thread that waits for one more guard is in, besides.
pub(crate) enum Around {
    /// Program code that holds no guard.
    Nothing,
    /// Program code that holds guards.
    Guards,
    /// A system call.
    Calls,
}

/// Returns what the running `thread` is in besides the system call in which it waits for a guard, and the shield of that
/// guard.
pub(crate) fn around_wait_for_guard(thread: &Thread) -> Around {
    match thread.service_depth.get() - (SHIELD + 1) {
        0 => Around::Nothing,
        depth if depth.is_multiple_of(SHIELD) => Around::Guards,
        _ => Around::Calls,
    }
}

/// Returns whether `thread` has a kill pending.
#[inline(always)]
pub(crate) fn is_kill_pending(thread: &Thread) -> bool {
    thread.kill_flag.is_set()
}

/// The running thread has a kill pending that ends it where it waits for a mutex or a token, which it does not get: the
/// other guards that it holds are given up.
#[cold]
pub(crate) fn die_waiting(thread: &Thread) -> ! {
    thread.service_depth.set(thread.service_depth.get() - SHIELD);
    die_at_kill_point()
}

/// Returns the priority to which an LWP is raised that is killed: the highest, because what it has left to do is the
/// kernel's work and short. In a section that a kill must not interrupt it runs program code first, perhaps for long: then
/// it has that of the killer, and is raised once more when it leaves the section.
pub(crate) fn priority_of_death(thread: &Thread, killer: Priority) -> Priority {
    if thread.service_depth.get() >= SHIELD { killer } else { Priority::HIGHEST }
}

/// Kill point (a): the running LWP has a kill pending and leaves its outermost service.
#[cold]
#[inline(never)]
pub(crate) fn die_at_kill_point() -> ! {
    Thread::current().place.raise_self(Priority::HIGHEST);
    let handler = KILL_HANDLER.get().expect("no LWP has a kill pending before processes exist");
    handler()
}
