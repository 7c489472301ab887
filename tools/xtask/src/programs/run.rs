//! The command `std run`: one program, with the user's terminal or another standard input.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::arguments::Run;
use super::boot::Booted;
use super::cargo::{self, Kind};
use super::program::Program;
use crate::gdb;
use crate::run;
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The command `std run`.
///
/// # Errors
/// Fails when the program does not build or cannot be loaded, the system ends without a status, or the time limit is
/// reached.
pub(super) fn run(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Run,
) -> anyhow::Result<ExitCode> {
    let program = built(workspace, environment, arguments)?;
    let booted = Booted::new(workspace, environment, &arguments.boot)?;
    let directory = tempfile::tempdir()?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let mut boot = booted.boot(&program, &words, directory.path())?;
    if arguments.gdb {
        let port = gdb::free_port()?;
        boot.gdb_port = Some(port);
        gdb::announce(&booted.kernel.elf, port);
    }
    let limit = arguments.timeout.map(Duration::from_secs);
    run::attached(environment, &boot, limit, || booted.symbols())
}

/// Builds the one program that is selected.
fn built(workspace: &Workspace, environment: &Environment, arguments: &Run) -> anyhow::Result<Program> {
    let mut programs =
        cargo::build(workspace, &environment.toolchain, &arguments.of, Kind::Program, |cargo| {
            match (&arguments.bin, &arguments.example) {
                (Some(bin), _) => cargo.args(["--bin", bin]),
                (None, Some(example)) => cargo.args(["--example", example]),
                (None, None) => cargo.arg("--bins"),
            };
        })?;
    // Programs of the package are built for its examples, too.
    if let Some(name) = arguments.example.as_ref().or(arguments.bin.as_ref()) {
        programs.retain(|program| program.name == *name);
    }
    match (programs.pop(), &programs[..]) {
        (Some(program), []) => Ok(program),
        (Some(last), others) => {
            let names = others.iter().chain([&last]).map(|program| program.name.as_str());
            bail!("there are several programs, choose with --bin: {}", names.collect::<Vec<_>>().join(", "))
        }
        (None, _) => bail!("the package has no program: there is no src/main.rs and no [[bin]]"),
    }
}
