//! The part of a thread's record that belongs to its process. Used by `proc`, which implements LWPs.

use asphodel_core::proc::kill_walk::Announcement;
use asphodel_core::proc::lwp_list::LwpEntry;
use asphodel_core::shim::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::thread::join::JoinEdge;
use asphodel_core::wait::queue::Waiters;

use crate::arch::lock::InterruptLock;

/// The part of a thread that belongs to its process. Meaningless for kernel threads.
pub(crate) struct LwpPart {
    /// Slot of the process; 0: a kernel thread.
    pub(crate) process: Cell32,
    /// 1: its process is charged with it, until its record is freed, or the process is about to be a zombie.
    pub(crate) charged: Cell32,
    /// Its number in its process, and its list of the LWP list. Guarded by the LWP list's lock.
    pub(crate) list_entry: LwpEntry,
    /// Key of its handle, 0: none; see `proc::life::handle`.
    pub(crate) handle: AtomicU64,
    /// How many handles the record has had. Written by the creator of its LWP.
    pub(crate) handles: Cell64,
    /// Threads that wait for its end.
    pub(crate) joiners: InterruptLock<Waiters>,
    /// For whose end it waits itself.
    pub(crate) joins: JoinEdge,
    /// The result of its entry; valid once retired, if `returned`.
    pub(crate) result: AtomicU64,
    pub(crate) returned: AtomicBool,
    /// Where to store `set_value` when it is off its stack (extexit SETINT); 0: nowhere.
    pub(crate) set_address: AtomicUsize,
    pub(crate) set_value: Cell32,
    /// Next in the list of dead LWPs whose stacks wait for the last sibling; see `proc::life::dead_thread`.
    pub(crate) next_dead_lwp: Cell32,
    /// The kill of a group or subtree that it carries out. Guarded by the lock of all such; see
    /// `proc::life::kill_walk`.
    pub(crate) walk: Announcement,
    pub(crate) entry: Cell64,
    pub(crate) argument: Cell64,
}

impl LwpPart {
    /// The part of a record that has never been used.
    pub(super) fn new() -> Self {
        Self {
            process: Cell32::new(0),
            charged: Cell32::new(0),
            list_entry: LwpEntry::new(),
            handle: AtomicU64::new(0),
            handles: Cell64::new(0),
            joiners: InterruptLock::new(Waiters::new()),
            joins: JoinEdge::new(),
            result: AtomicU64::new(0),
            returned: AtomicBool::new(false),
            set_address: AtomicUsize::new(0),
            set_value: Cell32::new(0),
            next_dead_lwp: Cell32::new(0),
            walk: Announcement::new(),
            entry: Cell64::new(0),
            argument: Cell64::new(0),
        }
    }
}
