//! The deferred work of a process; see `life::deferred`.

use asphodel_core::list::NIL;
use asphodel_core::proc::deferred::{Entries, Entry, Item, Work};
use asphodel_core::proc::quota::Resource;
use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use asphodel_core::shim::guarded::Cell32;

use asphodel_core::errno::Errno;

use crate::arch::lock::InterruptLock;
use crate::mem::inject;
use crate::mem::slab::{Magazine, Record, Slab};
use crate::proc::state::table::{PROCESSES, Process};
use crate::sync::wait_queue::WaitQueue;

/// The part of a process's record for its deferred work.
pub(crate) struct Deferred {
    /// Tasks and call-outs that are not idle. Lock order: [`FREE`] -> this.
    pub(crate) work: InterruptLock<Work>,
    /// There has been some: its end must look. Written by its LWPs, read by the last one.
    used: AtomicBool,
    /// The worker sleeps here while there is nothing to do.
    pub(crate) arrivals: WaitQueue,
    /// LWPs of any process that wait for the end of a function, or for the worker to be made.
    pub(crate) changes: WaitQueue,
}

impl Deferred {
    pub(super) const fn new() -> Self {
        Self {
            work: InterruptLock::new(Work::new()),
            used: AtomicBool::new(false),
            arrivals: WaitQueue::new(),
            changes: WaitQueue::new(),
        }
    }

    /// Notes that there will be work. Called by an LWP of the process.
    pub(in crate::proc) fn begin(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Returns whether there has been any since the process, or its program, has begun. Called by its only LWP.
    #[inline(always)]
    pub(in crate::proc) fn is_used(&self) -> bool {
        // Relaxed: the gate orders what its other LWPs did before.
        self.used.load(Ordering::Relaxed)
    }

    /// All has been withdrawn.
    pub(in crate::proc) fn end(&self) {
        self.used.store(false, Ordering::Relaxed);
    }
}

/// An entry in the table.
#[repr(align(128))]
struct Slot {
    entry: Entry,
    next_free: Cell32,
}

impl Record for Slot {
    fn new(_index: u32) -> Self {
        Self { entry: Entry::new(), next_free: Cell32::new(NIL) }
    }

    fn next_free(&self) -> &Cell32 {
        &self.next_free
    }
}

/// The table of all entries.
pub(crate) struct Table(Slab<Slot, 2>);

/// All entries.
pub(crate) static ENTRIES: Table = Table(Slab::new(1));
/// Free entries. An object gets its entry under this lock, so that two processes do not give it one each.
pub(in crate::proc) static FREE: InterruptLock<Magazine> = InterruptLock::new(Magazine::new());

impl Entries for Table {
    #[inline(always)]
    fn entry(&self, index: u32) -> &Entry {
        &self.0.get(index).entry
    }
}

/// What an entry is charged with.
const BYTES: u64 = size_of::<Slot>() as u64;

/// Makes a free entry that of `item`, in `work`, which is that of `process`; `free` is locked. `None`: there is no free
/// one, and the table must [`grow`].
///
/// # Errors
/// `ENOMEM`: `process` or its tenant may not have more memory.
pub(in crate::proc) fn take(
    free: &mut Magazine,
    process: &Process,
    work: &mut Work,
    item: &Item,
) -> Result<Option<u32>, Errno> {
    let charge = process.charge(Resource::Memory, BYTES)?;
    if inject::fails() {
        return Err(Errno::ENOMEM);
    }
    let Some(index) = ENTRIES.0.take(free) else { return Ok(None) };
    process.add_memory(charge.keep());
    work.bind(&ENTRIES, index, process.slot, item);
    Ok(Some(index))
}

/// Adds free entries. No lock is held.
///
/// # Errors
/// `ENOMEM`.
pub(in crate::proc) fn grow() -> Result<(), Errno> {
    if ENTRIES.0.grow() { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// Returns the charge for an entry that has just been taken out of the work of `process`, which is locked: the process
/// lasts at least that long. The caller frees the entry.
pub(in crate::proc) fn uncharge(process: &Process) {
    process.give_memory(BYTES);
}

/// Frees the entry `index`, which is in no work.
pub(in crate::proc) fn give(free: &mut Magazine, index: u32) {
    ENTRIES.0.give(free, index);
}

/// Returns the process in whose work the entry `index` was when this was asked. `None`: in none.
pub(in crate::proc) fn owner_of(index: u32) -> Option<&'static Process> {
    let owner = ENTRIES.entry(index).owner();
    (owner != 0).then(|| PROCESSES.get(owner))
}
