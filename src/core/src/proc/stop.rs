//! Stops and continues of a process: which LWPs count as stopped, and what is reported to the parent, once.
//!
//! ```text
//!            stop                     counted == live: news Stopped
//!   Runs -----------> Stopping(signal) --------------------> Stopped(signal)
//!    ^                    |                                       |
//!    +------cont----------+----------------cont-------------------+     news Continued
//!                         `--------------- kill ------------------`---> Ended (from Runs, too): no stop any more
//! ```
//!
//! A stop is complete when every live LWP counts as stopped: it has parked at a kill point, or it sleeps, and will park
//! before it returns to its program (T142), so a sleeper does not delay the report. An LWP that leaves instead of
//! parking is no longer counted, and the rest is judged again (R25, T143). Each stop and each continue is reported to
//! the parent once (I7): a continue cancels a stop that was not reported yet and vice versa (T146, T147); SIGKILL ends
//! the stop and cancels every report of it (T37). A parent that must stop itself parks before it checks its children,
//! so it reports the continue of a job that was stopped and continued (R27, T148).
//!
//! Guarded by one lock of the process, which also guards the list of its LWPs; a waiter takes it under its own family
//! lock, so a child that is being reported is still its child (R26). Model: `tests/stop.rs`. The kernel does not use it
//! yet, because it has no signals that stop.

use crate::proc::status::Status;
use crate::shim::guarded::Cell32;
use crate::signal::Signal;

/// What the caller must do after a change, when it has dropped the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the effect is the only wake-up there is"]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Report to the parent: its signal, then its waiters.
    Tell,
    /// Resume the parked LWPs; sleeping ones return to their program when they wake.
    Resume,
    /// Both.
    ResumeAndTell,
}

/// The part of one LWP: the number of the stop in which it counts as stopped.
#[derive(Debug)]
pub struct Standing(Cell32);

impl Standing {
    /// An LWP that runs.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell32::new(0))
    }

    /// Resets it for a record that is reused.
    pub fn clear(&self) {
        self.0.set(0);
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Runs,
    Stopping(Signal),
    Stopped(Signal),
    Ended,
}

/// What has not been reported to the parent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum News {
    None,
    Stopped,
    Continued,
}

/// The stops of one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stops {
    state: State,
    /// The number of the present stop, or of the last one; never 0 during a stop.
    number: u32,
    /// The number of LWPs that count as stopped.
    counted: u32,
    news: News,
}

impl Stops {
    /// A process that runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Runs, number: 0, counted: 0, news: News::None }
    }

    /// A stop signal has been received. Returns `true` if the process must stop now: the caller [counts](Stops::count)
    /// the sleeping LWPs, interrupts the running ones, and [settles](Stops::settle), all under one acquisition of the
    /// lock. `false`: it is stopped or stopping already, or is being killed (T26).
    #[must_use]
    pub fn stop(&mut self, signal: Signal) -> bool {
        if self.state != State::Runs {
            return false;
        }
        self.state = State::Stopping(signal);
        // Never 0, which means that an LWP counts in no stop.
        self.number = self.number.checked_add(1).unwrap_or(1);
        self.counted = 0;
        self.news = News::None;
        true
    }

    /// Returns whether an LWP must park first, at a kill point or before it checks its children.
    #[must_use]
    pub const fn must_park(&self) -> bool {
        matches!(self.state, State::Stopping(_) | State::Stopped(_))
    }

    /// Counts this LWP as stopped, because it sleeps in the kernel. May be called more than once.
    pub fn count(&mut self, lwp: &Standing) {
        if self.must_park() && lwp.0.get() != self.number {
            lwp.0.set(self.number);
            self.counted += 1;
        }
    }

    /// This LWP, which [must park](Stops::must_park), parks; `live` LWPs have not left. Unless there is an effect to
    /// carry out it goes to sleep under this same acquisition of the lock; after an effect, and whenever it wakes, it
    /// checks again whether it must park, because there may have been a continue and another stop, in which it does not
    /// count yet.
    pub fn park(&mut self, lwp: &Standing, live: u32) -> Effect {
        self.count(lwp);
        self.settle(live)
    }

    /// This LWP leaves for good, instead of parking or out of its sleep; `live` LWPs are left.
    pub fn leave(&mut self, lwp: &Standing, live: u32) -> Effect {
        if self.must_park() && lwp.0.get() == self.number {
            lwp.clear();
            self.counted -= 1;
        }
        self.settle(live)
    }

    /// Returns the effect of the stop being complete with `live` LWPs, if it is.
    pub fn settle(&mut self, live: u32) -> Effect {
        match self.state {
            State::Stopping(signal) if live > 0 && self.counted == live => {
                self.state = State::Stopped(signal);
                self.news = News::Stopped;
                Effect::Tell
            }
            _ => Effect::Nothing,
        }
    }

    /// SIGCONT has been received. It has no effect on a process that runs (T145).
    pub fn cont(&mut self) -> Effect {
        if !self.must_park() {
            return Effect::Nothing;
        }
        self.state = State::Runs;
        self.news = News::Continued;
        Effect::ResumeAndTell
    }

    /// The process is being killed or is exiting: it does not stop any more, and only its end is reported (T37).
    pub fn kill(&mut self) -> Effect {
        let was_stopped = self.must_park();
        self.state = State::Ended;
        self.news = News::None;
        if was_stopped { Effect::Resume } else { Effect::Nothing }
    }

    /// Returns what to report to a waiter: stops if it asked for them (WUNTRACED), continues if it asked for them
    /// (WCONTINUED). Each is reported once, unless the waiter wants to `keep` it (WNOWAIT).
    pub fn report(&mut self, stopped: bool, continued: bool, keep: bool) -> Option<Status> {
        let status = match (self.news, self.state) {
            (News::Stopped, State::Stopped(signal)) if stopped => Status::stopped(signal),
            (News::Continued, _) if continued => Status::continued(),
            _ => return None,
        };
        if !keep {
            self.news = News::None;
        }
        Some(status)
    }
}

impl Default for Stops {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TSTP: Status = Status::stopped(Signal::TSTP);

    /// A process that is stopping by SIGTSTP, and the standings of two LWPs that run.
    fn stopping() -> (Stops, [Standing; 2]) {
        let mut stops = Stops::new();
        assert!(stops.stop(Signal::TSTP));
        assert_eq!(stops.settle(2), Effect::Nothing);
        (stops, [Standing::new(), Standing::new()])
    }

    /// Both LWPs have parked.
    fn stopped() -> (Stops, [Standing; 2]) {
        let (mut stops, lwps) = stopping();
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.report(true, true, false), None, "not before all have parked");
        assert_eq!(stops.park(&lwps[1], 2), Effect::Tell);
        (stops, lwps)
    }

    #[test]
    fn a_stop_is_told_once() {
        let (mut stops, _) = stopped();
        assert_eq!(stops.report(false, true, false), None, "only to those who ask");
        assert_eq!(stops.report(true, false, true), Some(TSTP), "WNOWAIT keeps it");
        assert_eq!(stops.report(true, false, false), Some(TSTP));
        assert_eq!(stops.report(true, true, false), None);
        assert!(stops.must_park());
    }

    /// A sleeper does not delay the report, and does not count twice when it wakes and parks.
    #[test]
    fn sleepers_count_at_once() {
        let (mut stops, lwps) = stopping();
        stops.count(&lwps[0]);
        stops.count(&lwps[1]);
        assert_eq!(stops.settle(2), Effect::Tell);
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.counted, 2);
    }

    /// R25: the last running LWP leaves instead; one that counts leaves and is not counted any more.
    #[test]
    fn whoever_leaves_is_not_counted() {
        let (mut stops, lwps) = stopping();
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.leave(&lwps[1], 1), Effect::Tell);
        let (mut stops, lwps) = stopping();
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.leave(&lwps[0], 1), Effect::Nothing);
        assert_eq!(stops.park(&lwps[1], 1), Effect::Tell);
        assert_eq!(stops.leave(&lwps[1], 0), Effect::Nothing);
    }

    #[test]
    fn the_newest_is_told() {
        let (mut stops, lwps) = stopped();
        assert_eq!(stops.cont(), Effect::ResumeAndTell);
        assert_eq!(stops.report(true, false, false), None, "the stop was not reported in time");
        assert_eq!(stops.report(true, true, false), Some(Status::continued()));
        assert_eq!(stops.report(true, true, false), None);
        assert_eq!(stops.cont(), Effect::Nothing, "it runs");
        assert!(stops.stop(Signal::STOP) && !stops.stop(Signal::TSTP));
        let _ = (stops.park(&lwps[0], 2), stops.cont());
        assert!(stops.stop(Signal::TTIN));
        assert_eq!(stops.report(true, true, false), None, "a stop cancels a continue that was not reported");
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing, "its count in the last stop is over");
        assert_eq!(stops.park(&lwps[1], 2), Effect::Tell);
        assert_eq!(stops.report(true, true, false), Some(Status::stopped(Signal::TTIN)));
    }

    #[test]
    fn who_is_killed_does_not_stop() {
        let (mut stops, lwps) = stopped();
        assert_eq!(stops.kill(), Effect::Resume);
        assert_eq!(stops.report(true, true, false), None);
        assert!(!stops.must_park() && !stops.stop(Signal::STOP));
        assert_eq!((stops.leave(&lwps[0], 1), stops.cont()), (Effect::Nothing, Effect::Nothing));
        assert_eq!(Stops::new().kill(), Effect::Nothing);
    }
}
