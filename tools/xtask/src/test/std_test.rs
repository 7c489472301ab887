//! `std test` with tests that end their program: it names the test, and has the words of its panic with file and line.

use std::process::Output;
use std::time::Instant;

use super::itself;
use super::report::{Case, Suite};
use super::runner;
use crate::machine::Machine;
use crate::workspace::Workspace;

/// The name of the suite.
pub(super) const NAME: &str = "std_test";
/// The machine.
pub(super) const MACHINE: Machine = Machine::Virt;

/// The exit status after a failed test, as of cargo.
const FAILED: i32 = 101;

/// A file of `tests/std/tests`, and what must be printed of it, in that order.
struct Dying {
    file: &'static str,
    says: &'static [&'static str],
}

const DYING: [Dying; 2] = [
    Dying {
        file: "panics",
        says: &[
            "error: panics: it ended with status 134",
            "       it died in the test it_panics:\n           printed before it\n           thread 'it_panics'",
            "panicked at tests/panics.rs:11:5:\n           assertion `left == right` failed: sums are wrong\n",
            "             left: 2\n            right: 3\n       all that the system said: ",
        ],
    },
    Dying {
        file: "leaves",
        says: &[
            "error: leaves: it ended before its tests did",
            "       it died in the test it_leaves:\n       all that the system said: ",
        ],
    },
];

/// Runs `std test` with each of the files.
///
/// # Errors
/// Fails when it cannot be started.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Suite> {
    let (started, mut console, mut cases) = (Instant::now(), String::new(), Vec::new());
    for Dying { file, says } in DYING {
        let words = ["std", "test", "--release", "--manifest-path", "tests/std/Cargo.toml", "--test", file];
        let ran = itself::run(workspace, &words, "")?;
        console.push_str(&itself::said(&ran));
        cases.push(Case::of(file, verdict(&ran, says)));
    }
    let suite = Suite {
        name: format!("{NAME} on {MACHINE}"),
        machine: MACHINE.to_string(),
        cases,
        console,
        took: started.elapsed(),
        ..Suite::default()
    };
    runner::conclude(workspace, suite)
}

/// Checks that the command failed and printed these, in that order.
fn verdict(ran: &Output, says: &[&str]) -> Result<(), String> {
    let said = String::from_utf8_lossy(&ran.stdout);
    let mut rest = &*said;
    for part in says {
        let Some((_, behind)) = rest.split_once(part) else {
            return Err(format!("it does not say {part:?}"));
        };
        rest = behind;
    }
    match ran.status.code() {
        Some(FAILED) => Ok(()),
        status => Err(format!("it ended with {status:?}")),
    }
}
