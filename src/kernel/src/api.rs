//! The interface for programs: the system calls of the kernel, by their names.
//!
//! Everything here is called by LWPs, in thread context, with interrupts enabled. A function that may block says so. An
//! LWP with a kill pending exits when it leaves a system call, or at once if it runs program code; such a call does not
//! return. Unsafe code in a program can break every other process, because there is one address
//! space; safe code cannot.
#![doc = include_str!("api.md")]

pub use asphodel_core::errno::Errno;
pub use asphodel_core::id::Pid;
pub use asphodel_core::proc::quota::Quota;
pub use asphodel_core::proc::status::{Event, Status};
pub use asphodel_core::proc::usage::Usage;
pub use asphodel_core::sched::place::CpuMask;
pub use asphodel_core::sched::priority::Priority;
pub use asphodel_core::signal::Signal;
pub use asphodel_core::trace::{ExitRecord, Step, StepTime};
pub use asphodel_core::wait::reason::Reason as WaitReason;
pub use asphodel_core::wait::select::{WCONTINUED, WLINUXCLONE, WNOHANG, WUNTRACED};

pub use crate::arch::counter::{frequency as ticks_per_second, now as now_ticks};
pub use crate::arch::cpu::relax;
pub use crate::board::Readings;
pub use crate::input::{read as read_byte, read_timeout as read_byte_timeout};
pub use crate::payload::autorun;
pub use crate::proc::info::lwp_info::{LwpReport, LwpState, lwps};
pub use crate::proc::info::process_info::{
    Census, ProcessReport, State, TenantReport, census, process, processes, tenant,
};
pub use crate::proc::info::rusage::{
    RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, children_usage, getrusage, usage,
};
pub use crate::proc::info::stats::{CpuReport, MemoryReport, cpu_reports, memory_report};
pub use crate::proc::info::trace::{exit_records, exit_trace};
pub use crate::proc::info::watchdog::{WatchdogReport, watchdog_ended, watchdog_report};
pub use crate::proc::life::deferred::{Callout, Task};
pub use crate::proc::life::exec::exec;
pub use crate::proc::life::exit::{extexit, extexit_at};
pub use crate::proc::life::handle::{LwpHandle, StackPin};
pub use crate::proc::life::hooks::{
    ExitHandler, Hook, MAX_HOOKS, at_exit, off_process_exit, on_process_exit, rm_at_exit,
};
pub use crate::proc::life::kill::{kill, kill_lwp, killpg, sigwait};
pub use crate::proc::life::lwp::{Entry, LwpAttributes, spawn_lwp as lwp_spawn};
pub use crate::proc::life::reaper::{
    P_PID, ProcCtl, ReaperKill, ReaperScope, ReaperStatus, procctl, reaper_acquire, reaper_kill,
    reaper_release, reaper_status,
};
pub use crate::proc::life::run::{JoinHandle, lwp_run};
pub use crate::proc::life::spawn::{Group, SpawnAttributes, spawn};
pub use crate::proc::life::wait::{Report, wait4};
pub use crate::proc::state::arena::{MemoryChoice, OwnMemory};
pub use crate::proc::state::files;
pub use crate::proc::state::program::{Arguments, Program, all as programs, find as find_program};
pub use crate::random::fill as fill_random;
pub use crate::sync::channel::{Registration, register, tsleep, wakeup, wakeup_one};
pub use crate::sync::futex::{futex_wait, futex_wake};
pub use crate::sync::preempt::{PreemptGuard, preempt_disable};
pub use crate::sync::{Condvar, Mutex, MutexGuard, Semaphore, Token, TokenGuard, WaitQueue, WaitResult};
pub use crate::time::realtime::{realtime_ns, set_realtime};
pub use crate::time::sleep::{sleep, sleep_uninterruptible};
pub use crate::time::{now_ns, scale};
pub use crate::{print, println, program};

use asphodel_core::shim::atomic::Ordering;
use core::fmt;

use crate::arch::cpu;
use crate::console;
use crate::cpu::{Cpu, mask};
use crate::mem::inject;
use crate::proc::state::table::PROCESSES;
use crate::proc::state::table::current_process;
use crate::sched::{active, ready, switch};
use crate::sync::program_code;
use crate::sync::service::KernelSection;
use crate::thread::Thread;

/// `who` of [`extexit`], to be or-ed with an action: the whole process ends.
pub const EXTEXIT_PROC: u32 = 0;
/// `who` of [`extexit`]: the calling LWP ends.
pub const EXTEXIT_LWP: u32 = 1 << 16;
/// Action of [`extexit`]: nothing else.
pub const EXTEXIT_SIMPLE: u32 = 0;
/// Action of [`extexit`]: also store the status at the address.
pub const EXTEXIT_SETINT: u32 = 1;

/// Prints formatted text on the console; what [`print!`](crate::print!) and [`println!`](crate::println!) expand to.
///
/// The values are formatted in the caller's code, with no lock held: they may do whatever a program may. A text of up
/// to 256 bytes appears in one piece. A longer one is sent in pieces, which end with a line where they can, and text of
/// others may come in between. Any context, interrupts unmasked.
pub fn print(arguments: fmt::Arguments<'_>) {
    if program_code::is_program() {
        program_code::call(|| console::print(arguments));
    } else {
        console::message(arguments);
    }
}

/// Prints formatted text on the console; see [`print()`].
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::api::print(::core::format_args!($($argument)*)) };
}

/// Prints formatted text and a line end on the console; see [`print()`].
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::api::print(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

/// Ends the calling process with `code`, of which the parent sees the low 8 bits. Never returns.
pub fn exit(code: i32) -> ! {
    let _section = KernelSection::enter();
    crate::proc::life::exit::exit_process(Status::exited(code))
}

/// Returns the calling process's pid.
///
/// ```
/// # #![no_std]
/// # #![no_main]
/// use asphodel::api::{Arguments, Pid, getpid, program};
///
/// program!("init", main);
///
/// fn main(_: &Arguments<'_>) -> i32 {
///     assert_eq!(getpid(), Pid::INIT);
///     0
/// }
/// ```
#[must_use]
pub fn getpid() -> Pid {
    current_process().pid()
}

/// Returns the pid of the calling process's parent; 0 for process 1.
#[must_use]
pub fn getppid() -> Pid {
    let _section = KernelSection::enter();
    current_process().parent_pid()
}

/// Returns the number of the calling process's group.
#[must_use]
pub fn getpgrp() -> Pid {
    current_process().family.group()
}

/// Returns the number of the group of `pid`; 0 means the calling process. Zombies also have one. Thread context.
///
/// # Errors
/// `ESRCH`: no such process, or it has been reaped.
pub fn getpgid(pid: Pid) -> Result<Pid, Errno> {
    let _section = KernelSection::enter();
    if pid == Pid::NONE {
        return Ok(getpgrp());
    }
    PROCESSES.find(pid).map(|process| process.family.group()).ok_or(Errno::ESRCH)
}

/// Returns the calling LWP's number in its process, 1 for the first.
#[must_use]
pub fn gettid() -> u32 {
    Thread::current().lwp.list_entry.tid()
}

/// Sets whether the calling process's children are reaped automatically when they end (PS_NOCLDWAIT).
pub fn set_auto_reap(on: bool) {
    let _section = KernelSection::enter();
    current_process().family.auto_reap.store(on, Ordering::Relaxed);
}

/// Lets other LWPs of the caller's priority run; returns at once if there are none.
#[inline]
pub fn yield_now() {
    let _section = KernelSection::enter();
    switch::yield_now();
}

/// Restricts the calling LWP to the CPUs in `allowed`; when the call returns it runs on one of them.
///
/// # Errors
/// `EINVAL`: none of them is active.
pub fn set_affinity(allowed: CpuMask) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    if allowed.and(mask::active()).is_empty() {
        return Err(Errno::EINVAL);
    }
    Thread::current().set_affinity(allowed);
    // A yield migrates a thread that may not run on its present CPU.
    switch::yield_now();
    Ok(())
}

/// Changes the calling LWP's priority. That of an LWP with a kill pending, which has been raised for its death, stays.
pub fn set_priority(priority: Priority) {
    let _section = KernelSection::enter();
    Thread::current().place.set_priority(priority);
    switch::yield_now();
    ready::check_preemption();
}

/// Returns the CPU that the caller runs on; out of date at once unless the caller is restricted to one, or preemption
/// is disabled.
#[must_use]
pub fn cpu_index() -> u32 {
    Thread::current().cpu()
}

/// Deactivates the CPU `index`: it takes no more work, and threads on it move to other CPUs, except for LWPs that may
/// run there only. Returns at once.
///
/// # Errors
/// `EINVAL`: it is not online. `EALREADY`: it is inactive. `EBUSY`: it is the last one that is not.
pub fn cpu_deactivate(index: u32) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    active::deactivate(index)
}

/// Lets the CPU `index` take work again.
///
/// # Errors
/// `EINVAL`: it is not online, or is active.
pub fn cpu_activate(index: u32) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    active::activate(index)
}

/// Returns the CPUs that are online.
#[must_use]
pub fn cpus_online() -> CpuMask {
    mask::online()
}

/// Returns all CPUs that have come up, with their statistics.
pub fn cpus() -> impl Iterator<Item = &'static Cpu> {
    Cpu::all()
}

/// Returns the total and free bytes of memory frames, and the heap bytes in use.
#[must_use]
pub fn memory() -> (u64, u64, u64) {
    let _section = KernelSection::enter();
    let frames = crate::thread::lazy::frames();
    let page = crate::arch::layout::PAGE_SIZE as u64;
    (frames.total as u64 * page, frames.free as u64 * page, crate::mem::heap::used() as u64)
}

/// The name of the machine that the kernel runs on.
#[must_use]
pub fn board_model() -> &'static str {
    &crate::board::info().model
}

/// Returns what the board reports about itself now. Thread context; may block for some milliseconds.
#[must_use]
pub fn board_readings() -> Readings {
    let _section = KernelSection::enter();
    crate::board::readings()
}

/// Returns the value of a boot argument `key=value`.
#[must_use]
pub fn boot_argument(key: &str) -> Option<&'static str> {
    crate::board::boot_argument(key)
}

/// Powers the system off with `status`, whatever runs.
pub fn power_off(status: u8) -> ! {
    cpu::probe_small_stack();
    crate::shutdown::power_off(status)
}

/// Ends the system at once and restarts it, as after power on; no process is notified, as for [`power_off`]. Any
/// context.
pub fn restart() -> ! {
    cpu::probe_small_stack();
    crate::shutdown::restart()
}

/// Makes one attempt of the calling LWP to get memory fail, its own or the kernel's on its behalf: the one after
/// `before` others, and no more. For tests: the whole system has one such order at a time (T196).
pub fn inject_allocation_failure(before: u64) {
    let _section = KernelSection::enter();
    inject::arm(before);
}

/// Revokes the order of [`inject_allocation_failure`]. Returns whether an attempt has failed by it.
pub fn injection_stop() -> bool {
    let _section = KernelSection::enter();
    inject::stop()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::String;

    /// The names that a line of this file, outside of this module, makes public.
    fn public_names() -> BTreeSet<String> {
        let source = include_str!("api.rs").split("#[cfg(test)]").next().expect("there is one");
        let mut names = BTreeSet::new();
        for statement in source.split("pub use ").skip(1) {
            let statement = statement.split(';').next().expect("it ends");
            let (before, list) = statement.split_once('{').unwrap_or(("", statement));
            let list = list.trim_end_matches('}');
            assert!(before.is_empty() || before.ends_with("::"), "{statement}");
            for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let item = item.rsplit_once(" as ").map_or(item, |(_, name)| name);
                names.insert(item.rsplit("::").next().expect("there is a last part").into());
            }
        }
        for kind in ["pub fn ", "pub const ", "pub struct ", "pub enum "] {
            for item in source.split(kind).skip(1) {
                let end = item.find(|c: char| !c.is_alphanumeric() && c != '_').expect("more follows");
                names.insert(item[..end].into());
            }
        }
        names
    }

    /// What is not said there has not been thought about: a new item gets its line.
    #[test]
    fn the_documentation_says_what_is_kept_of_each_item() {
        let names = public_names();
        assert!(names.contains("Mutex") && names.contains("lwp_spawn") && names.contains("power_off"));
        let text =
            include_str!("api.md").split_once("# What the kernel keeps").expect("the section is there").1;
        let text = text.split("\n# ").next().expect("it ends");
        let said: BTreeSet<String> = text.split('`').skip(1).step_by(2).map(String::from).collect();
        let missing: BTreeSet<_> = names.difference(&said).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
