//! Choosing the next thread, switching to it, and finishing the switch of the previous one.
//!
//! All of this runs with interrupts masked. The context that runs next finishes the switch of the one before it
//! ([`finish`]): only then are its registers saved, so only then may it be parked or sent to another CPU.
//!
//! A dead thread is finished before the next one is chosen, so that a thread that is woken by its end (a joiner, the
//! parent, the exit owner) can be chosen at once. That needs a stack other than the dead thread's: the idle thread's,
//! which does not run meanwhile, below what it has saved there.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::sched::priority::Priority;
use asphodel_core::sched::turn::{End, Preempted};
use asphodel_core::thread::refs::OffStack;

use crate::arch::{counter, cpu as cpu_registers, daif, fp, switch};
use crate::board;
use crate::cpu::{Cpu, PrevAction, mask};
use crate::sched::{deadline, eviction, ready};
use crate::thread::{THREADS, Thread};

/// Why the running thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SwitchReason {
    /// It yields to others of its priority.
    Yield,
    /// A better one, or the next of its priority, takes over.
    Preempted,
    /// Its CPU is inactive, and it may run on others.
    Migrate,
    /// It sleeps.
    Block,
}

impl SwitchReason {
    /// Returns whether it did not ask for the switch, so that all of its registers must be saved.
    #[inline(always)]
    fn is_involuntary(self) -> bool {
        matches!(self, Self::Preempted | Self::Migrate)
    }
}

/// The higher layer's work for a dead thread.
pub(crate) trait DeadThread {
    /// Finishes `thread`, whose stack is out of use. Called on the idle thread's stack, interrupts masked.
    fn finish(thread: &'static Thread, proof: OffStack);
}

/// The running thread lets others of its priority run. Returns at once if there are none. Thread context.
#[inline(never)]
pub(crate) fn yield_now() {
    let interrupts = daif::mask();
    leave(Thread::current(), SwitchReason::Yield);
    daif::restore(interrupts);
}

/// Refuses a sleep with preemption disabled: a panic of the program, so before the thread is in any queue.
#[inline(always)]
pub(crate) fn assert_may_sleep(thread: &Thread) {
    assert!(thread.preempt_depth.get() == 0, "a thread sleeps with preemption disabled");
}

/// The running thread, which has announced its sleep, sleeps until it is made runnable. Returns at once if that has
/// happened. Thread context; no lock is held, or this is a kernel bug. [`assert_may_sleep`] came before the announcement.
#[inline(never)]
pub(crate) fn park() {
    let interrupts = daif::mask();
    let thread = Thread::current();
    assert!(!interrupts.was_masked(), "a thread sleeps with interrupts masked");
    debug_assert!(thread.preempt_depth.get() == 0, "a thread sleeps with preemption disabled");
    if thread.park.is_parking() {
        leave(thread, SwitchReason::Block);
    }
    daif::restore(interrupts);
}

/// Switches if a better thread waits. Interrupts masked; preemption enabled.
#[inline(never)]
pub(crate) fn preempt() {
    let thread = Thread::current();
    leave(
        thread,
        if eviction::must_leave(Cpu::this(), thread) {
            SwitchReason::Migrate
        } else {
            SwitchReason::Preempted
        },
    );
}

/// The running thread ends: never returns; `D` finishes it. Everything that could block has been done. Interrupts masked.
#[inline(always)]
pub(crate) fn die<D: DeadThread>(thread: &'static Thread) -> ! {
    let cpu = Cpu::this();
    account(cpu, thread, counter::now(), true);
    let idle = THREADS.get(cpu.idle.get());
    // No fence needed: the idle thread is never killed.
    cpu.current.start_with(cpu.idle.get());
    cpu_registers::set_thread_pointer(core::ptr::from_ref(idle) as u64);
    debug_assert!(
        thread.program_registers.get() == 0 && thread.preempt_depth.get() == 0,
        "it left both behind"
    );
    // SAFETY: interrupts are masked until `finish_dead_and_switch` resumes a context; the idle thread was switched from
    // when `thread`, which is another one, was switched to, and runs on this CPU only. A dead thread is in no queue.
    unsafe {
        switch::abandon(
            core::ptr::from_ref(thread) as usize,
            idle.context.get(),
            finish_dead_and_switch::<D>,
        );
    }
}

/// Finishes the thread that has exited on this CPU, and continues with the best one that is runnable then.
extern "C" fn finish_dead_and_switch<D: DeadThread>(dead: usize) -> ! {
    // SAFETY: `die` passes a record; records are never freed.
    let dead = unsafe { &*(dead as *const Thread) };
    D::finish(dead, OffStack::assert());
    let cpu = Cpu::this();
    cpu.reschedule.set(0);
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    let next = unsafe {
        cpu.with_private(|private| {
            let next = private.run_queue.pop_best(&THREADS);
            cpu.ready.store(private.run_queue.len(), Ordering::Relaxed);
            next
        })
    };
    let next = THREADS.get(next.unwrap_or_else(|| cpu.idle.get()));
    cpu.statistics.switches.set(cpu.statistics.switches.get() + 1);
    deadline::start_slice(cpu, next, cpu.switched_at.get());
    install(cpu, next);
    // The idle thread, on whose stack the dead one was finished, uses none.
    if next.program_registers.get() != 0 {
        swap_used_registers(THREADS.get(cpu.idle.get()), next, false);
    }
    // SAFETY: interrupts are masked; `next` is as in `go_on_with`. This function is never resumed.
    unsafe { switch::resume(next.context.get()) }
}

/// `thread`, which is running, leaves the CPU to the next one, for `reason`. Interrupts masked. Returns when this
/// thread runs again.
///
/// The thread that continues has finished the switch of the one before it, and that may have made a better thread
/// runnable (the parent of a process that ended, a joiner): no other code would check, and a CPU must not go idle while
/// a thread waits.
#[inline(always)]
fn leave(thread: &'static Thread, reason: SwitchReason) {
    leave_once(thread, reason);
    if Cpu::this().reschedule.get() != 0 {
        preempt_again();
    }
}

/// Carries out the preemption that finishing another thread's switch requires.
#[cold]
#[inline(never)]
fn preempt_again() {
    let thread = Thread::current();
    while Cpu::this().reschedule.get() != 0 && thread.preempt_depth.get() == 0 {
        leave_once(thread, SwitchReason::Preempted);
    }
}

/// One switch, if there is a thread to switch to. Inlined where the reason is known, which makes it a third shorter.
#[inline(always)]
fn leave_once(thread: &'static Thread, reason: SwitchReason) {
    let cpu = Cpu::this();
    cpu.reschedule.set(0);
    // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
    let next = unsafe { cpu.with_private(|private| choose(cpu, thread, reason, private)) };
    let Some(next) = next else { return };
    let now = counter::now();
    account(cpu, thread, now, !reason.is_involuntary());
    thread.left_at.set(now);
    cpu.statistics.switches.set(cpu.statistics.switches.get() + 1);
    let next = THREADS.get(next);
    deadline::start_slice(cpu, next, now);
    go_on_with(cpu, thread, next, reason);
}

/// Accounts the turn of `thread`, which ends `now`.
#[inline(always)]
fn account(cpu: &Cpu, thread: &Thread, now: u64, voluntary: bool) {
    thread.usage.charge(now.wrapping_sub(cpu.switched_at.get()), voluntary);
    cpu.switched_at.set(now);
}

/// Returns the thread to run instead of `thread`, which is put into its queue. `None`: it continues.
#[inline(always)]
fn choose(
    cpu: &Cpu,
    thread: &Thread,
    reason: SwitchReason,
    private: &mut crate::cpu::Private,
) -> Option<u32> {
    let queue = &mut private.run_queue;
    let (next, prev_action) = match reason {
        SwitchReason::Block => (queue.pop_best(&THREADS), PrevAction::Parked(thread.index)),
        // Never the idle thread, which may run nowhere else.
        SwitchReason::Migrate => (queue.pop_best(&THREADS), PrevAction::Moved(thread.index)),
        SwitchReason::Yield | SwitchReason::Preempted => {
            let idle = thread.index == cpu.idle.get();
            let misplaced = !idle && !thread.affinity().contains(cpu.index);
            // Once, because it may be raised meanwhile.
            let priority = thread.priority();
            if !idle && !misplaced && queue.best().is_none_or(|best| best < priority) {
                return None;
            }
            if idle {
                let next = queue.pop_best(&THREADS);
                next?;
                (next, PrevAction::Nothing)
            } else if misplaced {
                (queue.pop_best(&THREADS), PrevAction::Moved(thread.index))
            } else if queue.best() == Some(priority) {
                if reason == SwitchReason::Preempted && !cpu.perturb.is_on() {
                    return end_turn(cpu, thread, priority, private);
                }
                // The length does not change, and the previous thread needs no action.
                return queue.rotate(&THREADS, thread.index, priority);
            } else {
                let next = queue.pop_best(&THREADS);
                let place = if reason == SwitchReason::Preempted {
                    deadline::place_of_preempted(cpu)
                } else {
                    Preempted::Last
                };
                match place {
                    Preempted::First(left) => {
                        thread.slice_left.set(left);
                        queue.push_front(&THREADS, thread.index, priority);
                    }
                    Preempted::Last => queue.push_back(&THREADS, thread.index, priority),
                }
                (next, PrevAction::Nothing)
            }
        }
    };
    cpu.ready.store(queue.len(), Ordering::Relaxed);
    private.prev_action = prev_action;
    Some(next.unwrap_or_else(|| cpu.idle.get()))
}

/// The turn of `thread` has ended, and others of its `priority` wait: returns the next one. Interrupts masked, on `cpu`.
#[inline(never)]
fn end_turn(
    cpu: &Cpu,
    thread: &Thread,
    priority: Priority,
    private: &mut crate::cpu::Private,
) -> Option<u32> {
    let queue = &mut private.run_queue;
    let others = thread.affinity().and(mask::active()).without(cpu.index);
    match cpu.turns.end(others) {
        End::Second => {
            let next = queue.pop_best(&THREADS);
            queue.push_front(&THREADS, thread.index, priority);
            next
        }
        End::Elsewhere(target) if is_no_busier(target, queue.len()) => {
            let next = queue.pop_best(&THREADS);
            cpu.ready.store(queue.len(), Ordering::Relaxed);
            cpu.statistics.given.set(cpu.statistics.given.get() + 1);
            thread.place.move_to(target);
            private.prev_action = PrevAction::Moved(thread.index);
            next
        }
        End::Last | End::Elsewhere(_) => queue.rotate(&THREADS, thread.index, priority),
    }
}

/// Returns whether at most `ready` threads wait on CPU `target`.
fn is_no_busier(target: u32, ready: u32) -> bool {
    Cpu::get(target).is_some_and(|cpu| cpu.ready.load(Ordering::Relaxed) <= ready)
}

/// Switches from `thread` to `next`. Returns when `thread` runs again, with the previous context finished.
#[inline(always)]
fn go_on_with(cpu: &'static Cpu, thread: &'static Thread, next: &'static Thread, reason: SwitchReason) {
    install(cpu, next);
    swap_program_registers(thread, next, reason.is_involuntary());
    // SAFETY: interrupts are masked; `next` came from this CPU's run queue or is its idle thread, so its context is
    // saved and runs nowhere else.
    unsafe { switch::switch(thread.context.slot(), next.context.get()) };
    finish();
}

/// Makes `next` the running thread of this CPU.
#[inline(always)]
fn install(cpu: &Cpu, next: &Thread) {
    debug_assert!(next.cpu() == cpu.index, "it is queued here, and says another CPU");
    cpu.current.switch_to(next.index);
    cpu_registers::set_thread_pointer(core::ptr::from_ref(next) as u64);
}

/// Moves the registers that only programs use: floating point, and the thread-local storage pointer.
#[inline(always)]
fn swap_program_registers(thread: &Thread, next: &Thread, preempted: bool) {
    if thread.program_registers.get() | next.program_registers.get() != 0 {
        swap_used_registers(thread, next, preempted);
    }
}

#[cold]
#[inline(never)]
fn swap_used_registers(thread: &Thread, next: &Thread, preempted: bool) {
    swap_floating_point(thread.fp.load(Ordering::Relaxed), next.fp.load(Ordering::Relaxed), preempted);
    thread.tls.set(cpu_registers::tls_pointer());
    cpu_registers::set_tls_pointer(next.tls.get());
}

fn swap_floating_point(old: *mut fp::FpState, new: *mut fp::FpState, preempted: bool) {
    // SAFETY: a thread's state is freed by itself only, before its last switch; both threads are held still by this
    // CPU with interrupts masked.
    let (old, new) = unsafe { (old.as_mut(), new.as_ref()) };
    if let Some(old) = old {
        old.save(preempted);
    }
    match new {
        Some(new) => {
            fp::enable();
            new.restore();
        }
        None => fp::disable(),
    }
}

/// Finishes the switch of the context that ran before, on the stack of the one that runs now. Interrupts masked.
#[inline(always)]
fn finish() {
    let cpu = Cpu::this();
    // SAFETY: this CPU, interrupts masked; nothing is called inside.
    let prev_action = unsafe {
        cpu.with_private(|private| match private.prev_action {
            PrevAction::Nothing => PrevAction::Nothing,
            due => {
                private.prev_action = PrevAction::Nothing;
                due
            }
        })
    };
    match prev_action {
        PrevAction::Nothing => {}
        PrevAction::Parked(thread) => {
            if !THREADS.get(thread).park.commit() {
                put_back(thread);
            }
        }
        PrevAction::Moved(thread) => put_back(thread),
    }
}

/// Queues a thread again that was woken while it switched away, or may not run here any more. Interrupts masked.
#[cold]
#[inline(never)]
fn put_back(thread: u32) {
    ready::enqueue_on_best_cpu(Cpu::this(), thread);
}

/// The first function of a new thread's body: finishes the switch to it, switches again if that made a better thread
/// runnable, and unmasks interrupts.
#[inline(always)]
pub(crate) fn enter_thread() {
    finish();
    if Cpu::this().reschedule.get() != 0 {
        preempt();
    }
    daif::unmask();
}

/// Makes the boot context the idle thread of CPU `index` and opens the CPU for scheduling. Interrupts masked.
pub(crate) fn start_cpu(index: u32) -> &'static Cpu {
    let cpu = Cpu::install(index);
    Thread::adopt_boot_context(cpu);
    cpu.switched_at.set(counter::now());
    deadline::start_cpu(cpu, board::boot_argument("seed").and_then(|seed| seed.parse().ok()));
    mask::set_online(index);
    cpu
}
