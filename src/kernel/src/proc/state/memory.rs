//! The memory that a process is charged with: heap, stacks and arena, and its peak.
//!
//! Heap is charged by the allocator, through the hooks here, to the process whose LWP allocates, until the block is
//! freed by any thread; an arena as a whole, as it grows, to the process that it was made for. A stack is charged from
//! the creation of its LWP until it is freed (`dead_thread`). A process's charges are its tenants', too. What it still
//! owned when it ended is charged as long as its record exists, and has no owner from then on (DESIGN, decision 10).

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::id::Pid;
use asphodel_core::proc::quota::Resource;

use crate::arch::cpu;
use crate::mem::charge::{Accounting, Source};
use crate::mem::heap;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service;
use crate::thread::Thread;

/// Charges heap to the process whose LWP runs.
pub(crate) static ACCOUNTING: Accounting = Accounting { allocate, grow, free };

/// Hook: the running thread allocates `bytes`. Allocations of the program itself, outside of system calls, come from
/// its arena if it has one; everything else is charged to the process by its pid, or is the kernel's own.
fn allocate(bytes: u64) -> Source {
    let Some(process) = running() else { return Source::Heap(0) };
    let arena = process.resources.arena.get();
    if arena != 0 && service::is_in_program(Thread::current()) {
        return Source::Arena(arena);
    }
    // A refused allocation is not charged for a moment either, because it would show in the peak.
    if bytes > heap::free() as u64 || process.reserve(Resource::Memory, bytes).is_err() {
        return Source::Refused;
    }
    process.add_memory(bytes);
    Source::Heap(process.pid().raw() as u32)
}

/// Hook: the arena that the process with pid `owner` pays for grows. The arena keeps a reference to that process's
/// record.
fn grow(owner: u32, bytes: u64) -> bool {
    let process = PROCESSES.get(Pid::from_raw(owner as i32).slot());
    let allowed = process.reserve(Resource::Memory, bytes).is_ok();
    if allowed {
        process.add_memory(bytes);
    }
    allowed
}

/// Hook: `bytes` that the process with pid `owner` was charged with are freed.
fn free(owner: u32, bytes: u64) {
    let pid = Pid::from_raw(owner as i32);
    match running() {
        // The caller's own record needs no reference.
        Some(process) if process.pid() == pid => process.give_memory(bytes),
        _ => {
            if let Some(process) = PROCESSES.find_slot(pid.slot()).filter(|process| process.pid() == pid) {
                process.give_memory(bytes);
            }
        }
    }
}

/// Returns the process whose LWP runs on this CPU, if one does. Any context, from the CPU's start on.
#[inline]
fn running() -> Option<&'static Process> {
    if cpu::thread_pointer() == 0 {
        // A CPU that is coming up.
        return None;
    }
    let slot = Thread::current().lwp.process.get();
    (slot != 0).then(|| PROCESSES.get(slot))
}

impl Process {
    /// Adds `bytes` of memory, which its tenants are already charged with. The caller has a reference, or is one of its
    /// LWPs. Any context.
    #[inline]
    pub(in crate::proc) fn add_memory(&self, bytes: u64) {
        let now = self.resources.memory.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
        self.accounts.own.raise_peak(now);
    }

    /// Subtracts `bytes` from it and from its tenants. As [`Process::add_memory`].
    #[inline]
    pub(in crate::proc) fn give_memory(&self, bytes: u64) {
        let before = self.resources.memory.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "memory is given back once (I12)");
        self.unreserve(Resource::Memory, bytes);
    }
}
