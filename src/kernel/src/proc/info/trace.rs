//! The records of the last exits (T194): where they are stored, and how they are found.
//!
//! A process's steps are stamped in its own record while it ends. The reaper copies them, once for each process and
//! never for an LWP (T69), to a ring of the CPU it runs on: no CPU waits for another one there unless the records are
//! being read.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use asphodel_core::id::Pid;
use asphodel_core::trace::{ExitRecord, Step};

use crate::arch::daif;
use crate::cpu::{Cpu, EXITS};
use crate::proc::info::list;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service::KernelSection;
use crate::{emergency_println, time};

/// The number of exits that are printed when the system ends.
const REPORTED: usize = 8;

/// Records the exit trace of a process being reaped. Called once, by the reaper; any context.
#[inline]
pub(crate) fn keep(process: &Process) {
    let interrupts = daif::mask();
    Cpu::this().exits.lock_masked().push(record(process));
    daif::restore(interrupts);
}

/// Returns the exit of `process`, up to its last step so far. Its program does not change any more once an exit owner
/// is elected.
#[inline(always)]
pub(crate) fn record(process: &Process) -> ExitRecord {
    let lwps = process.accounts.own.lwps() as u32;
    ExitRecord::new(
        process.pid(),
        process.executable.program().name,
        process.exit.status(),
        lwps,
        &process.exit.trace,
    )
}

/// Returns the exit of the process `pid`, up to its last step so far: of one that is exiting, of a zombie, or of one of
/// the last that were reaped. `None`: it does not end yet, or its record has been overwritten. Thread context; never
/// blocks.
#[must_use]
pub fn exit_trace(pid: Pid) -> Option<ExitRecord> {
    let _section = KernelSection::enter();
    if !pid.is_valid() {
        return None;
    }
    // Claimed ones, too: the reaper stores the record before it drops its reference, so one of the two looks finds it.
    let process = PROCESSES.find_slot(pid.slot()).filter(|process| process.pid() == pid);
    if let Some(process) = process {
        // Only then is its program the last one it has run.
        return process.exit.trace.at(Step::Elected).map(|_| record(&process));
    }
    let newest = |cpu: &Cpu| cpu.exits.lock().find(pid).copied();
    Cpu::all().filter_map(newest).max_by_key(reaped_at)
}

/// Returns the last exits whose processes have been reaped, newest first. Not a snapshot. Thread context; allocates.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a refusal ends the caller, with nothing held")]
pub fn exit_records() -> Vec<ExitRecord> {
    let records = list::filled(Cpu::all().count() * EXITS, |room| {
        Cpu::all().try_for_each(|cpu| cpu.exits.lock().iter().try_for_each(|record| room.push(*record)))
    });
    // Not by the library's sorts of slices, whose recursion takes more stack than a system call has.
    let by_age = records.iter().map(reaped_at).zip(0..).collect::<BinaryHeap<(u64, usize)>>();
    by_age.into_sorted_vec().iter().rev().map(|(_, index)| records[*index]).collect()
}

fn reaped_at(record: &ExitRecord) -> u64 {
    record.at(Step::Reaped).unwrap_or(0)
}

/// Prints the last exits on the console, oldest first, without waiting for anything: a CPU that was stopped with its
/// ring locked is skipped. Called when the system ends; any context.
pub(crate) fn tell_last_exits() {
    let mut newest = heapless::Vec::<ExitRecord, REPORTED>::new();
    for cpu in Cpu::all() {
        let Some(ring) = cpu.exits.try_lock() else { continue };
        for record in ring.iter().take(REPORTED) {
            if newest.is_full()
                && let Some(oldest) = newest.iter_mut().min_by_key(|known| reaped_at(known))
            {
                if reaped_at(record) > reaped_at(oldest) {
                    *oldest = *record;
                }
                continue;
            }
            let _there_is_room = newest.push(*record);
        }
    }
    newest.sort_unstable_by_key(reaped_at);
    let microseconds = |ticks| time::scale().nanoseconds(ticks) / 1000;
    for record in &newest {
        let ExitRecord { pid, name, status, lwps, .. } = record;
        let (step, took) = record.longest().map_or(("", 0), |longest| (longest.step.name(), longest.took));
        emergency_println!(
            "asphodel: before that, pid {pid} ({name}) {status}: {lwps} LWPs, {} us, of these {} us until: {step}",
            microseconds(record.total()),
            microseconds(took)
        );
    }
}
