//! The table of all threads, and the links between their records, which the lists, queues and heaps of `asphodel_core`
//! follow. Any context.

use asphodel_core::list::{Links, Nodes};
use asphodel_core::mailbox::{Mail, MailLink};
use asphodel_core::proc::kill_walk::{Announcement, Announcements};
use asphodel_core::proc::lwp_list::{LwpEntries, LwpEntry};
use asphodel_core::thread::park::Park;
use asphodel_core::time::timers::{TimerLinks, Timers};
use asphodel_core::wait::holder::{HolderId, Holders};
use asphodel_core::wait::queue::Sleepers;

use super::record::Thread;
use crate::mem::slab::Slab;

/// The table of all threads.
pub(crate) struct Table(pub(super) Slab<Thread, 0>);

/// All threads.
pub(crate) static THREADS: Table = Table(Slab::new(1));

impl Table {
    /// Returns the thread with this index.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &'static Thread {
        self.0.get(index)
    }

    /// Returns the number of records that have ever been used, except for those of other indices.
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }
}

impl Nodes for Table {
    #[inline(always)]
    fn links(&self, index: u32) -> &Links {
        &self.get(index).run_links
    }
}

impl LwpEntries for Table {
    #[inline(always)]
    fn list_entry(&self, index: u32) -> &LwpEntry {
        &self.get(index).lwp.list_entry
    }
}

impl Announcements for Table {
    #[inline(always)]
    fn announcement(&self, index: u32) -> &Announcement {
        &self.get(index).lwp.walk
    }
}

impl Holders for Table {
    #[inline(always)]
    fn holder_id(&self, index: u32) -> &HolderId {
        &self.get(index).holder_id
    }
}

impl Mail for Table {
    #[inline(always)]
    fn mail_link(&self, thread: u32) -> &MailLink {
        &self.get(thread).mail
    }
}

impl Sleepers for Table {
    #[inline(always)]
    fn wait_links(&self, thread: u32) -> &Links {
        &self.get(thread).wait_links
    }

    #[inline(always)]
    fn park(&self, thread: u32) -> &Park {
        &self.get(thread).park
    }
}

impl Timers for Table {
    #[inline(always)]
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.get(index).timer
    }
}
