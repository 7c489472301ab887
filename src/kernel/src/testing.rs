//! What is needed of the kernel's modules outside of it, and is no interface for programs: what boards are made of, what
//! tests examine, what the exported macros name, and the view that an observer of the whole system has of the tables.
//!
//! The views only read. A view is right at the moment at which it is taken if nothing else runs meanwhile, as for an
//! observer under exploration, which is called between two steps. For data that a lock guards the result is `None` while
//! the lock is held.

use core::fmt;

use asphodel_core::id::Pid;
use asphodel_core::list::NIL;
use asphodel_core::proc::gate::View as GateView;
use asphodel_core::proc::quota::Resource;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::shim::atomic::Ordering;
use asphodel_core::thread::park::Sleep;

pub use asphodel_core::event::Event;
pub use linkme;

pub use crate::arch::exploration::{Observer, figures, is_explored, quietly, say, set_observer, violation};
pub use crate::chainload::{LOADER, run as run_chain_loader};
pub use crate::proc::state::program::PROGRAMS;

use crate::arch::exploration;
use crate::arch::lock::InterruptLock;
use crate::console;
use crate::cpu::mask;
use crate::proc::life::{fault, kill_walk};
use crate::proc::state::table::{PROCESSES, Process, current_process};
use crate::sync::{channel, program_code};
use crate::thread::{THREADS, Thread};

/// What a board package is made of: the list of boards, the description of a machine, and its devices before there is a
/// driver.
pub mod board {
    pub use asphodel_core::boot::property;

    pub use crate::arch::cache::drop_lines;
    pub use crate::arch::mmu::{map_device, physical_of_image};
    pub use crate::board::{
        Atags, BOARDS, Board, BoardInfo, CpuInfo, Entry, GicInfo, LeftOut, PowerInfo, Region, StartMethod,
        UartInfo, add_bootargs, info,
    };
}

/// What tests look at below the kernel, and the instructions that end the program that executes them.
pub mod machine {
    pub use crate::arch::cpu::{
        affinity, breakpoint, store_at_stack_pointer, undefined_instruction, with_lowered_stack,
    };
    pub use crate::arch::daif::mask as mask_interrupts;
    pub use crate::arch::layout::{IMAGE_WINDOW, LINEAR_BASE, STACK_MIN_SHIFT, STACKS_WINDOW};
    pub use crate::arch::mmu::linear;
    pub use crate::cpu::STACK_CACHE;
    pub use crate::drivers::semihosting::read_file;
}

/// Prints a line of the system, which a host believes: the runner of test images reports by it. Only process 1 and kernel
/// threads can; what another process prints by it is a program's text. Any context but a fatal one.
pub fn report_line(line: fmt::Arguments<'_>) {
    let thread = Thread::current();
    if !thread.is_lwp() {
        console::say(line);
    } else if current_process().pid() == Pid::INIT {
        program_code::call(|| console::say_for_program(line));
    } else {
        program_code::call(|| console::print(format_args!("{line}\n")));
    }
}

/// Returns in how many processes an LWP has panicked or faulted since boot. Any context.
#[must_use]
pub fn crashes() -> u64 {
    fault::crashes()
}

/// Returns what `look` computes from the value of a lock that is free.
fn peek<T, R>(lock: &InterruptLock<T>, look: impl FnOnce(&T) -> R) -> Option<R> {
    lock.try_lock().map(|value| look(&value))
}

/// A thread record.
#[derive(Clone, Copy)]
pub struct ThreadView(&'static Thread);

/// Returns the number of thread records that have ever been used: their indices are from 1 on, below this.
#[must_use]
pub fn threads() -> u32 {
    THREADS.len()
}

/// Returns thread record `index`.
#[must_use]
pub fn thread(index: u32) -> ThreadView {
    ThreadView(THREADS.get(index))
}

impl ThreadView {
    /// Returns its index.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0.index
    }

    /// Returns the slot of its process; 0 if it has none.
    #[must_use]
    pub fn process(self) -> u32 {
        self.0.lwp.process.get()
    }

    /// Returns the references to the record, and pins of its stack.
    #[must_use]
    pub fn counts(self) -> (u32, u32) {
        self.0.refs.counts()
    }

    /// Returns whether there are references to the record.
    #[must_use]
    pub fn is_in_use(self) -> bool {
        self.counts().0 != 0
    }

    /// Returns whether it is listed in a wait queue.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        self.0.is_waiting()
    }

    /// Returns whether it is listed in a run queue.
    #[must_use]
    pub fn is_queued(self) -> bool {
        self.0.is_queued()
    }

    /// Returns whether a deadline is armed for it.
    #[must_use]
    pub fn has_timer(self) -> bool {
        self.0.timer.is_armed()
    }

    /// Returns how it sleeps, if it does.
    #[must_use]
    pub fn sleeping(self) -> Option<Sleep> {
        self.0.park.sleeping()
    }

    /// Returns whether it sleeps in a way that a kill ends.
    #[must_use]
    pub fn is_killable(self) -> bool {
        self.sleeping() == Some(Sleep::Killable)
    }

    /// Returns whether it has a kill pending.
    #[must_use]
    pub fn is_kill_pending(self) -> bool {
        self.0.kill_flag.is_set()
    }

    /// Returns whether it was elected to end its process.
    #[must_use]
    pub fn is_exit_owner(self) -> bool {
        let process = self.process();
        process != 0 && PROCESSES.get(process).gate.is_owned_by(self.0.lwp.list_entry.tid())
    }

    /// Returns whether a thread waits in a join of it.
    #[must_use]
    pub fn has_joiners(self) -> Option<bool> {
        peek(&self.0.lwp.joiners, |joiners| !joiners.is_empty())
    }

    /// Returns the number of tokens that it owns.
    #[must_use]
    pub fn tokens(self) -> u32 {
        self.0.token_count.get()
    }

    /// Returns the CPU that it runs on, or ran on last.
    #[must_use]
    pub fn cpu(self) -> u32 {
        self.0.cpu()
    }

    /// Returns the CPUs that it may run on.
    #[must_use]
    pub fn affinity(self) -> CpuMask {
        self.0.affinity()
    }

    /// Returns the counter value when it left its CPU last.
    #[must_use]
    pub fn left_at(self) -> u64 {
        self.0.left_at.get()
    }

    /// Returns the ticks of CPU time that were not added to its process's account yet.
    #[must_use]
    pub fn cpu_ticks(self) -> u64 {
        self.0.usage.read().cpu_ticks
    }
}

impl fmt::Debug for ThreadView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = self.0;
        let (holds, pins) = self.counts();
        write!(
            f,
            "thread {} of slot {} tid {}: cpu {} priority {} affinity {:#x} depth {} {:?} for {:?}{}{}{}{}{}{} references {holds} pins {pins}",
            thread.index,
            self.process(),
            thread.lwp.list_entry.tid(),
            self.cpu(),
            thread.priority().level(),
            self.affinity().bits(),
            thread.service_depth.get(),
            self.sleeping(),
            thread.waits_for.get(),
            if self.is_kill_pending() { " kill pending" } else { "" },
            if self.is_exit_owner() { " exit owner" } else { "" },
            if self.is_waiting() { " waiting" } else { "" },
            if self.is_queued() { " queued" } else { "" },
            if self.has_timer() { " timed" } else { "" },
            if thread.refs.is_retired() { " retired" } else { "" },
        )
    }
}

/// A process record.
#[derive(Clone, Copy)]
pub struct ProcessView(&'static Process);

/// Returns the number of process records that have ever been used: their slots are from 1 on, below this.
#[must_use]
pub fn processes() -> u32 {
    PROCESSES.len()
}

/// Returns the process record in `slot`.
#[must_use]
pub fn process(slot: u32) -> ProcessView {
    ProcessView(PROCESSES.get(slot))
}

impl ProcessView {
    /// Returns its pid.
    #[must_use]
    pub fn pid(self) -> Pid {
        self.0.pid()
    }

    /// Returns the slot of its parent.
    #[must_use]
    pub fn parent(self) -> u32 {
        self.0.family.parent()
    }

    /// Returns a snapshot of its gate.
    #[must_use]
    pub fn gate(self) -> GateView {
        self.0.gate.view()
    }

    /// Returns the number of its children.
    #[must_use]
    pub fn children(self) -> Option<u32> {
        peek(&self.0.family.children, |children| children.len())
    }

    /// Returns whether it has neither LWPs nor handles of LWPs.
    #[must_use]
    pub fn has_no_lwps(self) -> Option<bool> {
        peek(&self.0.lwps.list, |lwps| lwps.is_empty() && lwps.has_no_exited())
    }

    /// Returns whether it has LWPs in its list that have no kill pending, and are not the exit owner.
    #[must_use]
    pub fn has_unkilled_lwps(self) -> Option<bool> {
        peek(&self.0.lwps.list, |lwps| {
            lwps.iter(&THREADS).map(thread).any(|lwp| !lwp.is_kill_pending() && !lwp.is_exit_owner())
        })
    }

    /// Returns whether it leads a task group that has other processes.
    #[must_use]
    pub fn has_peers(self) -> Option<bool> {
        peek(&self.0.task_group.peers, |peers| !peers.is_empty())
    }

    /// Returns whether another process leads its task group.
    #[must_use]
    pub fn is_peer(self) -> bool {
        self.0.task_group.leader.get() != 0
    }

    /// Returns whether its spawner waits for memory that they share.
    #[must_use]
    pub fn in_progress(self) -> bool {
        self.0.vfork.in_progress()
    }

    /// Returns whether stacks of dead LWPs are kept for its last LWP.
    #[must_use]
    pub fn has_dead_lwps(self) -> bool {
        self.0.lwps.dead.load(Ordering::Relaxed) != NIL
    }

    /// Returns whether threads are in its wait queues, except those that are being changed.
    #[must_use]
    pub fn has_sleepers(self) -> bool {
        let process = self.0;
        let queues = [&process.exit.siblings_gone, &process.family.child_events, &process.signals.waiters];
        queues.iter().any(|queue| queue.has_sleepers() == Some(true))
            || process.vfork.has_sleepers() == Some(true)
    }

    /// Returns the usage of its tenant, if it founded one: processes, LWPs, bytes.
    #[must_use]
    pub fn ledger(self) -> Option<[u64; 3]> {
        let process = self.0;
        (process.resources.tenant.get() == process.slot).then(|| {
            [Resource::Processes, Resource::Lwps, Resource::Memory]
                .map(|what| process.resources.ledger.used(what))
        })
    }

    /// Returns the ticks of CPU time of the children that it has reaped.
    #[must_use]
    pub fn children_ticks(self) -> u64 {
        self.0.accounts.children.read().cpu_ticks
    }
}

impl fmt::Debug for ProcessView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.0;
        write!(
            f,
            "process {} in slot {}: parent {} group {} fatal {} children {:?} leader {} {:?} last step {}",
            self.pid(),
            process.slot,
            self.parent(),
            process.family.group(),
            process.signals.fatal().map_or(0, |signal| signal.number()),
            self.children(),
            process.task_group.leader.get(),
            self.gate(),
            crate::proc::info::trace::record(process).latest().map_or("none", |step| step.step.name()),
        )
    }
}

/// The state of a CPU.
#[derive(Clone, Copy, Debug)]
pub struct CpuView {
    /// Its index.
    pub index: u32,
    /// The thread whose context is on it.
    pub thread: ThreadView,
    /// The current stack pointer of that thread.
    pub stack_pointer: usize,
    /// `true` if it waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// Returns the CPUs that schedule. Only under exploration; otherwise there are none.
pub fn cpus() -> impl Iterator<Item = CpuView> {
    (0..crate::cpu::MAX_CPUS).filter_map(|index| {
        let standing = exploration::standing(index)?;
        Some(CpuView {
            index: index as u32,
            // SAFETY: the address of a thread's record, which is never freed.
            thread: ThreadView(unsafe { &*(standing.thread as *const Thread) }),
            stack_pointer: standing.stack_pointer,
            is_idle: standing.is_idle,
        })
    })
}

/// Returns the CPUs that take work: those that are online and not deactivated.
#[must_use]
pub fn open_cpus() -> CpuMask {
    mask::active()
}

/// Returns whether a group or a subtree is being killed.
#[must_use]
pub fn kill_walks() -> Option<bool> {
    kill_walk::is_any()
}

/// Returns the number of queues of channels that have waiters.
#[must_use]
pub fn channels_in_use() -> usize {
    channel::queues_in_use()
}
