//! The state of the observer: for each process record, for each thread record, and in total.
//!
//! Accessed by the observer only, between two steps of one host thread.

use core::cell::Cell;

/// Most records of a kind that are watched.
pub(crate) const RECORDS: usize = 8192;

/// The state of a process record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    /// Taken from the table, and not in its parent's list.
    Embryo,
    Born,
    Zombie,
    Reaped,
    /// Its last reference has been released.
    Vacant,
}

/// One process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) pid: i32,
    pub(crate) state: State,
    /// LWPs that were elected to end it.
    pub(crate) elected: u32,
    /// Calls of the exit hook.
    pub(crate) hooks: u32,
    /// LWPs that are counted.
    pub(crate) lwps: i32,
}

impl Life {
    pub(crate) const FREE: Self = Self { pid: 0, state: State::Free, elected: 0, hooks: 0, lwps: 0 };

    /// Returns whether it has a parent that must know it.
    pub(crate) fn is_child(&self) -> bool {
        matches!(self.state, State::Born | State::Zombie)
    }
}

/// What the samples have seen of a thread: since when, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sighting {
    pub(crate) left_at: u64,
    /// How often it waited for a CPU that idles.
    pub(crate) waits: u32,
    /// Runs on an inactive CPU, and may run elsewhere.
    pub(crate) strays: u32,
    /// How often it slept although it had a kill pending.
    pub(crate) ignores: u32,
}

/// Sums over the whole run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Number of events.
    pub events: u64,
    /// Processes that were created.
    pub lives: u64,
    /// LWPs that were created.
    pub lwps: u64,
    /// Programs that were replaced.
    pub execs: u64,
    /// Signals that were delivered.
    pub signals: u64,
    /// Ticks of CPU time that were settled, those of process 1 left out.
    pub(crate) settled: u64,
}

pub(crate) struct Known {
    lives: [Cell<Life>; RECORDS],
    sightings: [Cell<Sighting>; RECORDS],
    /// Pid of the process that has counted off the LWP that had this record last.
    counted_off: [Cell<i32>; RECORDS],
    totals: Cell<Totals>,
    /// The step at which the round has begun.
    pub(crate) round_began: Cell<u64>,
}

// SAFETY: accessed by the observer only, which one host thread calls.
unsafe impl Sync for Known {}

/// The state of the observer.
pub(crate) static KNOWN: Known = Known {
    lives: [const { Cell::new(Life::FREE) }; RECORDS],
    sightings: [const { Cell::new(Sighting { left_at: 0, waits: 0, strays: 0, ignores: 0 }) }; RECORDS],
    counted_off: [const { Cell::new(0) }; RECORDS],
    totals: Cell::new(Totals { events: 0, lives: 0, lwps: 0, execs: 0, signals: 0, settled: 0 }),
    round_began: Cell::new(0),
};

impl Known {
    /// Returns the state of the process in `slot`.
    pub(crate) fn life(&self, slot: u32) -> Life {
        self.lives[slot as usize].get()
    }

    /// Changes the state of the process in `slot`, and returns it.
    pub(crate) fn change(&self, slot: u32, change: impl FnOnce(&mut Life)) -> Life {
        let cell = &self.lives[slot as usize];
        let mut life = cell.get();
        change(&mut life);
        cell.set(life);
        life
    }

    pub(crate) fn sighting(&self, thread: u32) -> Sighting {
        self.sightings[thread as usize].get()
    }

    pub(crate) fn set_sighting(&self, thread: u32, sighting: Sighting) {
        self.sightings[thread as usize].set(sighting);
    }

    pub(crate) fn counted_off(&self, thread: u32) -> i32 {
        self.counted_off[thread as usize].get()
    }

    pub(crate) fn set_counted_off(&self, thread: u32, pid: i32) {
        self.counted_off[thread as usize].set(pid);
    }

    /// Adds to the sums.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Totals)) {
        let mut totals = self.totals.get();
        count(&mut totals);
        self.totals.set(totals);
    }
}

/// Returns the sums over the whole run so far.
#[must_use]
pub fn totals() -> Totals {
    KNOWN.totals.get()
}
