//! Statistics of the machine: what `cpus` and `free` print.

use alloc::vec::Vec;
use asphodel_core::id::Pid;

use crate::arch::counter;
use crate::arch::layout::PAGE_SIZE;
use crate::board;
use crate::cpu::{Cpu, mask};
use crate::mem::{arena, heap};
use crate::proc::info::list;
use crate::proc::state::table::PROCESSES;
use crate::sync::service::KernelSection;
use crate::thread::{THREADS, Thread, lazy, stack};

/// One CPU, as `cpus` shows it.
#[derive(Clone, Debug)]
pub struct CpuReport {
    /// Its index.
    pub index: u32,
    /// `true` if it takes part. If not, all figures are zero.
    pub online: bool,
    /// `true` if it takes no more work.
    pub inactive: bool,
    /// Context switches.
    pub switches: u64,
    /// Interrupts taken, messages included.
    pub interrupts: u64,
    /// Interrupts from other CPUs.
    pub messages: u64,
    /// Counter ticks spent with nothing to do, those since it went idle included.
    pub idle_ticks: u64,
    /// Threads that wait for it.
    pub queue: u32,
    /// The process whose LWP runs there now, and its program's name.
    pub runs: Option<(Pid, &'static str)>,
}

/// Memory, as `free` shows it. All in bytes but the stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReport {
    /// All that the frame allocator has ever got.
    pub total: u64,
    /// Free memory.
    pub free: u64,
    /// Heap that is allocated, as it was asked for.
    pub heap_used: u64,
    /// Heap that is not.
    pub heap_free: u64,
    /// Arenas of isolated processes.
    pub arenas: u64,
    /// Stacks of threads.
    pub stacks_used: u64,
    /// Stacks of the default size that CPUs keep for reuse.
    pub stacks_cached: u64,
    /// Bytes of these.
    pub stacks_cached_bytes: u64,
}

/// Every CPU of the board, those that did not come up included. Not a snapshot. Thread context; allocates.
#[must_use]
pub fn cpu_reports() -> Vec<CpuReport> {
    let count = board::info().cpus.len();
    list::filled(count, |room| (0..count as u32).try_for_each(|index| room.push(cpu_report(index))))
}

fn cpu_report(index: u32) -> CpuReport {
    let nothing = CpuReport {
        index,
        online: false,
        inactive: false,
        switches: 0,
        interrupts: 0,
        messages: 0,
        idle_ticks: 0,
        queue: 0,
        runs: None,
    };
    let Some(cpu) = Cpu::get(index).filter(|_| mask::online().contains(index)) else { return nothing };
    let idle = THREADS.get(cpu.idle.get());
    CpuReport {
        online: true,
        inactive: cpu.inactive.get() != 0,
        switches: cpu.statistics.switches.get(),
        interrupts: cpu.statistics.interrupts.get(),
        messages: cpu.statistics.messages.get(),
        idle_ticks: idle.usage.read().cpu_ticks + running_ticks(idle),
        queue: cpu.ready.load(asphodel_core::shim::atomic::Ordering::Relaxed),
        runs: running_process(cpu),
        ..nothing
    }
}

/// Returns the ticks since `thread` was switched to, if it runs now: they are charged to it when it is switched from. A
/// reading on another CPU may come in the middle of a switch and count the last turn twice, or not at all; the next one
/// is right.
pub(in crate::proc) fn running_ticks(thread: &Thread) -> u64 {
    let cpu = Cpu::get(thread.cpu()).filter(|cpu| cpu.current.is(thread.index));
    cpu.map_or(0, |cpu| counter::now().saturating_sub(cpu.switched_at.get()))
}

/// Whose LWP runs on `cpu`, if one does.
fn running_process(cpu: &Cpu) -> Option<(Pid, &'static str)> {
    let slot = THREADS.get(cpu.current.get()).lwp.process.get();
    let pid = PROCESSES.find_slot(slot).filter(|_| slot != 0)?.pid();
    // By its pid: a record that is just being filled is not to be looked into.
    PROCESSES.find(pid).map(|process| (pid, process.executable.name(&process.lwps.list.lock())))
}

/// Memory now. Not a snapshot. Thread context.
#[must_use]
pub fn memory_report() -> MemoryReport {
    let _section = KernelSection::enter();
    let frames = lazy::frames();
    MemoryReport {
        total: (frames.total * PAGE_SIZE) as u64,
        free: (frames.free * PAGE_SIZE) as u64,
        heap_used: heap::used() as u64,
        heap_free: heap::free() as u64,
        arenas: arena::all_mapped_bytes(),
        stacks_used: stack::in_use(),
        stacks_cached: stack::cached(),
        stacks_cached_bytes: stack::cached_bytes(),
    }
}
