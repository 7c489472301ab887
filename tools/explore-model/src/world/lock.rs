//! A lock that is held across steps: others who want it spin, interrupts masked, as in the kernel.
//!
//! Most sections under a lock are one step here, since nothing of what they do is seen before the lock is given back.
//! An LWP list's lock is held by a killer while it marks and wakes its victims, who do not need the lock to run on.

use std::cell::{Cell, RefCell, RefMut};

use asphodel_core::proc::lwp_list::LwpList;

use super::World;
use super::process::Process;
use crate::event::What;

/// An LWP list and its lock.
#[derive(Debug)]
pub(crate) struct LwpListLock {
    held: Cell<bool>,
    lwps: RefCell<LwpList>,
}

impl LwpListLock {
    /// Of a process without LWPs.
    pub(crate) fn new() -> Self {
        Self { held: Cell::new(false), lwps: RefCell::new(LwpList::new()) }
    }

    /// Takes the lock, sooner or later; returns whether interrupts were masked before.
    pub(crate) async fn lock(&self, w: &World, owner: &Process) -> bool {
        let masked = w.mask();
        loop {
            w.at(What::LockLwpList, owner.slot).await;
            if !self.held.replace(true) {
                return masked;
            }
        }
    }

    /// Gives it back. The last step of the section is the one that this is called in.
    pub(crate) fn unlock(&self, w: &World, masked: bool) {
        debug_assert!(self.held.get(), "the lock is held");
        self.held.set(false);
        w.restore(masked);
    }

    /// The LWP list: for the holder, within a step, or for a look.
    pub(crate) fn lwps(&self) -> RefMut<'_, LwpList> {
        self.lwps.borrow_mut()
    }
}
