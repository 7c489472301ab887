//! Faults and panics of programs: they end their process, not the system (DESIGN, decision 11).
//!
//! The parent sees a signal status: SIGSEGV for memory and stack overflow, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGABRT for
//! a panic. The cause is printed on the console with registers and backtrace. A fault while a kernel lock may be held,
//! or with interrupts masked, is a kernel bug and ends the system.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::fmt;
use core::panic::PanicInfo;

use alloc::boxed::Box;
use asphodel_core::event::Event;
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use crate::arch::backtrace::Backtrace;
use crate::arch::exception::{Fault, FaultKind, Hooks, Report, Room};
use crate::arch::fp::{self, FpState};
use crate::arch::{TrapFrame, cpu, daif, observe, switch};
use crate::console;
use crate::cpu::Cpu;
use crate::drivers::gic;
use crate::mem::{arena, fallible};
use crate::proc::life::exit;
use crate::proc::state::table::{current_process, process_of};
use crate::sched::{MESSAGE, deadline, interrupt};
use crate::sync::{program_code, program_queue, service, token};
use crate::thread::lazy::{self, Touch, Toucher};
use crate::thread::stack::DEFAULT_SIZE;
use crate::thread::{Thread, end_mark};

/// Processes in which an LWP has panicked or faulted. For tests, which must have expected each.
static CRASHES: AtomicU64 = AtomicU64::new(0);

/// An LWP of the calling process panics or faults.
fn count_crash() {
    if current_process().exit.set_crashed() {
        CRASHES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns in how many processes there has been a panic or a fault. Any context.
pub(crate) fn crashes() -> u64 {
    CRASHES.load(Ordering::Relaxed)
}

/// The kernel's exception hooks.
pub(crate) static HOOKS: Hooks = Hooks { irq, fault, room, fp: first_fp_use, preempt };

/// Returns the signal that reports a fault to a waiter.
fn signal_of(kind: FaultKind) -> Signal {
    match kind {
        FaultKind::NullAccess
        | FaultKind::StackOverflow
        | FaultKind::DataAbort
        | FaultKind::PrefetchAbort
        | FaultKind::Unexpected => Signal::SEGV,
        FaultKind::Undefined => Signal::ILL,
        FaultKind::Alignment | FaultKind::Bus => Signal::BUS,
        FaultKind::Breakpoint => Signal::TRAP,
        FaultKind::FloatingPoint => Signal::FPE,
    }
}

/// Returns whether the running thread can end without leaving a kernel lock locked: those mask interrupts. Sections
/// without preemption are the programs' own.
fn can_die(thread: &Thread) -> bool {
    thread.is_lwp()
}

/// Identifies the LWP, for the console.
struct Who<'a>(&'a Thread);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = current_process();
        write!(
            f,
            "asphodel: pid {} tid {} ({})",
            process.pid(),
            self.0.lwp.list_entry.tid(),
            process.executable.program().name
        )
    }
}

/// Returns the base of the loaded program that contains this address, if there is one: its file's addresses begin
/// there.
struct LoadedAt(usize);

impl fmt::Display for LoadedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match arena::program_around(self.0) {
            Some((_, base)) => write!(f, "\nthe program is loaded at {base:#x}"),
            None => Ok(()),
        }
    }
}

/// Hook: an interrupt of a thread. Returns `true` to preempt it.
fn irq(frame: &mut TrapFrame) -> bool {
    let cpu = Cpu::this();
    interrupt::handle_next(cpu);
    let thread = Thread::current();
    if service::is_kill_pending(thread) && thread.is_lwp() && !frame.irq_masked() {
        if can_be_killed(thread) {
            continue_at_end(frame, thread, end_at_kill_point, 0);
        } else if service::holds_guards(thread) {
            delay_kill(frame, thread);
        }
    }
    cpu.reschedule.get() != 0 && may_preempt(frame, thread)
}

/// Kill point (c): the LWP is in program code without guards, or with guards that do not delay the kill any more.
#[inline]
fn can_be_killed(thread: &Thread) -> bool {
    let depth_allows =
        thread.service_depth.get() == 0 || (thread.kill_flag.is_overdue() && service::is_in_program(thread));
    depth_allows && thread.preempt_depth.get() == 0
}

/// The guards of the interrupted `thread` delay its kill.
#[cold]
#[inline(never)]
fn delay_kill(frame: &mut TrapFrame, thread: &Thread) {
    service::kill_is_delayed(thread);
    if thread.preempt_depth.get() != 0 {
        look_at_refusal(frame, thread);
    }
}

/// Returns whether the interrupted `thread`, for which another one waits, can be preempted.
#[inline]
fn may_preempt(frame: &mut TrapFrame, thread: &Thread) -> bool {
    let may = thread.preempt_depth.get() == 0;
    if !may {
        look_at_refusal(frame, thread);
    }
    may
}

/// The interrupted `thread` has preemption disabled. If another thread waits for its CPU, or it has a kill pending, and
/// has had for too long, it ends, for it may have forgotten that it can be preempted only when it says so.
#[cold]
#[inline(never)]
fn look_at_refusal(frame: &mut TrapFrame, thread: &Thread) {
    // In a system call it is looked at again: those that do not block are short, and here none blocks.
    if thread.is_lwp()
        && deadline::refused(Cpu::this())
        && service::is_in_program(thread)
        && !frame.irq_masked()
    {
        continue_at_end(frame, thread, end_of_refusal, 0);
    }
}

/// Hook: the second half of a preempting interrupt, on the thread's own stack, interrupts masked.
fn preempt() {
    interrupt::preempt();
    // It may have been killed while it was off its CPU, where no interrupt could reach it.
    let thread = Thread::current();
    if service::is_kill_pending(thread) && thread.is_lwp() && can_be_killed(thread) {
        if thread.has_stack_below(cpu::stack_pointer(), cpu::SERVICE_STACK) {
            end_at_kill_point(0);
        }
        // Too little is left to exit here, or to look for another stack. So it is ended by an interrupt, which is taken
        // on the CPU's own stack as soon as the thread continues.
        gic::send_sgi(MESSAGE, Cpu::this().index as usize);
    }
}

/// Hook: a synchronous exception of a thread.
fn fault(frame: &mut TrapFrame, fault: &Fault) {
    let thread = Thread::current();
    let touch = if fault.is_missing_data() { touch_stack(frame, fault.address()) } else { Touch::Elsewhere };
    if touch == Touch::Mapped {
        return;
    }
    if !can_die(thread) || frame.irq_masked() {
        crate::shutdown::fatal(format_args!("fault in the kernel: {}", Report { frame, fault }));
    }
    if touch == Touch::OutOfMemory {
        console::say(format_args!(
            "{} ends: there is no memory for its stack at {:#x}",
            Who(thread),
            fault.address()
        ));
        frame.set_sp(top_of_another_stack(thread) as u64);
        return frame.redirect(end_by_signal, u64::from(Signal::ABRT.number()));
    }
    console::say(format_args!(
        "{} {}{}",
        Who(thread),
        Report { frame, fault },
        LoadedAt(frame.pc() as usize)
    ));
    continue_at_end(frame, thread, end_by_signal, u64::from(signal_of(fault.kind).number()));
}

/// The stopped thread is to call `end`, which never returns: where it is, or on another stack if its own is too full, or
/// if its stack pointer is not in its stack. Exception context.
fn continue_at_end(frame: &mut TrapFrame, thread: &Thread, end: extern "C" fn(u64) -> !, argument: u64) {
    if !thread.has_stack_below(frame.sp() as usize, cpu::SERVICE_STACK) {
        frame.set_sp(top_of_another_stack(thread) as u64);
    }
    frame.align_sp();
    frame.redirect(end, argument);
}

/// Returns the top of a stack for the running thread to exit on: another one, or if there is none, its own from the top,
/// because nothing on it is used again. Interrupts masked.
fn top_of_another_stack(thread: &Thread) -> usize {
    thread.replace_stack(Cpu::this()).unwrap_or_else(|| {
        // What lies there is about to be overwritten.
        token::give_up_all(thread);
        program_queue::end_waits(thread);
        thread.stack_top()
    })
}

/// The interrupted code touches `address`, where nothing is mapped: maps the page if it is one of a lazy stack.
#[cold]
fn touch_stack(frame: &TrapFrame, address: usize) -> Touch {
    let (cpu, thread) = (Cpu::this(), Thread::current());
    let toucher = if frame.irq_masked() {
        Toucher::Masked
    } else if thread.is_lwp() && service::is_in_program(thread) {
        Toucher::Program
    } else {
        Toucher::Service
    };
    let touch = lazy::touch(cpu, address, toucher);
    if toucher == Toucher::Masked && touch != Touch::Elsewhere {
        interrupt::fill_reserve_soon(cpu);
    }
    touch
}

/// Hook: preemption needs `address` of the interrupted thread's stack, and nothing is mapped there.
fn room(frame: &TrapFrame, address: usize) -> Room {
    match touch_stack(frame, address) {
        Touch::Mapped => Room::Mapped,
        Touch::OutOfMemory => Room::OutOfMemory,
        Touch::Elsewhere => Room::None,
    }
}

/// The continuation of a faulting LWP.
extern "C" fn end_by_signal(number: u64) -> ! {
    service::leave_program(Thread::current());
    count_crash();
    observe(|| Event::Fault { pid: current_process().pid() });
    let signal = Signal::new(number as i32).unwrap_or(Signal::SEGV);
    exit::exit_process(Status::signaled(signal))
}

/// The continuation of an LWP with a kill pending.
extern "C" fn end_at_kill_point(_argument: u64) -> ! {
    service::leave_program(Thread::current());
    daif::unmask();
    service::die_at_kill_point()
}

/// The continuation of an LWP that has kept preemption disabled for too long.
extern "C" fn end_of_refusal(_argument: u64) -> ! {
    let thread = Thread::current();
    service::leave_program(thread);
    if service::is_kill_pending(thread) {
        service::die_at_kill_point();
    }
    thread.preempt_depth.set(0);
    console::say(format_args!("{} ends: it keeps preemption disabled, and others from its CPU", Who(thread)));
    observe(|| Event::Fault { pid: current_process().pid() });
    exit::exit_process(Status::signaled(Signal::ABRT))
}

/// Hook: the running thread has used a floating-point register for the first time.
fn first_fp_use(frame: &mut TrapFrame) {
    let thread = Thread::current();
    if !thread.is_lwp() || frame.irq_masked() {
        crate::shutdown::fatal(format_args!("floating point in the kernel\n{frame}"));
    }
    // Its own state, freed when it ends: the kernel's, so not from an arena.
    let depth = thread.service_depth.get();
    thread.service_depth.set(depth + 1);
    let state = fallible::boxed(FpState::new());
    thread.service_depth.set(depth);
    let Some(state) = state.map(Box::into_raw) else {
        // As for any failed allocation that cannot be reported.
        console::say(format_args!(
            "{} ends: there is no memory for its floating-point registers",
            Who(thread)
        ));
        return continue_at_end(frame, thread, end_by_signal, u64::from(Signal::ABRT.number()));
    };
    thread.fp.store(state, Ordering::Relaxed);
    thread.program_registers.set(1);
    fp::enable();
    // SAFETY: just made.
    unsafe { &*state }.restore();
}

/// A Rust panic: ends the process if an LWP panicked in a place where it can die, otherwise returns.
///
/// The report needs more stack than the place of a panic may have left: it is made on another stack then, while the
/// message stays where it is.
pub(crate) fn panicked(info: &PanicInfo<'_>, masked: bool) {
    if cpu::thread_pointer() == 0 || masked {
        return;
    }
    let thread = Thread::current();
    if !can_die(thread) {
        return;
    }
    let panic = Panic { info, backtrace: Backtrace::here() };
    let argument = (&raw const panic).addr();
    if !thread.has_stack_below(cpu::stack_pointer(), REPORT_STACK) {
        let interrupts = daif::mask();
        let top = thread.replace_stack(Cpu::this());
        daif::restore(interrupts);
        if let Some(top) = top {
            // SAFETY: a stack that has just been made for this thread.
            unsafe { switch::continue_on(top, end_panicked, argument) }
        }
    }
    // Without another one, what is left must do, or is one more overflow, of a program that ends.
    cpu::probe_stack();
    end_panicked(argument)
}

/// Stack that is left for the report of a panic, with the program's own formatting code in it, in bytes.
const REPORT_STACK: usize = DEFAULT_SIZE / 2;

/// A panic of the running LWP.
struct Panic<'a> {
    info: &'a PanicInfo<'a>,
    backtrace: Backtrace,
}

/// Prints the [`Panic`] at `address`, and ends the process.
extern "C" fn end_panicked(address: usize) -> ! {
    // SAFETY: `panicked` passes a value on a stack that is kept until the LWP has ended.
    let panic = unsafe { &*(address as *const Panic<'_>) };
    let thread = Thread::current();
    tell_of_panic(thread, panic);
    count_crash();
    service::leave_program(thread);
    observe(|| Event::Fault { pid: current_process().pid() });
    exit::exit_process(Status::signaled(Signal::ABRT))
}

/// Prints what the panic says, with its place. The message is formatted by program code, which can itself panic: then
/// the second panic is reported without its message.
fn tell_of_panic(thread: &Thread, panic: &Panic<'_>) {
    let location = panic.info.location();
    let (file, line) = location.map_or(("unknown place", 0), |place| (place.file(), place.line()));
    let backtrace = panic.backtrace;
    if thread.has_end_mark(end_mark::PANICKING) {
        console::say(format_args!(
            "{} panicked while it reported a panic, at {file}:{line}\n{backtrace}",
            Who(thread)
        ));
        return;
    }
    thread.set_end_mark(end_mark::PANICKING);
    // The system calls that it was in are left for good, so it can be killed meanwhile, as it can in all program code. The
    // exit owner goes on with the exit. Guards stay what they are, because the message may borrow what they protect.
    let is_owner = process_of(thread).gate.is_owned_by(thread.lwp.list_entry.tid());
    service::return_to_program(thread, is_owner);
    program_code::call(|| {
        console::say_for_program(format_args!(
            "{} panicked: {}, at {file}:{line}\n{backtrace}",
            Who(thread),
            panic.info.message()
        ));
    });
}
