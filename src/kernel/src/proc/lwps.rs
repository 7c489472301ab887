//! Looks at LWPs from outside: what each one does, or what it waits for, and since when. What `lwps` shows and the
//! watchdog reports.

use alloc::vec::Vec;
use asphodel_core::shim::atomic::Ordering;
use core::fmt;

use asphodel_core::id::Pid;
use asphodel_core::thread::park::Sleep;
use asphodel_core::wait::reason::Reason;

use crate::cpu::Cpu;
use crate::proc::table::{PROCESSES, Process};
use crate::sync::service::{self, Service};
use crate::thread::{THREADS, Thread};

/// What an LWP is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LwpState {
    /// It runs.
    Running,
    /// It waits for its CPU.
    Ready,
    /// It sleeps; a kill ends that.
    Sleeping,
    /// It sleeps; not even a kill ends that.
    Uninterruptible,
}

/// One LWP, as `lwps` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LwpReport {
    /// Its number in its process.
    pub tid: u32,
    /// What it does.
    pub state: LwpState,
    /// If it sleeps: for what (R47, D35).
    pub waits_for: Option<Reason>,
    /// The counter's value when it began to do so. `None`: it has not run yet.
    pub since: Option<u64>,
    /// The CPU it runs on, or ran on last.
    pub cpu: u32,
    /// Whether it is the master of its process's exit.
    pub master: bool,
    /// Whether it has been told to die.
    pub doomed: bool,
    /// In how many services of the kernel it is, and how many guards it holds; 0: where a kill ends it at once.
    pub kernel_depth: u32,
}

/// What it does, as the end of a sentence about it.
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
        f.write_str(match (self.master, self.doomed) {
            (true, _) => ", ends the process",
            (_, true) => ", has been told to die",
            _ => "",
        })
    }
}

/// The LWPs of the process `pid` that have not left, oldest first, those that have been told to die last. Empty if there
/// is no such process, or it is a zombie. Thread context; allocates.
pub fn lwps(pid: Pid) -> Vec<LwpReport> {
    let _service = Service::enter();
    PROCESSES.find(pid).map_or(Vec::new(), |process| lwp_reports(&process))
}

/// As [`lwps`]. Thread context; allocates.
pub(crate) fn lwp_reports(process: &Process) -> Vec<LwpReport> {
    let mut reports = Vec::new();
    loop {
        // Room first: nothing is allocated with the lock held. Those that come meanwhile need another round.
        reports.reserve(process.gate.view().present as usize + 1);
        let crew = process.crew.lock();
        let all = crew.iter(&THREADS).map(|index| lwp_report(THREADS.get(index)));
        reports.extend(all.take(reports.capacity()));
        drop(crew);
        if reports.len() < reports.capacity() {
            return reports;
        }
        reports.clear();
    }
}

/// As [`lwps`], but no more than `N` of them; and how many there are. Thread context; never blocks.
pub(super) fn first_lwp_reports<const N: usize>(process: &Process) -> (heapless::Vec<LwpReport, N>, usize) {
    let crew = process.crew.lock();
    let all = crew.iter(&THREADS).map(|index| lwp_report(THREADS.get(index)));
    (all.take(N).collect(), crew.iter(&THREADS).count())
}

/// A look at one LWP. Under its crew's lock, so that it cannot be gone; what it does may change meanwhile.
fn lwp_report(thread: &Thread) -> LwpReport {
    let cpu = thread.cpu.get();
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
        tid: thread.lwp.member.tid(),
        state,
        waits_for: asleep.then(|| thread.waits_for.get()),
        since: Some(since).filter(|since| *since != 0),
        cpu,
        master: thread.lwp.master.load(Ordering::Relaxed),
        doomed: service::is_doomed(thread),
        kernel_depth: service::depth_of(thread),
    }
}
