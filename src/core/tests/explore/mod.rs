//! A small exhaustive explorer: every interleaving of a few processes' atomic steps, sequentially consistent.
//!
//! The state under exploration need not be cloneable, because a schedule is replayed from the start. States are
//! distinguished by a fingerprint that the world returns; a state that another schedule has already reached is not
//! explored again.

use std::collections::HashSet;
use std::hash::Hash;

/// The subject of an exploration: a world with a fixed number of actors, each of which does one atomic step at a time.
pub(crate) trait World {
    /// Returns all that determines the future, to distinguish states.
    type Fingerprint: Eq + Hash;

    /// Returns the number of actors.
    fn actors(&self) -> usize;
    /// Returns whether `actor` can do a step: it is neither asleep nor finished.
    fn can_step(&self, actor: usize) -> bool;
    /// Does the next step of `actor`.
    ///
    /// # Errors
    /// Returns the property that the step violates.
    fn step(&mut self, actor: usize) -> Result<(), String>;
    /// Called in a state in which no actor can do a step.
    ///
    /// # Errors
    /// Returns the property that the state violates.
    fn at_rest(&self) -> Result<(), String>;
    /// Returns the state as it is now.
    fn fingerprint(&self) -> Self::Fingerprint;
}

/// The result of an exploration without a violation.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// The number of different states.
    pub(crate) states: usize,
    /// The number of different states in which no actor can do a step.
    pub(crate) ends: usize,
}

/// Explores all schedules from the state that `make` makes.
///
/// # Errors
/// Returns the violated property, and the schedule that leads there.
pub(crate) fn explore<W: World>(make: impl Fn() -> W) -> Result<Explored, String> {
    let mut seen = HashSet::from([make().fingerprint()]);
    let mut explored = Explored { states: 1, ends: 0 };
    let mut open = vec![Vec::new()];
    while let Some(schedule) = open.pop() {
        let enabled = enabled(&replay(&make, &schedule));
        if enabled.is_empty() {
            explored.ends += 1;
            replay(&make, &schedule).at_rest().map_err(|what| format!("{what} after {schedule:?}"))?;
        }
        for actor in enabled {
            let mut world = replay(&make, &schedule);
            let longer = [schedule.as_slice(), &[actor]].concat();
            world.step(actor).map_err(|what| format!("{what} after {longer:?}"))?;
            if seen.insert(world.fingerprint()) {
                explored.states += 1;
                open.push(longer);
            }
        }
    }
    Ok(explored)
}

fn enabled<W: World>(world: &W) -> Vec<usize> {
    (0..world.actors()).filter(|&actor| world.can_step(actor)).collect()
}

/// Returns the world after `schedule`, none of whose steps violates a property.
fn replay<W: World>(make: &impl Fn() -> W, schedule: &[usize]) -> W {
    let mut world = make();
    for &actor in schedule {
        world.step(actor).expect("this schedule was good before");
    }
    world
}
