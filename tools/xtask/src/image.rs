//! The command `image`: an image, or all test images, as files.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::build::{self, Choice, Profile};
use crate::progress::note;
use crate::setup;
use crate::test::export;
use crate::workspace::Workspace;

/// Arguments of `image`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Where kernel8.img and the ELF are written
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Write all test images instead, with manifest.json
    #[arg(long, conflicts_with_all = ["package", "bin", "manifest_path"])]
    pub(crate) tests: bool,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", requires = "tests")]
    pub(crate) filter: Option<String>,
    /// The image that is written.
    #[command(flatten)]
    pub(crate) choice: Choice,
}

const HELP: &str = "\
manifest.json is a list of {name, file, append, expect, deadline}: the flat image's file beside it, the boot arguments that
it needs, its required outcome (the words of its `expect:` lines: `fail NAME`, `no-verdict`, ..; empty when all its tests
must pass), and the seconds that it may take. Every image boots on every machine.";

/// The command `image`.
///
/// # Errors
/// Fails when the image does not build or cannot be written.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    if arguments.tests {
        let pattern = arguments.filter.as_deref().unwrap_or_default();
        export::write(workspace, &environment, &arguments.out, &|name| name.contains(pattern))?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = build::chosen(workspace, &environment.toolchain, &arguments.choice, Profile::Release)?;
    fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    for (from, name) in
        [(&program.image, "kernel8.img".to_string()), (&program.elf, format!("{}.elf", program.name))]
    {
        let to = arguments.out.join(name);
        let length = fs::copy(from, &to).with_context(|| format!("cannot write {}", to.display()))?;
        note(&format!("{}: {length} bytes", to.display()));
    }
    Ok(ExitCode::SUCCESS)
}
