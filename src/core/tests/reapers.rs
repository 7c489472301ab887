//! Model of nested reapers: a parent, the reaper above it and the one above that end, or release the role, in any
//! order; explored exhaustively on the real `Domain` and `Children`.
//!
//! | races, requirements | test | seeded bug that must be caught |
//! |---|---|---|
//! | R19, R20, T172, T173 | `orphans_find_the_nearest_living_reaper` | the adopter's role is read before its lock is taken |
//! | R19, T172 | `orphans_find_the_nearest_living_reaper` | an exiting reaper does not close its domain |
//!
//! Properties: I10 (no running process is the child of an ended one), T173 (a process that has released the role adopts
//! none).
#![cfg(not(loom))]

mod explore;

use asphodel_core::id::Pid;
use asphodel_core::proc::domain::{Domain, Domains, of_child};
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable};
use explore::{World, explore};

const INIT: u32 = 1;
const OUTER: u32 = 2;
const INNER: u32 = 3;
const PARENT: u32 = 4;
const CHILD: u32 = 5;
const SLOTS: usize = 6;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    LooksBeforeLocking,
    NotClosed,
}

/// The action of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Lives,
    /// It ends: it is about to give its children to this one, or to find that it has none.
    GivesTo(u32),
    /// (seeded) It has seen that this one adopts, and gives it its children without another check.
    GivesBlindly(u32),
    Dead,
}

struct Records {
    links: [FamilyLinks; SLOTS],
    domains: [Domain; SLOTS],
}

impl FamilyTable for Records {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.links.get(slot as usize)
    }
}

impl Domains for Records {
    fn domain(&self, slot: u32) -> &Domain {
        &self.domains[slot as usize]
    }
}

struct Tree {
    bug: Bug,
    records: Records,
    children_of: [Children; SLOTS],
    at: [At; SLOTS],
    /// `true` if the inner reaper may release the role, and has.
    may_release: bool,
    released: bool,
}

impl Tree {
    fn new(bug: Bug, may_release: bool) -> Self {
        let records = Records {
            links: core::array::from_fn(|_| FamilyLinks::new()),
            domains: core::array::from_fn(|_| Domain::new()),
        };
        let mut tree = Self {
            bug,
            records,
            children_of: core::array::from_fn(|_| Children::new()),
            at: [At::Lives; SLOTS],
            may_release,
            released: false,
        };
        tree.records.domains[INIT as usize].enter(INIT, Pid::INIT);
        tree.records.domains[INIT as usize].acquire().expect("it is new");
        for slot in OUTER..=CHILD {
            let pid = Pid::new(slot, 0);
            let (outer, branch) = of_child(&tree.records, slot - 1, pid);
            tree.records.domains[slot as usize].enter(outer, branch);
            tree.records.links[slot as usize].init(pid, pid, false);
            tree.children_of[slot as usize - 1].add(&tree.records, slot - 1, slot);
            if slot < PARENT {
                tree.records.domains[slot as usize].acquire().expect("it is new");
            }
        }
        tree
    }

    /// A section under the locks of the exiting process's child list and the adopter's.
    fn give(&mut self, me: u32, reaper: u32, looks: bool) -> At {
        if self.children_of[me as usize].is_empty() {
            if self.bug != Bug::NotClosed {
                self.records.domains[me as usize].close();
            }
            return At::Dead;
        }
        if looks && !self.records.domains[reaper as usize].adopts() {
            return At::GivesTo(self.records.domains[reaper as usize].outer());
        }
        assert!(reaper < me, "lock order: the younger child list first");
        let (older, younger) = self.children_of.split_at_mut(me as usize);
        let _moved = younger[0].give_away(&self.records, &mut older[reaper as usize], reaper, 1, |_| ());
        At::GivesTo(reaper)
    }

    fn next(&mut self, me: u32) -> At {
        match self.at[me as usize] {
            At::Lives => At::GivesTo(self.records.domains[me as usize].outer()),
            At::GivesTo(reaper)
                if self.bug == Bug::LooksBeforeLocking && !self.children_of[me as usize].is_empty() =>
            {
                if self.records.domains[reaper as usize].adopts() {
                    At::GivesBlindly(reaper)
                } else {
                    At::GivesTo(self.records.domains[reaper as usize].outer())
                }
            }
            At::GivesTo(reaper) => self.give(me, reaper, true),
            At::GivesBlindly(reaper) => self.give(me, reaper, false),
            At::Dead => unreachable!("it does no step"),
        }
    }
}

impl World for Tree {
    type Fingerprint = ([At; SLOTS], bool, Vec<u32>);

    /// The processes that end, from `OUTER` to `PARENT`, and the release of the role.
    fn actors(&self) -> usize {
        4
    }

    fn can_step(&self, actor: usize) -> bool {
        match actor {
            3 => self.may_release && !self.released && self.at[INNER as usize] == At::Lives,
            actor => self.at[actor + OUTER as usize] != At::Dead,
        }
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        if actor == 3 {
            self.records.domains[INNER as usize].release().expect("it has the role");
            self.released = true;
        } else {
            let me = actor as u32 + OUTER;
            self.at[me as usize] = self.next(me);
        }
        for slot in OUTER..=CHILD {
            let parent = self.records.links[slot as usize].parent();
            if self.at[parent as usize] == At::Dead && self.at[slot as usize] != At::Dead {
                return Err(format!("I10: {slot} is the child of the dead {parent}"));
            }
        }
        Ok(())
    }

    fn at_rest(&self) -> Result<(), String> {
        match self.records.links[CHILD as usize].parent() {
            INIT => Ok(()),
            parent => Err(format!("I10: at last the orphan is {parent}'s")),
        }
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        (
            self.at,
            self.released,
            (OUTER..=CHILD).map(|slot| self.records.links[slot as usize].parent()).collect(),
        )
    }
}

#[test]
fn orphans_find_the_nearest_living_reaper() {
    for may_release in [false, true] {
        let explored = explore(|| Tree::new(Bug::None, may_release)).unwrap_or_else(|what| panic!("{what}"));
        assert!(explored.states > 20 && explored.ends > 0, "hardly anything explored");
    }
}

fn caught(bug: Bug) {
    let found = explore(|| Tree::new(bug, false)).expect_err("the seeded bug was not found");
    assert!(found.starts_with("I10"), "another violation than the seeded one: {found}");
}

#[test]
fn r19_seeded_role_looked_at_before_locking() {
    caught(Bug::LooksBeforeLocking);
}

#[test]
fn r19_seeded_domain_not_closed() {
    caught(Bug::NotClosed);
}
