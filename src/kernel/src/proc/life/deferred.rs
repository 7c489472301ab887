//! Tasks and call-outs of programs: functions that run later, in an LWP of the process that asked for them.
//!
//! taskqueue(9) and callout(9), as programs have them. The kernel never calls a program's function: each process that
//! enqueues a task or arms a call-out gets a *worker* at its first use, an LWP that runs one function after the other.
//! So a function may do what any program code may do, and what becomes of it, a panic, a fault, a loop, a wait without
//! an end, becomes of its process. The worker is charged to the process as any LWP, but does not keep it alive: the
//! gate counts it as present, not as live, and the process ends with the last LWP that the program has made. It ends
//! with the process, and with its program (exec), which also withdraws everything that is queued or armed.
//!
//! The kernel keeps no reference to a [`Task`] or [`Callout`]: what it needs is copied into an entry of its own
//! (`state::work`), and the object's address is only compared. So it does not matter that an object lies in memory that
//! ends with its process.
//!
//! The worker sleeps until something arrives or the earliest call-out is due. A process whose worker has been ended
//! alone (extexit of the LWP by a function, a kill of the LWP) gets another one if there is work, or at the next use.

use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use core::mem;

use asphodel_core::errno::Errno;
use asphodel_core::proc::deferred::{Entries, Item, Work, Worker};
use asphodel_core::proc::gate::ExitRole;
use asphodel_core::wait::reason::Reason;

use crate::arch::counter;
use crate::arch::lock::Guard;
use crate::cpu::NEVER;
use crate::proc::life::lwp::{self, LwpAttributes};
use crate::proc::state::table::{Process, current_process, process_of};
use crate::proc::state::work::{self, ENTRIES, FREE};
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::{WaitOptions, WaitResult};
use crate::sync::{mutex, program_code};
use crate::thread::{Thread, end_mark};
use crate::time;

/// A function with its argument, and where its entry is.
#[derive(Debug)]
struct Object {
    /// Its entry; it is another object's, or free, if the entry says so. Changed with `FREE` locked.
    entry: AtomicU32,
    function: fn(usize),
    argument: usize,
}

/// A piece of work that is done later, in the worker of the process that enqueues it.
#[derive(Debug)]
pub struct Task(Object);

/// A function to be called later, in the worker of the process that arms it.
#[derive(Debug)]
pub struct Callout(Object);

impl Task {
    /// A task that calls `function(argument)`.
    #[must_use]
    pub const fn new(function: fn(usize), argument: usize) -> Self {
        Self(Object::new(function, argument))
    }

    /// Has the task run at least once from now on, in the calling process's worker, which is made if there is none: an
    /// LWP with the caller's priority. If the process ends before, it does not run. Thread context; may block for the
    /// making of the worker.
    ///
    /// # Errors
    /// `EBUSY`: it is queued or runs for another process. `ENOMEM`, `EAGAIN`: there is no memory, or no LWP, for the
    /// worker or the task; or the process is ending.
    pub fn enqueue(&'static self) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        let process = current_process();
        ensure_worker(process)?;
        let arrival = self.0.with_entry(process, |work, index| {
            let is_new = work.request(&ENTRIES, index);
            Arrival::of(work, is_new)
        })?;
        arrival.report(process);
        Ok(())
    }

    /// Waits until the task neither runs nor is queued, for whichever process. Killable. Thread context; blocks.
    ///
    /// # Errors
    /// `EDEADLK`: it is the calling process's, and called from a task or a call-out: it does not run before the caller
    /// has returned, or is the caller. `EINTR`: the caller is being killed.
    pub fn drain(&'static self) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        loop {
            match self.0.find() {
                Some((owner, work, index)) if !work.is_over(&ENTRIES, index) => {
                    drop(work);
                    if is_worker_of(owner) {
                        return Err(Errno::EDEADLK);
                    }
                    self.0.wait_while_busy(owner)?;
                }
                _ => return Ok(()),
            }
        }
    }
}

impl Callout {
    /// A call-out of `function(argument)`, not armed.
    #[must_use]
    pub const fn new(function: fn(usize), argument: usize) -> Self {
        Self(Object::new(function, argument))
    }

    /// Allocates what arming it needs, so that arming it in this process cannot fail while the process, and its worker,
    /// last. Thread context.
    ///
    /// # Errors
    /// As [`Callout::arm`].
    pub fn reserve(&'static self) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        let process = current_process();
        ensure_worker(process)?;
        self.0.with_entry(process, |work, index| work.keep(&ENTRIES, index))
    }

    /// Arms it for `nanoseconds` from now, in the calling process; if it is armed already, or due and not called yet,
    /// the new time replaces the old one. If the process ends before, it is not called. Thread context; may block for
    /// the making of the worker.
    ///
    /// # Errors
    /// As [`Task::enqueue`]. It is not armed then, or armed as before.
    pub fn arm(&'static self, nanoseconds: u64) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        let process = current_process();
        ensure_worker(process)?;
        let deadline = time::deadline_after(nanoseconds);
        let arrival = self.0.with_entry(process, |work, index| {
            let is_earliest = work.arm(&ENTRIES, index, deadline);
            Arrival::of(work, is_earliest)
        })?;
        arrival.report(process);
        Ok(())
    }

    /// Disarms it and waits out a call that is in progress, including one that arms it anew meanwhile. Returns `true`
    /// if it was armed and has not been called since. Called from its own function, or by another one in the same
    /// worker, it does not wait: no call begins before the caller has returned, and none afterwards unless it is armed
    /// anew. Killable. Thread context; blocks.
    pub fn cancel(&'static self) -> bool {
        let _section = KernelSection::enter();
        let mut was_armed = false;
        while let Some((owner, mut work, index)) = self.0.find() {
            let by_worker = is_worker_of(owner);
            was_armed |= if by_worker { work.disarm(&ENTRIES, index) } else { work.cancel(&ENTRIES, index) };
            if by_worker || !work.is_running(index) {
                free_if_idle(owner, work, index);
                break;
            }
            drop(work);
            if self.0.wait_while_busy(owner).is_err() {
                break;
            }
        }
        was_armed
    }
}

/// What the worker must be told of something that has been queued or armed.
enum Arrival {
    Nothing,
    /// It may sleep, and has something to look at.
    WakeUp,
    /// It has left since it was made sure of, and did not know of this yet.
    NoWorker,
}

impl Arrival {
    /// Returns that of what was put into `work`, locked, since.
    #[inline(always)]
    fn of(work: &Work, is_news: bool) -> Self {
        match work.worker {
            Worker::None => Self::NoWorker,
            _ if is_news => Self::WakeUp,
            _ => Self::Nothing,
        }
    }

    #[inline(always)]
    fn report(self, process: &'static Process) {
        match self {
            Self::Nothing => {}
            Self::WakeUp => {
                process.deferred.arrivals.wake_one();
            }
            Self::NoWorker => replace_worker(process),
        }
    }
}

impl Object {
    const fn new(function: fn(usize), argument: usize) -> Self {
        Self { entry: AtomicU32::new(0), function, argument }
    }

    /// Names it in its entry.
    fn key(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// Returns its entry, with the process whose work it is in, locked. `None`: it has none, so it is idle.
    fn find(&self) -> Option<(&'static Process, Guard<'static, Work>, u32)> {
        let index = self.entry.load(Ordering::Relaxed);
        if index == 0 {
            return None;
        }
        let owner = work::owner_of(index)?;
        let work = owner.deferred.work.lock();
        // Otherwise it has been freed, and perhaps given to another object: this one has no entry any more.
        self.is_in(owner, index).then_some((owner, work, index))
    }

    /// Returns whether `index` is its entry in the work of `owner`, which is locked.
    fn is_in(&self, owner: &Process, index: u32) -> bool {
        ENTRIES.entry(index).is_of(owner.slot, self.key())
    }

    /// Calls `action` with the work of `process`, locked, and its entry there, which is made if there is none.
    ///
    /// # Errors
    /// `EBUSY`: it is another process's, and not idle. `ENOMEM`.
    fn with_entry<R>(
        &self,
        process: &'static Process,
        action: impl FnOnce(&mut Work, u32) -> R,
    ) -> Result<R, Errno> {
        let item =
            Item { key: self.key(), function: self.function as usize as u64, argument: self.argument as u64 };
        loop {
            let mut free = FREE.lock();
            if let Some((owner, mut work, index)) = self.find() {
                if owner.slot == process.slot {
                    return Ok(action(&mut work, index));
                }
                if !work.is_over(&ENTRIES, index) {
                    return Err(Errno::EBUSY);
                }
                work.unbind(&ENTRIES, index);
                work::uncharge(owner);
                work::give(&mut free, index);
            }
            let mut work = process.deferred.work.lock();
            if let Some(index) = work::take(&mut free, process, &mut work, &item)? {
                self.entry.store(index, Ordering::Relaxed);
                return Ok(action(&mut work, index));
            }
            drop((work, free));
            work::grow()?;
        }
    }

    /// Waits until it is idle, or not in the work of `owner`.
    ///
    /// # Errors
    /// `EINTR`: the caller is being killed.
    fn wait_while_busy(&self, owner: &'static Process) -> Result<(), Errno> {
        let over = || match self.find() {
            Some((now, work, index)) => now.slot != owner.slot || !work.is_busy(&ENTRIES, index),
            None => true,
        };
        match owner.deferred.changes.wait_in(WaitOptions::killable(Reason::Task), over) {
            WaitResult::Killed => Err(Errno::EINTR),
            _ => Ok(()),
        }
    }
}

/// Frees the entry `index` of `owner` if there is nothing left to do with it.
fn free_if_idle(owner: &'static Process, mut work: Guard<'static, Work>, index: u32) {
    let free = work.unbind_idle(&ENTRIES, index);
    if free {
        work::uncharge(owner);
    }
    drop(work);
    if free {
        work::give(&mut FREE.lock(), index);
    }
}

/// Returns whether the caller is the worker of `process`.
fn is_worker_of(process: &Process) -> bool {
    let thread = Thread::current();
    thread.has_end_mark(end_mark::WORKER) && thread.lwp.process.get() == process.slot
}

/// Sees to it that `process`, the caller's, has a worker.
///
/// # Errors
/// As the creation of an LWP.
fn ensure_worker(process: &'static Process) -> Result<(), Errno> {
    if process.gate.is_exiting() {
        return Err(Errno::EAGAIN);
    }
    let deferred = &process.deferred;
    loop {
        let mut work = deferred.work.lock();
        match work.worker {
            Worker::Present => return Ok(()),
            Worker::Making => drop(work),
            Worker::None => {
                work.worker = Worker::Making;
                break;
            }
        }
        // The LWP that makes it is in this function, where it is not killed, and does not block for long.
        let made = || deferred.work.lock().worker != Worker::Making;
        let _made = deferred.changes.wait_in(WaitOptions::uninterruptible(Reason::Work), made);
    }
    deferred.begin();
    let attributes = LwpAttributes { priority: Thread::current().priority(), ..LwpAttributes::default() };
    let made = lwp::spawn_worker(process, serve, &attributes);
    {
        let mut work = deferred.work.lock();
        // Unless it has ended already.
        if work.worker == Worker::Making {
            work.worker = if made.is_ok() { Worker::Present } else { Worker::None };
        }
    }
    deferred.changes.wake_all();
    made
}

/// The worker of `process`, the caller's, has left, and there is work. If there is no memory for another one now, the next
/// use tries again.
#[cold]
#[inline(never)]
fn replace_worker(process: &'static Process) {
    let _worker = ensure_worker(process);
}

/// Entry of a worker: runs functions in the order of their arrival, for ever.
fn serve(_argument: usize) -> usize {
    loop {
        // `None`: the worker was killed, and has exited before this returned.
        if let Some((function, argument)) = next() {
            program_code::call(|| function(argument));
            finish();
        }
    }
}

/// Waits for something to do. `None`: the worker is being killed.
fn next() -> Option<(fn(usize), usize)> {
    let thread = Thread::current();
    let _section = KernelSection::enter();
    let deferred = &process_of(thread).deferred;
    loop {
        let deadline = {
            let mut work = deferred.work.lock();
            if let Some((_index, function, argument)) = work.begin(&ENTRIES, counter::now()) {
                // SAFETY: `Object::with_entry` stored a function of this type, in an entry of this process.
                let function = unsafe { mem::transmute::<usize, fn(usize)>(function as usize) };
                return Some((function, argument as usize));
            }
            work.earliest(&ENTRIES).unwrap_or(NEVER)
        };
        let arrived = || {
            let work = deferred.work.lock();
            work.has_queued() || work.earliest(&ENTRIES).is_some_and(|earliest| earliest < deadline)
        };
        let options = WaitOptions::killable(Reason::Work);
        // TIMED: the deadline is the time that was asked for, and the call-out is due then.
        let waited = deferred.arrivals.wait_in(options.until(deadline), arrived);
        if waited == WaitResult::Killed {
            return None;
        }
    }
}

/// The function has returned. What it has left locked, or preemption that it has left disabled, must not keep the
/// worker from being killed.
fn finish() {
    let thread = Thread::current();
    thread.preempt_depth.set(0);
    if service::holds_guards(thread) {
        mutex::give_up_all(thread);
    }
    thread.service_depth.set(0);
    let _section = KernelSection::enter();
    end_of_function(process_of(thread));
}

/// The function that runs is over: wakes those that wait for that.
fn end_of_function(process: &'static Process) {
    let mut work = process.deferred.work.lock();
    if let Some(index) = work.finish(&ENTRIES) {
        free_if_idle(process, work, index);
        process.deferred.changes.wake_all();
    }
}

/// The worker, the caller, exits: with the whole process if `whole`, or alone. Returns its role.
#[cold]
pub(in crate::proc) fn leave(process: &'static Process, thread: &Thread, whole: bool) -> ExitRole {
    end_of_function(process);
    let more = {
        let mut work = process.deferred.work.lock();
        work.worker = Worker::None;
        work.has_any(&ENTRIES)
    };
    process.deferred.changes.wake_all();
    if more && !whole && !process.gate.is_ending_lwps() {
        replace_worker(process);
    }
    let role = if whole { process.gate.exit_uncounted() } else { process.gate.leave_uncounted() };
    // Last, because an overflow of its stack in here begins the exit anew.
    thread.clear_end_mark(end_mark::WORKER);
    role
}

/// No LWP of `process` runs any more but the caller, which ends it, or its program: what is queued or armed is
/// forgotten. Thread context; never blocks.
#[inline(always)]
pub(in crate::proc) fn withdraw_all(process: &'static Process) {
    if process.deferred.is_used() {
        withdraw_each(process);
    }
}

#[cold]
#[inline(never)]
fn withdraw_each(process: &'static Process) {
    // Bound: one of its entries each, which no LWP of it adds to; interrupts are open in between.
    while let Some(index) = withdraw_one(process) {
        work::give(&mut FREE.lock(), index);
    }
    process.deferred.end();
    process.deferred.changes.wake_all();
}

fn withdraw_one(process: &Process) -> Option<u32> {
    let index = process.deferred.work.lock().withdraw(&ENTRIES)?;
    work::uncharge(process);
    Some(index)
}
