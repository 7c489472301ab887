//! The command `sdcard`: a card from which a Raspberry Pi 4 boots the image, as a file or on a real card.

mod arguments;
pub(crate) mod contents;
mod device;
pub(crate) mod disk;
pub(crate) mod firmware;
mod write;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

pub(crate) use self::arguments::Arguments;
use self::firmware::Firmware;
use crate::build::{self, Profile};
use crate::progress::note;
use crate::setup;
use crate::workspace::Workspace;

/// The command `sdcard`.
///
/// # Errors
/// Fails when the image does not build, or the card cannot or may not be written. Missing firmware is not an error.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    let program = build::chosen(workspace, &environment.toolchain, &arguments.choice, Profile::Release)?;
    let firmware = match &arguments.firmware {
        Some(directory) => Firmware::from_directory(directory)?,
        None => Firmware::from_packages(workspace)?,
    };
    let kept = workspace.state().join("sd.img");
    let out = arguments.out.as_ref().unwrap_or(&kept);
    make(&program.image, arguments.append.as_deref().unwrap_or_default(), &firmware, out, arguments.size)?;
    note(&format!("{}: {} MiB, boots {}", out.display(), arguments.size, program.name));
    for complaint in &firmware.complaints {
        note(complaint);
    }
    let advice = firmware.advice();
    if !advice.is_empty() {
        note(&advice);
    }
    if let Some(device) = &arguments.write {
        write::onto(out, device, arguments.yes)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the card that boots a flat image.
///
/// # Errors
/// Fails when the image cannot be read, does not fit, or the card cannot be written.
pub(crate) fn make(
    image: &Path,
    append: &str,
    firmware: &Firmware,
    out: &Path,
    size_mib: u64,
) -> anyhow::Result<()> {
    let kernel = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    disk::write(out, size_mib, &contents::of_card(kernel, append, firmware))
}
