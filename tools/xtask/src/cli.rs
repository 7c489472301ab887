//! The command line: what can be asked for, in the words of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::build::Profile;
use crate::conformance::Kind;
use crate::machine::Machine;
use crate::programs::Std;
use crate::sdcard::disk;
use crate::test::seeds::{Manner, Seeds, Sweep};

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

/// Arguments of `test`.
#[derive(Args, Debug, Default)]
#[command(after_help = TEST_HELP)]
pub(crate) struct Test {
    /// A machine to test on; may be repeated [default: virt with 1 and 4 CPUs, virt-gicv3, raspi4b]
    #[arg(long, value_enum, value_name = "MACHINE")]
    pub(crate) machine: Vec<Machine>,
    /// CPUs of each machine (raspi4b always has 4)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
    /// Only what has PATTERN in its name; IMAGE/TEST picks tests inside images
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Seconds that one image may take on one machine [default: 60, or what the image declares]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Wait for a debugger: needs a --filter that leaves one image, and one --machine
    #[arg(long)]
    pub(crate) gdb: bool,
    /// Run the test images of another project: the binaries of this package, or of all packages of its workspace, that depend
    /// on asphodel-test
    #[arg(long, value_name = "CARGO_TOML", env = MANIFEST)]
    pub(crate) manifest_path: Option<PathBuf>,
    /// Boot arguments for every image, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Build the images as they are shipped, the kernel and a program as one unit: takes several times as long
    #[arg(long)]
    pub(crate) release: bool,
    /// Deterministic execution: one instruction is one nanosecond of virtual time
    #[arg(long)]
    pub(crate) icount: bool,
    /// Boot the races with each of these seeds (`0..20`, `0..=19`), or what --filter leaves; on virt with 4 CPUs
    #[arg(long, value_name = "A..B", conflicts_with_all = ["seed", "soak", "gdb"])]
    pub(crate) seeds: Option<Seeds>,
    /// Boot with this seed and show the console: the same, byte for byte, each time
    #[arg(long, value_name = "N", conflicts_with_all = ["soak", "gdb"])]
    pub(crate) seed: Option<u64>,
    /// Boot twice with the seed, and fail when the consoles differ
    #[arg(long, requires = "seed")]
    pub(crate) twice: bool,
    /// The long runs that images declare, with progress; on virt and raspi4b with 4 CPUs
    #[arg(long, conflicts_with = "gdb")]
    pub(crate) soak: bool,
    /// Run the images on a board that boots the chain loader, over this serial device
    #[arg(long, value_name = "SERIAL", conflicts_with_all = ["machine", "cpus", "seeds", "seed", "soak", "gdb", "icount"])]
    pub(crate) board: Option<PathBuf>,
    /// Speed of the board's serial line while images are sent, in bits per second; it is 115200 otherwise
    #[arg(long, value_name = "N", default_value_t = 115_200, requires = "board")]
    pub(crate) baud: u32,
    /// Command that turns the board off and on: run when it does not answer, as after an image that hangs
    #[arg(long, value_name = "CMD", requires = "board")]
    pub(crate) power_cmd: Option<String>,
    /// Emulators that run at the same time [default: 2, or 1 on a machine with one CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Say what would run, and run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

impl Test {
    /// How the images are compiled.
    pub(crate) fn profile(&self) -> Profile {
        if self.release { Profile::Release } else { Profile::Images }
    }
}

impl Test {
    /// The seeded boots that are asked for.
    pub(crate) fn sweep(&self) -> Option<Sweep> {
        let replay = if self.twice { Manner::ReplayTwice } else { Manner::Replay };
        match (&self.seeds, self.seed) {
            (Some(seeds), _) => Some(Sweep { seeds: seeds.clone(), manner: Manner::Sweep }),
            (None, Some(seed)) => Some(Sweep { seeds: Seeds::one(seed), manner: replay }),
            (None, None) => None,
        }
    }
}

const TEST_HELP: &str = "\
Ends with the line `N passed, N failed`: each host test is one, each test of an image is one on each machine.
The console of what failed is shown, addresses turned into function, file and line.
Seeded boots run under the instruction clock, where the kernel's `seed=N` decides every turn of the CPUs: a seed that
fails is printed with the line that replays it, and the first seed of each image must replay.";

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
    /// Write the whole table as a JSON list of {number, statement, standing, why, tests}
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const CONFORMANCE_HELP: &str = "\
A test claims the numbers that its name begins with (`t16_..`, `r05_t16_..`, `a_h07_..`), those of its doc comment, and
those of a row of its file's `//!` table that names it; the rest of a test file's `//!` lines claim for all its tests.
What a paragraph says that begins with `not shown:` does not count. Reasons stand in ARCHITECTURE.md. Results are those
of the last `cargo xtask test` of each test on each machine.
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

/// Arguments of `ci`.
#[derive(Args, Debug, Default)]
pub(crate) struct Ci {
    /// Only the steps that have PATTERN in their name
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
}

/// Arguments of `image`.
#[derive(Args, Debug)]
#[command(after_help = IMAGE_HELP)]
pub(crate) struct Image {
    /// Where kernel8.img and the ELF are written
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Write all test images instead, with manifest.json
    #[arg(long, conflicts_with_all = ["package", "bin", "manifest_path"])]
    pub(crate) tests: bool,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", requires = "tests")]
    pub(crate) filter: Option<String>,
    /// Which image is written
    #[command(flatten)]
    pub(crate) choice: Choice,
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

const IMAGE_HELP: &str = "\
manifest.json is a list of {name, file, append, expect, deadline}: the flat image's file beside it, the boot arguments that
it needs, what is to come of it (the words of its `expect:` lines: `fail NAME`, `no-verdict`, ..; empty when all its tests
are to pass), and the seconds that it may take. Every image boots on every machine.";

/// Arguments of `send`.
#[derive(Args, Debug)]
#[command(after_help = SEND_HELP)]
pub(crate) struct Send {
    /// The serial device, or a pseudo-terminal
    #[arg(long, value_name = "DEVICE")]
    pub(crate) serial: PathBuf,
    /// Speed of the line while the image is sent, in bits per second; it is 115200 otherwise
    #[arg(long, value_name = "N", default_value_t = 115_200)]
    pub(crate) baud: u32,
    /// Boot arguments that are written into the image, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Command that turns the board off and on: run once when no loader answers
    #[arg(long, value_name = "CMD")]
    pub(crate) power_cmd: Option<String>,
    /// Seconds that the loader may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) wait: u64,
    /// Seconds that the image may take once it is sent (more is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The flat image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

const SEND_HELP: &str = "\
What the image says goes to standard output, line by line, until it powers off or restarts the board; the exit status is
the one that it ends with. With `--append end=restart` the loader is back for the next image.";

/// Arguments of `lab`.
#[derive(Args, Debug, Default)]
#[command(after_help = LAB_HELP)]
pub(crate) struct Lab {
    /// The environment file of labgrid with the places [default: tools/lab/qemu.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,
    /// The coordinator of remote places, HOST[:PORT]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) coordinator: Option<String>,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", conflicts_with = "quick")]
    pub(crate) filter: Option<String>,
    /// A few quick images on each place
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the results are written as JUnit XML [default: junit.xml in target/lab]
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Words for pytest
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const LAB_HELP: &str = "\
Makes a Python environment in target/lab the first time, with what tools/lab/requirements.txt names; pip takes it from where
this machine's own configuration says. Each test of an image is one case, named `IMAGE on PLACE` and the test's name; a case
`test_image` stands for the report of the image as a whole. tools/lab/README.md tells more, also of boards and of LAVA.";

/// Arguments of `sdcard`.
#[derive(Args, Debug)]
#[command(after_help = SDCARD_HELP)]
pub(crate) struct Sdcard {
    /// The file that becomes the card, byte for byte
    #[arg(long, value_name = "FILE", required_unless_present = "write")]
    pub(crate) out: Option<PathBuf>,
    /// Write it to this card, after a question, and read it back
    #[arg(long, value_name = "DEVICE")]
    pub(crate) write: Option<PathBuf>,
    /// Answer the question
    #[arg(long, requires = "write")]
    pub(crate) yes: bool,
    /// A directory with start4.elf, fixup4.dat and bcm2711-rpi-4-b.dtb [default: the distribution's packages]
    #[arg(long, value_name = "DIR")]
    pub(crate) firmware: Option<PathBuf>,
    /// Size in MiB, a power of two (the emulator takes no other card)
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = card_size)]
    pub(crate) size: u64,
    /// Boot arguments, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Which image the card boots
    #[command(flatten)]
    pub(crate) choice: Choice,
}

const SDCARD_HELP: &str = "\
The kernel on the card is the flat image that `image` writes and the tests run. Firmware comes from packages that are
unpacked, not installed; what cannot be had is left out, and the command says what to copy where.

--write takes a whole device (/dev/sdX, /dev/mmcblkN) that is removable, or a file that stands for one (/dev/loopN),
has at most 256 GB, and of which nothing is mounted or otherwise in use.";

/// The size of a card in MiB.
fn card_size(text: &str) -> Result<u64, String> {
    let size: u64 = text.parse().map_err(|_| "it is no number".to_string())?;
    let sizes = disk::MIN_MIB..=disk::MAX_MIB;
    if size.is_power_of_two() && sizes.contains(&size) {
        Ok(size)
    } else {
        Err(format!("it is no power of two from {} to {}", sizes.start(), sizes.end()))
    }
}

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

/// Arguments of `setup`.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// Install nothing: say what is there, and fail when something is missing
    #[arg(long)]
    pub(crate) check: bool,
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

    #[test]
    fn a_card_has_a_size_that_the_emulator_takes() {
        assert_eq!(card_size("256"), Ok(256));
        for refused in ["100", "32", "4096", "x"] {
            assert!(card_size(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn machines_of_a_test_may_be_repeated() {
        let cli = Cli::parse_from(["cargo xtask", "test", "--machine", "virt", "--machine", "raspi4b"]);
        let Command::Test(test) = cli.command else { panic!("another command") };
        assert_eq!(test.machine, [Machine::Virt, Machine::Raspi4b]);
    }
}
