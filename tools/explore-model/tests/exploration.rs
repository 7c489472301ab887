//! The explorer itself: it finds every seeded bug, says nothing without one, and does the same thing twice.

use asphodel_explore_model::{Bug, Config, Run, explore};

/// Steps in which each seeded bug must be found.
const BOUND: u64 = 400_000;

fn run(
    config: Config,
    steps: u64,
) -> Result<asphodel_explore_model::Progress, Box<asphodel_explore_model::Failure>> {
    explore(Run { config, steps }, |_| true)
}

/// A bug, where it is found, and the invariants that say so.
struct Case(Bug, u64, &'static [&'static str]);

const CASES: &[Case] = &[
    Case(Bug::StackFreedByLeaver, 1, &["I4"]),
    Case(Bug::ResidueOnQueue, 1, &["I4", "assertion"]),
    Case(Bug::ElectionInTwoSteps, 1, &["I1"]),
    Case(Bug::LeaveInTwoSteps, 14, &["I3", "I6", "I13"]),
    Case(Bug::CountedThenListed, 1, &["I13"]),
    Case(Bug::WokenThenKilled, 1, &["I13"]),
    Case(Bug::ExitOwnerLooksThenQueues, 1, &["I13"]),
    Case(Bug::WakerWithoutRef, 143, &["I5"]),
    Case(Bug::ZombieBeforeSwitch, 1, &["I2"]),
    Case(Bug::ReapWithoutClaim, 1, &["I6", "I11", "I12"]),
    Case(Bug::ScanThenEnlist, 1, &["I8"]),
    Case(Bug::WakeBeforeReady, 1, &["I8"]),
    Case(Bug::StaleParent, 4, &["I10", "I13", "assertion"]),
    Case(Bug::AdopterNotTold, 1, &["I8"]),
    Case(Bug::ParentHeldLate, 76, &["I12"]),
    Case(Bug::AutoReapSilent, 1, &["I8"]),
    Case(Bug::CountedLate, 45, &["I11"]),
    Case(Bug::DeadReaperAdopts, 1, &["I10", "I5"]),
    Case(Bug::VforkParentNotWoken, 1, &["I8"]),
    Case(Bug::GroupLeftOpen, 1, &["I13", "T74"]),
    Case(Bug::PeersNotAwaited, 1, &["T74"]),
    Case(Bug::LeaderNotWoken, 1, &["I13"]),
    Case(Bug::FateNotShared, 3, &["T175"]),
    Case(Bug::GroupSignalNotRechecked, 1, &["T175"]),
    Case(Bug::HooksBeforeElection, 1, &["I1", "I3", "I9"]),
    Case(Bug::DisownBeforeAlone, 1, &["I10", "I8"]),
    Case(Bug::HandleWithoutRef, 1, &["I12"]),
    Case(Bug::FreedWhileHeld, 1, &["I5"]),
    Case(Bug::WordBeforeSwitch, 1, &["I4"]),
    Case(Bug::ProcessRefFirst, 1, &["I5"]),
    Case(Bug::FoldedTwice, 1, &["I11"]),
    Case(Bug::FoldedLate, 1, &["I11"]),
];

/// The world in which `bug` is looked for, with it.
fn config(seed: u64, bug: Bug) -> Config {
    Config::new(seed).with_bug(bug)
}

/// Each race without its interlock: R2, R4, R5, R6, R7, R8, R12, R13, R14, R16, R17, R19, R22, R23, R28, R30, R31, R37,
/// R39, R43, R44, R45; and T175, for subtrees and groups.
#[test]
fn seeded_bugs_are_found() {
    for &Case(bug, seed, invariants) in CASES {
        let failure = run(config(seed, bug), BOUND).expect_err(&format!("{bug:?} was not found"));
        println!("{bug:?}: {} at step {}: {}", failure.invariant, failure.step, failure.what);
        let expected = invariants.contains(&failure.invariant.as_str());
        assert!(expected, "{bug:?} shows itself as {}: {}", failure.invariant, failure.what);
        assert!(failure.events.len() > 10, "{bug:?}: the last events are told");
    }
}

/// The same seeds, the same steps, and no bug.
#[test]
fn without_a_bug_nothing_is_found() {
    for &Case(bug, seed, _) in CASES {
        let found = run(config(seed, bug), BOUND).expect_err("it has been found");
        let clean = run(Config { bug: None, ..found.config }, found.step + 20_000);
        assert!(clean.is_ok(), "{}", clean.expect_err("it is not"));
    }
}

/// A failure is found again by what its report says.
#[test]
fn a_failure_replays() {
    let Case(bug, seed, _) = CASES[0];
    let first = run(config(seed, bug), BOUND).expect_err("it has been found");
    let again = run(first.config, first.step).expect_err("it is found again");
    assert_eq!((&first.what, first.step, &first.events), (&again.what, again.step, &again.events));
    assert!(first.replay().contains(&format!("--seed {seed} --steps {}", first.step)));
}

#[test]
fn a_seed_decides_about_everything() {
    let hash = |seed| run(Config::new(seed), 60_000).expect("there is no bug").hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

/// T192: lives begin and end, I1, I2, I3, I4, I5, I6, I8, I9, I10, I11, I12 and I13 hold after each step, and the world
/// comes to rest now and then with nothing left.
#[test]
fn the_world_lives() {
    let seen = run(Config::new(3), 400_000).expect("there is no bug");
    assert!(seen.lives > 300 && seen.lwps > 2 * seen.lives && seen.calms >= 2, "{seen:?}");
    assert!(seen.reports <= seen.lives && seen.checks > seen.steps / 2, "{seen:?}");
}
