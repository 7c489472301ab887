//! procctl: reapers, the killing of what they are responsible for, and the signal on a parent's death.
//!
//! procctl(2). Whose orphans go to whom is decided in `asphodel_core::proc::domain`; the adoption itself is in `adopt`.

use asphodel_core::shim::atomic::Ordering;

use alloc::vec::Vec;
use asphodel_core::errno::Errno;
use asphodel_core::id::Pid;
use asphodel_core::proc::cull::Culls;
use asphodel_core::proc::domain;
use asphodel_core::signal::{Default, Signal};

use crate::arch::lock::InterruptLock;
use crate::proc::kill;
use crate::proc::lwp::current_process;
use crate::proc::table::{Hold, PROCESSES, Process};
use crate::sync::service::Service;

/// `idtype` of [`procctl`]: the number is a pid. The only one there is.
pub const P_PID: u32 = 0;

/// What [`procctl`] is asked for.
#[derive(Debug)]
pub enum ProcCtl<'a> {
    /// PROC_REAP_ACQUIRE: become a reaper: orphans among the descendants spawned from now on become the caller's
    /// children.
    ReapAcquire,
    /// PROC_REAP_RELEASE: be none any more.
    ReapRelease,
    /// PROC_REAP_STATUS: look; without a buffer it only says that it can be done.
    ReapStatus(Option<&'a mut ReaperStatus>),
    /// PROC_REAP_KILL: send a signal to members of the caller's domain.
    ReapKill(&'a mut ReaperKill),
    /// PROC_PDEATHSIG_CTL: the signal to be sent to the caller's process when its parent dies; 0: none. Not inherited.
    DeathSignal(i32),
    /// PROC_PDEATHSIG_STATUS: which one that is.
    DeathSignalStatus(&'a mut i32),
}

/// What PROC_REAP_STATUS tells.
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

/// Which members of a domain a signal is for.
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
    /// Whom to send it to.
    pub scope: ReaperScope,
    /// Out: how many processes it was sent to.
    pub killed: u32,
}

/// procctl(2): asks something of the calling process as a parent or child. `idtype` must be [`P_PID`] and `id` the
/// caller's pid, or 0 for it. Thread context; never blocks.
///
/// # Errors
/// `EINVAL`: another `idtype` or process (T171), no such signal, or signal 0 for a kill; process 1 cannot release.
/// `EALREADY`: it is a reaper. `ENOTCONN`: it is none. `ESRCH`: no process was there to be signalled. `EOPNOTSUPP`: a
/// stop or continue signal. `EAGAIN`: too many subtrees are being killed at this moment. `ENOMEM`.
pub fn procctl(idtype: u32, id: i32, command: ProcCtl<'_>) -> Result<(), Errno> {
    let _service = Service::enter();
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
            process.death_signal.store(number as u32, Ordering::Relaxed);
            Ok(())
        }
        ProcCtl::DeathSignalStatus(number) => {
            *number = process.death_signal.load(Ordering::Relaxed) as i32;
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
    let _service = Service::enter();
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
    let _brood = process.brood.lock();
    process.domain.acquire().map_err(|_| Errno::EALREADY)
}

fn release(process: &Process) -> Result<(), Errno> {
    if process.pid() == Pid::INIT {
        return Err(Errno::EINVAL);
    }
    let _brood = process.brood.lock();
    process.domain.release().map_err(|_| Errno::ENOTCONN)
}

fn status(process: &'static Process) -> ReaperStatus {
    let owned = process.domain.adopts();
    // The nearest that adopts now; it may be another one a moment later.
    let mut reaper = process;
    while !reaper.domain.adopts() {
        reaper = PROCESSES.get(reaper.domain.outer());
    }
    let descendants = members(reaper, ReaperScope::All).count() as u32;
    let brood = reaper.brood.lock();
    ReaperStatus {
        owned,
        real_init: reaper.pid() == Pid::INIT,
        children: brood.len(),
        descendants,
        reaper: reaper.pid(),
        first_child: brood.first().map_or(Pid::NONE, |slot| PROCESSES.get(slot).pid()),
    }
}

/// Processes of `reaper`'s domain in `scope` that have not been reaped, with a hold on each in turn.
fn members(reaper: &'static Process, scope: ReaperScope) -> impl Iterator<Item = Hold> {
    PROCESSES.all().filter(move |member| !member.gate.view().claimed && scope.has(reaper, member))
}

impl ReaperScope {
    /// Whether `process` is a member of `reaper`'s domain that this scope means.
    fn has(self, reaper: &Process, process: &Process) -> bool {
        match (domain::branch_in(&PROCESSES, process.slot, reaper.slot), self) {
            (None, _) => false,
            (Some(_), Self::All) => true,
            (Some(_), Self::Children) => process.kin.parent() == reaper.slot,
            (Some(branch), Self::Subtree(child)) => branch == child,
        }
    }
}

/// A kill of a subtree that is under way.
#[derive(Clone, Copy)]
struct Cull {
    reaper: &'static Process,
    scope: ReaperScope,
    signal: Signal,
}

/// How many subtrees can be killed at a time.
const MAX_CULLS: usize = 64;

/// Their number, for spawns to look at without a lock, and which they are.
static CULLS: Culls = Culls::new();
static ACTIVE: InterruptLock<heapless::Vec<Cull, MAX_CULLS>> = InterruptLock::new(heapless::Vec::new());

/// Sends a signal to members of the caller's domain. Who is spawned meanwhile by one of them is told, too, if the
/// signal is fatal (T175).
fn kill_members(process: &'static Process, request: &mut ReaperKill) -> Result<(), Errno> {
    let signal = Signal::new(request.signal).ok_or(Errno::EINVAL)?;
    if !process.domain.adopts() {
        return Err(Errno::ENOTCONN);
    }
    if signal.default_action() == Default::JobControl {
        return Err(Errno::EOPNOTSUPP);
    }
    let cull = Cull { reaper: process, scope: request.scope, signal };
    request.killed = 0;
    if request.scope == ReaperScope::Children {
        for child in children(process)?.into_iter().filter_map(|pid| PROCESSES.find(pid)) {
            kill::deliver(&child, signal);
            request.killed += 1;
        }
    } else if matches!(signal.default_action(), Default::Kill { .. }) {
        announce(cull)?;
        for member in members(process, request.scope).filter(|member| !member.gate.view().zombie) {
            member.culled.store(u32::from(signal.number()), Ordering::Relaxed);
            kill::deliver(&member, signal);
            request.killed += 1;
        }
        withdraw(cull);
    } else {
        for member in members(process, request.scope).filter(|member| !member.gate.view().zombie) {
            kill::deliver(&member, signal);
            request.killed += 1;
        }
    }
    if request.killed == 0 { Err(Errno::ESRCH) } else { Ok(()) }
}

/// The children of `reaper` that have not ended. All of them before the first is signalled: when one dies, its own
/// children may come to the same reaper, and those are not meant.
fn children(reaper: &'static Process) -> Result<Vec<Pid>, Errno> {
    let mut pids = Vec::new();
    for child in members(reaper, ReaperScope::Children).filter(|child| !child.gate.view().zombie) {
        pids.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        pids.push(child.pid());
    }
    Ok(pids)
}

/// Spawners that look from here on find the cull.
fn announce(cull: Cull) -> Result<(), Errno> {
    ACTIVE.lock().push(cull).map_err(|_full| Errno::EAGAIN)?;
    CULLS.begin();
    Ok(())
}

/// The walk is over. Of two equal culls either entry will do.
fn withdraw(cull: Cull) {
    CULLS.end();
    let mut active = ACTIVE.lock();
    let same = |other: &Cull| {
        other.reaper.slot == cull.reaper.slot && other.scope == cull.scope && other.signal == cull.signal
    };
    if let Some(position) = active.iter().position(same) {
        active.swap_remove(position);
    }
}

/// How many kills of subtrees are under way; `None`: the list is being changed. For observers.
pub(crate) fn active_culls() -> Option<usize> {
    ACTIVE.try_lock().map(|active| active.len())
}

/// `child`, which look-ups find from here on and which does not run yet, was spawned by `spawner`: if a subtree that it
/// is in is being killed, or the spawner has been killed with one, the child dies before it has run. Never blocks.
#[inline]
pub(super) fn share_fate(child: &Process, spawner: &Process) {
    // In this order: when a walk is over, it has told the spawner.
    if CULLS.is_any_after_birth() || spawner.culled.load(Ordering::Relaxed) != 0 {
        cull_child(child, spawner);
    }
}

#[cold]
fn cull_child(child: &Process, spawner: &Process) {
    let announced = {
        let active = ACTIVE.lock();
        active.iter().find(|cull| cull.scope.has(cull.reaper, child)).map(|cull| cull.signal)
    };
    let inherited = || Signal::new(spawner.culled.load(Ordering::Relaxed) as i32);
    if let Some(signal) = announced.or_else(inherited) {
        child.culled.store(u32::from(signal.number()), Ordering::Relaxed);
        kill::deliver(child, signal);
    }
}
