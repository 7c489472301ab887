//! The records of the last exits (T194): where they are kept, and how they are found.
//!
//! A process's steps are stamped in its own record while it ends. Whoever reaps it copies them, once for each process
//! and never for an LWP (T69), to a ring of the CPU it runs on: no CPU waits for another one there unless somebody
//! looks at the records.

use alloc::vec::Vec;
use asphodel_core::id::Pid;
use asphodel_core::trace::{ExitRecord, Step};

use crate::arch::daif;
use crate::cpu::{Cpu, EXITS};
use crate::proc::table::{PROCESSES, Process};
use crate::sync::service::Service;

/// Keeps the record of a process that is being reaped. The reaper, once; any context.
#[inline]
pub(crate) fn keep(process: &Process) {
    let interrupts = daif::mask();
    Cpu::this().exits.lock_masked().push(record(process));
    daif::restore(interrupts);
}

#[inline(always)]
fn record(process: &Process) -> ExitRecord {
    let lwps = process.usage.lwps() as u32;
    ExitRecord::new(process.pid(), process.program().name, process.status(), lwps, &process.trace)
}

/// The exit of the process `pid`, as far as it has come: of one that is exiting, of a zombie, or of one of the last
/// that were reaped. `None`: it does not end yet, or nobody remembers it. Thread context; never blocks.
#[must_use]
pub fn exit_trace(pid: Pid) -> Option<ExitRecord> {
    let _service = Service::enter();
    if !pid.is_valid() {
        return None;
    }
    // Claimed ones, too: the reaper keeps the record before it gives up its hold, so one of the two looks finds it.
    let process = PROCESSES.hold_slot(pid.slot()).filter(|process| process.pid() == pid);
    if let Some(process) = process {
        // Only then is its program the last one it has run.
        return process.trace.at(Step::Elected).map(|_| record(&process));
    }
    let newest = |cpu: &Cpu| cpu.exits.lock().find(pid).copied();
    Cpu::all().filter_map(newest).max_by_key(reaped_at)
}

/// The last exits whose processes have been reaped, newest first. Not a snapshot. Thread context; allocates.
#[must_use]
pub fn exit_records() -> Vec<ExitRecord> {
    let _service = Service::enter();
    let mut records = Vec::new();
    for cpu in Cpu::all() {
        // Room first: nothing is allocated with the lock held.
        records.reserve(EXITS);
        records.extend(cpu.exits.lock().iter());
    }
    records.sort_unstable_by_key(|record| core::cmp::Reverse(reaped_at(record)));
    records
}

fn reaped_at(record: &ExitRecord) -> u64 {
    record.at(Step::Reaped).unwrap_or(0)
}
