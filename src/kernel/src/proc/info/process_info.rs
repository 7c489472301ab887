//! Information about processes: what `ps` shows, and the counts that a leak check compares.

use alloc::vec::Vec;
use asphodel_core::id::Pid;
use asphodel_core::proc::quota::{NO_TENANT, Quota, Resource};
use asphodel_core::proc::usage::Usage;
use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::mem;
use crate::proc::info::list;
use crate::proc::info::stats::running_ticks;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service::KernelSection;
use crate::thread::{THREADS, Thread, end_mark, stack};

/// Room for the processes of a small system.
const USUAL: usize = 16;

/// The state of a process, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An LWP runs or could run.
    Running,
    /// All LWPs sleep.
    Sleeping,
    /// An exit owner has been elected.
    Exiting,
    /// It waits to be reaped, and its parent has been sent its signal.
    Zombie,
}

/// One process, as `ps` shows it.
#[derive(Clone, Debug)]
pub struct ProcessReport {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// Its group.
    pub group: Pid,
    /// Its state.
    pub state: State,
    /// LWPs that have not left; its worker, which runs its tasks and call-outs, is not counted.
    pub lwps: u32,
    /// The number of them that sleep.
    pub sleeping: u32,
    /// The CPU one of its LWPs ran on last.
    pub cpu: u32,
    /// Its usage so far, living LWPs included; and its peak of memory.
    pub usage: Usage,
    /// Counter ticks since it was started.
    pub age_ticks: u64,
    /// Bytes of stack and heap it has, and of the arena that it pays for.
    pub memory: u64,
    /// Bytes of the arena that its program's memory comes from; `None`: from the shared heap.
    pub arena: Option<u64>,
    /// The founder of its tenant; no pid if it is in none.
    pub tenant: Pid,
    /// Its program's name.
    pub name: &'static str,
    /// While it is exiting: the number of an LWP that it waits for and whose sleep a kill does not end, and the reason
    /// of that sleep (T34, R47).
    pub waits_for: Option<(u32, Reason)>,
}

/// Returns all processes, in the order of their slots, without those that have been reaped and whose records are kept
/// because their pid still names a group. Not a snapshot. Thread context; allocates.
pub fn processes() -> Vec<ProcessReport> {
    list::filled(USUAL, |room| {
        let mut processes = PROCESSES.all().filter(|process| !process.gate.view().claimed);
        processes.try_for_each(|process| room.push(report(&process)))
    })
}

/// Returns one process, zombies included. Thread context.
pub fn process(pid: Pid) -> Option<ProcessReport> {
    let _section = KernelSection::enter();
    PROCESSES.find(pid).map(|process| report(&process))
}

fn report(process: &Process) -> ProcessReport {
    let view = process.gate.view();
    let mut usage = process.accounts.own.read();
    let (mut runnable, mut sleeping, mut cpu, mut waits_for) = (false, 0, 0, None);
    let name = {
        let lwps = process.lwps.list.lock();
        for index in lwps.iter(&THREADS) {
            let thread = THREADS.get(index);
            usage = usage.plus(thread.usage.read());
            usage.cpu_ticks += running_ticks(thread);
            runnable |= thread.park.sleeping().is_none();
            let counts = !thread.has_end_mark(end_mark::WORKER);
            sleeping += u32::from(counts && thread.park.sleeping().is_some());
            cpu = thread.cpu();
            let tid = thread.lwp.list_entry.tid();
            let stuck =
                thread.park.sleeping() == Some(Sleep::Uninterruptible) && !process.gate.is_owned_by(tid);
            waits_for = waits_for.or(stuck.then(|| (tid, thread.waits_for.get())));
        }
        process.executable.name(&lwps)
    };
    let state = match () {
        () if view.zombie && is_published(process) => State::Zombie,
        () if view.exiting => State::Exiting,
        () if runnable => State::Running,
        () => State::Sleeping,
    };
    let parent = process.parent_pid();
    ProcessReport {
        pid: process.pid(),
        parent,
        group: process.family.group(),
        state,
        lwps: view.live,
        sleeping,
        cpu,
        usage,
        age_ticks: process.accounts.age_ticks(),
        memory: process.resources.memory(),
        arena: Some(process.resources.arena()).filter(|arena| *arena != 0).map(mem::arena::mapped_bytes),
        tenant: tenant_of(process).map_or(Pid::NONE, Process::pid),
        name,
        waits_for: if view.exiting { waits_for } else { None },
    }
}

/// Returns whether `process`, whose last LWP is off its CPU, can be waited for, and its parent has been sent its signal:
/// both happen under the lock of its parent's children (`life::adopt`). Until then it is exiting to everyone who looks.
fn is_published(process: &Process) -> bool {
    loop {
        // Process 1 has no parent, and who has been reaped has none any more.
        if process.pid() == Pid::INIT || process.gate.view().claimed {
            return true;
        }
        let slot = process.family.parent();
        if let Some(parent) = PROCESSES.find_slot(slot) {
            let children = parent.family.children.lock();
            if children.has(&PROCESSES, slot, process.slot) {
                return process.family.links.is_zombie();
            }
        }
        // It has just been adopted, or reaped.
        core::hint::spin_loop();
    }
}

/// Returns the founder of the tenant that `process` is in, whose record it keeps.
fn tenant_of(process: &Process) -> Option<&'static Process> {
    let tenant = process.resources.tenant.get();
    (tenant != NO_TENANT).then(|| PROCESSES.get(tenant))
}

/// The limits and the usage of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantReport {
    /// Its limits.
    pub quota: Quota,
    /// Its usage.
    pub used: Quota,
}

/// Returns the innermost tenant that the process `pid` is in. Not a snapshot. Thread context; never blocks.
#[must_use]
pub fn tenant(pid: Pid) -> Option<TenantReport> {
    let _section = KernelSection::enter();
    let process = PROCESSES.find(pid)?;
    let ledger = &tenant_of(&process)?.resources.ledger;
    let used = Quota {
        processes: ledger.used(Resource::Processes) as u32,
        lwps: ledger.used(Resource::Lwps) as u32,
        memory: ledger.used(Resource::Memory),
    };
    Some(TenantReport { quota: ledger.quota(), used })
}

/// Counts of everything that must be freed when processes end. Two of them, taken with nothing else running, are equal
/// unless something leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Process records in use: pids.
    pub processes: u64,
    /// Thread records in use.
    pub threads: u64,
    /// Stacks in use.
    pub stacks: u64,
    /// Heap bytes charged to processes, dead ones included.
    pub heap: u64,
    /// Bytes of arenas.
    pub arenas: u64,
}

/// Returns the counts now. Thread context.
pub fn census() -> Census {
    let _section = KernelSection::enter();
    Census {
        processes: PROCESSES.all().count() as u64,
        threads: Thread::in_use(),
        stacks: stack::in_use(),
        heap: mem::charge::charged(),
        arenas: mem::arena::all_mapped_bytes(),
    }
}
