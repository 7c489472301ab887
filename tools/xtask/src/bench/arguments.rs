//! The command line of `bench`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `bench`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
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

const HELP: &str = "\
Runs under QEMU's instruction counter: one instruction is one nanosecond of virtual time, summed over all
CPUs, so the figures are the same on any host. Cache, TLB and barrier costs are not in them.

The column of Linux has recorded figures; with --linux those of std are measured again. Its kernel and
C library come from Debian's packages, unpacked below target, not installed.

process.spawn_exit_wait has every CPU busy with a parent of its own; with more than one CPU it may cost at most
1.15 times what it costs with one.

masked.longest is the longest section with interrupts masked of all images with as many CPUs, boot and
power-off left out; below the table stands where it was. Every section of a run is in target/xtask/masked.
The rows storm.* are rounds of the workloads of `cargo xtask explore`.";
