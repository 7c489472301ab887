//! The command line of `test`.

use std::path::PathBuf;

use clap::Args;

use super::seeds::{Handling, Seeds, Sweep};
use crate::build::{MANIFEST, Profile};
use crate::machine::Machine;

/// Arguments of `test`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// A machine to test on; may be repeated [default: host and virt with 1 and 4 CPUs, virt-gicv3, raspi4b]
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
    /// Build the images as they are released, the kernel and a program as one unit: takes several times as long
    #[arg(long)]
    pub(crate) release: bool,
    /// Deterministic execution: one instruction is one nanosecond of virtual time
    #[arg(long)]
    pub(crate) icount: bool,
    /// Boot the races with each of these seeds (`0..20`, `0..=19`), or what --filter leaves; on virt with 4 CPUs
    #[arg(long, value_name = "A..B", conflicts_with_all = ["seed", "soak", "gdb"])]
    pub(crate) seeds: Option<Seeds>,
    /// Boot with this seed and print the console: the same, byte for byte, each time
    #[arg(long, value_name = "N", conflicts_with_all = ["soak", "gdb"])]
    pub(crate) seed: Option<u64>,
    /// Boot twice with the seed, and fail when the consoles differ
    #[arg(long, requires = "seed")]
    pub(crate) twice: bool,
    /// The long runs that images declare, with their progress; on virt and raspi4b with 4 CPUs
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
    /// Emulators that run in parallel [default: 2, or 1 on a machine with one CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Print what would run, and run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

impl Arguments {
    /// Returns how the images are compiled.
    pub(crate) fn profile(&self) -> Profile {
        if self.release { Profile::Release } else { Profile::Images }
    }

    /// Returns the seeded boots that are requested.
    pub(crate) fn sweep(&self) -> Option<Sweep> {
        let replay = if self.twice { Handling::ReplayTwice } else { Handling::Replay };
        match (&self.seeds, self.seed) {
            (Some(seeds), _) => Some(Sweep { seeds: seeds.clone(), handling: Handling::Sweep }),
            (None, Some(seed)) => Some(Sweep { seeds: Seeds::one(seed), handling: replay }),
            (None, None) => None,
        }
    }
}

const HELP: &str = "\
Ends with the line `N passed, N failed`: each host test is one, each test of an image is one on each machine.
The console of what failed is shown, addresses turned into function, file and line.
Seeded boots run under the instruction clock, where the kernel's `seed=N` decides every turn of the CPUs: a seed that
fails is printed with the line that replays it, and the first seed of each image must replay.";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn machines_of_a_test_may_be_repeated() {
        let cli = Cli::parse_from(["cargo xtask", "test", "--machine", "virt", "--machine", "raspi4b"]);
        let Command::Test(test) = cli.command else { panic!("another command") };
        assert_eq!(test.machine, [Machine::Virt, Machine::Raspi4b]);
    }
}
