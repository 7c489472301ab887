//! Handles: references to LWPs for their siblings, to join them or to examine them.
//!
//! A handle keeps the LWP's record, and a killed LWP does not drop its handles. So a handle belongs to the process of
//! the LWP that it refers to: the exit owner revokes the handles that are left when the process ends (DESIGN, decision
//! 10); the exit owner's own is revoked when the exit owner is finished. The party that takes the *key* out of the
//! record, the holder or the process, drops the reference. A handle that outlives its process reports that the LWP has
//! ended.

use asphodel_core::shim::atomic::Ordering;
use core::mem::ManuallyDrop;

use asphodel_core::errno::Errno;
use asphodel_core::thread::join::{self, JoinEdge, Joins, Target};
use asphodel_core::wait::queue::enqueue_unless;
use asphodel_core::wait::reason::Reason;

use crate::arch::daif;
use crate::cpu::{Cpu, NEVER};
use crate::proc::state::lwp_record;
use crate::proc::state::table::{PROCESSES, Process};
use crate::sched::switch;
use crate::sync::Mutex;
use crate::sync::service::{self, KernelSection};
use crate::sync::wait_queue::{WaitOptions, WaitResult, sleep_queued};
use crate::thread::{THREADS, Table, Thread, stack};

/// Held by an LWP that has found a ring of joins, while it looks again and withdraws.
static RINGS: Mutex<()> = Mutex::new(());

/// Bit of a key: the stack is pinned, too. No record counts that far.
const PINNED: u64 = 1 << 63;

/// A reference to an LWP. Keeps its record until it is dropped, whether the LWP has ended or not, but not longer than
/// its process lasts. Dropping it does not end the LWP.
#[derive(Debug)]
pub struct LwpHandle {
    thread: u32,
    /// The LWP's number in its process.
    tid: u32,
    /// How many handles the record has had by now: identifies the LWP among those that use the record in turn. Pid and
    /// tid would not, because exec begins a process's numbers anew, and pids repeat.
    key: u64,
}

impl LwpHandle {
    /// Makes the handle of `thread`, a new LWP that cannot run yet, and whose record has a reference for it. There is one
    /// for each LWP.
    #[inline(always)]
    pub(crate) fn new(thread: &Thread) -> Self {
        let key = thread.lwp.handles.get() + 1;
        thread.lwp.handles.set(key);
        thread.lwp.handle.store(key, Ordering::Release);
        Self { thread: thread.index, tid: thread.lwp.list_entry.tid(), key }
    }

    fn thread(&self) -> &'static Thread {
        THREADS.get(self.thread)
    }

    /// Returns its number in its process.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Returns whether it is off its CPU for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // In this order, because the key shows whether the record is another LWP's by now.
        self.thread().refs.is_retired() || self.is_revoked()
    }

    fn is_revoked(&self) -> bool {
        is_revoked(self.thread(), self.key)
    }

    /// Also keeps its stack mapped until the result is dropped. Returns `None` if it may be freed already, or is
    /// pinned.
    #[must_use]
    pub fn pin_stack(&self) -> Option<StackPin<'_>> {
        let _section = KernelSection::enter();
        self.while_held(|thread| {
            if !thread.refs.try_pin() {
                return false;
            }
            let ours = self.change_key(self.key, self.key | PINNED);
            if !ours {
                lwp_record::unpin_stack(thread);
            }
            ours
        })
        .then(|| StackPin(self))
    }

    /// Does something to the LWP's record that needs a reference; `false`: it was revoked before. Inside a service.
    ///
    /// The handle's own reference is not enough: the LWP's process may end and revoke it meanwhile, if the holder is
    /// outside of it. Then the record would be freed under a pin, and the pin taken from, or given back for, its next
    /// user.
    fn while_held(&self, act: impl FnOnce(&Thread) -> bool) -> bool {
        let thread = self.thread();
        if self.is_revoked() || !thread.refs.try_get() {
            return false;
        }
        // Again: only now it cannot become another LWP's.
        let done = !self.is_revoked() && act(thread);
        lwp_record::put_thread(thread);
        done
    }

    /// Changes the key in the record, unless it has been revoked or is not `from`: `false`.
    #[inline(always)]
    fn change_key(&self, from: u64, to: u64) -> bool {
        let key = &self.thread().lwp.handle;
        key.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Waits for its end. Killable. Thread context; blocks.
    ///
    /// # Errors
    /// `EDEADLK` if it is the caller itself, or waits for the caller's end, perhaps by way of others: of LWPs that would
    /// join each other in a ring, in whatever processes, one is refused. `EINTR` if the caller is being killed.
    pub fn wait(&self) -> Result<(), Errno> {
        let _section = KernelSection::enter_from_program();
        self.wait_in(WaitOptions::killable(Reason::Join))
    }

    /// As [`LwpHandle::wait`], but gives up after `nanoseconds`; with 0 it does not sleep (pthread_timedjoin_np,
    /// pthread_tryjoin_np). A join after it is a join of an LWP that has ended. Killable. Thread context; blocks.
    ///
    /// # Errors
    /// `EDEADLK` if it is the caller itself: a ring ends when the time is over. `EINTR` if the caller is being killed;
    /// `ETIMEDOUT` if it has not ended by then, `EBUSY` if it has not and `nanoseconds` is 0.
    pub fn wait_timeout(&self, nanoseconds: u64) -> Result<(), Errno> {
        let _section = KernelSection::enter();
        if nanoseconds == 0 && !self.has_ended() && !self.is_own(Thread::current()) {
            return Err(Errno::EBUSY);
        }
        let deadline = crate::time::deadline_after(nanoseconds);
        self.wait_in(WaitOptions::killable(Reason::Join).until(deadline))
    }

    /// Returns whether it is that of `me`, the calling LWP.
    #[inline(always)]
    fn is_own(&self, me: &Thread) -> bool {
        core::ptr::eq(self.thread(), me) && !self.is_revoked()
    }

    /// Called inside a section.
    #[inline(always)]
    fn wait_in(&self, options: WaitOptions) -> Result<(), Errno> {
        let me = Thread::current();
        if self.is_own(me) {
            return Err(Errno::EDEADLK);
        }
        switch::assert_may_sleep(me);
        if self.thread().refs.is_retired() {
            // It has ended, or the handle was revoked and the record is free, or another LWP's that has ended.
            return Ok(());
        }
        if options.deadline != NEVER {
            return self.await_end(me, options);
        }
        let target = Target { thread: self.thread, key: self.key };
        if !join::begin(&THREADS, (me.index, &me.lwp.joins), target, || RINGS.lock()) {
            return Err(Errno::EDEADLK);
        }
        let joined = self.await_end(me, options);
        me.lwp.joins.end();
        joined
    }

    /// The part of [`LwpHandle::wait_in`] that sleeps.
    #[inline(always)]
    fn await_end(&self, me: &Thread, options: WaitOptions) -> Result<(), Errno> {
        let joiners = &self.thread().lwp.joiners;
        if !enqueue_unless(joiners, &THREADS, me.index, options.sleep, || self.has_ended()) {
            return Ok(());
        }
        // The context that takes a joiner out of this queue has retired the LWP, or revoked its handle, before.
        match sleep_queued(joiners, options) {
            WaitResult::Ready => {
                stack::unmap_dropped();
                Ok(())
            }
            WaitResult::TimedOut => Err(Errno::ETIMEDOUT),
            WaitResult::Killed => Err(Errno::EINTR),
        }
    }

    /// Detaches the LWP: it will not be joined, and its record is freed when it ends, or now if it has ended
    /// (pthread_detach). The same as dropping the handle; after it there is nothing left to join or to detach again.
    pub fn detach(self) {}

    /// Waits for its end and takes its result. `Ok(None)`: it ended without returning from its entry. Killable.
    /// Thread context; blocks.
    ///
    /// # Errors
    /// As [`LwpHandle::wait`].
    pub fn join(self) -> Result<Option<usize>, Errno> {
        let _section = KernelSection::enter_from_program();
        self.wait_in(WaitOptions::killable(Reason::Join))?;
        // The reference is dropped here, inside the same section.
        let handle = ManuallyDrop::new(self);
        let lwp = &handle.thread().lwp;
        let result =
            lwp.returned.load(Ordering::Relaxed).then(|| lwp.result.load(Ordering::Relaxed) as usize);
        // A handle that was not revoked has kept the record until now, so the result is the LWP's.
        let valid = handle.give_back() || !handle.is_revoked();
        Ok(if valid { result } else { None })
    }

    /// Drops the reference, unless the handle has been revoked: `false`. Called inside a section.
    #[inline(always)]
    fn give_back(&self) -> bool {
        let thread = self.thread();
        if !self.change_key(self.key, 0) {
            return false;
        }
        let process = PROCESSES.get(thread.lwp.process.get());
        let interrupts = daif::mask();
        process.lwps.list.lock_masked().unlist(&THREADS, thread.index);
        lwp_record::put_thread_masked(Cpu::this(), thread);
        daif::restore(interrupts);
        true
    }
}

/// Returns whether the handle of `thread` with this key has been revoked, or given back.
#[inline(always)]
fn is_revoked(thread: &Thread, key: u64) -> bool {
    thread.lwp.handle.load(Ordering::Acquire) & !PINNED != key
}

impl Joins for Table {
    fn join_edge(&self, index: u32) -> &JoinEdge {
        &self.get(index).lwp.joins
    }

    fn ends(&self, target: Target) -> bool {
        let thread = self.get(target.thread);
        // A kill ends any join.
        service::is_kill_pending(thread) || thread.refs.is_retired() || is_revoked(thread, target.key)
    }
}

impl Drop for LwpHandle {
    fn drop(&mut self) {
        let _section = KernelSection::enter();
        self.give_back();
    }
}

/// Keeps the stack of an LWP from being freed or reused, even after its end (T85), but not longer than its process
/// lasts. One for each handle at a time.
#[derive(Debug)]
pub struct StackPin<'a>(&'a LwpHandle);

impl Drop for StackPin<'_> {
    fn drop(&mut self) {
        let _section = KernelSection::enter();
        let handle = self.0;
        // If it was revoked, the process has given the pin back.
        let _pinned = handle.while_held(|thread| {
            let ours = handle.change_key(handle.key | PINNED, handle.key);
            if ours {
                lwp_record::unpin_stack(thread);
            }
            ours
        });
    }
}

/// Revokes the handle of a dead LWP. Any context; never blocks.
#[inline]
pub(crate) fn revoke(thread: &Thread) {
    // A load comes first: many LWPs have no handle, and an LWP that has run never gets one.
    if thread.lwp.handle.load(Ordering::Relaxed) != 0 {
        revoke_handle(thread);
    }
}

fn revoke_handle(thread: &Thread) {
    let key = thread.lwp.handle.swap(0, Ordering::AcqRel);
    if key & PINNED != 0 {
        lwp_record::unpin_stack(thread);
    }
    if key != 0 {
        lwp_record::put_thread(thread);
    }
}

/// Revokes all handles of dead LWPs: the caller is the only LWP left of `process`. Thread context; never blocks.
pub(crate) fn revoke_all(process: &Process) {
    if !process.lwps.list.lock().has_no_exited() {
        revoke_left(process);
    }
}

#[inline(never)]
fn revoke_left(process: &Process) {
    loop {
        // While it is listed its holder cannot have dropped the reference; after it is unlisted under the lock, the
        // holder may.
        let mut lwps = process.lwps.list.lock();
        let Some(index) = lwps.take_exited(&THREADS) else { return };
        let thread = THREADS.get(index);
        // A holder outside the process that has taken the key waits for this lock, and drops the reference itself.
        let key = thread.lwp.handle.swap(0, Ordering::AcqRel);
        drop(lwps);
        if key & PINNED != 0 {
            lwp_record::unpin_stack(thread);
        }
        if key != 0 {
            lwp_record::put_thread(thread);
        }
    }
}
