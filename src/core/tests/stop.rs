//! Model D: stop and continue, explored exhaustively on the real `Stops`, `Children` and `Gate`.
//!
//! A child with a few LWPs, a sender of signals, and LWPs of its parent that wait with WUNTRACED and WCONTINUED. Each
//! section under the child's lock is one atomic step, and so is a check under the parent's family lock, inside which
//! the child's is taken; the parent's waiters are woken in a step of its own.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R25 stop accounting (a) | `r25_a_stop_is_told_once_and_when_complete` | reported when it begins; reported when it begins and again when complete |
//! | R25 stop accounting (b) | `r25_the_last_runner_leaves` | the stop is not re-evaluated when an LWP leaves |
//! | R25 stop accounting (c) | `r25_whoever_is_counted_leaves` | an LWP that leaves is not uncounted |
//! | R26 child without a reference | `r26_stop_report_meets_reap` | the lock is dropped between the check and the report |
//! | R27 job stopped and continued | `r27_a_job_is_stopped_and_continued` | the parent checks before it parks |
//! | a continue reported again | `continue_is_told_once` | a continue is reported to every waiter |
//! | stale event | `newest_is_told` | a continue leaves the stop that was not reported |
//!
//! Properties: I7 (each stop and each continue is reported at most once; no stop is reported while an LWP runs its
//! program), I8 (at rest no waiter sleeps for which there is a report, and no LWP stays parked in a process that runs),
//! I6.
#![cfg(not(loom))]

mod explore;

use asphodel_core::id::Pid;
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable, Found, Received};
use asphodel_core::proc::gate::{ExitRole, Gate, OffCpu};
use asphodel_core::proc::status::{Event, Status};
use asphodel_core::proc::stop::{Effect, Standing, Stops};
use asphodel_core::signal::Signal;
use asphodel_core::wait::select::Selector;
use explore::{World, explore};

const PARENT: u32 = 1;
const CHILD: u32 = 2;
const SLOTS: usize = 3;

/// The bugs that can be seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    ReportedWhenItBegins,
    ReportedTwice,
    LeaveNotJudged,
    LeaveNotUncounted,
    LockGivenUp,
    LookBeforePark,
    ContinueTold,
    StaleStopKept,
}

/// The signals of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Send {
    Stop,
    Continue,
    Kill,
    /// The same signals to the parent, which is of the same job.
    StopParent,
    ContinueParent,
}

/// The role of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// An LWP of the child that computes for ever and reaches a kill point when it must.
    Runner,
    /// An LWP of the child that is on its way to leave by itself.
    Leaver,
    /// An LWP of the child that sleeps, and that a kill of it alone makes leave.
    Sleeper,
    /// An LWP of the child that sleeps, is woken, and continues with its program.
    Waker,
    /// A sender of these signals, one after the other.
    Sender(&'static [Send]),
    /// An LWP of the parent that waits until it has no child.
    Waiter,
}

/// The position of an actor between two atomic steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    // An LWP of the child:
    Runs,
    Sleeps,
    /// Awake, in the kernel: it parks before it goes back to its program.
    Woken,
    Parked,
    Gone,
    // A sender: before its n-th signal; or about to wake the parent's waiters, and before its n-th then.
    Send(usize),
    Wake(usize),
    // An LWP of the child that must wake the parent's waiters, and continues from there.
    WakeThenParked,
    WakeThenGone,
    Publish,
    // A waiter:
    Look,
    Waits,
    ParkedWaiter,
    /// (seeded) It has seen a change of the child and drops the lock before it reports.
    Tell,
    Done,
}

/// The state of the present stop, as an observer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Reports {
    /// The number of stops and continues that took effect.
    stops: u32,
    continues: u32,
    /// The number of them that were reported to the parent.
    stops_reported: u32,
    continues_reported: u32,
    /// The stop that was reported last.
    last_stop: u32,
    ends: u32,
}

struct Job {
    bug: Bug,
    links: [FamilyLinks; SLOTS],
    children: Children,
    gate: Gate,
    stops: Stops,
    /// The parent's own.
    parents: Stops,
    parents_standing: Standing,
    standings: Vec<Standing>,
    killed: bool,
    /// (seeded) A stop that is reported although it is not complete, or not the present one.
    early: bool,
    enlisted: Vec<usize>,
    reports: Reports,
    actors: Vec<(Role, At)>,
}

struct Table<'a>(&'a [FamilyLinks; SLOTS]);

impl FamilyTable for Table<'_> {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.0.get(slot as usize)
    }
}

impl Role {
    fn is_lwp(self) -> bool {
        matches!(self, Self::Runner | Self::Leaver | Self::Sleeper | Self::Waker)
    }
}

impl Job {
    fn new(bug: Bug, roles: &[Role]) -> Self {
        let start = |role: Role| match role {
            Role::Runner | Role::Leaver => At::Runs,
            Role::Sleeper | Role::Waker => At::Sleeps,
            Role::Sender(_) => At::Send(0),
            Role::Waiter => At::Look,
        };
        let mut job = Self {
            bug,
            links: std::array::from_fn(|_| FamilyLinks::new()),
            children: Children::new(),
            gate: Gate::new(),
            stops: Stops::new(),
            parents: Stops::new(),
            parents_standing: Standing::new(),
            standings: roles.iter().map(|_| Standing::new()).collect(),
            killed: false,
            early: false,
            enlisted: Vec::new(),
            reports: Reports::default(),
            actors: roles.iter().map(|&role| (role, start(role))).collect(),
        };
        let lwps = roles.iter().filter(|role| role.is_lwp()).count();
        (1..lwps).for_each(|_| job.gate.create().expect("a new process accepts LWPs"));
        job.links[CHILD as usize].init(Pid::new(CHILD, 0), Pid::new(CHILD, 0), false);
        job.children.add(&Table(&job.links), PARENT, CHILD);
        job
    }

    /// The LWPs of the child that have not left, by its list.
    fn live(&self) -> u32 {
        let gone = |at| matches!(at, At::Gone | At::WakeThenGone | At::Publish);
        self.actors.iter().filter(|&&(role, at)| role.is_lwp() && !gone(at)).count() as u32
    }

    /// Returns whether an LWP of the child is in its program or can go there.
    fn somebody_runs(&self) -> bool {
        self.actors.iter().any(|&(role, at)| role.is_lwp() && at == At::Runs)
    }

    fn sleepers(&self) -> Vec<usize> {
        let asleep = |&actor: &usize| self.actors[actor].0.is_lwp() && self.actors[actor].1 == At::Sleeps;
        (0..self.actors.len()).filter(asleep).collect()
    }

    /// A signal is received. Returns whether the parent must be notified.
    fn send(&mut self, send: Send) -> Effect {
        match send {
            Send::Stop => self.stop(),
            Send::Continue => self.cont(),
            Send::Kill => {
                self.killed = true;
                self.early = false;
                self.stops.kill()
            }
            Send::StopParent => {
                if self.parents.stop(Signal::TSTP) {
                    let waiter = self.actors.iter().find(|(role, _)| *role == Role::Waiter);
                    if waiter.is_some_and(|(_, at)| *at == At::Waits) {
                        self.parents.count(&self.parents_standing);
                    }
                }
                self.parents.settle(1)
            }
            Send::ContinueParent => self.parents.cont(),
        }
    }

    fn stop(&mut self) -> Effect {
        if !self.stops.stop(Signal::TSTP) {
            return Effect::Nothing;
        }
        self.reports.stops += 1;
        self.early = matches!(self.bug, Bug::ReportedWhenItBegins | Bug::ReportedTwice);
        for sleeper in self.sleepers() {
            self.stops.count(&self.standings[sleeper]);
        }
        match self.stops.settle(self.live()) {
            Effect::Nothing if self.early => Effect::Tell,
            effect => effect,
        }
    }

    fn cont(&mut self) -> Effect {
        let effect = self.stops.cont();
        if effect == Effect::ResumeAndTell {
            self.reports.continues += 1;
            self.early = self.bug == Bug::StaleStopKept;
        }
        effect
    }

    /// Resumes the parked LWPs if the effect requires it. Returns whether the waiters must be woken.
    fn carry_out(&mut self, effect: Effect, send: Option<Send>) -> bool {
        if matches!(effect, Effect::Resume | Effect::ResumeAndTell) {
            let parents = matches!(send, Some(Send::StopParent | Send::ContinueParent));
            for (role, at) in &mut self.actors {
                match at {
                    At::Parked if role.is_lwp() && !parents => *at = At::Runs,
                    At::ParkedWaiter if parents => *at = At::Look,
                    _ => {}
                }
            }
        }
        matches!(effect, Effect::Tell | Effect::ResumeAndTell)
            && !matches!(send, Some(Send::StopParent | Send::ContinueParent))
    }

    fn wake(&mut self) {
        for waiter in self.enlisted.drain(..) {
            self.actors[waiter].1 = At::Look;
        }
    }

    /// One step of an LWP of the child that is not parked.
    fn run(&mut self, actor: usize) -> Result<At, String> {
        let (role, at) = self.actors[actor];
        Ok(match (role, at) {
            (_, At::WakeThenParked) => {
                self.wake();
                // A continue may have come meanwhile, and another stop: it parks again, or continues.
                At::Woken
            }
            (_, At::WakeThenGone) => {
                self.wake();
                At::Gone
            }
            (_, At::Publish) => {
                let received = self.children.receive(&Table(&self.links), PARENT, CHILD, &self.gate, false);
                assert!(matches!(received, Received::Ready), "the parent lives");
                At::WakeThenGone
            }
            (Role::Waker, At::Sleeps) => At::Woken,
            (_, At::Woken) if !self.stops.must_park() && !self.killed => At::Runs,
            (Role::Leaver, _) | (Role::Sleeper, At::Sleeps) => self.leave(actor)?,
            _ if self.killed => self.leave(actor)?,
            _ => self.park(actor),
        })
    }

    fn park(&mut self, actor: usize) -> At {
        let effect = self.stops.park(&self.standings[actor], self.live());
        if effect == Effect::Tell && self.bug != Bug::ReportedTwice {
            // From here on it is reported without a bug.
            self.early = false;
        }
        if self.carry_out(effect, None) { At::WakeThenParked } else { At::Parked }
    }

    fn leave(&mut self, actor: usize) -> Result<At, String> {
        let left = self.live() - 1;
        let leave = self.gate.thread_exit();
        if let ExitRole::Process(_) = leave {
            let _nobody_parks = self.stops.kill();
            self.early = false;
        }
        let effect = match self.bug {
            Bug::LeaveNotJudged => {
                let mut unjudged = self.stops.clone();
                let _not_told = unjudged.leave(&self.standings[actor], u32::MAX);
                self.stops = unjudged;
                Effect::Nothing
            }
            Bug::LeaveNotUncounted => self.stops.settle(left),
            _ => self.stops.leave(&self.standings[actor], left),
        };
        if self.gate.off_cpu() == OffCpu::Publish {
            return Ok(At::Publish);
        }
        Ok(if self.carry_out(effect, None) { At::WakeThenGone } else { At::Gone })
    }

    /// One step of a waiter.
    fn wait(&mut self, actor: usize, at: At) -> Result<At, String> {
        if self.parents.must_park() && self.bug != Bug::LookBeforePark {
            let _nobody_waits_for_the_parent = self.parents.park(&self.parents_standing, 1);
            return Ok(At::ParkedWaiter);
        }
        if at == At::Tell {
            return self.tell_later();
        }
        match self.children.find(&Table(&self.links), PARENT, Selector::Any, false) {
            Found::NoMatch => Ok(At::Done),
            Found::Ready(child) => {
                let claim = self.gate.claim();
                let _claim = claim.ok_or("I6: the zombie is claimed already")?;
                self.children.remove(&Table(&self.links), child);
                self.reports.ends += 1;
                Ok(At::Look)
            }
            Found::NotYet if self.bug == Bug::LockGivenUp && self.news(true).is_some() => Ok(At::Tell),
            Found::NotYet => match self.news(false) {
                Some(status) => self.receive(status),
                None => {
                    self.enlisted.push(actor);
                    Ok(At::Waits)
                }
            },
        }
    }

    /// Returns what there is to report of the child.
    fn news(&mut self, keep: bool) -> Option<Status> {
        if self.early
            && matches!(self.bug, Bug::ReportedWhenItBegins | Bug::ReportedTwice | Bug::StaleStopKept)
        {
            self.early = false;
            return Some(Status::stopped(Signal::TSTP));
        }
        self.stops.report(true, true, keep || self.bug == Bug::ContinueTold)
    }

    /// (seeded) The second half of a report whose lock was dropped.
    fn tell_later(&mut self) -> Result<At, String> {
        if !self.children.has(&Table(&self.links), PARENT, CHILD) {
            return Err("R26: a child is reported that has been reaped".into());
        }
        match self.news(false) {
            Some(status) => self.receive(status),
            None => Err("R26: what was seen of the child is not true any more".into()),
        }
    }

    /// The parent is notified; by the time the report arrives, this must be true.
    fn receive(&mut self, status: Status) -> Result<At, String> {
        match status.event() {
            Event::Stopped(_) => {
                if self.somebody_runs() {
                    return Err("I7: a stop is reported while an LWP runs".into());
                }
                if self.reports.last_stop == self.reports.stops {
                    return Err("I7: a stop is reported twice".into());
                }
                if self.parents.must_park() {
                    return Err("R27: a parent that is stopped reports a stop".into());
                }
                self.reports.last_stop = self.reports.stops;
                self.reports.stops_reported += 1;
            }
            _ => self.reports.continues_reported += 1,
        }
        if self.reports.continues_reported > self.reports.continues {
            return Err("I7: a continue is reported twice".into());
        }
        Ok(At::Look)
    }
}

impl World for Job {
    type Fingerprint = (Vec<At>, Vec<usize>, Stops, Stops, Reports, (bool, bool, bool));

    fn actors(&self) -> usize {
        self.actors.len()
    }

    fn can_step(&self, actor: usize) -> bool {
        match self.actors[actor] {
            (Role::Runner | Role::Waker, At::Runs) => self.stops.must_park() || self.killed,
            // A kill ends every sleep here; LWPs in a stop that continues stay where they are.
            (Role::Sleeper | Role::Waker, At::Sleeps) => true,
            (Role::Sender(sends), At::Send(next)) => next < sends.len(),
            (_, At::Parked | At::ParkedWaiter | At::Waits | At::Gone | At::Done) => false,
            _ => true,
        }
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        let next = match self.actors[actor] {
            (role, _) if role.is_lwp() => self.run(actor)?,
            (Role::Sender(sends), At::Send(next)) => {
                let effect = self.send(sends[next]);
                if self.carry_out(effect, Some(sends[next])) {
                    At::Wake(next + 1)
                } else {
                    At::Send(next + 1)
                }
            }
            (Role::Sender(_), At::Wake(next)) => {
                self.wake();
                At::Send(next)
            }
            (Role::Waiter, at) => self.wait(actor, at)?,
            other => unreachable!("{other:?} does no step"),
        };
        self.actors[actor].1 = next;
        Ok(())
    }

    fn at_rest(&self) -> Result<(), String> {
        let waits = self.actors.iter().any(|&(_, at)| at == At::Waits);
        let parked = self.actors.iter().any(|&(_, at)| at == At::Parked);
        if parked && !self.stops.must_park() {
            return Err("I8: an LWP stays parked in a process that runs".into());
        }
        if self.actors.iter().any(|&(_, at)| at == At::ParkedWaiter) && !self.parents.must_park() {
            return Err("I8: the parent stays parked".into());
        }
        if waits && self.stops.must_park() && self.reports.last_stop != self.reports.stops {
            return Err("I8: the parent was not notified of the stop".into());
        }
        if waits && self.stops.clone().report(true, true, true).is_some() {
            return Err("I8: there is something to tell, and the parent sleeps".into());
        }
        let dead = self.live() == 0;
        if waits && dead
            || dead && self.reports.ends != 1 && !self.children.has(&Table(&self.links), PARENT, CHILD)
        {
            return Err(format!("I6: the end was reported {} times", self.reports.ends));
        }
        Ok(())
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        (
            self.actors.iter().map(|&(_, at)| at).collect(),
            self.enlisted.clone(),
            self.stops.clone(),
            self.parents.clone(),
            self.reports,
            (self.killed, self.early, self.gate.view().claimed),
        )
    }
}

/// Explores all schedules and asserts that no property is violated.
fn holds(roles: &[Role]) {
    let explored = explore(|| Job::new(Bug::None, roles)).unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.states > 10 && explored.ends > 0, "hardly anything explored");
}

/// Asserts that the explorer finds a violation of `property`.
fn caught(property: &str, bug: Bug, roles: &[Role]) {
    let found = explore(|| Job::new(bug, roles)).expect_err("the seeded bug was not found");
    println!("caught: {found}");
    assert!(found.starts_with(property), "another violation than the seeded one: {found}");
}

const RUNNER: Role = Role::Runner;
const LEAVER: Role = Role::Leaver;
const SLEEPER: Role = Role::Sleeper;
const WAKER: Role = Role::Waker;
const WAITER: Role = Role::Waiter;

const STOP: Role = Role::Sender(&[Send::Stop]);
const STOP_CONTINUE: Role = Role::Sender(&[Send::Stop, Send::Continue]);
const STOP_CONTINUE_STOP: Role = Role::Sender(&[Send::Stop, Send::Continue, Send::Stop]);
const STOP_KILL: Role = Role::Sender(&[Send::Stop, Send::Kill]);
/// Stopped from the parent downwards, continued from the child upwards.
const JOB: Role = Role::Sender(&[Send::StopParent, Send::Stop, Send::Continue, Send::ContinueParent]);

#[test]
fn r25_a_stop_is_told_once_and_when_complete() {
    holds(&[RUNNER, RUNNER, STOP, WAITER]);
    holds(&[RUNNER, WAKER, STOP, WAITER]);
    holds(&[RUNNER, RUNNER, WAKER, STOP, WAITER, WAITER]);
    holds(&[RUNNER, WAKER, STOP_CONTINUE_STOP, WAITER]);
}

#[test]
fn r25_seeded_told_when_it_begins() {
    caught("I7: a stop is reported while", Bug::ReportedWhenItBegins, &[RUNNER, RUNNER, STOP, WAITER]);
}

#[test]
fn r25_seeded_told_when_it_begins_and_when_complete() {
    caught("I7: a stop is reported twice", Bug::ReportedTwice, &[WAKER, STOP, WAITER]);
}

#[test]
fn r25_the_last_runner_leaves() {
    holds(&[RUNNER, LEAVER, STOP, WAITER]);
    holds(&[WAKER, LEAVER, LEAVER, STOP, WAITER]);
    holds(&[RUNNER, LEAVER, STOP_CONTINUE_STOP, WAITER]);
}

#[test]
fn r25_seeded_not_judged_when_an_lwp_leaves() {
    caught("I8", Bug::LeaveNotJudged, &[RUNNER, LEAVER, STOP, WAITER]);
}

#[test]
fn r25_whoever_is_counted_leaves() {
    holds(&[RUNNER, RUNNER, SLEEPER, STOP, WAITER]);
    holds(&[RUNNER, SLEEPER, STOP_CONTINUE, WAITER]);
}

#[test]
fn r25_seeded_counted_after_it_has_left() {
    caught("I7: a stop is reported while", Bug::LeaveNotUncounted, &[RUNNER, RUNNER, SLEEPER, STOP, WAITER]);
}

/// Killed while it is stopped, and reported by one of two waiters.
#[test]
fn r26_stop_report_meets_reap() {
    holds(&[RUNNER, STOP_KILL, WAITER, WAITER]);
    holds(&[RUNNER, WAKER, STOP_KILL, WAITER, WAITER]);
    holds(&[RUNNER, LEAVER, STOP_KILL, WAITER]);
}

#[test]
fn r26_seeded_lock_given_up_before_the_report() {
    caught("R26", Bug::LockGivenUp, &[RUNNER, STOP_KILL, WAITER, WAITER]);
}

#[test]
fn r27_a_job_is_stopped_and_continued() {
    holds(&[RUNNER, JOB, WAITER]);
    holds(&[RUNNER, RUNNER, JOB, WAITER]);
}

#[test]
fn r27_seeded_looked_before_parking() {
    caught("R27", Bug::LookBeforePark, &[RUNNER, JOB, WAITER]);
}

#[test]
fn continue_is_told_once() {
    holds(&[
        RUNNER,
        Role::Sender(&[Send::Continue, Send::Stop, Send::Continue, Send::Continue]),
        WAITER,
        WAITER,
    ]);
}

#[test]
fn continue_seeded_told_again() {
    caught("I7: a continue", Bug::ContinueTold, &[RUNNER, STOP_CONTINUE, WAITER]);
}

#[test]
fn newest_is_told() {
    holds(&[RUNNER, STOP_CONTINUE_STOP, WAITER]);
    holds(&[RUNNER, Role::Sender(&[Send::Stop, Send::Continue, Send::Stop, Send::Continue]), WAITER]);
    holds(&[RUNNER, Role::Sender(&[Send::Stop, Send::Continue, Send::Kill]), WAITER]);
}

#[test]
fn newest_seeded_a_continue_leaves_the_stop() {
    caught("I7: a stop is reported while", Bug::StaleStopKept, &[RUNNER, STOP_CONTINUE, WAITER]);
}
