//! The trace of an exit: when each of its steps was done, and which one took longest (T194).
//!
//! [`ExitTrace`] is the part of a process's record that is written while the process ends: one time stamp for each
//! [`Step`]. There is one writer at a time: the exit owner up to its last switch, then the context that runs after it,
//! then the reaper; each passes on by the transition that makes the next one possible (the gate, the lock of the
//! parent's child list), so plain cells suffice. A reader in any context sees the steps done so far. [`ExitRecord`] is
//! kept when the process has been reaped, one for each process and none for an LWP (T69), in an [`ExitRing`].
//!
//! Times are counter ticks. Stamps of different CPUs may be out of order by the few instructions that a counter may be
//! read early; differences saturate, so that none becomes huge.

use crate::id::Pid;
use crate::proc::status::Status;
use crate::shim::guarded::Cell64;

/// The steps of an exit, in this order. A stamp is the time at which the step was done: its duration is the time since
/// the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// One LWP owns the exit.
    Elected,
    /// Every other LWP has been killed.
    SiblingsKilled,
    /// The exit owner is the only LWP that is not off its CPU.
    Alone,
    /// What the others left has been released; its peers, if it was their leader, have ended.
    PeersGone,
    /// The handlers of its exit and the at_exit hooks have been called.
    HooksDone,
    /// Its own memory has been released, unless it is shared.
    MemoryReleased,
    /// The children have another parent.
    ChildrenGivenAway,
    /// The exit owner has nothing left to do and switches away for the last time.
    LastSwitch,
    /// No LWP is on a CPU: the process is a zombie.
    Zombie,
    /// It is in its parent's list of zombies.
    ParentNotified,
    /// It has been waited for, or reaped at once.
    Reaped,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; STEPS] = [
        Self::Elected,
        Self::SiblingsKilled,
        Self::Alone,
        Self::PeersGone,
        Self::HooksDone,
        Self::MemoryReleased,
        Self::ChildrenGivenAway,
        Self::LastSwitch,
        Self::Zombie,
        Self::ParentNotified,
        Self::Reaped,
    ];

    /// The name for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elected => "elected",
            Self::SiblingsKilled => "siblings killed",
            Self::Alone => "alone",
            Self::PeersGone => "peers gone",
            Self::HooksDone => "hooks done",
            Self::MemoryReleased => "memory released",
            Self::ChildrenGivenAway => "children given away",
            Self::LastSwitch => "last switch",
            Self::Zombie => "zombie",
            Self::ParentNotified => "parent notified",
            Self::Reaped => "reaped",
        }
    }
}

/// The number of steps.
pub const STEPS: usize = Step::Reaped as usize + 1;

/// Time stamps by step; 0: not done.
type Stamps = [u64; STEPS];

/// The trace of one process's exit, in its record.
#[derive(Debug)]
pub struct ExitTrace([Cell64; STEPS]);

impl ExitTrace {
    /// The trace of a process that does not end yet.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { Cell64::new(0) }; STEPS])
    }

    /// Resets it, for a record that is reused.
    #[inline]
    pub fn reset(&self) {
        for stamp in &self.0 {
            stamp.set(0);
        }
    }

    /// Records that `step` is done at `now`. The first time counts, because an exit owner that has not come back from a
    /// hook starts over. Called by the one writer of the moment.
    #[inline(always)]
    pub fn mark(&self, step: Step, now: u64) {
        let stamp = &self.0[step as usize];
        if stamp.get() == 0 {
            stamp.set(now);
        }
    }

    /// Returns when `step` was done. Any context.
    #[inline]
    #[must_use]
    pub fn at(&self, step: Step) -> Option<u64> {
        Some(self.0[step as usize].get()).filter(|stamp| *stamp != 0)
    }

    /// Returns all stamps as they are now.
    #[inline(always)]
    fn stamps(&self) -> Stamps {
        core::array::from_fn(|step| self.0[step].get())
    }
}

impl Default for ExitTrace {
    fn default() -> Self {
        Self::new()
    }
}

/// One exit, up to its last step so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// The process.
    pub pid: Pid,
    /// Its program's name.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// The number of its LWPs that have ended.
    pub lwps: u32,
    stamps: Stamps,
}

/// One step of an exit. Both times in counter ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// The step.
    pub step: Step,
    /// When it was done, since the election.
    pub at: u64,
    /// Its duration: the time since the step before was done.
    pub took: u64,
}

impl ExitRecord {
    /// An empty place of a ring.
    pub const NONE: Self =
        Self { pid: Pid::NONE, name: "", status: Status::exited(0), lwps: 0, stamps: [0; STEPS] };

    /// Makes the record of the process `pid`, which runs `name`, from its trace.
    #[inline(always)]
    #[must_use]
    pub fn new(pid: Pid, name: &'static str, status: Status, lwps: u32, trace: &ExitTrace) -> Self {
        Self { pid, name, status, lwps, stamps: trace.stamps() }
    }

    /// Returns the counter's value when `step` was done.
    #[must_use]
    pub fn at(&self, step: Step) -> Option<u64> {
        Some(self.stamps[step as usize]).filter(|stamp| *stamp != 0)
    }

    /// Returns the steps that were done, in their order.
    pub fn steps(&self) -> impl Iterator<Item = StepTime> + '_ {
        let start = self.at(Step::Elected).unwrap_or(0);
        let mut before = start;
        Step::ALL.into_iter().filter_map(move |step| {
            let stamp = self.at(step)?;
            let took = stamp.saturating_sub(before);
            before = before.max(stamp);
            Some(StepTime { step, at: stamp.saturating_sub(start), took })
        })
    }

    /// Returns the last step that was done. `None`: the process does not end yet.
    #[must_use]
    pub fn latest(&self) -> Option<StepTime> {
        self.steps().last()
    }

    /// Returns the step that took longest, except the reaping, whose time is up to the parent.
    #[must_use]
    pub fn longest(&self) -> Option<StepTime> {
        let own = self.steps().filter(|done| done.step != Step::Elected && done.step != Step::Reaped);
        // Of equals the first.
        own.reduce(|longest, done| if done.took > longest.took { done } else { longest })
    }

    /// Returns the ticks from the election until the parent was notified, or until the last step so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.steps().take_while(|done| done.step != Step::Reaped).last().map_or(0, |done| done.at)
    }
}

/// The last exits, oldest overwritten first.
#[derive(Debug)]
pub struct ExitRing {
    records: &'static mut [ExitRecord],
    /// The place of the next record.
    next: usize,
}

impl ExitRing {
    /// An empty ring with room for as many exits as there are `places`, one at least.
    #[must_use]
    pub const fn new(places: &'static mut [ExitRecord]) -> Self {
        assert!(!places.is_empty());
        Self { records: places, next: 0 }
    }

    /// Adds `record`.
    #[inline(always)]
    pub fn push(&mut self, record: ExitRecord) {
        let index = self.next;
        self.next = if index + 1 < self.records.len() { index + 1 } else { 0 };
        self.records[index] = record;
    }

    /// Returns the records, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &ExitRecord> {
        let (newer, older) = self.records.split_at(self.next);
        newer.iter().rev().chain(older.iter().rev()).filter(|record| record.pid != Pid::NONE)
    }

    /// Returns the newest record of the process `pid`.
    #[must_use]
    pub fn find(&self, pid: Pid) -> Option<&ExitRecord> {
        self.iter().find(|record| record.pid == pid)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn record(pid: i32, stamps: &[(Step, u64)]) -> ExitRecord {
        let trace = ExitTrace::new();
        for (step, now) in stamps {
            trace.mark(*step, *now);
        }
        ExitRecord::new(Pid::from_raw(pid), "p", Status::exited(1), 1, &trace)
    }

    #[test]
    fn all_steps_have_their_place_and_a_name() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
            assert!(!step.name().is_empty());
        }
    }

    /// T194: each step with its time, up to the last one so far.
    #[test]
    fn t194_steps_tell_when_and_how_long() {
        let record = record(7, &[(Step::Elected, 100), (Step::SiblingsKilled, 103), (Step::HooksDone, 150)]);
        let steps: Vec<_> = record.steps().collect();
        let expected = [(Step::Elected, 0, 0), (Step::SiblingsKilled, 3, 3), (Step::HooksDone, 50, 47)];
        assert_eq!(steps, expected.map(|(step, at, took)| StepTime { step, at, took }));
        assert_eq!(record.latest(), steps.last().copied());
        assert_eq!((record.at(Step::Alone), record.at(Step::HooksDone)), (None, Some(150)));
        assert_eq!(record.total(), 50);
    }

    /// T194: the longest step is that of the exit itself, however late the parent comes; of equals the first.
    #[test]
    fn t194_the_longest_step_leaves_the_parent_out() {
        let all = |times: [u64; STEPS]| {
            record(7, &core::array::from_fn::<_, STEPS, _>(|i| (Step::ALL[i], times[i])))
        };
        let late = all([10, 11, 12, 12, 40, 40, 41, 42, 43, 44, 9000]);
        assert_eq!(late.longest(), Some(StepTime { step: Step::HooksDone, at: 30, took: 28 }));
        assert_eq!((late.total(), late.latest().map(|done| done.took)), (34, Some(8956)));
        assert_eq!(
            all([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).longest().map(|done| done.step),
            Some(Step::SiblingsKilled)
        );
    }

    #[test]
    fn a_process_that_does_not_end_has_no_steps() {
        let alive = record(7, &[]);
        assert_eq!((alive.latest(), alive.longest(), alive.total()), (None, None, 0));
    }

    /// A stamp of another CPU that is a little early makes neither the step huge nor the next one longer.
    #[test]
    fn a_stamp_that_is_early_counts_as_no_time() {
        let record = record(7, &[(Step::Elected, 100), (Step::ParentNotified, 120), (Step::Reaped, 119)]);
        let took: Vec<u64> = record.steps().map(|done| done.took).collect();
        assert_eq!(took, [0, 20, 0]);
        let before_the_election = self::record(7, &[(Step::Elected, 100), (Step::SiblingsKilled, 99)]);
        assert_eq!(
            before_the_election.latest(),
            Some(StepTime { step: Step::SiblingsKilled, at: 0, took: 0 })
        );
    }

    #[test]
    fn the_first_mark_counts_until_the_record_is_used_again() {
        let trace = ExitTrace::new();
        trace.mark(Step::Alone, 5);
        trace.mark(Step::Alone, 9);
        assert_eq!(trace.at(Step::Alone), Some(5));
        trace.reset();
        assert_eq!(trace.at(Step::Alone), None);
        trace.mark(Step::Alone, 9);
        assert_eq!(trace.at(Step::Alone), Some(9));
    }

    #[test]
    fn a_ring_keeps_the_newest() {
        let mut ring = ExitRing::new(Vec::leak(vec![ExitRecord::NONE; 3]));
        assert_eq!(ring.iter().count(), 0);
        for pid in 1..=5 {
            ring.push(record(pid, &[(Step::Elected, pid as u64)]));
            let kept: Vec<i32> = ring.iter().map(|record| record.pid.raw()).collect();
            let expected: Vec<i32> = (1..=pid).rev().take(3).collect();
            assert_eq!(kept, expected);
        }
        assert_eq!(ring.find(Pid::from_raw(4)).and_then(|record| record.at(Step::Elected)), Some(4));
        assert_eq!(ring.find(Pid::from_raw(2)), None, "overwritten");
    }

    /// A pid can be reused: the newest process counts.
    #[test]
    fn of_equal_pids_the_newest_is_found() {
        let mut ring = ExitRing::new(Vec::leak(vec![ExitRecord::NONE; 4]));
        for time in [10, 20] {
            ring.push(record(9, &[(Step::Elected, time)]));
        }
        assert_eq!(ring.find(Pid::from_raw(9)).and_then(|record| record.at(Step::Elected)), Some(20));
    }
}
