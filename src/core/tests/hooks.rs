//! Model of R29: exits walk the registry of hooks, which may block, while others register and remove some. Explored
//! exhaustively on the real `Registry`.
//!
//! | race, requirements | test | seeded bug that must be caught |
//! |---|---|---|
//! | R29, T22, T182 | `r29_the_registry_changes_under_a_walk` | the walk keeps a position, not a place |
//!
//! Properties: an entry that is registered during a whole walk is called exactly once by it; none is called twice; one
//! that was removed before the walk began, and was not registered again, is not called.
#![cfg(not(loom))]

mod explore;

use asphodel_core::proc::hooks::{Place, Registry};
use explore::{World, explore};

/// Entries 1 and 2 are registered from the start; 1 is removed, 3 is registered, 1 is registered again.
const CHANGES: [(bool, u32); 3] = [(false, 1), (true, 3), (true, 1)];
const STAYS: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    RemembersPosition,
}

/// A walk: its position, and the entries it has called.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Walk {
    last: Option<Place>,
    position: usize,
    called: Vec<u32>,
    done: bool,
}

struct Hooks {
    bug: Bug,
    registry: Registry<u32, 4>,
    /// A copy of the registry, for the seeded bug.
    order: Vec<u32>,
    changes: usize,
    walks: [Walk; 2],
}

impl Hooks {
    fn new(bug: Bug) -> Self {
        let mut registry = Registry::new();
        for entry in [1, STAYS] {
            registry.add(0, entry).expect("there is room");
        }
        Self { bug, registry, order: vec![1, STAYS], changes: 0, walks: [Walk::default(), Walk::default()] }
    }

    fn change(&mut self) {
        let (comes, entry) = CHANGES[self.changes];
        if comes {
            self.registry.add(0, entry).expect("there is room");
            self.order.push(entry);
        } else {
            assert_eq!(self.registry.remove(&entry), 1);
            self.order.retain(|known| *known != entry);
        }
        self.changes += 1;
    }

    /// One search, and the call of the entry that it found.
    fn walk(&mut self, walker: usize) -> Result<(), String> {
        let walk = &mut self.walks[walker];
        let found = if self.bug == Bug::RemembersPosition {
            let found = self.order.get(walk.position).copied();
            walk.position += 1;
            found
        } else {
            self.registry.next(walk.last).map(|(place, entry)| {
                walk.last = Some(place);
                entry
            })
        };
        let Some(entry) = found else {
            walk.done = true;
            return if walk.called.contains(&STAYS) {
                Ok(())
            } else {
                Err("skipped: an entry that was always there".into())
            };
        };
        // 1 is registered again as another entry: it may be called once for each registration.
        if walk.called.contains(&entry) && entry != 1 {
            return Err(format!("twice: {entry}"));
        }
        walk.called.push(entry);
        Ok(())
    }
}

impl World for Hooks {
    type Fingerprint = (usize, [Walk; 2]);

    fn actors(&self) -> usize {
        3
    }

    fn can_step(&self, actor: usize) -> bool {
        match actor {
            2 => self.changes < CHANGES.len(),
            walker => !self.walks[walker].done,
        }
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        if actor == 2 {
            self.change();
            return Ok(());
        }
        self.walk(actor)
    }

    fn at_rest(&self) -> Result<(), String> {
        Ok(())
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        (self.changes, self.walks.clone())
    }
}

#[test]
fn r29_the_registry_changes_under_a_walk() {
    let explored = explore(|| Hooks::new(Bug::None)).unwrap_or_else(|what| panic!("{what}"));
    assert!(explored.states > 20 && explored.ends > 0, "hardly anything explored");
}

#[test]
fn r29_seeded_walk_remembers_a_position() {
    let found = explore(|| Hooks::new(Bug::RemembersPosition)).expect_err("the seeded bug was not found");
    assert!(found.starts_with("skipped") || found.starts_with("twice"), "{found}");
}
