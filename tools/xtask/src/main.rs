//! `cargo xtask`: the host side of Asphodel.
//!
//! Sets the machine up, builds images, runs them in an emulator, judges test images by the output on their serial line,
//! measures, and does what CI does. `cargo xtask --help` lists the commands.

mod bench;
mod build;
mod cargo_config;
mod check_templates;
mod ci;
mod cli;
mod conformance;
mod console;
mod coverage;
mod explore;
mod flat;
mod fuzz;
mod gdb;
mod hardware;
mod hosted;
mod image;
mod lab;
mod lint;
mod machine;
mod machine_time;
mod mutants;
mod new;
mod output;
mod payload;
mod pool;
mod process;
mod programs;
mod progress;
mod qemu_run;
mod run;
mod screen;
mod sdcard;
mod setup;
mod source_tree;
mod stack;
mod stdin_relay;
mod symbols;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::workspace::Workspace;

fn main() -> ExitCode {
    output::run(command)
}

/// Carries out the command line.
fn command() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(_) if output::is_lost() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command and returns its exit status.
fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Run(arguments) => run::run(&workspace, &arguments),
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Std(arguments) => programs::run(&workspace, &arguments),
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
        Command::Conformance(arguments) => conformance::run(&workspace, &arguments),
        Command::Explore(arguments) => explore::run(&workspace, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Coverage(arguments) => coverage::run(&workspace, &arguments),
        Command::Stack(arguments) => stack::run(&workspace, &arguments),
        Command::Mutants(arguments) => mutants::run(&workspace, &arguments),
        Command::Lab(arguments) => lab::run(&workspace, &arguments),
        Command::Send(arguments) => test::send(&arguments),
        Command::Image(arguments) => image::run(&workspace, &arguments),
        Command::New(arguments) => new::run(&workspace, &arguments),
        Command::Sdcard(arguments) => sdcard::run(&workspace, &arguments),
        Command::Setup(arguments) => setup::run(&workspace, &arguments),
        Command::Ci(arguments) => ci::run(&workspace, &arguments),
    }
}
