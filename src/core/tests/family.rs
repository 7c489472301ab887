//! Model C: child exit, parent wait, parent exit and adoption, explored exhaustively on the real `Children`,
//! `FamilyLinks`, `Gate`.
//!
//! Each section under a child list's lock is one atomic step; everything outside the locks can be interleaved. Process
//! 1 adopts and waits for ever; process 2 is the parent; 3 and up are its children.
//!
//! | races, requirements | test | seeded bug that must be caught |
//! |---|---|---|
//! | R16, T117, T129, T130 | `r16_two_waiters_share_the_children` | a waiter reaps without claim, after giving up the lock |
//! | R17, T131 | `r17_no_death_is_missed` | scan and enlisting in two sections; waiters woken before the child is ready |
//! | R19, T158, T159, T161, T168 | `r19_parent_and_children_exit_together` | no second check of the parent under its lock |
//! | R19, T159 | `r19_parent_and_children_exit_together` | the adopter is not notified of zombies that it adopts |
//! | R22, T163, T164 | `r22_auto_reap_lets_the_waiter_go` | no waiter is woken for an auto-reaped child |
//! | R20, T169 | `r20_auto_reap_meets_parent_exit` | auto-reaped without a second check of the parent |
//! | R21, T169 | `r21_orphans_are_taken_from_the_head` | the next orphan is remembered while the lock is given up |
//! | T170 | `an_unwaitable_child_is_inits` | – |
//! | T123, T161 | `clone_class_children` | – |
//!
//! Properties: I6 (each exit is reported once, to the final parent), I8 (at rest no zombie has a sleeping waiter), I10
//! (every child's parent is running, or is process 1).
#![cfg(not(loom))]

mod explore;

use asphodel_core::id::Pid;
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable, Found};
use asphodel_core::proc::gate::{Gate, OffCpu};
use asphodel_core::wait::select::Selector;
use explore::{World, explore};

const INIT: u32 = 1;
const PARENT: u32 = 2;
const FIRST_CHILD: u32 = 3;
const SLOTS: usize = 6;
/// The number of children that the exiting parent gives away under one acquisition of the locks.
const BATCH: u32 = 1;

/// The bugs that can be seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    ReapWithoutClaim,
    ScanThenEnlist,
    WakeBeforeReady,
    StaleParent,
    AdopterNotTold,
    AutoReapSilent,
    AutoReapStaleParent,
    RememberedOrphan,
}

/// The parameters of one run of the model.
#[derive(Clone, Copy)]
struct Scenario {
    bug: Bug,
    children: u32,
    /// LWPs of the parent that wait for any child until there is none.
    waiters: usize,
    /// The parent exits too, once its waiters are gone.
    parent_exits: bool,
    /// The parent wants no zombies (PS_NOCLDWAIT).
    no_zombies: bool,
    /// The number of children, from the first, that are of the clone class; they are not waited for here.
    clone_class: u32,
    /// The number of children, from the last, that were spawned as init's.
    unwaitable: u32,
}

const PLAIN: Scenario = Scenario {
    bug: Bug::None,
    children: 2,
    waiters: 2,
    parent_exits: false,
    no_zombies: false,
    clone_class: 0,
    unwaitable: 0,
};

/// The position of an actor between two atomic steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// A waiter about to scan.
    Scan,
    /// (seeded) A waiter that has scanned and not enlisted yet.
    Enlist,
    /// A waiter asleep; `true`: it has been woken.
    Asleep(bool),
    /// (seeded) A waiter that has seen this zombie and drops the lock before it reaps.
    Reap(u32),
    /// A child that is about to end, and to read its parent.
    Exit,
    /// A child that must be published to this parent.
    Publish(u32),
    /// (seeded) A child that has woken this parent's waiters and becomes ready after that.
    Ready(u32),
    /// The parent about to give children away.
    GiveAway,
    /// (seeded) The parent about to give this child away, which it has seen before it dropped the lock.
    GiveThisAway(u32),
    Done,
}

/// The processes and the actors.
struct Families {
    scenario: Scenario,
    links: [FamilyLinks; SLOTS],
    gates: [Gate; SLOTS],
    children_of: [Children; SLOTS],
    /// The waiters enlisted with each parent, by the actors' numbers.
    enlisted: [Vec<usize>; SLOTS],
    /// `true` if the process has ended.
    dead: [bool; SLOTS],
    /// How often its end was reported or it was reaped unreported.
    reports: [u32; SLOTS],
    /// The children in the order in which they became ready.
    deaths: Vec<u32>,
    actors: Vec<(Role, At)>,
}

/// The role of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// An LWP of this process that waits.
    Waiter(u32),
    /// This child, which exits.
    Child(u32),
    /// The parent, which exits.
    Parent,
}

/// The table, as the family code sees it.
struct Table<'a>(&'a [FamilyLinks; SLOTS]);

impl FamilyTable for Table<'_> {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.0.get(slot as usize)
    }
}

impl Families {
    fn new(scenario: Scenario) -> Self {
        let mut families = Self {
            scenario,
            links: std::array::from_fn(|_| FamilyLinks::new()),
            gates: std::array::from_fn(|_| Gate::new()),
            children_of: std::array::from_fn(|_| Children::new()),
            enlisted: std::array::from_fn(|_| Vec::new()),
            dead: [false; SLOTS],
            reports: [0; SLOTS],
            deaths: Vec::new(),
            actors: vec![(Role::Waiter(INIT), At::Scan)],
        };
        families.actors.extend((0..scenario.waiters).map(|_| (Role::Waiter(PARENT), At::Scan)));
        families.name(PARENT, INIT, false);
        for child in 0..scenario.children {
            let parent = if child + scenario.unwaitable >= scenario.children { INIT } else { PARENT };
            families.name(FIRST_CHILD + child, parent, child < scenario.clone_class);
            families.actors.push((Role::Child(FIRST_CHILD + child), At::Exit));
        }
        if scenario.parent_exits {
            families.actors.push((Role::Parent, At::GiveAway));
        }
        families
    }

    fn name(&mut self, slot: u32, parent: u32, clone_class: bool) {
        self.links[slot as usize].init(Pid::new(slot, 0), Pid::new(slot, 0), clone_class);
        self.children_of[parent as usize].add(&Table(&self.links), parent, slot);
    }

    /// Makes all waiters of `parent` runnable; each re-tests.
    fn wake(&mut self, parent: u32) {
        for waiter in self.enlisted[parent as usize].drain(..) {
            self.actors[waiter].1 = At::Asleep(true);
        }
    }

    /// The claim on a zombie: the child's own if no process waits for it, otherwise a waiter's.
    fn reap(&mut self, parent: u32, child: u32) -> Result<(), String> {
        self.children_of[parent as usize].remove(&Table(&self.links), child);
        self.reports[child as usize] += 1;
        if self.reports[child as usize] > 1 {
            return Err(format!("I6: {child} reported twice"));
        }
        Ok(())
    }

    /// A waiter's section under its own child list's lock.
    fn scan(&mut self, actor: usize, me: u32) -> Result<At, String> {
        let found = self.children_of[me as usize].find(&Table(&self.links), me, Selector::Any, false);
        Ok(match found {
            Found::Ready(child) if self.scenario.bug == Bug::ReapWithoutClaim => At::Reap(child),
            Found::Ready(child) => {
                let claim = self.gates[child as usize].claim();
                let _claim = claim.ok_or_else(|| format!("I6: the zombie {child} is claimed already"))?;
                self.reap(me, child)?;
                At::Scan
            }
            Found::NoMatch if me != INIT => At::Done,
            _ if self.scenario.bug == Bug::ScanThenEnlist => At::Enlist,
            _ => self.enlist(actor, me),
        })
    }

    fn enlist(&mut self, actor: usize, me: u32) -> At {
        self.enlisted[me as usize].push(actor);
        At::Asleep(false)
    }

    /// (seeded) The second half of a reaping whose zombie was not claimed under the lock.
    fn reap_later(&mut self, me: u32, child: u32) -> Result<At, String> {
        if !self.children_of[me as usize].has(&Table(&self.links), me, child) {
            return Err(format!("I6: {child} was reaped by another waiter"));
        }
        self.reap(me, child).map(|()| At::Scan)
    }

    /// The child's last LWP leaves its CPU and reads the parent.
    fn exit(&mut self, child: u32) -> Result<At, String> {
        let gate = &self.gates[child as usize];
        let _exit_owner = gate.exit();
        if gate.off_cpu() != OffCpu::Publish {
            return Err(format!("{child} is no zombie"));
        }
        self.dead[child as usize] = true;
        Ok(At::Publish(self.links[child as usize].parent()))
    }

    /// The child's section under the lock of `parent`, which it has read before.
    fn publish(&mut self, child: u32, parent: u32) -> Result<At, String> {
        let automatic = parent == PARENT && self.scenario.no_zombies;
        if !self.children_of[parent as usize].has(&Table(&self.links), parent, child) {
            return self.publish_elsewhere(child, parent, automatic);
        }
        if automatic {
            return self.auto_reap(child, parent);
        }
        if self.scenario.bug == Bug::WakeBeforeReady {
            self.wake(parent);
            return Ok(At::Ready(parent));
        }
        self.ready(child, parent);
        self.wake(parent);
        Ok(At::Done)
    }

    /// The child has been adopted since it read its parent: it reads again, unless a seeded bug makes it continue.
    fn publish_elsewhere(&mut self, child: u32, stale: u32, automatic: bool) -> Result<At, String> {
        let parent = self.links[child as usize].parent();
        match self.scenario.bug {
            Bug::StaleParent if !automatic => {
                self.ready(child, parent);
                self.wake(stale);
                Ok(At::Done)
            }
            Bug::AutoReapStaleParent if automatic => {
                Err(format!("I10: {child} leaves a family it is not in"))
            }
            _ => Ok(At::Publish(parent)),
        }
    }

    fn ready(&mut self, child: u32, parent: u32) {
        self.children_of[parent as usize].ready(&Table(&self.links), child);
        self.deaths.push(child);
    }

    /// NOCLDWAIT: the child reaps itself. Waiters check again, because there may be no child left (R22).
    fn auto_reap(&mut self, child: u32, parent: u32) -> Result<At, String> {
        let claim = self.gates[child as usize].claim();
        let _claim = claim.ok_or_else(|| format!("I6: {child} was claimed by another"))?;
        self.reap(parent, child)?;
        if self.scenario.bug != Bug::AutoReapSilent {
            self.wake(parent);
        }
        Ok(At::Done)
    }

    /// (seeded) The second half of a publication whose waiters were woken first.
    fn ready_later(&mut self, child: u32, parent: u32) -> Result<At, String> {
        if !self.children_of[parent as usize].has(&Table(&self.links), parent, child) {
            return Err(format!("I10: {child} becomes ready with {parent}, which is not its parent"));
        }
        self.ready(child, parent);
        Ok(At::Done)
    }

    /// (seeded) The parent sees which child is next, drops the lock, and gives that one away.
    fn give_remembered_away(&mut self, remembered: Option<u32>) -> Result<At, String> {
        let has = |child: &u32| self.children_of[PARENT as usize].has(&Table(&self.links), PARENT, *child);
        match remembered {
            Some(child) if has(&child) => Ok(self.give_away()),
            Some(child) => Err(format!("I10: {child} is given away and has gone")),
            None => Ok(self.children().find(has).map_or(At::Done, At::GiveThisAway)),
        }
    }

    /// Moves one batch of the exiting parent's children to process 1, both child lists locked.
    fn give_away(&mut self) -> At {
        let (left, right) = self.children_of.split_at_mut(PARENT as usize);
        let (zombies, more) =
            right[0].give_away(&Table(&self.links), &mut left[INIT as usize], INIT, BATCH, |_| ());
        if zombies > 0 && self.scenario.bug != Bug::AdopterNotTold {
            self.wake(INIT);
        }
        if more {
            return At::GiveAway;
        }
        self.dead[PARENT as usize] = true;
        At::Done
    }

    fn children(&self) -> impl Iterator<Item = u32> + use<> {
        FIRST_CHILD..FIRST_CHILD + self.scenario.children
    }
}

impl World for Families {
    /// Actors; waiters; parent, zombie, class, claim and reports of each child; order of exits.
    type Fingerprint = (Vec<At>, Vec<Vec<usize>>, Vec<(u32, bool, bool, bool, u32)>, Vec<u32>);

    fn actors(&self) -> usize {
        self.actors.len()
    }

    fn can_step(&self, actor: usize) -> bool {
        match self.actors[actor] {
            (_, At::Asleep(woken)) => woken,
            (_, At::Done) => false,
            // The exit owner waits for its siblings first.
            (Role::Parent, _) => {
                !self.actors.iter().any(|&(role, at)| role == Role::Waiter(PARENT) && at != At::Done)
            }
            _ => true,
        }
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        let next = match self.actors[actor] {
            (Role::Waiter(me), At::Scan | At::Asleep(true)) => self.scan(actor, me)?,
            (Role::Waiter(me), At::Enlist) => self.enlist(actor, me),
            (Role::Waiter(me), At::Reap(child)) => self.reap_later(me, child)?,
            (Role::Child(child), At::Exit) => self.exit(child)?,
            (Role::Child(child), At::Publish(parent)) => self.publish(child, parent)?,
            (Role::Child(child), At::Ready(parent)) => self.ready_later(child, parent)?,
            (Role::Parent, At::GiveAway) if self.scenario.bug == Bug::RememberedOrphan => {
                self.give_remembered_away(None)?
            }
            (Role::Parent, At::GiveThisAway(child)) => self.give_remembered_away(Some(child))?,
            (Role::Parent, At::GiveAway) => self.give_away(),
            other => unreachable!("{other:?} does no step"),
        };
        self.actors[actor].1 = next;
        self.check_parents()
    }

    fn at_rest(&self) -> Result<(), String> {
        for (actor, &(role, at)) in self.actors.iter().enumerate() {
            let expected = role == Role::Waiter(INIT) || at == At::Done;
            if !expected {
                return Err(format!("I8: actor {actor}, {role:?}, is left {at:?}"));
            }
        }
        let clone_class =
            |child| !self.scenario.parent_exits && child < FIRST_CHILD + self.scenario.clone_class;
        match self.children().find(|&child| self.reports[child as usize] != u32::from(!clone_class(child))) {
            Some(child) => Err(format!("I6: {child} was reported {} times", self.reports[child as usize])),
            None => Ok(()),
        }
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        let links = |child: u32| {
            let links = &self.links[child as usize];
            let claimed = self.gates[child as usize].view().claimed;
            (links.parent(), links.is_zombie(), links.is_clone_class(), claimed, self.reports[child as usize])
        };
        (
            self.actors.iter().map(|&(_, at)| at).collect(),
            self.enlisted.to_vec(),
            self.children().map(links).collect(),
            self.deaths.clone(),
        )
    }
}

impl Families {
    /// I10, in every state: a child that is not reaped has a parent that has not ended and has it in its list.
    fn check_parents(&self) -> Result<(), String> {
        for child in self.children().filter(|&child| self.reports[child as usize] == 0) {
            let parent = self.links[child as usize].parent();
            let has = self.children_of[parent as usize].has(&Table(&self.links), parent, child);
            if !has || self.dead[parent as usize] {
                return Err(format!("I10: the parent of {child} is {parent}"));
            }
        }
        Ok(())
    }
}

/// Explores all schedules of `scenario` and asserts that no property is violated.
fn holds(scenario: Scenario) {
    let explored = explore(|| Families::new(scenario)).unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.states > 20 && explored.ends > 0, "hardly anything explored");
}

/// Asserts that the explorer finds a violation of `property` in `scenario`.
fn caught(property: &str, scenario: Scenario) {
    let found = explore(|| Families::new(scenario)).expect_err("the seeded bug was not found");
    println!("caught: {found}");
    assert!(found.starts_with(property), "another violation than the seeded one: {found}");
}

#[test]
fn r16_two_waiters_share_the_children() {
    holds(PLAIN);
    holds(Scenario { children: 1, ..PLAIN });
    holds(Scenario { children: 3, waiters: 3, ..PLAIN });
}

#[test]
fn r16_seeded_reaped_without_claim() {
    caught("I6", Scenario { bug: Bug::ReapWithoutClaim, ..PLAIN });
}

#[test]
fn r17_no_death_is_missed() {
    holds(Scenario { waiters: 1, children: 3, ..PLAIN });
}

#[test]
fn r17_seeded_scan_and_enlist_in_two_sections() {
    caught("I8", Scenario { bug: Bug::ScanThenEnlist, waiters: 1, ..PLAIN });
}

#[test]
fn r17_seeded_woken_before_ready() {
    caught("I8", Scenario { bug: Bug::WakeBeforeReady, waiters: 1, ..PLAIN });
}

/// Parent and children end in any order; the end of every child is reported once, to the process that is its parent
/// then.
#[test]
fn r19_parent_and_children_exit_together() {
    holds(Scenario { waiters: 0, children: 3, parent_exits: true, ..PLAIN });
    holds(Scenario { waiters: 1, parent_exits: true, ..PLAIN });
}

#[test]
fn r19_seeded_stale_parent() {
    caught("I6", Scenario { bug: Bug::StaleParent, waiters: 0, parent_exits: true, ..PLAIN });
}

#[test]
fn r19_seeded_adopter_not_told() {
    caught("I6", Scenario { bug: Bug::AdopterNotTold, waiters: 0, parent_exits: true, ..PLAIN });
}

/// T163: the waiter returns with ECHILD when the last child has gone. T164: it does not return before.
#[test]
fn r22_auto_reap_lets_the_waiter_go() {
    holds(Scenario { no_zombies: true, waiters: 1, children: 2, ..PLAIN });
    holds(Scenario { no_zombies: true, waiters: 2, children: 3, ..PLAIN });
}

#[test]
fn r22_seeded_auto_reap_tells_nobody() {
    caught("I8", Scenario { bug: Bug::AutoReapSilent, no_zombies: true, waiters: 1, ..PLAIN });
}

#[test]
fn r20_auto_reap_meets_parent_exit() {
    holds(Scenario { no_zombies: true, waiters: 0, children: 3, parent_exits: true, ..PLAIN });
}

#[test]
fn r20_seeded_auto_reap_with_a_stale_parent() {
    let scenario = Scenario { no_zombies: true, waiters: 0, parent_exits: true, ..PLAIN };
    caught("I10", Scenario { bug: Bug::AutoReapStaleParent, ..scenario });
}

/// T169: each orphan is the first of the list at the moment it is taken, even if others have gone since the last one.
#[test]
fn r21_orphans_are_taken_from_the_head() {
    holds(Scenario { no_zombies: true, waiters: 0, children: 3, parent_exits: true, ..PLAIN });
    holds(Scenario { waiters: 0, children: 3, parent_exits: true, ..PLAIN });
}

#[test]
fn r21_seeded_next_orphan_remembered() {
    let scenario = Scenario { no_zombies: true, waiters: 0, parent_exits: true, ..PLAIN };
    caught("I10", Scenario { bug: Bug::RememberedOrphan, ..scenario });
}

/// T170: a child spawned as init's is no child of the spawner: its waiter returns with ECHILD.
#[test]
fn an_unwaitable_child_is_inits() {
    holds(Scenario { unwaitable: 1, ..PLAIN });
    holds(Scenario { unwaitable: 2, parent_exits: true, ..PLAIN });
}

/// T123: such a child is not waited for, and does not prevent ECHILD. T161: after adoption it is of the normal class,
/// and reaped.
#[test]
fn clone_class_children() {
    holds(Scenario { clone_class: 1, ..PLAIN });
    holds(Scenario { clone_class: 2, waiters: 0, children: 3, parent_exits: true, ..PLAIN });
}
