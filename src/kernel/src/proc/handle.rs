//! Handles: LWPs as their siblings hold them, to join them or to look at them.
//!
//! A handle keeps the LWP's record, and a killed LWP does not drop its handles. So a handle belongs to the process
//! whose LWP it is of: what is left when the process ends is revoked by its master (DESIGN, decision 10), or, for the
//! master's own, when the master is buried. Whoever takes the *key* out of the record, the holder or the process, gives
//! the hold back. A handle that outlives its process tells that the LWP has ended.

use asphodel_core::shim::atomic::Ordering;
use core::mem::ManuallyDrop;

use asphodel_core::errno::Errno;
use asphodel_core::wait::queue::prepare_unless;
use asphodel_core::wait::reason::Reason;

use crate::arch::daif;
use crate::cpu::Cpu;
use crate::proc::table::{PROCESSES, Process};
use crate::proc::undertaker;
use crate::sched::switch;
use crate::sync::service::Service;
use crate::sync::wait_queue::{Manner, Woken, sleep_enlisted};
use crate::thread::{THREADS, Thread};

/// Bit of a key: the stack is pinned, too. Pids are positive, so the bit is free.
const PINNED: u64 = 1 << 63;

/// An LWP seen from outside: keeps its record until dropped, whether the LWP is dead or alive, but not longer than its
/// process lasts. Dropping it does not end the LWP.
#[derive(Debug)]
pub struct LwpHandle {
    thread: u32,
    /// Pid and tid: which LWP of those that have the record in turn.
    key: u64,
}

impl LwpHandle {
    /// The handle of `thread`, a new LWP of `process` that cannot run yet, whose record is held for it. There is one for
    /// each LWP.
    #[inline(always)]
    pub(crate) fn new(process: &Process, thread: &Thread) -> Self {
        let key = u64::from(process.pid().raw() as u32) << 32 | u64::from(thread.lwp.member.tid());
        thread.lwp.handle.store(key, Ordering::Release);
        Self { thread: thread.index, key }
    }

    fn thread(&self) -> &'static Thread {
        THREADS.get(self.thread)
    }

    /// Its number in its process.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.key as u32
    }

    /// Whether it is off its CPU for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // In this order: if the record is another LWP's by now, the key says so.
        self.thread().remains.is_retired() || self.is_revoked()
    }

    fn is_revoked(&self) -> bool {
        self.thread().lwp.handle.load(Ordering::Acquire) & !PINNED != self.key
    }

    /// Keeps its stack mapped as well, while the result lives. `None` if it may be gone already, or is pinned.
    #[must_use]
    pub fn pin_stack(&self) -> Option<StackPin<'_>> {
        let _service = Service::enter();
        self.while_held(|thread| {
            if !thread.remains.try_pin() {
                return false;
            }
            let ours = self.change_key(self.key, self.key | PINNED);
            if !ours {
                undertaker::unpin(thread);
            }
            ours
        })
        .then(|| StackPin(self))
    }

    /// Does something to the LWP's record that needs a hold; `false`: it was revoked before. Inside a service.
    ///
    /// The handle's own hold is not enough: the LWP's process may end and revoke it meanwhile, if the holder is outside
    /// of it. Then the record would be freed under a pin, and the pin taken from, or given back for, its next user.
    fn while_held(&self, act: impl FnOnce(&Thread) -> bool) -> bool {
        let thread = self.thread();
        if self.is_revoked() || !thread.remains.try_hold() {
            return false;
        }
        // Again: only now it cannot become another LWP's.
        let done = !self.is_revoked() && act(thread);
        undertaker::release(thread);
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
    /// `EDEADLK` if it is the caller itself; `EINTR` if the caller is being killed.
    pub fn wait(&self) -> Result<(), Errno> {
        let _service = Service::enter();
        self.wait_in(Manner::killable(Reason::Join))
    }

    /// As [`LwpHandle::wait`], but gives up after `nanoseconds`; with 0 it does not sleep (pthread_timedjoin_np,
    /// pthread_tryjoin_np). A join after it is a join of an LWP that has ended. Killable. Thread context; blocks.
    ///
    /// # Errors
    /// As [`LwpHandle::wait`]; `ETIMEDOUT` if it has not ended by then, `EBUSY` if it has not and `nanoseconds` is 0.
    pub fn wait_timeout(&self, nanoseconds: u64) -> Result<(), Errno> {
        let _service = Service::enter();
        if nanoseconds == 0 && !self.has_ended() && !self.is_own(Thread::current()) {
            return Err(Errno::EBUSY);
        }
        let deadline = crate::time::deadline_after(nanoseconds);
        self.wait_in(Manner::killable(Reason::Join).until(deadline))
    }

    /// Whether it is that of `me`, the calling LWP.
    #[inline(always)]
    fn is_own(&self, me: &Thread) -> bool {
        core::ptr::eq(self.thread(), me) && !self.is_revoked()
    }

    /// Inside a service.
    #[inline(always)]
    fn wait_in(&self, manner: Manner) -> Result<(), Errno> {
        let (joiners, me) = (&self.thread().lwp.joiners, Thread::current());
        if self.is_own(me) {
            return Err(Errno::EDEADLK);
        }
        switch::assert_may_sleep(me);
        if !prepare_unless(joiners, &THREADS, me.index, manner.sleep, || self.has_ended()) {
            return Ok(());
        }
        // Whoever takes a joiner out of this queue has retired the LWP, or revoked its handle, before.
        match sleep_enlisted(joiners, manner) {
            Woken::Ready => Ok(()),
            Woken::TimedOut => Err(Errno::ETIMEDOUT),
            Woken::Killed => Err(Errno::EINTR),
        }
    }

    /// Lets it go: nobody will join it, and its record is free when it ends, or now if it has ended
    /// (pthread_detach). The same as dropping the handle; after it there is nothing left to join or to detach again.
    pub fn detach(self) {}

    /// Waits for its end and takes its result. `Ok(None)`: it ended without returning from its entry. Killable.
    /// Thread context; blocks.
    ///
    /// # Errors
    /// As [`LwpHandle::wait`].
    pub fn join(self) -> Result<Option<usize>, Errno> {
        let _service = Service::enter();
        self.wait_in(Manner::killable(Reason::Join))?;
        // Given back here, inside the same service.
        let handle = ManuallyDrop::new(self);
        let lwp = &handle.thread().lwp;
        let result =
            lwp.returned.load(Ordering::Relaxed).then(|| lwp.result.load(Ordering::Relaxed) as usize);
        // A handle that was not revoked has kept the record until now, so the result is the LWP's.
        let valid = handle.give_back() || !handle.is_revoked();
        Ok(if valid { result } else { None })
    }

    /// Gives the hold back, unless it has been revoked: `false`. Inside a service.
    #[inline(always)]
    fn give_back(&self) -> bool {
        let thread = self.thread();
        if !self.change_key(self.key, 0) {
            return false;
        }
        let process = PROCESSES.get(thread.lwp.process.get());
        let interrupts = daif::mask();
        process.crew.lock_masked().unlist(&THREADS, thread.index);
        undertaker::release_masked(Cpu::this(), thread);
        daif::restore(interrupts);
        true
    }
}

impl Drop for LwpHandle {
    fn drop(&mut self) {
        let _service = Service::enter();
        self.give_back();
    }
}

/// Keeps the stack of an LWP from being freed or reused, even after its end (T85), but not longer than its process
/// lasts. One for each handle at a time.
#[derive(Debug)]
pub struct StackPin<'a>(&'a LwpHandle);

impl Drop for StackPin<'_> {
    fn drop(&mut self) {
        let _service = Service::enter();
        let handle = self.0;
        // If it was revoked, the process has given the pin back.
        let _pinned = handle.while_held(|thread| {
            let ours = handle.change_key(handle.key | PINNED, handle.key);
            if ours {
                undertaker::unpin(thread);
            }
            ours
        });
    }
}

/// Takes the handle of a dead LWP away from its holder. Any context; never blocks.
#[inline]
pub(crate) fn revoke(thread: &Thread) {
    // The look first: many have none, and nobody gives one to an LWP that has run.
    if thread.lwp.handle.load(Ordering::Relaxed) != 0 {
        revoke_handle(thread);
    }
}

fn revoke_handle(thread: &Thread) {
    let key = thread.lwp.handle.swap(0, Ordering::AcqRel);
    if key & PINNED != 0 {
        undertaker::unpin(thread);
    }
    if key != 0 {
        undertaker::release(thread);
    }
}

/// Takes all handles of departed LWPs away from their holders: the caller is the only LWP left of `process`. Thread
/// context; never blocks.
pub(crate) fn revoke_all(process: &Process) {
    if !process.crew.lock().has_no_left() {
        revoke_left(process);
    }
}

#[inline(never)]
fn revoke_left(process: &Process) {
    loop {
        // While it is listed its holder cannot have given the hold back; what is unlisted under the lock may go.
        let mut crew = process.crew.lock();
        let Some(index) = crew.take_left(&THREADS) else { return };
        let thread = THREADS.get(index);
        // A holder outside the process that has taken the key waits for this lock, and gives the hold back itself.
        let key = thread.lwp.handle.swap(0, Ordering::AcqRel);
        drop(crew);
        if key & PINNED != 0 {
            undertaker::unpin(thread);
        }
        if key != 0 {
            undertaker::release(thread);
        }
    }
}
