//! Information about LWPs: what each one does, or what it waits for, and since when. Shown by `lwps`, and reported by
//! the watchdog.

use alloc::vec::Vec;
use core::fmt;

use asphodel_core::id::Pid;
use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::cpu::Cpu;
use crate::proc::info::list;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service;
use crate::thread::{THREADS, Thread};

/// Most processes have fewer LWPs.
const USUAL: usize = 16;

/// The state of an LWP, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LwpState {
    /// It runs.
    Running,
    /// It waits for its CPU.
    Ready,
    /// It sleeps; a kill ends the sleep.
    Sleeping,
    /// It sleeps; not even a kill ends the sleep.
    Uninterruptible,
}

/// One LWP, as `lwps` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LwpReport {
    /// Its number in its process.
    pub tid: u32,
    /// Its state.
    pub state: LwpState,
    /// The reason, if it sleeps (R47, D35).
    pub waits_for: Option<Reason>,
    /// The counter's value when this state began. `None`: it has not run yet.
    pub since: Option<u64>,
    /// The CPU it runs on, or ran on last.
    pub cpu: u32,
    /// `true` if it owns its process's exit.
    pub exit_owner: bool,
    /// `true` if it has a kill pending.
    pub kill_pending: bool,
    /// The number of system calls it is in, plus the guards it holds; 0: a kill ends it at once.
    pub kernel_depth: u32,
}

/// Prints its state, as the end of a sentence about it.
impl fmt::Display for LwpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, self.waits_for) {
            (_, Some(reason)) => write!(f, "waits for {reason}")?,
            (LwpState::Ready, _) => write!(f, "waits for cpu{}", self.cpu)?,
            _ => {
                let place = if self.kernel_depth > 0 { "the kernel" } else { "its program" };
                write!(f, "runs in {place} on cpu{}", self.cpu)?;
            }
        }
        f.write_str(match (self.exit_owner, self.kill_pending) {
            (true, _) => ", ends the process",
            (_, true) => ", has a kill pending",
            _ => "",
        })
    }
}

/// Returns the LWPs of the process `pid` that have not left, oldest first, those with a kill pending last. Empty if
/// there is no such process, or it is a zombie. Thread context; allocates.
pub fn lwps(pid: Pid) -> Vec<LwpReport> {
    list::filled(USUAL, |room| {
        let Some(process) = PROCESSES.find(pid) else { return Ok(()) };
        let lwps = process.lwps.list.lock();
        lwps.iter(&THREADS).try_for_each(|index| room.push(lwp_report(&process, THREADS.get(index))))
    })
}

/// As [`lwps`], but no more than `N` of them; and how many there are. Thread context; never blocks.
pub(in crate::proc) fn first_lwp_reports<const N: usize>(
    process: &Process,
) -> (heapless::Vec<LwpReport, N>, usize) {
    let lwps = process.lwps.list.lock();
    let all = lwps.iter(&THREADS).map(|index| lwp_report(process, THREADS.get(index)));
    (heapless::Vec::from_iter(all.take(N)), lwps.iter(&THREADS).count())
}

/// Reads one LWP of `process`. Called under its LWP list's lock, so that it cannot be gone; its state may change
/// meanwhile.
fn lwp_report(process: &Process, thread: &Thread) -> LwpReport {
    let cpu = thread.cpu();
    let runs_on = Cpu::get(cpu).filter(|cpu| cpu.current.is(thread.index));
    let state = match (runs_on, thread.park.sleeping()) {
        (Some(_), _) => LwpState::Running,
        (None, None) => LwpState::Ready,
        (None, Some(Sleep::Killable)) => LwpState::Sleeping,
        (None, Some(Sleep::Uninterruptible)) => LwpState::Uninterruptible,
    };
    let asleep = matches!(state, LwpState::Sleeping | LwpState::Uninterruptible);
    let since = runs_on.map_or(thread.left_at.get(), |cpu| cpu.switched_at.get());
    LwpReport {
        tid: thread.lwp.list_entry.tid(),
        state,
        waits_for: asleep.then(|| thread.waits_for.get()),
        since: Some(since).filter(|since| *since != 0),
        cpu,
        exit_owner: process.gate.is_owned_by(thread.lwp.list_entry.tid()),
        kill_pending: service::is_kill_pending(thread),
        kernel_depth: service::depth_of(thread),
    }
}
