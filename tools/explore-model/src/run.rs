//! A run: steps, checks after each, and a rest every now and then.

use std::panic::{self, AssertUnwindSafe};

use crate::config::Config;
use crate::invariants::{self, Checker};
use crate::machine::{Machine, Stepped};
use crate::report::{Failure, Progress};
use crate::world::{Violation, World};

/// Steps between two looks at everything.
const FULL: u64 = 4_096;
/// Steps from one rest to the next.
const EPOCH: u64 = 150_000;
/// Steps in which the world must come to rest.
const CALM: u64 = 2_000_000;
/// Events that are told with a failure.
const TOLD: usize = 60;
/// Steps between two calls of the caller.
const TURN: u64 = 1 << 16;

/// How far a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The world.
    pub config: Config,
    /// Steps to do; the run ends with the first check after them.
    pub steps: u64,
}

/// Explores. `goes_on` is called every now and then with what has been seen, and ends the run by saying no.
///
/// # Errors
/// The first violation of an invariant; a failed assertion of the decisions is one, too.
pub fn explore(run: Run, mut goes_on: impl FnMut(Progress) -> bool) -> Result<Progress, Box<Failure>> {
    let world = World::new(run.config);
    // Whatever a panic has left is looked at only to tell of it.
    let result = panic::catch_unwind(AssertUnwindSafe(|| drive(&world, run.steps, &mut goes_on)));
    if let Err(panicked) = result {
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panicked.downcast_ref::<&str>().copied()).unwrap_or("no message").to_string();
        world.violate("assertion", text);
    }
    match world.violation() {
        None => Ok(progress(&world)),
        Some(violation) => Err(Box::new(failure(&world, violation))),
    }
}

fn drive(w: &World, steps: u64, goes_on: &mut impl FnMut(Progress) -> bool) {
    let mut machine = Machine::new(w);
    let mut checker = Checker::default();
    let (mut full_at, mut turn_at, mut calm_at) = (FULL, TURN, EPOCH);
    while w.steps.get() < steps && !w.is_violated() {
        let stepped = machine.step();
        checker.after_step(w);
        let now = w.steps.get();
        if now >= full_at {
            full_at = now + FULL;
            invariants::everything(w);
        }
        if w.calm.get() {
            w.expect(now < calm_at + CALM, "I13", || "the world does not come to rest".into());
            if w.settled.get() && is_still(w) {
                w.settled.set(false);
                invariants::at_rest(w);
                w.counts.calms.set(w.counts.calms.get() + 1);
                w.calm.set(false);
                calm_at = now + EPOCH;
            }
        } else if now >= calm_at {
            w.calm.set(true);
        }
        if stepped == Stepped::AtRest {
            w.violate("I13", "everybody sleeps, and nobody will wake anybody".into());
        }
        if now >= turn_at {
            turn_at = now + TURN;
            if !goes_on(progress(w)) {
                return;
            }
        }
    }
}

/// Whether no CPU has anything to do now.
fn is_still(w: &World) -> bool {
    w.cpus.iter().all(|cpu| cpu.waits_for_interrupt.get() && !cpu.is_interrupted(w))
}

fn progress(w: &World) -> Progress {
    let counts = &w.counts;
    Progress {
        steps: w.steps.get(),
        lives: counts.lives.get(),
        lwps: counts.lwps.get(),
        reports: counts.reports.get(),
        checks: counts.checks.get(),
        calms: counts.calms.get(),
        hash: w.log.borrow().hash(),
    }
}

fn failure(w: &World, violation: Violation) -> Failure {
    Failure {
        config: w.config,
        invariant: violation.invariant.to_string(),
        what: violation.what,
        step: w.steps.get(),
        events: w.log.borrow().last(TOLD),
    }
}
