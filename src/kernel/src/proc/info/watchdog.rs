//! The watchdog: reports an exit that takes too long on the console, with what it waits for (T195, R47, D38).
//!
//! Armed by the first exit that has to wait, or calls functions of programs; an exit that has nothing to wait for pays
//! nothing. When its call-out runs it examines all processes, reports those whose exit is older than the limit
//! (`watchdog=SECONDS` among the boot arguments, 0 turns it off), and is armed again while any exit is in progress. The
//! decisions are those of `asphodel_core::watchdog`. It only reports: it changes nothing, and nothing waits for it.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::trace::{ExitRecord, Step};
use asphodel_core::watchdog::{Arming, judge, limit_seconds};

use crate::arch::lock::InterruptLock;
use crate::arch::{counter, observe};
use crate::console::kernel_println;
use crate::proc::info::lwp_info::{LwpReport, first_lwp_reports};
use crate::proc::info::trace;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::service::KernelSection;
use crate::work::Task;
use crate::work::callout::Callout;
use crate::{board, time};

/// LWPs that one report names.
const NAMED: usize = 16;
/// Exits that were reported and whose ends will be reported, at a time.
const STUCK: usize = 32;

/// A report of an exit.
#[derive(Clone, Debug)]
pub struct WatchdogReport {
    /// The exit, up to its last step so far.
    pub exit: ExitRecord,
    /// How long it had been in progress, in counter ticks.
    pub age: u64,
    /// The number of this report of the exit; 1 for the first.
    pub number: u32,
    /// Its LWPs, the first ones if there were many.
    pub lwps: heapless::Vec<LwpReport, NAMED>,
    /// LWPs that had not left but are not named.
    pub more: usize,
}

/// The watchdog's state.
struct Memory {
    last: Option<WatchdogReport>,
    /// Processes it has reported whose ends have not been reported.
    stuck: heapless::Vec<Pid, STUCK>,
    ended: Option<ExitRecord>,
}

/// The time an exit may take, in counter ticks; 0: unlimited.
static LIMIT: AtomicU64 = AtomicU64::new(0);
static ARMING: Arming = Arming::new();
static TIMER: Callout = Callout::new(fired, 0);
/// One check at a time.
static LOOK: Task = Task::new(look, 0);
static MEMORY: InterruptLock<Memory> =
    InterruptLock::new(Memory { last: None, stuck: heapless::Vec::new(), ended: None });

/// Starts it by the boot arguments. Called once, before process 1.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn start() -> Result<(), Errno> {
    let seconds = limit_seconds(board::boot_argument("watchdog"));
    LIMIT.store(time::scale().ticks(seconds.saturating_mul(1_000_000_000)), Ordering::Relaxed);
    TIMER.reserve()
}

/// The exit of the caller, an exit owner, may take long from here on; its election has been stamped. Thread context;
/// never blocks.
#[inline]
pub(crate) fn watch() {
    let limit = LIMIT.load(Ordering::Relaxed);
    if limit != 0 && ARMING.begin() {
        arm(limit);
    }
}

#[cold]
fn arm(ticks: u64) {
    let armed = TIMER.arm(time::scale().nanoseconds(ticks));
    debug_assert!(armed.is_ok(), "what it needs was reserved at boot");
}

/// The exit of a process that has been reported is complete. Any context; never blocks.
#[cold]
pub(crate) fn ended() {
    LOOK.enqueue();
}

/// The call-out.
fn fired(_argument: usize) {
    ARMING.fired();
    LOOK.enqueue();
}

/// Checks all exits. A task, so it never runs twice at a time.
fn look(_argument: usize) {
    let limit = LIMIT.load(Ordering::Relaxed);
    let mut next = None;
    for process in PROCESSES.all() {
        let Some(elected) = process.exit.trace.at(Step::Elected) else { continue };
        if process.exit.trace.at(Step::ParentNotified).is_some() {
            continue;
        }
        let now = counter::now();
        let age = now.saturating_sub(elected);
        let judgement = judge(limit, age, process.exit.watch_reports.get());
        if judgement.report {
            process.exit.watch_reports.set(judgement.reports);
            report(&process, age, judgement.reports);
        }
        let wait = judgement.due.saturating_sub(age);
        next = Some(next.map_or(wait, |next: u64| next.min(wait)));
    }
    let others = tell_the_ended();
    if (next.is_some() || others) && ARMING.begin() {
        // Exits that begin while the timer is armed rely on it: its deadline is never further away than the limit.
        arm(next.map_or(limit, |wait| wait.min(limit)));
    }
}

/// Reports an exit that takes too long.
fn report(process: &Process, age: u64, number: u32) {
    let exit = trace::record(process);
    let (lwps, present) = first_lwp_reports(process);
    let report = WatchdogReport { exit, age, number, more: present - lwps.len(), lwps };
    tell(&report);
    observe(|| Event::WatchdogReport { pid: process.pid() });
    let mut memory = MEMORY.lock();
    memory.last = Some(report);
    if number == 1 || !memory.stuck.contains(&exit.pid) {
        // If there are too many, the end of this one is not reported.
        let _stored = memory.stuck.push(exit.pid);
    }
}

fn tell(report: &WatchdogReport) {
    let ExitRecord { pid, name, .. } = report.exit;
    let now = counter::now();
    let (step, ago) = report.exit.latest().map_or(("", 0), |latest| {
        (latest.step.name(), now.saturating_sub(report.exit.at(latest.step).unwrap_or(now)))
    });
    kernel_println!(
        "asphodel: pid {pid} ({name}) has been ending for {} ms; its last step, {step}, was {} ms ago",
        milliseconds(report.age),
        milliseconds(ago)
    );
    for lwp in &report.lwps {
        let since = lwp.since.map_or(0, |since| now.saturating_sub(since));
        kernel_println!("asphodel:   tid {} {lwp}, for {} ms", lwp.tid, milliseconds(since));
    }
    if report.more > 0 {
        kernel_println!("asphodel:   and {} LWPs more", report.more);
    }
}

fn milliseconds(ticks: u64) -> u64 {
    time::scale().nanoseconds(ticks) / 1_000_000
}

/// Reports the ends of exits that were reported before. Returns `true` if others have not ended.
fn tell_the_ended() -> bool {
    let stuck = MEMORY.lock().stuck.clone();
    for pid in stuck {
        let exit = trace::exit_trace(pid);
        if exit.is_some_and(|exit| exit.at(Step::ParentNotified).is_none()) {
            continue;
        }
        // Its record has been overwritten if too many have ended since.
        if let Some(exit) = exit {
            kernel_println!(
                "asphodel: pid {pid} ({}) has ended after all, after {} ms",
                exit.name,
                milliseconds(exit.total())
            );
        }
        let mut memory = MEMORY.lock();
        memory.stuck.retain(|known| *known != pid);
        memory.ended = exit.or(memory.ended);
    }
    !MEMORY.lock().stuck.is_empty()
}

/// Returns the watchdog's last report. `None`: no exit has taken too long. Thread context; never blocks.
#[must_use]
pub fn watchdog_report() -> Option<WatchdogReport> {
    let _section = KernelSection::enter();
    MEMORY.lock().last.clone()
}

/// Returns the last exit that was reported and then ended. Thread context; never blocks.
#[must_use]
pub fn watchdog_ended() -> Option<ExitRecord> {
    let _section = KernelSection::enter();
    MEMORY.lock().ended
}
