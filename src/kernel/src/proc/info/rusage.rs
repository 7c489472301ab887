//! getrusage: what the caller has used.
//!
//! Living LWPs count with what they have used up to now, those that ended with all they used. A child counts when its
//! parent reaps it; one that is reaped by itself (PS_NOCLDWAIT) goes to process 1's account.

use asphodel_core::errno::Errno;
use asphodel_core::proc::usage::Usage;

use crate::arch::daif;
use crate::proc::info::process_info;
use crate::proc::info::stats::running_ticks;
use crate::proc::state::table::current_process;
use crate::sync::service::KernelSection;
use crate::thread::Thread;

/// `who` of [`getrusage`]: the calling process, its LWPs that ended included.
pub const RUSAGE_SELF: i32 = 0;
/// `who` of [`getrusage`]: the children that the calling process has reaped, with theirs.
pub const RUSAGE_CHILDREN: i32 = -1;
/// `who` of [`getrusage`]: the calling LWP.
pub const RUSAGE_THREAD: i32 = 1;

/// getrusage(2). Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: there is no such `who`.
pub fn getrusage(who: i32) -> Result<Usage, Errno> {
    let _section = KernelSection::enter();
    Ok(match who {
        RUSAGE_SELF => usage(),
        RUSAGE_CHILDREN => children_usage(),
        RUSAGE_THREAD => lwp_usage(),
        _ => return Err(Errno::EINVAL),
    })
}

/// Returns what the calling process has used so far: its present LWPs and those that ended. Thread context; never
/// blocks.
#[must_use]
pub fn usage() -> Usage {
    let _section = KernelSection::enter();
    process_info::process(current_process().pid()).map_or(Usage::default(), |report| report.usage)
}

/// Returns what the calling process's reaped children have used, with theirs. Thread context; never blocks.
#[must_use]
pub fn children_usage() -> Usage {
    let _section = KernelSection::enter();
    current_process().accounts.children.read()
}

/// Returns what the calling LWP has used so far. Thread context; never blocks.
fn lwp_usage() -> Usage {
    let thread = Thread::current();
    // A preemption between the two would make the second part of the first.
    let interrupts = daif::mask();
    let (usage, running) = (thread.usage.read(), running_ticks(thread));
    daif::restore(interrupts);
    Usage { cpu_ticks: usage.cpu_ticks + running, ..usage }
}
