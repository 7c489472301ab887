//! The command line of `std`, with cargo's own options where cargo has them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::hardware::Hardware;
use crate::machine::Machine;

/// Arguments of `std`.
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Std {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands for programs that are written for Rust's `std`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the programs of a crate, and print where they are
    Build(Build),
    /// Build a program and run it on Asphodel in QEMU; its exit status is that of this command
    Run(Run),
    /// Build the tests of a crate and run them on Asphodel in QEMU, as `cargo test` does on the host
    Test(Test),
    /// Run test suites of others: well-known crates, and Rust's own library
    Suites(Suites),
}

/// What is built, and how.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Crate {
    /// The crate [default: the one in the current directory]
    #[arg(long, value_name = "CARGO_TOML")]
    pub(crate) manifest_path: Option<PathBuf>,
    /// The package, if the manifest is that of a workspace
    #[arg(long, short, value_name = "PACKAGE")]
    pub(crate) package: Option<String>,
    /// With optimizations
    #[arg(long, short)]
    pub(crate) release: bool,
    /// Features of the crate, separated by commas
    #[arg(long, short = 'F', value_name = "FEATURES")]
    pub(crate) features: Vec<String>,
    /// All features of the crate
    #[arg(long)]
    pub(crate) all_features: bool,
    /// No default features of the crate
    #[arg(long)]
    pub(crate) no_default_features: bool,
    /// Panics unwind: they can be caught, and a panicking test fails alone [default: a panic ends the program]
    #[arg(long)]
    pub(crate) unwind: bool,
}

/// How a program is booted.
#[derive(Args, Clone, Debug)]
pub(crate) struct Boot {
    /// The machine.
    #[command(flatten)]
    pub(crate) hardware: Hardware,
    /// Boot arguments, words of the form key=value
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub(crate) append: String,
    /// A file of the host that the program finds at PATH; may be repeated
    #[arg(long, value_name = "HOST:PATH")]
    pub(crate) file: Vec<String>,
    /// A variable of the program's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
}

/// Arguments of `std build`.
#[derive(Args, Debug)]
pub(crate) struct Build {
    /// What is built.
    #[command(flatten)]
    pub(crate) of: Crate,
    /// Only this program; may be repeated [default: all of the package]
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,
    /// Only this example; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
    /// Also write DIR/kernel8.img: Asphodel with these programs, which its console runs by their names
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `std run`.
#[derive(Args, Debug)]
#[command(after_help = RUN_HELP)]
pub(crate) struct Run {
    /// What is built.
    #[command(flatten)]
    pub(crate) of: Crate,
    /// The program, if the package has several
    #[arg(long, value_name = "NAME", conflicts_with = "example")]
    pub(crate) bin: Option<String>,
    /// The example to run
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Option<String>,
    /// How it is booted.
    #[command(flatten)]
    pub(crate) boot: Boot,
    /// Wait for a debugger before the first instruction, and print the line to type
    #[arg(long)]
    pub(crate) gdb: bool,
    /// End the machine after this many seconds (that is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Words for the program
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const RUN_HELP: &str = "\
    cargo xtask std run --manifest-path path/to/crate/Cargo.toml --cpus 4 -- WORDS
The program is unmodified: `fn main` and Rust's std. Its standard output and error are the machine's console; so is its
standard input. With a terminal, Ctrl-A X ends the machine. A program that is killed ends with 128 and its signal.";

/// Arguments of `std test`.
#[derive(Args, Debug)]
#[command(after_help = TEST_HELP)]
pub(crate) struct Test {
    /// What is built.
    #[command(flatten)]
    pub(crate) of: Crate,
    /// The tests in the library
    #[arg(long)]
    pub(crate) lib: bool,
    /// The tests in all programs
    #[arg(long)]
    pub(crate) bins: bool,
    /// The tests in this program; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,
    /// Only this file of tests; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) test: Vec<String>,
    /// All files of tests, and the tests in library and programs
    #[arg(long)]
    pub(crate) tests: bool,
    /// The tests in this example; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
    /// How each test program is booted.
    #[command(flatten)]
    pub(crate) boot: Boot,
    /// Build the tests, and run none
    #[arg(long)]
    pub(crate) no_run: bool,
    /// Run the other test programs even if one has failed
    #[arg(long)]
    pub(crate) no_fail_fast: bool,
    /// Seconds that one test program may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Only tests that have PATTERN in their names
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    /// Words for the test programs, as of Rust's own test harness
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const TEST_HELP: &str = "\
    cargo xtask std test --manifest-path path/to/crate/Cargo.toml PATTERN -- --test-threads 8
Each test program is booted by itself. Tests in documentation are not run. The exit status is 101 when a test failed.";

/// Arguments of `std suites`.
#[derive(Args, Debug, Default)]
#[command(after_help = SUITES_HELP)]
pub(crate) struct Suites {
    /// Only suites that together take a few minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// The machine to emulate
    #[arg(long, value_enum, default_value_t = Machine::Virt)]
    pub(crate) machine: Machine,
    /// CPUs of the machine (raspi4b always has 4)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// Only these suites [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

const SUITES_HELP: &str = "\
Their sources are fetched by cargo, or are the compiler's own, and are unchanged except for what the table at the end
lists; tests/std/suites.toml has the suites. Panics unwind. The exit status is that of failure if any test failed.";

/// Returns a file of the host and the path at which the program finds it.
///
/// # Errors
/// Fails when it is not of the form `HOST:PATH`.
pub(super) fn file(argument: &str) -> anyhow::Result<(PathBuf, &str)> {
    match argument.rsplit_once(':') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => Ok((host.into(), path)),
        _ => anyhow::bail!("`{argument}` is not of the form HOST:PATH"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{self, Cli};

    fn parse(words: &[&str]) -> Command {
        let all = ["cargo xtask", "std"].iter().chain(words);
        let cli::Command::Std(std) = Cli::parse_from(all).command else { panic!("another command") };
        std.command
    }

    #[test]
    fn words_after_two_dashes_are_the_programs() {
        let Command::Run(run) = parse(&["run", "-r", "--bin", "one", "--", "--release", "x"]) else {
            panic!()
        };
        assert!(run.of.release && run.bin.as_deref() == Some("one") && run.boot.hardware.cpus == 4);
        assert_eq!(run.words, ["--release", "x"]);
    }

    #[test]
    fn tests_are_picked_as_by_cargo() {
        let Command::Test(test) = parse(&["test", "--lib", "some", "--", "--ignored"]) else { panic!() };
        assert!(test.lib && test.pattern.as_deref() == Some("some"));
        assert_eq!(test.words, ["--ignored"]);
    }

    #[test]
    fn a_file_has_a_place_on_each_side() {
        assert_eq!(file("a:b/c.txt:/data").unwrap(), ("a:b/c.txt".into(), "/data"));
        assert!(file("a").is_err() && file(":a").is_err() && file("a:").is_err());
    }
}
