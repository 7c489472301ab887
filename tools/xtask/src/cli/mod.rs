//! The command line: what can be asked for, in the words of `--help`.
//!
//! Here is what boots and builds; `test` has the tests, `evidence` what is measured and proved, `media` images on their way to
//! boards and farms.

mod evidence;
mod media;
mod test;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::evidence::{Bench, Conformance, Explore, Mutants};
pub(crate) use self::media::{Image, Lab, Sdcard, Send};
pub(crate) use self::test::Test;
use crate::machine::Machine;
use crate::programs::Std;

/// The environment variable by which a project of its own names its manifest.
const MANIFEST: &str = "ASPHODEL_MANIFEST";

/// The host side of Asphodel: set-up, build, run, test, bench, CI.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands. Each does the set-up it needs first.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boot the default image in QEMU, the terminal attached to its console
    Run(Run),
    /// Run everything that is tested: host tests, loom models, test images on every machine
    Test(Test),
    /// Build programs for Rust's `std`, unmodified, and run or test them on Asphodel
    Std(Std),
    /// Measure the operations of the kernel in instructions, beside the figures of other systems
    Bench(Bench),
    /// Show every requirement, race, invariant, defect and case, with the tests that show it and their last result
    Conformance(Conformance),
    /// Explore the exit subsystem on the host: random schedules of the real decisions, every invariant checked
    Explore(Explore),
    /// Show every bug that is seeded into a model, and whether the model catches it
    Mutants(Mutants),
    /// Run test images in a test farm: on the emulators and boards that labgrid manages
    Lab(Lab),
    /// Write the flat kernel8.img that boots everywhere, and the ELF with its symbols
    Image(Image),
    /// Send an image over a serial line to a board that boots the chain loader, and show what it says
    Send(Send),
    /// Make a card that a Raspberry Pi 4 boots from
    Sdcard(Sdcard),
    /// Make a project of your own outside this repository, with a program and its tests
    New(New),
    /// Install what building and running needs, and say what was installed
    Setup(Setup),
    /// What CI runs: formatting, lints, documentation, all tests, a short bench
    Ci(Ci),
}

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = RUN_HELP)]
pub(crate) struct Run {
    /// The machine to emulate
    #[arg(long, value_enum, default_value_t = Machine::Virt)]
    pub(crate) machine: Machine,
    /// CPUs of the machine (raspi4b always has 4)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// Memory of the machine, as QEMU writes it (raspi4b always has 2G)
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub(crate) memory: String,
    /// Wait for a debugger before the first instruction, and print the line to type
    #[arg(long)]
    pub(crate) gdb: bool,
    /// End the machine after this many seconds (that is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Boot arguments, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// A device tree to pass instead of the machine's own (raspi4b has none of its own)
    #[arg(long, value_name = "FILE")]
    pub(crate) dtb: Option<PathBuf>,
    /// Deterministic execution: one instruction is one nanosecond of virtual time
    #[arg(long)]
    pub(crate) icount: bool,
    /// Which image is booted
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Words for the first process, which follow ` -- ` in the boot arguments; the default image runs the program that the first
    /// one names, instead of the console, and ends with its status
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const RUN_HELP: &str = "\
With a terminal as standard input every key goes to the guest (^C too); Ctrl-A X ends the machine.
With a pipe its bytes are typed once the guest listens:
    printf 'storm 10000\\npoweroff\\n' | cargo xtask run
The exit status is the one that the guest powers off with; a guest that ends without one is a failure.";

/// The choice of one image.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Choice {
    /// The package of the image [default: asphodel-init]
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) package: Option<String>,
    /// The binary of that package [default: the package's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Option<String>,
    /// The manifest of another crate that has the image
    #[arg(long, value_name = "CARGO_TOML", env = MANIFEST)]
    pub(crate) manifest_path: Option<PathBuf>,
}

/// Arguments of `new`.
#[derive(Args, Debug)]
pub(crate) struct New {
    /// Where it is made; the last component is its name
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,
    /// A program for Rust's `std`, instead of one that is linked with the kernel
    #[arg(long)]
    pub(crate) std: bool,
}

/// Arguments of `setup`.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// Install nothing: say what is there, and fail when something is missing
    #[arg(long)]
    pub(crate) check: bool,
}

/// Arguments of `ci`.
#[derive(Args, Debug, Default)]
pub(crate) struct Ci {
    /// Only the steps that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_after_two_dashes_are_the_programs() {
        let cli = Cli::parse_from(["cargo xtask", "run", "--cpus", "2", "--", "storm", "--fast"]);
        let Command::Run(run) = cli.command else { panic!("another command") };
        assert_eq!(run.cpus, 2);
        assert_eq!(run.words, ["storm", "--fast"]);
    }
}
