//! One parent, its children and their waiters, explored exhaustively on the real `Children`, `Gate`, `Pending`.
//!
//! Each section under the child list's lock is one atomic step; everything outside the lock can be interleaved. A child
//! that exits goes off its CPU, becomes ready and posts SIGCHLD, and wakes those that wait for either, in four steps.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R18 iteration across a block | `r18_a_scan_is_one_section` | the lock is dropped after each child |
//! | R34 group change against group wait | `r34_group_change_meets_group_wait` | the group is cleared first; no waiter is woken |
//! | R48 WNOHANG that sleeps | `r48_nohang_never_waits` | ready before the last switch |
//! | R49 coalesced SIGCHLD | `r49_one_signal_for_many_deaths` | one child is reaped for each signal; posted before ready; posted after the lock |
//! | R51 EINTR with a zombie in hand | `r51_kill_meets_a_zombie_in_hand` | the kill honoured after the claim; one waiter woken |
//!
//! Properties: I6 (each exit is reported once), I8 (at rest no LWP sleeps whose condition holds).
#![cfg(not(loom))]

mod explore;

use asphodel_core::id::Pid;
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable, Found, Received};
use asphodel_core::proc::gate::{Gate, OffCpu};
use asphodel_core::proc::pending::Pending;
use asphodel_core::signal::Signal;
use asphodel_core::wait::select::Selector;
use explore::{World, explore};

const PARENT: u32 = 1;
const FIRST_CHILD: u32 = 2;
const SLOTS: usize = 5;
/// The group of all children, and another one.
const GROUP: Pid = Pid::from_raw(9);
const OTHER_GROUP: Pid = Pid::from_raw(8);

/// The bugs that can be seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    WalkInSections,
    GroupClearedFirst,
    GroupChangeTellsNobody,
    ReadyBeforeOffCpu,
    OneChildPerSignal,
    PostedBeforeReady,
    PostedAfterTheLock,
    KillAfterClaim,
    OneWaiterWoken,
}

/// The role of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// This child, which exits.
    Child(u32),
    /// An LWP that waits until no child matches.
    Waiter(Selector),
    /// An LWP that polls with WNOHANG until no child matches.
    NoHang,
    /// An LWP that sleeps in sigwait for SIGCHLD and then polls with WNOHANG, until there is no child.
    Drainer,
    /// A killer of the LWP that is this actor.
    Killer(usize),
    /// A process that puts the first child into this group.
    Mover(Pid),
}

/// The position of an actor between two atomic steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// The actor is about to do its first step.
    Start,
    // A child:
    OffCpu,
    Receive,
    Post,
    Wake,
    // A waiter:
    /// (seeded) The walk continues with this child.
    Walk(u32),
    Asleep {
        woken: bool,
    },
    /// It has reaped this child and returns.
    Report(u32),
    // A drainer:
    Drain,
    // A mover:
    SetGroup,
    Tell,
    Done,
}

/// The parent, the children, the actors.
struct Waits {
    bug: Bug,
    links: [FamilyLinks; SLOTS],
    gates: [Gate; SLOTS],
    child_list: Children,
    pending: Pending,
    /// A copy of `pending`, for the fingerprint.
    posted: bool,
    /// The children for whose exit SIGCHLD was posted.
    reported: [bool; SLOTS],
    children: u32,
    reports: [u32; SLOTS],
    deaths: Vec<u32>,
    /// The sleepers of the parent's two queues, in the order of their arrival.
    child_events: Vec<usize>,
    signalled: Vec<usize>,
    kill_pending: Vec<bool>,
    actors: Vec<(Role, At)>,
}

struct Table<'a>(&'a [FamilyLinks; SLOTS]);

impl FamilyTable for Table<'_> {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.0.get(slot as usize)
    }
}

impl Waits {
    fn new(bug: Bug, children: u32, others: &[Role]) -> Self {
        let mut waits = Self {
            bug,
            links: std::array::from_fn(|_| FamilyLinks::new()),
            gates: std::array::from_fn(|_| Gate::new()),
            child_list: Children::new(),
            pending: Pending::new(),
            posted: false,
            reported: [false; SLOTS],
            children,
            reports: [0; SLOTS],
            deaths: Vec::new(),
            child_events: Vec::new(),
            signalled: Vec::new(),
            kill_pending: Vec::new(),
            actors: others.iter().map(|&role| (role, At::Start)).collect(),
        };
        for child in waits.children() {
            waits.links[child as usize].init(Pid::new(child, 0), GROUP, false);
            waits.child_list.add(&Table(&waits.links), PARENT, child);
            // A child that moves away keeps running, and its exit is not reported.
            if child != FIRST_CHILD || !others.contains(&Role::Mover(OTHER_GROUP)) {
                waits.actors.push((Role::Child(child), At::Start));
            }
        }
        waits.kill_pending = vec![false; waits.actors.len()];
        waits
    }

    fn children(&self) -> impl Iterator<Item = u32> + use<> {
        FIRST_CHILD..FIRST_CHILD + self.children
    }

    /// One step of a child's end.
    fn die(&mut self, child: u32, at: At) -> Result<At, String> {
        let early = self.bug == Bug::ReadyBeforeOffCpu;
        let posts_early = self.bug == Bug::PostedBeforeReady;
        Ok(match at {
            At::Start => {
                let _exit_owner = self.gates[child as usize].exit();
                if early { At::Receive } else { At::OffCpu }
            }
            At::OffCpu => {
                let effect = self.gates[child as usize].off_cpu();
                match (effect, early, posts_early) {
                    (OffCpu::Publish, true, _) => At::Post,
                    (OffCpu::Publish, _, true) => At::Post,
                    (OffCpu::Publish, _, _) => At::Receive,
                    _ => return Err(format!("I3: {child} is no zombie")),
                }
            }
            At::Receive => {
                self.receive(child)?;
                if self.bug != Bug::PostedAfterTheLock {
                    self.post(child);
                }
                match (early, posts_early) {
                    (true, _) => At::OffCpu,
                    (_, true) => At::Wake,
                    _ => At::Post,
                }
            }
            At::Post => {
                if posts_early || self.bug == Bug::PostedAfterTheLock {
                    self.post(child);
                }
                Self::wake(&mut self.actors, &mut self.signalled, usize::MAX);
                if posts_early { At::Receive } else { At::Wake }
            }
            _ => {
                let limit = if self.bug == Bug::OneWaiterWoken { 1 } else { usize::MAX };
                Self::wake(&mut self.actors, &mut self.child_events, limit);
                At::Done
            }
        })
    }

    fn receive(&mut self, child: u32) -> Result<(), String> {
        let gate = &self.gates[child as usize];
        match self.child_list.receive(&Table(&self.links), PARENT, child, gate, false) {
            Received::Ready => self.deaths.push(child),
            other => return Err(format!("I10: {child} is {other:?}")),
        }
        Ok(())
    }

    /// Posts SIGCHLD for the exit of `child`, unless that has been posted.
    fn post(&mut self, child: u32) {
        if !std::mem::replace(&mut self.reported[child as usize], true) {
            self.pending.post(Signal::CHLD);
            self.posted = true;
        }
    }

    fn wake(actors: &mut [(Role, At)], queue: &mut Vec<usize>, limit: usize) {
        let count = queue.len().min(limit);
        for actor in queue.drain(..count) {
            actors[actor].1 = At::Asleep { woken: true };
        }
    }

    /// A check of the children under the lock. A child that is ready is reaped in the same section.
    fn look(&mut self, selector: Selector) -> Result<Found, String> {
        let found = self.child_list.find(&Table(&self.links), PARENT, selector, false);
        if let Found::Ready(child) = found {
            self.reap(child)?;
        }
        Ok(found)
    }

    fn reap(&mut self, child: u32) -> Result<(), String> {
        let claim = self.gates[child as usize].claim();
        let _claim = claim.ok_or_else(|| format!("R48: {child} is found and cannot be reaped yet"))?;
        self.child_list.remove(&Table(&self.links), child);
        if !self.reported[child as usize] {
            return Err(format!("R49: {child} is reaped, and its signal is still to come"));
        }
        Ok(())
    }

    /// One step of an LWP in wait4 without WNOHANG.
    fn wait(&mut self, actor: usize, selector: Selector, at: At) -> Result<At, String> {
        match at {
            At::Report(child) => return Ok(self.report(actor, child)),
            // The pending kill is honoured before a scan, which would take a child from the other waiters.
            _ if self.kill_pending[actor] => return Ok(At::Done),
            At::Start | At::Asleep { .. } if self.bug == Bug::WalkInSections => {
                return Ok(At::Walk(FIRST_CHILD));
            }
            At::Walk(child) => return self.walk(actor, child),
            _ => {}
        }
        match self.look(selector)? {
            Found::Ready(child) => Ok(At::Report(child)),
            Found::NotYet => Ok(self.enlist(actor)),
            Found::NoMatch => self.give_up(selector),
        }
    }

    /// wait4 returns with the child in hand.
    fn report(&mut self, actor: usize, child: u32) -> At {
        if self.bug == Bug::KillAfterClaim && self.kill_pending[actor] {
            return At::Done;
        }
        self.reports[child as usize] += 1;
        At::Start
    }

    /// (seeded) One child is examined; the caller enlists after the last one.
    fn walk(&mut self, actor: usize, child: u32) -> Result<At, String> {
        let mine = self.child_list.has(&Table(&self.links), PARENT, child);
        if mine && self.links[child as usize].is_zombie() {
            self.reap(child)?;
            return Ok(At::Report(child));
        }
        if self.children().last() != Some(child) {
            return Ok(At::Walk(child + 1));
        }
        Ok(if self.child_list.is_empty() { At::Done } else { self.enlist(actor) })
    }

    fn enlist(&mut self, actor: usize) -> At {
        self.child_events.push(actor);
        At::Asleep { woken: false }
    }

    /// ECHILD: right only if no child matches.
    fn give_up(&self, selector: Selector) -> Result<At, String> {
        let moves = |&(role, _): &(Role, At)| role == Role::Mover(OTHER_GROUP);
        let stays = |child: &u32| self.child_list.has(&Table(&self.links), PARENT, *child);
        match self.children().find(stays) {
            Some(child) if matches!(selector, Selector::Group(_)) && !self.actors.iter().any(moves) => {
                Err(format!("R34: ECHILD, and {child} has been in the group all the time"))
            }
            _ => Ok(At::Done),
        }
    }

    /// One poll with WNOHANG: `None` continues.
    fn look_once(&mut self, at_rest: At) -> Result<At, String> {
        Ok(match self.look(Selector::Any)? {
            Found::Ready(child) => {
                self.reports[child as usize] += 1;
                At::Drain
            }
            Found::NotYet => at_rest,
            Found::NoMatch => At::Done,
        })
    }

    /// One step of an LWP that waits by SIGCHLD alone.
    fn drain(&mut self, actor: usize, at: At) -> Result<At, String> {
        match at {
            At::Drain if self.bug == Bug::OneChildPerSignal => {
                self.look_once(At::Start).map(|next| if next == At::Drain { At::Start } else { next })
            }
            At::Drain => self.look_once(At::Start),
            _ if self.pending.take(Signal::CHLD.bit()).is_some() => {
                self.posted = false;
                Ok(At::Drain)
            }
            // There may be no child from the start.
            _ if self.child_list.is_empty() => Ok(At::Done),
            _ => {
                self.signalled.push(actor);
                Ok(At::Asleep { woken: false })
            }
        }
    }

    fn kill(&mut self, victim: usize) -> At {
        self.kill_pending[victim] = true;
        if let At::Asleep { .. } = self.actors[victim].1 {
            self.child_events.retain(|&other| other != victim);
            self.actors[victim].1 = At::Asleep { woken: true };
        }
        At::Done
    }

    fn move_child(&mut self, group: Pid, at: At) -> At {
        let links = &self.links[FIRST_CHILD as usize];
        match at {
            At::Start if self.bug == Bug::GroupClearedFirst => {
                links.set_group(Pid::NONE);
                At::SetGroup
            }
            At::Start | At::SetGroup => {
                links.set_group(group);
                if self.bug == Bug::GroupChangeTellsNobody { At::Done } else { At::Tell }
            }
            _ => {
                Self::wake(&mut self.actors, &mut self.child_events, usize::MAX);
                At::Done
            }
        }
    }
}

impl World for Waits {
    /// Actors; queues; parent, zombie, claim, group and reports of each child; order of exits; kill; signal.
    type Fingerprint =
        (Vec<At>, Vec<usize>, Vec<usize>, Vec<(u32, bool, bool, Pid, u32)>, Vec<u32>, Vec<bool>, bool);

    fn actors(&self) -> usize {
        self.actors.len()
    }

    fn can_step(&self, actor: usize) -> bool {
        !matches!(self.actors[actor].1, At::Asleep { woken: false } | At::Done)
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        let (role, at) = self.actors[actor];
        let next = match role {
            Role::Child(child) => self.die(child, at)?,
            Role::Waiter(selector) => self.wait(actor, selector, at)?,
            Role::NoHang => self.look_once(At::Start)?,
            Role::Drainer => self.drain(actor, at)?,
            Role::Killer(victim) => self.kill(victim),
            Role::Mover(group) => self.move_child(group, at),
        };
        self.actors[actor].1 = next;
        match self.children().find(|&child| self.reports[child as usize] > 1) {
            Some(child) => Err(format!("I6: {child} was reported twice")),
            None => Ok(()),
        }
    }

    fn at_rest(&self) -> Result<(), String> {
        for (actor, &(role, at)) in self.actors.iter().enumerate() {
            if at != At::Done {
                return Err(format!("I8: actor {actor}, {role:?}, is left {at:?}"));
            }
        }
        let lost = |child: &u32| {
            !self.child_list.has(&Table(&self.links), PARENT, *child) && self.reports[*child as usize] == 0
        };
        match self.children().find(lost) {
            Some(child) => Err(format!("I6: {child} was reaped and not reported")),
            None => Ok(()),
        }
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        let child = |child: u32| {
            let links = &self.links[child as usize];
            let claimed = self.gates[child as usize].view().claimed;
            (links.parent(), links.is_zombie(), claimed, links.group(), self.reports[child as usize])
        };
        (
            self.actors.iter().map(|&(_, at)| at).collect(),
            self.child_events.clone(),
            self.signalled.clone(),
            self.children().map(child).collect(),
            self.deaths.clone(),
            self.kill_pending.clone(),
            self.posted,
        )
    }
}

/// Explores all schedules and asserts that no property is violated.
fn holds(children: u32, others: &[Role]) {
    let explored =
        explore(|| Waits::new(Bug::None, children, others)).unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.states > 5 && explored.ends > 0, "hardly anything explored");
}

/// Asserts that the explorer finds a violation of `property`.
fn caught(property: &str, bug: Bug, children: u32, others: &[Role]) {
    let found = explore(|| Waits::new(bug, children, others)).expect_err("the seeded bug was not found");
    println!("caught: {found}");
    assert!(found.starts_with(property), "another violation than the seeded one: {found}");
}

const ANY: Role = Role::Waiter(Selector::Any);
const OF_GROUP: Role = Role::Waiter(Selector::Group(GROUP));

/// The result of the check cannot change before the scan is over and the waiter enlisted.
#[test]
fn r18_a_scan_is_one_section() {
    holds(2, &[ANY]);
    holds(3, &[ANY, ANY]);
}

#[test]
fn r18_seeded_lock_given_up_after_each_child() {
    caught("I8", Bug::WalkInSections, 2, &[ANY]);
}

/// T113: a child that is put into the group it is in stays in it throughout; one that leaves is not waited for any
/// more.
#[test]
fn r34_group_change_meets_group_wait() {
    holds(1, &[OF_GROUP, Role::Mover(GROUP)]);
    holds(2, &[OF_GROUP, OF_GROUP, Role::Mover(GROUP)]);
    holds(1, &[OF_GROUP, Role::Mover(OTHER_GROUP)]);
    holds(3, &[OF_GROUP, OF_GROUP, Role::Mover(OTHER_GROUP)]);
}

#[test]
fn r34_seeded_group_cleared_first() {
    caught("R34", Bug::GroupClearedFirst, 1, &[OF_GROUP, Role::Mover(GROUP)]);
}

#[test]
fn r34_seeded_nobody_told_of_the_change() {
    caught("I8", Bug::GroupChangeTellsNobody, 1, &[OF_GROUP, Role::Mover(OTHER_GROUP)]);
}

/// T132: a child that a poll finds can be reaped at once.
#[test]
fn r48_nohang_never_waits() {
    holds(2, &[Role::NoHang]);
    holds(2, &[Role::NoHang, ANY]);
}

#[test]
fn r48_seeded_ready_before_the_last_switch() {
    caught("R48", Bug::ReadyBeforeOffCpu, 1, &[Role::NoHang]);
}

/// Many exits may leave one signal: its taker polls until no child is ready.
#[test]
fn r49_one_signal_for_many_deaths() {
    holds(2, &[Role::Drainer]);
    holds(3, &[Role::Drainer]);
}

#[test]
fn r49_seeded_one_child_for_each_signal() {
    caught("I8", Bug::OneChildPerSignal, 2, &[Role::Drainer]);
}

#[test]
fn r49_seeded_posted_before_ready() {
    caught("I8", Bug::PostedBeforeReady, 1, &[Role::Drainer]);
}

#[test]
fn r49_seeded_posted_after_the_lock() {
    caught("R49", Bug::PostedAfterTheLock, 1, &[Role::NoHang]);
}

/// T137: a waiter that is killed returns the child that it has, or leaves it to the others, and consumes no wake-up.
#[test]
fn r51_kill_meets_a_zombie_in_hand() {
    holds(1, &[ANY, Role::Killer(0)]);
    holds(2, &[ANY, ANY, Role::Killer(0)]);
}

#[test]
fn r51_seeded_kill_honoured_after_the_claim() {
    caught("I6", Bug::KillAfterClaim, 1, &[ANY, Role::Killer(0)]);
}

#[test]
fn r51_seeded_one_waiter_woken() {
    caught("I8", Bug::OneWaiterWoken, 1, &[ANY, ANY, Role::Killer(0)]);
}
