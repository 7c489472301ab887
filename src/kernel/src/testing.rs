//! What an observer of the whole system may see of the kernel's tables, and how it is registered. For tests and
//! explorers; no interface for programs.
//!
//! Everything here only looks. A view is right at the moment it is asked, if nothing else goes on meanwhile: under
//! exploration for an observer, which is called between two steps. What a lock guards is answered by `None` while somebody
//! holds the lock.

use core::fmt;

use asphodel_core::id::Pid;
use asphodel_core::list::NIL;
use asphodel_core::proc::gate::View as GateView;
use asphodel_core::proc::quota::Resource;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::shim::atomic::Ordering;
use asphodel_core::thread::park::Sleep;

pub use asphodel_core::event::Event;

pub use crate::arch::exploration::{Observer, figures, is_explored, quietly, say, set_observer, violation};

use crate::arch::exploration;
use crate::arch::lock::InterruptLock;
use crate::cpu::mask;
use crate::proc::life::kill_walk;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::channel;
use crate::thread::{THREADS, Thread};

/// What `look` sees behind a lock that is free.
fn peek<T, R>(lock: &InterruptLock<T>, look: impl FnOnce(&T) -> R) -> Option<R> {
    lock.try_lock().map(|value| look(&value))
}

/// A thread record.
#[derive(Clone, Copy)]
pub struct ThreadView(&'static Thread);

/// How many thread records have ever been handed out: indices from 1 on, below this.
#[must_use]
pub fn threads() -> u32 {
    THREADS.len()
}

/// Thread record `index`.
#[must_use]
pub fn thread(index: u32) -> ThreadView {
    ThreadView(THREADS.get(index))
}

impl ThreadView {
    /// Its index.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0.index
    }

    /// Slot of its process; 0: none.
    #[must_use]
    pub fn process(self) -> u32 {
        self.0.lwp.process.get()
    }

    /// References to the record, and pins of its stack.
    #[must_use]
    pub fn counts(self) -> (u32, u32) {
        self.0.refs.counts()
    }

    /// Whether anybody has a reference to the record.
    #[must_use]
    pub fn is_in_use(self) -> bool {
        self.counts().0 != 0
    }

    /// Whether it is listed in a wait queue.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        self.0.is_waiting()
    }

    /// Whether it is listed in a run queue.
    #[must_use]
    pub fn is_queued(self) -> bool {
        self.0.is_queued()
    }

    /// Whether a deadline is armed for it.
    #[must_use]
    pub fn has_timer(self) -> bool {
        self.0.timer.is_armed()
    }

    /// How it sleeps, if it does.
    #[must_use]
    pub fn sleeping(self) -> Option<Sleep> {
        self.0.park.sleeping()
    }

    /// Whether it sleeps in a way that a kill ends.
    #[must_use]
    pub fn is_killable(self) -> bool {
        self.sleeping() == Some(Sleep::Killable)
    }

    /// Whether it has been told to die.
    #[must_use]
    pub fn is_kill_pending(self) -> bool {
        self.0.kill_flag.is_set()
    }

    /// Whether it was elected to end its process.
    #[must_use]
    pub fn is_exit_owner(self) -> bool {
        let process = self.process();
        process != 0 && PROCESSES.get(process).gate.is_owned_by(self.0.lwp.list_entry.tid())
    }

    /// Whether somebody waits in a join of it.
    #[must_use]
    pub fn has_joiners(self) -> Option<bool> {
        peek(&self.0.lwp.joiners, |joiners| !joiners.is_empty())
    }

    /// Tokens that it has.
    #[must_use]
    pub fn tokens(self) -> u32 {
        self.0.token_count.get()
    }

    /// The CPU it runs on, or was on last.
    #[must_use]
    pub fn cpu(self) -> u32 {
        self.0.cpu.get()
    }

    /// The CPUs it may run on.
    #[must_use]
    pub fn affinity(self) -> CpuMask {
        self.0.affinity()
    }

    /// Counter value when it left its CPU last.
    #[must_use]
    pub fn left_at(self) -> u64 {
        self.0.left_at.get()
    }

    /// Ticks of CPU time that were not added to its process's account yet.
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

/// How many process records have ever been handed out: slots from 1 on, below this.
#[must_use]
pub fn processes() -> u32 {
    PROCESSES.len()
}

/// The process record in `slot`.
#[must_use]
pub fn process(slot: u32) -> ProcessView {
    ProcessView(PROCESSES.get(slot))
}

impl ProcessView {
    /// Its pid.
    #[must_use]
    pub fn pid(self) -> Pid {
        self.0.pid()
    }

    /// Slot of its parent.
    #[must_use]
    pub fn parent(self) -> u32 {
        self.0.family.parent()
    }

    /// Its gate.
    #[must_use]
    pub fn gate(self) -> GateView {
        self.0.gate.view()
    }

    /// Children it has.
    #[must_use]
    pub fn children(self) -> Option<u32> {
        peek(&self.0.family.children, |children| children.len())
    }

    /// Whether it has neither LWPs nor handles of LWPs.
    #[must_use]
    pub fn has_no_lwps(self) -> Option<bool> {
        peek(&self.0.lwps.list, |lwps| lwps.is_empty() && lwps.has_no_exited())
    }

    /// Whether it has LWPs in its list that have no kill pending, and are not the exit owner.
    #[must_use]
    pub fn has_unkilled_lwps(self) -> Option<bool> {
        peek(&self.0.lwps.list, |lwps| {
            lwps.iter(&THREADS).map(thread).any(|lwp| !lwp.is_kill_pending() && !lwp.is_exit_owner())
        })
    }

    /// Whether there are processes of its task group that it leads.
    #[must_use]
    pub fn has_peers(self) -> Option<bool> {
        peek(&self.0.task_group.peers, |peers| !peers.is_empty())
    }

    /// Whether another process leads its task group.
    #[must_use]
    pub fn is_peer(self) -> bool {
        self.0.task_group.leader.get() != 0
    }

    /// Whether its spawner waits for memory that they share.
    #[must_use]
    pub fn in_progress(self) -> bool {
        self.0.vfork.in_progress()
    }

    /// Whether stacks of dead LWPs wait for its last one.
    #[must_use]
    pub fn has_dead_lwps(self) -> bool {
        self.0.lwps.dead.load(Ordering::Relaxed) != NIL
    }

    /// Whether threads are in its wait queues, those that are being changed left out.
    #[must_use]
    pub fn has_sleepers(self) -> bool {
        let process = self.0;
        let queues = [&process.exit.siblings_gone, &process.family.child_events, &process.signals.waiters];
        queues.iter().any(|queue| queue.has_sleepers() == Some(true))
            || process.vfork.has_sleepers() == Some(true)
    }

    /// What its tenant has, if it founded one: processes, LWPs, bytes.
    #[must_use]
    pub fn ledger(self) -> Option<[u64; 3]> {
        let process = self.0;
        (process.resources.tenant.get() == process.slot).then(|| {
            [Resource::Processes, Resource::Lwps, Resource::Memory]
                .map(|what| process.resources.ledger.used(what))
        })
    }

    /// Ticks of CPU time of the children it has reaped.
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

/// What goes on on a CPU.
#[derive(Clone, Copy, Debug)]
pub struct CpuView {
    /// Its index.
    pub index: u32,
    /// The thread whose context is on it.
    pub thread: ThreadView,
    /// Where that one's stack ends now.
    pub stack_pointer: usize,
    /// Whether it waits for an interrupt, and none is pending.
    pub is_idle: bool,
}

/// The CPUs that schedule. Under exploration only: else none.
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

/// The CPUs that take work: those that are online and not deactivated.
#[must_use]
pub fn open_cpus() -> CpuMask {
    mask::active()
}

/// Whether a group or a subtree is being killed.
#[must_use]
pub fn kill_walks() -> Option<bool> {
    kill_walk::is_any()
}

/// Queues of channels with somebody in them.
#[must_use]
pub fn channels_in_use() -> usize {
    channel::queues_in_use()
}
