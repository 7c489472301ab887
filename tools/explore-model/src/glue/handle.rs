//! Handles: LWPs as their siblings hold them.

use asphodel_core::errno::Errno;

use super::dead_thread;
use super::service::service;
use super::wait_queue::{self, WaitOptions, WaitResult};
use crate::event::What;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{QueueId, Waiting, key_of};
use crate::world::thread::Thread;

/// Bit of a key: the stack is pinned, too.
const PINNED: u64 = 1 << 63;

/// An LWP seen from outside. A killed LWP does not drop its handles: dropping the value gives nothing back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    thread: u32,
    key: u64,
}

/// The handle of `thread`, a new LWP that cannot run yet, whose record is held for it.
pub(crate) async fn new(w: &World, process: &Process, thread: &Thread) -> Handle {
    w.at(What::TakeRef, thread.index).await;
    let key = key_of(process.pid(), thread.list_entry.tid());
    thread.handle.set(key);
    Handle { thread: thread.index, key }
}

/// Whether the LWP with `key` that had the record has ended.
pub(crate) fn has_ended(thread: &Thread, key: u64) -> bool {
    thread.refs.is_retired() || thread.handle.get() & !PINNED != key
}

impl Handle {
    /// Its number in its process.
    pub(crate) fn tid(self) -> u32 {
        self.key as u32
    }

    fn is_revoked(self, w: &World) -> bool {
        w.thread(self.thread).handle.get() & !PINNED != self.key
    }

    /// Keeps its stack mapped as well; `false`: it may be gone, or is pinned.
    pub(crate) async fn pin(self, w: &World) -> bool {
        service(w, async {
            w.at(What::TakeRef, self.thread).await;
            let thread = w.thread(self.thread);
            if !thread.refs.try_pin() {
                return false;
            }
            thread.seen.pins.set(thread.seen.pins.get() + 1);
            w.at(What::TakeRef, self.thread).await;
            let ours = thread.handle.get() == self.key;
            if ours {
                thread.handle.set(self.key | PINNED);
            } else {
                dead_thread::unpin_stack(w, thread).await;
            }
            ours
        })
        .await
    }

    /// The pin is not needed any more.
    pub(crate) async fn unpin_stack(self, w: &World) {
        service(w, async {
            w.at(What::Revoke, self.thread).await;
            let thread = w.thread(self.thread);
            if thread.handle.get() == self.key | PINNED {
                thread.handle.set(self.key);
                dead_thread::unpin_stack(w, thread).await;
            }
        })
        .await;
    }

    /// Waits for its end, and gives the handle back.
    pub(crate) async fn join(self, w: &World) -> Result<(), Errno> {
        service(w, async {
            let thread = w.thread(self.thread);
            if thread.index == w.me().index && !self.is_revoked(w) {
                return Err(Errno::EDEADLK);
            }
            let id = QueueId::Joiners(self.thread);
            let ready = || has_ended(thread, self.key);
            match wait_queue::wait(w, id, Waiting::Join(self.key), WaitOptions::KILLABLE, ready).await {
                WaitResult::Ready => Ok(()),
                _ => Err(Errno::EINTR),
            }
        })
        .await?;
        self.give_back(w).await;
        Ok(())
    }

    /// The handle is not needed any more: what its `drop` does.
    pub(crate) async fn give_back(self, w: &World) {
        service(w, async {
            w.at(What::Revoke, self.thread).await;
            let thread = w.thread(self.thread);
            if thread.handle.get() != self.key {
                // Revoked.
                return;
            }
            thread.handle.set(0);
            let process = w.process(thread.process.get());
            let masked = process.lwps.lock(w, process).await;
            process.lwps.lwps().unlist(&w.threads, thread.index);
            process.lwps.unlock(w, masked);
            dead_thread::put_thread(w, thread).await;
        })
        .await;
    }
}

/// Takes the handle of a dead LWP away from its holder.
pub(crate) async fn revoke(w: &World, thread: &Thread) {
    w.at(What::Revoke, thread.index).await;
    let key = thread.handle.replace(0);
    give_back_both(w, thread, key).await;
}

async fn give_back_both(w: &World, thread: &Thread, key: u64) {
    if key & PINNED != 0 {
        dead_thread::unpin_stack(w, thread).await;
    }
    if key != 0 {
        dead_thread::put_thread(w, thread).await;
    }
}

/// Takes all handles of departed LWPs away from their holders: the caller is the only LWP left.
pub(crate) async fn revoke_all(w: &World, process: &Process) {
    loop {
        let masked = process.lwps.lock(w, process).await;
        w.at(What::Revoke, process.slot).await;
        let left = process.lwps.lwps().take_exited(&w.threads);
        let Some(index) = left else {
            process.lwps.unlock(w, masked);
            return;
        };
        let thread = w.thread(index);
        let key = thread.handle.replace(0);
        process.lwps.unlock(w, masked);
        give_back_both(w, thread, key).await;
    }
}
