//! A small exhaustive explorer: every interleaving of a few processes' atomic steps, sequentially consistent.
//!
//! The state under exploration need not be cloneable: a schedule is replayed from the start. States are told apart by
//! a fingerprint that the world gives; a state that was reached before by another schedule is not explored again.

use std::collections::HashSet;
use std::hash::Hash;

/// What is explored: a world with a fixed number of actors, each of which does one atomic step at a time.
pub(crate) trait World {
    /// All that decides about the future, for telling states apart.
    type Fingerprint: Eq + Hash;

    /// Number of actors.
    fn actors(&self) -> usize;
    /// Whether `actor` can do a step: it is neither asleep nor finished.
    fn can_step(&self, actor: usize) -> bool;
    /// Does the next step of `actor`.
    ///
    /// # Errors
    /// Which property is violated.
    fn step(&mut self, actor: usize) -> Result<(), String>;
    /// Called where nobody can do a step.
    ///
    /// # Errors
    /// Which property is violated.
    fn at_rest(&self) -> Result<(), String>;
    /// The state as it is now.
    fn fingerprint(&self) -> Self::Fingerprint;
}

/// What an exploration without a violation has seen.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// Different states.
    pub(crate) states: usize,
    /// Different states in which nobody can do a step.
    pub(crate) ends: usize,
}

/// Explores all schedules from the state that `make` makes.
///
/// # Errors
/// The violated property, and the schedule that leads there.
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

/// The world after `schedule`, none of whose steps violates a property.
fn replay<W: World>(make: &impl Fn() -> W, schedule: &[usize]) -> W {
    let mut world = make();
    for &actor in schedule {
        world.step(actor).expect("this schedule was good before");
    }
    world
}
