//! The command line: all commands, as `--help` describes them. Each command has its arguments in its own module.

use clap::{Parser, Subcommand};

use crate::{
    bench, ci, conformance, coverage, explore, fuzz, image, lab, mutants, new, programs, run, sdcard, setup,
    stack, test,
};

/// The host side of Asphodel: set-up, build, run, test, bench, CI.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands. Each first does the set-up that it needs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boot the default image in QEMU, with the terminal attached to its console
    Run(run::Arguments),
    /// Run all tests: host tests, loom models, test images on every machine
    Test(test::Arguments),
    /// Build programs for Rust's `std`, unmodified, and run or test them on Asphodel
    Std(programs::Std),
    /// Measure the operations of the kernel in instructions, beside the figures of other systems
    Bench(bench::Arguments),
    /// Print every requirement, race, invariant, defect and case, with the tests that cover it and their last result
    Conformance(conformance::Arguments),
    /// Explore the exit subsystem on the host: random schedules of the real decisions, every invariant checked
    Explore(explore::Arguments),
    /// Try random input on what reads bytes of others: device trees, programs, archives, the serial line, the console
    Fuzz(fuzz::Arguments),
    /// Print which lines of the kernel the test images execute on the hosted machine
    Coverage(coverage::Arguments),
    /// Compute from an image how much stack system calls, interrupts and faults need, and whether it is reserved
    Stack(stack::Arguments),
    /// Print every bug that is seeded into a model, and whether the model catches it
    Mutants(mutants::Arguments),
    /// Run test images in a test farm: on the emulators and boards that labgrid manages
    Lab(lab::Arguments),
    /// Write the flat kernel8.img that boots everywhere, and the ELF with its symbols
    Image(image::Arguments),
    /// Send an image over a serial line to a board that boots the chain loader, and print its output
    Send(test::SendArguments),
    /// Make a card that a Raspberry Pi 4 boots from
    Sdcard(sdcard::Arguments),
    /// Make a project of your own outside this repository, with a program and its tests
    New(new::Arguments),
    /// Install what building and running needs, and print what was installed
    Setup(setup::Arguments),
    /// What CI runs: formatting, lints, documentation, all tests, a short bench
    Ci(ci::Arguments),
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
        assert_eq!(run.hardware.cpus, 2);
        assert_eq!(run.words, ["storm", "--fast"]);
    }
}
