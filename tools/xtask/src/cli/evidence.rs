//! The arguments of what is measured, held against a specification, explored, and broken on purpose.

use std::path::PathBuf;

use clap::Args;

use crate::conformance::Kind;

/// Arguments of `bench`.
#[derive(Args, Debug, Default)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct Bench {
    /// Write the figures as a JSON list of {name, cpus, value, unit, at_most, held_to, verdict}
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Only images and figures that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    /// A smoke run: few rounds, the figures are not judged
    #[arg(long)]
    pub(crate) quick: bool,
    /// Fail when a figure is over its bar
    #[arg(long, conflicts_with = "quick")]
    pub(crate) check: bool,
    /// Measure std's operations on Linux, too: the same source in the same emulator
    #[arg(long)]
    pub(crate) linux: bool,
    /// Seconds that one image may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

const BENCH_HELP: &str = "\
Runs under QEMU's instruction counter: one instruction is one nanosecond of virtual time, summed over all
CPUs, so the figures are the same on any host. Cache, TLB and barrier costs are not in them.

What stands in the column of Linux is on record; with --linux it is measured anew for the figures of std. Its kernel and
C library come from Debian's packages, unpacked below target, not installed.

process.spawn_exit_wait has every CPU busy with a parent of its own; with more than one CPU it may cost at most
1.15 times what it costs with one.";

/// Arguments of `conformance`.
#[derive(Args, Debug, Default)]
#[command(after_help = CONFORMANCE_HELP)]
pub(crate) struct Conformance {
    /// Only numbers that stand so
    #[arg(long, value_enum)]
    pub(crate) only: Option<Kind>,
    /// Only this number, such as T16 or A-h07
    #[arg(long, value_name = "NUMBER")]
    pub(crate) number: Option<String>,
    /// Write the whole table as a JSON list of {number, statement, source, standing, why, tests}
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const CONFORMANCE_HELP: &str = "\
A test claims the numbers that its name begins with (`t16_..`, `r05_t16_..`, `a_h07_..`), those of its doc comment, and
those of a row of its file's `//!` table that names it; the rest of a test file's `//!` lines claim for all its tests.
What a paragraph says that begins with `not shown:` does not count. Requirements, their sources, and the reasons for those
without a test stand in tests/requirements.toml. Results are those of the last `cargo xtask test` of each test on each
machine.
Ends with the line `N shown, N reasoned, N open, N missing`, and fails when anything is missing or contradicts itself.";

/// Arguments of `explore`, which are those of the explorer itself: `cargo xtask explore --help` tells them.
#[derive(Args, Debug, Default)]
#[command(disable_help_flag = true)]
pub(crate) struct Explore {
    /// --seed S, --steps N, --seconds T, --cpus, --processes, --lwps, --bug
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<String>,
}

/// Arguments of `mutants`.
#[derive(Args, Debug)]
#[command(after_help = MUTANTS_HELP)]
pub(crate) struct Mutants {
    /// Change the code itself instead, one place at a time, in a copy: tests and models must notice (takes minutes)
    #[arg(long)]
    pub(crate) edits: bool,
    /// Only edits that have PATTERN in their description
    #[arg(long, value_name = "PATTERN", requires = "edits")]
    pub(crate) filter: Option<String>,
}

const MUTANTS_HELP: &str = "\
Ends with the line `N caught, N missed`. A race that must not happen here and has no seeded bug is a failure, too.";
