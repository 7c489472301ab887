//! The command `stack`: how much stack the kernel needs where programs enter it, computed from images.
//!
//! A program calls the kernel on its own stack, and each service first probes that there is enough of it left
//! (`arch::cpu` of the kernel), so that an overflow is always the program's. How much is enough is computed here, from the
//! A64 code of an image: the frame of each function, from the instructions that lower SP; the calls, from the branches.
//! The probes are found by their instructions, and the service that one belongs to by the line tables. What the code does
//! not say (how deep a recursion is, what is called by a register) is refused unless `stack.toml` has it, with the reason
//! why it holds. What is reserved is a number of the kernel's, which the ELF has in a section of its own.
//!
//! Code behind a probe is followed to the end of the function, or in a program's function, into which the service was
//! inlined, to the marks that the kernel sets where its part ends.

mod code;
mod entry;
mod graph;
mod image;
mod public;
mod report;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::build::{self, Choice, Profile};
use crate::progress::note;
use crate::setup;
use crate::workspace::Workspace;

use image::Image;
use report::Findings;
use table::Table;

/// What cannot be computed.
const TABLE: &str = include_str!("stack.toml");

/// The images that are examined: the one that calls every service, as test images are built, and the default one, as it
/// is released.
const IMAGES: [(&str, &str, Profile); 2] =
    [("asphodel-images", "stack_end", Profile::Images), ("asphodel-init", "asphodel-init", Profile::Release)];

/// Arguments of `stack`.
#[derive(Args, Debug, Default)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Examine this ELF instead of the test image `stack_end` and the default image
    #[arg(long, value_name = "FILE")]
    pub(crate) elf: Option<PathBuf>,
    /// Print every service with its deepest chain of calls, not only the deepest of each kind
    #[arg(long)]
    pub(crate) chains: bool,
    /// The ELF is compiled as released, with services inlined into programs: their entries are not looked at
    #[arg(long, requires = "elf")]
    pub(crate) inlined: bool,
}

/// What the help says behind the options.
const AFTER_HELP: &str = "Each line of a chain has the bytes that a function takes, and its name. It is an error when a \
service needs more than it probes for, when it masks interrupts without a probe, when tests/images/stack_end.rs does not call it, and when a recursion or a call \
of what is in a register is not listed in tools/xtask/src/stack/stack.toml.";

/// The command `stack`.
///
/// # Errors
/// Fails when an image does not build, when something in it cannot be computed, and when more is needed than reserved.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let images = match &arguments.elf {
        Some(elf) => vec![(elf.clone(), arguments.inlined)],
        None => built(workspace)?,
    };
    let table = Table::parse(TABLE)?;
    let mut problems = Vec::new();
    for (elf, is_inlined) in &images {
        let image = Image::read(elf)?;
        note(&format!("examining {} with {} functions", elf.display(), image.functions.len()));
        let Findings { text, problems: found } =
            report::examine(&image, &table, *is_inlined, arguments.chains);
        print!("{text}");
        problems.extend(found);
    }
    // Another image may not have all of it.
    if arguments.elf.is_none() {
        problems.extend(public::uncalled(workspace.root(), &table)?);
        problems.extend(table.unused().iter().map(|entry| format!("stack.toml: nothing matches: {entry}")));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "{} problems: see tools/xtask/src/stack/stack.toml", problems.len());
    Ok(ExitCode::SUCCESS)
}

/// The step of CI.
///
/// # Errors
/// As [`run`].
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    run(workspace, &Arguments::default()).map(|_| ())
}

/// Builds the images. Returns their ELFs, and whether services are inlined into programs.
fn built(workspace: &Workspace) -> anyhow::Result<Vec<(PathBuf, bool)>> {
    let environment = setup::ensure(workspace)?;
    let elf = |(package, bin, profile): (&str, &str, Profile)| {
        let choice = Choice { package: Some(package.into()), bin: Some(bin.into()), manifest_path: None };
        let elf = build::chosen(workspace, &environment.toolchain, &choice, profile)?.elf;
        Ok((elf, profile == Profile::Release))
    };
    IMAGES.into_iter().map(elf).collect()
}
