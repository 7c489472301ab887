//! The deferred work of one process: its tasks and call-outs, in the order in which its worker runs them.
//!
//! ```text
//!   free --bind--> IDLE --request, or its time has come--> QUEUED --begin--> RUNNING --finish--> IDLE --unbind--> free
//!                                                             ^                 | requested again
//!                                                             +-----finish------+
//! ```
//! A piece of work has an entry in a table while it is anything but idle, or kept. All of it is guarded by one lock
//! around [`Work`], so a request is not lost to a run that has begun (R41, T100), and a canceller finds a call-out
//! armed, queued, running, or over (R32, D17). What the process leaves at its end is taken out entry by entry
//! ([`Work::withdraw`]). Model: `tests/loom_task.rs`.

use crate::list::{Links, List, NIL, Nodes};
use crate::shim::guarded::{Cell32, Cell64};
use crate::time::timers::{TimerLinks, TimerQueue, Timers};

const IDLE: u32 = 0;
const QUEUED: u32 = 1;
const RUNNING: u32 = 2;
/// As `RUNNING`, and requested again since it began.
const AGAIN: u32 = 3;

/// One piece of work. Guarded by the lock around the [`Work`] of its owner; `owner` and `key` may be read without it,
/// and tell then where to look.
#[derive(Debug)]
pub struct Entry {
    queue: Links,
    bound: Links,
    timer: TimerLinks,
    state: Cell32,
    /// 1: what is asked for while it runs is taken back when it has run.
    cancelled: Cell32,
    /// 1: it stays bound while it is idle.
    kept: Cell32,
    /// The process whose work it is; 0: it is free.
    owner: Cell32,
    /// Names the object whose entry it is. Never used as an address.
    key: Cell64,
    function: Cell64,
    argument: Cell64,
}

impl Entry {
    /// A free entry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: Links::new(),
            bound: Links::new(),
            timer: TimerLinks::new(),
            state: Cell32::new(IDLE),
            cancelled: Cell32::new(0),
            kept: Cell32::new(0),
            owner: Cell32::new(0),
            key: Cell64::new(0),
            function: Cell64::new(0),
            argument: Cell64::new(0),
        }
    }

    /// The process whose work it is; 0: it is free. Exact under the lock of that process's work only.
    #[inline]
    pub fn owner(&self) -> u32 {
        self.owner.get()
    }

    /// Returns whether it is the entry of the object `key` in the work of `owner`, whose lock the caller holds.
    #[inline]
    pub fn is_of(&self, owner: u32, key: u64) -> bool {
        self.owner.get() == owner && self.key.get() == key
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds an entry by its index.
pub trait Entries {
    /// Returns entry `index`.
    fn entry(&self, index: u32) -> &Entry;
}

/// Views a table of entries as nodes of the queue.
struct Queued<'a, M: ?Sized>(&'a M);
/// Views it as nodes of the list of all entries of a process.
struct Bound<'a, M: ?Sized>(&'a M);
/// Views it as timers.
struct Alarms<'a, M: ?Sized>(&'a M);

impl<M: Entries + ?Sized> Nodes for Queued<'_, M> {
    #[inline]
    fn links(&self, index: u32) -> &Links {
        &self.0.entry(index).queue
    }
}

impl<M: Entries + ?Sized> Nodes for Bound<'_, M> {
    #[inline]
    fn links(&self, index: u32) -> &Links {
        &self.0.entry(index).bound
    }
}

impl<M: Entries + ?Sized> Timers for Alarms<'_, M> {
    #[inline]
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.0.entry(index).timer
    }
}

/// The object that a new entry belongs to, and what is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Names the object.
    pub key: u64,
    /// The function, as an address.
    pub function: u64,
    /// Its argument.
    pub argument: u64,
}

/// Whether the process has a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// No.
    None,
    /// One of its LWPs is making it.
    Making,
    /// Yes.
    Present,
}

/// The work of one process.
#[derive(Debug)]
pub struct Work {
    queue: List,
    bound: List,
    timers: TimerQueue,
    /// The entry whose function runs; [`NIL`]: none.
    running: u32,
    /// Whether there is a worker.
    pub worker: Worker,
}

impl Work {
    /// No work, and no worker.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: List::new(),
            bound: List::new(),
            timers: TimerQueue::new(),
            running: NIL,
            worker: Worker::None,
        }
    }

    /// Makes the free entry `index` that of `item`, in the work of `owner`, which this is.
    pub fn bind<M: Entries + ?Sized>(&mut self, entries: &M, index: u32, owner: u32, item: &Item) {
        let entry = entries.entry(index);
        debug_assert!(entry.owner.get() == 0, "the entry is in use");
        entry.key.set(item.key);
        entry.function.set(item.function);
        entry.argument.set(item.argument);
        entry.kept.set(0);
        entry.cancelled.set(0);
        entry.owner.set(owner);
        self.bound.push_back(&Bound(entries), index);
    }

    /// Keeps entry `index` bound while it is idle.
    pub fn keep<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) {
        entries.entry(index).kept.set(1);
    }

    /// Has `index` run at least once from now on. Returns `false` if it will do so already.
    pub fn request<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) -> bool {
        let state = &entries.entry(index).state;
        match state.get() {
            IDLE => {
                state.set(QUEUED);
                self.queue.push_back(&Queued(entries), index);
                true
            }
            RUNNING => {
                state.set(AGAIN);
                false
            }
            _ => false,
        }
    }

    /// Arms `index` for `deadline`, and no other: a call that was due and has not begun is taken back. Returns `true`
    /// if it is the earliest now.
    pub fn arm<M: Entries + ?Sized>(&mut self, entries: &M, index: u32, deadline: u64) -> bool {
        let _was_armed = self.disarm(entries, index);
        self.timers.insert(&Alarms(entries), index, deadline)
    }

    /// Takes back every call of `index` that has not begun. Returns `true` if there was one.
    pub fn disarm<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) -> bool {
        let entry = entries.entry(index);
        let armed = entry.timer.is_armed();
        if armed {
            self.timers.remove(&Alarms(entries), index);
        }
        match entry.state.get() {
            QUEUED => {
                self.queue.remove(&Queued(entries), index);
                entry.state.set(IDLE);
                true
            }
            AGAIN => {
                entry.state.set(RUNNING);
                true
            }
            _ => armed,
        }
    }

    /// As [`Work::disarm`]; if it runs, everything that is asked for until it has run will be taken back, too, so that
    /// a canceller that waits for that finds it over.
    pub fn cancel<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) -> bool {
        if self.is_running(index) {
            entries.entry(index).cancelled.set(1);
        }
        self.disarm(entries, index)
    }

    /// Returns whether `index` is neither queued nor running nor armed.
    #[must_use]
    pub fn is_over<M: Entries + ?Sized>(&self, entries: &M, index: u32) -> bool {
        let entry = entries.entry(index);
        entry.state.get() == IDLE && !entry.timer.is_armed()
    }

    /// Returns whether `index` is queued or running.
    #[must_use]
    pub fn is_busy<M: Entries + ?Sized>(&self, entries: &M, index: u32) -> bool {
        entries.entry(index).state.get() != IDLE
    }

    /// Returns whether the function of `index` runs.
    #[must_use]
    pub fn is_running(&self, index: u32) -> bool {
        self.running == index
    }

    /// Queues what is due at `now`, and takes the first piece of work out of the queue: its entry, the function and the
    /// argument. `None`: there is nothing to do before [`Work::earliest`]. Called by the worker.
    pub fn begin<M: Entries + ?Sized>(&mut self, entries: &M, now: u64) -> Option<(u32, u64, u64)> {
        while let Some(due) = self.timers.expire(&Alarms(entries), now) {
            self.request(entries, due);
        }
        let index = self.queue.pop_front(&Queued(entries))?;
        let entry = entries.entry(index);
        entry.state.set(RUNNING);
        self.running = index;
        Some((index, entry.function.get(), entry.argument.get()))
    }

    /// The function that runs is over, or will never be: it is queued again if that was requested meanwhile. Returns
    /// its entry, for [`Work::unbind_idle`]. `None`: none runs.
    pub fn finish<M: Entries + ?Sized>(&mut self, entries: &M) -> Option<u32> {
        let index = core::mem::replace(&mut self.running, NIL);
        if index == NIL {
            return None;
        }
        let entry = entries.entry(index);
        if entry.cancelled.get() != 0 {
            entry.cancelled.set(0);
            let _was_armed = self.disarm(entries, index);
        }
        let again = entry.state.get() == AGAIN;
        entry.state.set(IDLE);
        if again {
            self.request(entries, index);
        }
        Some(index)
    }

    /// Takes `index` out of the work if there is nothing to do with it and it is not kept. Returns `true` if the caller
    /// must free it.
    #[must_use]
    pub fn unbind_idle<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) -> bool {
        let idle = self.is_over(entries, index) && entries.entry(index).kept.get() == 0;
        if idle {
            self.unbind(entries, index);
        }
        idle
    }

    /// Takes `index` out, which is over, though it may be kept.
    pub fn unbind<M: Entries + ?Sized>(&mut self, entries: &M, index: u32) {
        debug_assert!(self.is_over(entries, index), "it will run");
        self.bound.remove(&Bound(entries), index);
        let entry = entries.entry(index);
        entry.key.set(0);
        entry.owner.set(0);
    }

    /// Takes one entry out, whatever it is about to do; the caller frees it. `None`: there are no more. Called when no
    /// worker runs any more.
    pub fn withdraw<M: Entries + ?Sized>(&mut self, entries: &M) -> Option<u32> {
        let index = self.bound.first()?;
        let _was_armed = self.disarm(entries, index);
        self.unbind(entries, index);
        Some(index)
    }

    /// Returns the earliest time at which a call-out is due.
    #[must_use]
    pub fn earliest<M: Entries + ?Sized>(&self, entries: &M) -> Option<u64> {
        self.timers.earliest(&Alarms(entries))
    }

    /// Returns whether something waits to be run now.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Returns whether something will be run.
    #[must_use]
    pub fn has_any<M: Entries + ?Sized>(&self, entries: &M) -> bool {
        self.has_queued() || self.earliest(entries).is_some()
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table([Entry; 4]);

    impl Entries for Table {
        fn entry(&self, index: u32) -> &Entry {
            &self.0[index as usize]
        }
    }

    const OWNER: u32 = 7;

    fn with(count: u32) -> (Table, Work) {
        let (table, mut work) = (Table([const { Entry::new() }; 4]), Work::new());
        for index in 0..count {
            let item = Item { key: 100 + u64::from(index), function: u64::from(index), argument: 5 };
            work.bind(&table, index, OWNER, &item);
        }
        (table, work)
    }

    fn begun(work: &mut Work, table: &Table, now: u64) -> Option<u32> {
        work.begin(table, now).map(|(index, ..)| index)
    }

    /// R41, T100.
    #[test]
    fn a_request_during_the_run_makes_it_run_again() {
        let (table, mut work) = with(2);
        assert!(work.request(&table, 0) && !work.request(&table, 0) && work.request(&table, 1));
        assert_eq!(work.begin(&table, 0), Some((0, 0, 5)));
        assert!(work.is_running(0) && !work.request(&table, 0));
        assert_eq!(work.finish(&table), Some(0));
        assert!(!work.unbind_idle(&table, 0), "it is queued");
        assert_eq!(begun(&mut work, &table, 0), Some(1), "in turn");
        assert_eq!(work.finish(&table), Some(1));
        assert!(work.unbind_idle(&table, 1));
        assert_eq!(begun(&mut work, &table, 0), Some(0));
        assert_eq!((work.finish(&table), work.finish(&table)), (Some(0), None));
        assert_eq!(begun(&mut work, &table, 0), None);
    }

    /// T59, D17.
    #[test]
    fn what_is_disarmed_does_not_run() {
        let (table, mut work) = with(3);
        assert!(work.arm(&table, 0, 9) && work.arm(&table, 1, 5) && !work.arm(&table, 2, 20));
        assert_eq!(work.earliest(&table), Some(5));
        assert_eq!(begun(&mut work, &table, 4), None);
        assert!(work.disarm(&table, 1) && !work.disarm(&table, 1) && work.is_over(&table, 1));
        assert!(work.arm(&table, 2, 8), "the new time replaces the old one");
        assert_eq!(begun(&mut work, &table, 9), Some(2));
        assert!(work.has_queued() && work.disarm(&table, 0), "it was due and has not begun");
        assert!(!work.has_any(&table));
        assert!(!work.arm(&table, 2, 30) || work.earliest(&table) == Some(30));
        assert_eq!(work.finish(&table), Some(2));
        assert!(!work.unbind_idle(&table, 2), "it is armed");
        assert!(!work.request(&table, 2) || work.disarm(&table, 2));
        assert!(work.unbind_idle(&table, 2));
        work.keep(&table, 0);
        assert!(!work.unbind_idle(&table, 0), "it is kept");
    }

    #[test]
    fn a_cancel_takes_back_the_repetition() {
        let (table, mut work) = with(1);
        assert!(work.request(&table, 0));
        assert_eq!(begun(&mut work, &table, 0), Some(0));
        assert!(!work.request(&table, 0) && work.disarm(&table, 0) && !work.disarm(&table, 0));
        assert_eq!(work.finish(&table), Some(0));
        assert!(work.is_over(&table, 0));
    }

    /// D17: also if its function arms it anew each time.
    #[test]
    fn a_cancel_during_the_run_counts_when_it_is_over() {
        let (table, mut work) = with(1);
        assert!(work.request(&table, 0));
        assert_eq!(begun(&mut work, &table, 0), Some(0));
        assert!(!work.cancel(&table, 0), "it is neither armed nor queued");
        assert!(work.arm(&table, 0, 1) && work.is_busy(&table, 0));
        assert_eq!(work.finish(&table), Some(0));
        assert!(work.is_over(&table, 0) && !work.is_busy(&table, 0));
        assert!(work.arm(&table, 0, 2) && work.cancel(&table, 0));
        assert!(work.request(&table, 0), "a cancel while it does not run has no effect on later runs");
    }

    /// T71: nothing of a process is left, and each entry is free for another one.
    #[test]
    fn what_a_process_leaves_is_withdrawn() {
        let (table, mut work) = with(4);
        assert!(work.request(&table, 0) && work.request(&table, 1) && work.arm(&table, 2, 5));
        work.keep(&table, 3);
        assert_eq!(begun(&mut work, &table, 0), Some(0));
        assert_eq!(work.finish(&table), Some(0), "its worker was killed");
        let mut left: Vec<u32> = core::iter::from_fn(|| work.withdraw(&table)).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2, 3]);
        assert!(!work.has_any(&table) && table.0.iter().all(|entry| entry.owner() == 0));
        let mut other = Work::new();
        other.bind(&table, 2, 8, &Item { key: 1, function: 2, argument: 3 });
        assert!(table.entry(2).is_of(8, 1) && !table.entry(2).is_of(OWNER, 1));
        assert!(other.request(&table, 2));
    }
}
