//! Stops and continues of a process: who counts as stopped, and what the parent is told, once.
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
//! before it returns to its program (T142), so a sleeper does not delay the report. Whoever leaves
//! instead of parking takes its count along, and the rest is judged again (R25, T143). The parent is told of each stop
//! once and of each continue once (I7): a continue cancels a stop that was not told yet and the other way round (T146,
//! T147); SIGKILL ends the stop and all that could be told of it (T37). A parent that is to stop itself parks before it
//! looks at its children, so that of a job that was stopped and continued it tells the continue (R27, T148).
//!
//! Guarded by one lock of the process, which also guards the list of its LWPs; a waiter takes it under its own family
//! lock, so a child that is being told of is a child still (R26). Model: `tests/stop.rs`. The kernel does not use it
//! yet: it has no signals that stop.

use crate::proc::status::Status;
use crate::shim::guarded::Cell32;
use crate::signal::Signal;

/// What must be done after a change, when the lock is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the effect is the only wake-up there is"]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Tell the parent: its signal, then its waiters.
    Tell,
    /// Let the parked LWPs go on, and those who sleep return when they wake.
    Resume,
    /// Both.
    ResumeAndTell,
}

/// One LWP's part: the number of the stop in which it counts as stopped.
#[derive(Debug)]
pub struct Standing(Cell32);

impl Standing {
    /// Of an LWP that runs.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell32::new(0))
    }

    /// For a record that is used again.
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

/// What the parent has not been told yet.
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
    /// Number of the present stop, or of the last one; never 0 during a stop.
    number: u32,
    /// LWPs that count as stopped.
    counted: u32,
    news: News,
}

impl Stops {
    /// Of a process that runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Runs, number: 0, counted: 0, news: News::None }
    }

    /// A stop signal has come. `true`: the process is to stop now. The caller [counts](Stops::count) those who sleep,
    /// interrupts those who run, and [settles](Stops::settle), all under one hold of the lock. `false`: it is stopped
    /// or stopping already, or is being killed (T26).
    #[must_use]
    pub fn stop(&mut self, signal: Signal) -> bool {
        if self.state != State::Runs {
            return false;
        }
        self.state = State::Stopping(signal);
        // Never 0, which is nobody's.
        self.number = self.number.checked_add(1).unwrap_or(1);
        self.counted = 0;
        self.news = News::None;
        true
    }

    /// Whether an LWP that comes to a kill point, or that wants to look at its children, has to park first.
    #[must_use]
    pub const fn must_park(&self) -> bool {
        matches!(self.state, State::Stopping(_) | State::Stopped(_))
    }

    /// This LWP counts as stopped from here on: it sleeps in the kernel. Once or more often.
    pub fn count(&mut self, lwp: &Standing) {
        if self.must_park() && lwp.0.get() != self.number {
            lwp.0.set(self.number);
            self.counted += 1;
        }
    }

    /// This LWP, which [must park](Stops::must_park), does; `live` LWPs have not left. Unless there is an effect to
    /// carry out it sleeps under this very hold of the lock; after an effect, and whenever it wakes, it asks again whether
    /// it must park: there may have been a continue, and another stop, in which it does not count yet.
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

    /// Whether the stop is complete now, with `live` LWPs.
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

    /// SIGCONT has come. A process that runs does not notice (T145).
    pub fn cont(&mut self) -> Effect {
        if !self.must_park() {
            return Effect::Nothing;
        }
        self.state = State::Runs;
        self.news = News::Continued;
        Effect::ResumeAndTell
    }

    /// The process is being killed, or is exiting: it does not stop any more, and nothing is told but its end (T37).
    pub fn kill(&mut self) -> Effect {
        let was_stopped = self.must_park();
        self.state = State::Ended;
        self.news = News::None;
        if was_stopped { Effect::Resume } else { Effect::Nothing }
    }

    /// What a waiter is to be told: stops if it asked for them (WUNTRACED), continues if it asked for them
    /// (WCONTINUED). Told once, unless it wants to `keep` it (WNOWAIT).
    pub fn tell(&mut self, stopped: bool, continued: bool, keep: bool) -> Option<Status> {
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

    /// Both have parked.
    fn stopped() -> (Stops, [Standing; 2]) {
        let (mut stops, lwps) = stopping();
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.tell(true, true, false), None, "not before all have parked");
        assert_eq!(stops.park(&lwps[1], 2), Effect::Tell);
        (stops, lwps)
    }

    #[test]
    fn a_stop_is_told_once() {
        let (mut stops, _) = stopped();
        assert_eq!(stops.tell(false, true, false), None, "only to those who ask");
        assert_eq!(stops.tell(true, false, true), Some(TSTP), "WNOWAIT keeps it");
        assert_eq!(stops.tell(true, false, false), Some(TSTP));
        assert_eq!(stops.tell(true, true, false), None);
        assert!(stops.must_park());
    }

    /// Whoever sleeps does not delay the report, and does not count twice when it wakes and parks.
    #[test]
    fn sleepers_count_at_once() {
        let (mut stops, lwps) = stopping();
        stops.count(&lwps[0]);
        stops.count(&lwps[1]);
        assert_eq!(stops.settle(2), Effect::Tell);
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing);
        assert_eq!(stops.counted, 2);
    }

    /// R25: the last one that runs leaves instead; one that counts leaves and is not counted any more.
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
        assert_eq!(stops.tell(true, false, false), None, "the stop was not told in time");
        assert_eq!(stops.tell(true, true, false), Some(Status::continued()));
        assert_eq!(stops.tell(true, true, false), None);
        assert_eq!(stops.cont(), Effect::Nothing, "it runs");
        assert!(stops.stop(Signal::STOP) && !stops.stop(Signal::TSTP));
        let _ = (stops.park(&lwps[0], 2), stops.cont());
        assert!(stops.stop(Signal::TTIN));
        assert_eq!(stops.tell(true, true, false), None, "a stop cancels a continue that was not told");
        assert_eq!(stops.park(&lwps[0], 2), Effect::Nothing, "its count in the last stop is over");
        assert_eq!(stops.park(&lwps[1], 2), Effect::Tell);
        assert_eq!(stops.tell(true, true, false), Some(Status::stopped(Signal::TTIN)));
    }

    #[test]
    fn who_is_killed_does_not_stop() {
        let (mut stops, lwps) = stopped();
        assert_eq!(stops.kill(), Effect::Resume);
        assert_eq!(stops.tell(true, true, false), None);
        assert!(!stops.must_park() && !stops.stop(Signal::STOP));
        assert_eq!((stops.leave(&lwps[0], 1), stops.cont()), (Effect::Nothing, Effect::Nothing));
        assert_eq!(Stops::new().kill(), Effect::Nothing);
    }
}
