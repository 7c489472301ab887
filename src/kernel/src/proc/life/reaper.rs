//! procctl: reapers, kills of their domains, and the signal on a parent's exit.
//!
//! procctl(2). Which reaper adopts an orphan is decided in `asphodel_core::proc::domain`; the adoption itself is in
//! `adopt`.

use asphodel_core::shim::atomic::Ordering;

use alloc::vec::Vec;
use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::kill_walk::Scope;
use asphodel_core::signal::{Default, Signal};

use crate::proc::life::kill;
use crate::proc::life::kill_walk::{self, Walk};
use crate::proc::state::table::{PROCESSES, Process, ProcessRef, current_process};
use crate::sync::service::KernelSection;

/// `idtype` of [`procctl`]: the number is a pid. The only one there is.
pub const P_PID: u32 = 0;

/// The request of [`procctl`].
#[derive(Debug)]
pub enum ProcCtl<'a> {
    /// PROC_REAP_ACQUIRE: become a reaper: orphans among the descendants spawned from now on become the caller's
    /// children.
    ReapAcquire,
    /// PROC_REAP_RELEASE: stop being one.
    ReapRelease,
    /// PROC_REAP_STATUS: return the status; without a buffer it only checks that the request is supported.
    ReapStatus(Option<&'a mut ReaperStatus>),
    /// PROC_REAP_KILL: send a signal to members of the caller's domain.
    ReapKill(&'a mut ReaperKill),
    /// PROC_PDEATHSIG_CTL: set the signal that the caller's process gets when its parent exits; 0: none. Not inherited.
    DeathSignal(i32),
    /// PROC_PDEATHSIG_STATUS: return that signal.
    DeathSignalStatus(&'a mut i32),
}

/// The result of PROC_REAP_STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaperStatus {
    /// The caller is a reaper.
    pub owned: bool,
    /// Its reaper (itself, if it is one) is process 1.
    pub real_init: bool,
    /// Children of that reaper.
    pub children: u32,
    /// Processes in that reaper's domain, domains of reapers inside included; zombies, too.
    pub descendants: u32,
    /// That reaper.
    pub reaper: Pid,
    /// One of its children, [`Pid::NONE`] if there is none.
    pub first_child: Pid,
}

/// The members of a domain that a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaperScope {
    /// All descendants.
    All,
    /// The reaper's children only.
    Children,
    /// The branch that this child of the reaper has founded: it and its descendants, orphans included.
    Subtree(Pid),
}

/// Argument and result of PROC_REAP_KILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaperKill {
    /// The signal.
    pub signal: i32,
    /// Its receivers.
    pub scope: ReaperScope,
    /// Out: the number of processes it was sent to.
    pub killed: u32,
}

/// procctl(2): sets or returns an attribute of the calling process as a parent or child. `idtype` must be [`P_PID`] and
/// `id` the caller's pid, or 0 for it. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: another `idtype` or process (T171), no such signal, or signal 0 for a kill; process 1 cannot release.
/// `EALREADY`: it is a reaper. `ENOTCONN`: it is none. `ESRCH`: no process was there to be signalled. `EOPNOTSUPP`: a
/// stop or continue signal. `ENOMEM`.
pub fn procctl(idtype: u32, id: i32, command: ProcCtl<'_>) -> Result<(), Errno> {
    let _section = KernelSection::enter();
    let process = current_process();
    if idtype != P_PID || (id != 0 && id != process.pid().raw()) {
        return Err(Errno::EINVAL);
    }
    match command {
        ProcCtl::ReapAcquire => acquire(process),
        ProcCtl::ReapRelease => release(process),
        ProcCtl::ReapStatus(None) => Ok(()),
        ProcCtl::ReapStatus(Some(buffer)) => {
            *buffer = status(process);
            Ok(())
        }
        ProcCtl::ReapKill(request) => kill_members(process, request),
        ProcCtl::DeathSignal(number) => {
            if number != 0 && Signal::new(number).is_none() {
                return Err(Errno::EINVAL);
            }
            process.family.death_signal.store(number as u32, Ordering::Relaxed);
            Ok(())
        }
        ProcCtl::DeathSignalStatus(number) => {
            *number = process.family.death_signal.load(Ordering::Relaxed) as i32;
            Ok(())
        }
    }
}

/// [`ProcCtl::ReapAcquire`] for the calling process.
///
/// # Errors
/// `EALREADY`.
pub fn reaper_acquire() -> Result<(), Errno> {
    procctl(P_PID, 0, ProcCtl::ReapAcquire)
}

/// [`ProcCtl::ReapRelease`] for the calling process.
///
/// # Errors
/// `ENOTCONN`; `EINVAL` for process 1.
pub fn reaper_release() -> Result<(), Errno> {
    procctl(P_PID, 0, ProcCtl::ReapRelease)
}

/// [`ProcCtl::ReapStatus`] for the calling process.
#[must_use]
pub fn reaper_status() -> ReaperStatus {
    let _section = KernelSection::enter();
    status(current_process())
}

/// [`ProcCtl::ReapKill`] for the calling process; returns how many processes the signal was sent to.
///
/// # Errors
/// As [`procctl`].
pub fn reaper_kill(signal: i32, scope: ReaperScope) -> Result<u32, Errno> {
    let mut request = ReaperKill { signal, scope, killed: 0 };
    procctl(P_PID, 0, ProcCtl::ReapKill(&mut request)).map(|()| request.killed)
}

fn acquire(process: &Process) -> Result<(), Errno> {
    let _children = process.family.children.lock();
    process.family.domain.acquire().map_err(|_| Errno::EALREADY)
}

fn release(process: &Process) -> Result<(), Errno> {
    if process.pid() == Pid::INIT {
        return Err(Errno::EINVAL);
    }
    let _children = process.family.children.lock();
    process.family.domain.release().map_err(|_| Errno::ENOTCONN)
}

fn status(process: &'static Process) -> ReaperStatus {
    let owned = process.family.domain.adopts();
    // The nearest that adopts now; it may be another one a moment later.
    let mut reaper = process;
    while !reaper.family.domain.adopts() {
        reaper = PROCESSES.get(reaper.family.domain.outer());
    }
    let descendants = members(reaper, ReaperScope::All).count() as u32;
    let children = reaper.family.children.lock();
    ReaperStatus {
        owned,
        real_init: reaper.pid() == Pid::INIT,
        children: children.len(),
        descendants,
        reaper: reaper.pid(),
        first_child: children.first().map_or(Pid::NONE, |slot| PROCESSES.get(slot).pid()),
    }
}

/// Returns the processes of `reaper`'s domain in `scope` that have not been reaped, with a reference to each in turn.
fn members(reaper: &'static Process, scope: ReaperScope) -> impl Iterator<Item = ProcessRef> {
    PROCESSES.all().filter(move |member| !member.gate.view().claimed && scope.has(reaper, member))
}

impl ReaperScope {
    /// Returns the set that contains it in the domain of `reaper`.
    fn of_reaper(self, reaper: &Process) -> Scope {
        match self {
            Self::All | Self::Children => Scope::Domain(reaper.slot),
            Self::Subtree(child) => Scope::Branch(reaper.slot, child),
        }
    }

    /// Returns whether `process` is a member of `reaper`'s domain in this scope.
    fn has(self, reaper: &Process, process: &Process) -> bool {
        kill_walk::has(self.of_reaper(reaper), process)
            && (self != Self::Children || process.family.parent() == reaper.slot)
    }
}

/// Sends a signal to members of the caller's domain. A process that one of them spawns meanwhile gets it, too, if the
/// signal is fatal (T175).
fn kill_members(process: &'static Process, request: &mut ReaperKill) -> Result<(), Errno> {
    let signal = Signal::new(request.signal).ok_or(Errno::EINVAL)?;
    if !process.family.domain.adopts() {
        return Err(Errno::ENOTCONN);
    }
    if signal.default_action() == Default::JobControl {
        return Err(Errno::EOPNOTSUPP);
    }
    request.killed = 0;
    if request.scope == ReaperScope::Children {
        for child in children(process)?.into_iter().filter_map(|pid| PROCESSES.find(pid)) {
            kill::deliver(&child, signal);
            request.killed += 1;
        }
    } else {
        let fatal = matches!(signal.default_action(), Default::Kill { .. });
        let walk = fatal.then(|| Walk::announce(request.scope.of_reaper(process), signal));
        for member in members(process, request.scope).filter(|member| !member.gate.view().zombie) {
            if let Some(walk) = &walk {
                walk.mark(&member);
            }
            kill::deliver(&member, signal);
            request.killed += 1;
        }
    }
    if request.killed == 0 { Err(Errno::ESRCH) } else { Ok(()) }
}

/// Returns the children of `reaper` that have not ended. All of them are collected before the first is signalled: when
/// one exits, the same reaper may adopt its children, and the signal is not for those.
#[expect(clippy::disallowed_methods, reason = "room is reserved first")]
fn children(reaper: &'static Process) -> Result<Vec<Pid>, Errno> {
    let mut pids = Vec::new();
    for child in members(reaper, ReaperScope::Children).filter(|child| !child.gate.view().zombie) {
        pids.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        pids.push(child.pid());
    }
    Ok(pids)
}
