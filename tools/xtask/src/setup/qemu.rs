//! The emulator: any QEMU 9 or later on PATH, else the distribution's, else its backports'.

use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use super::apt::Apt;
use crate::process;

/// The program that emulates the machines.
const PROGRAM: &str = "qemu-system-aarch64";

/// The package that has it.
const PACKAGE: &str = "qemu-system-arm";

/// The first version that emulates a Raspberry Pi 4.
const FIRST_VERSION: u32 = 9;

/// Finds the emulator or installs it.
///
/// # Errors
/// Fails when there is none and none can be installed.
pub(super) fn find(apt: &mut Apt) -> anyhow::Result<PathBuf> {
    let present = on_path();
    if let Some((path, version)) = &present
        && *version >= FIRST_VERSION
    {
        return Ok(path.clone());
    }
    let reason = match &present {
        Some((path, version)) => format!("{} is version {version}", path.display()),
        None => format!("there is no {PROGRAM} on PATH"),
    };
    let remedy = format!("install QEMU {FIRST_VERSION} or later so that `{PROGRAM}` is on PATH");
    install(apt).map_err(|error| error.context(format!("{reason}; {remedy}")))?;
    match on_path() {
        Some((path, version)) if version >= FIRST_VERSION => Ok(path),
        _ => bail!("{PACKAGE} was installed, but {PROGRAM} on PATH is still older; {remedy}"),
    }
}

/// Installs it from the plain suite if that is new enough, else from backports.
fn install(apt: &mut Apt) -> anyhow::Result<()> {
    apt.update()?;
    let new_enough =
        |version: Option<String>| version.as_deref().and_then(upstream_major) >= Some(FIRST_VERSION);
    if new_enough(apt.candidate(PACKAGE, None)) {
        return apt.install(&[PACKAGE], None, "the emulator");
    }
    let suite = apt.backports_suite()?;
    if !new_enough(apt.candidate(PACKAGE, Some(&suite))) {
        apt.add_backports(&suite)?;
    }
    if !new_enough(apt.candidate(PACKAGE, Some(&suite))) {
        bail!("neither this release nor {suite} has QEMU {FIRST_VERSION} or later");
    }
    apt.install(&[PACKAGE], Some(&suite), "the emulator")
}

/// Returns the emulator on PATH and its major version.
fn on_path() -> Option<(PathBuf, u32)> {
    let path = process::find_program(PROGRAM)?;
    let output = process::output(Command::new(&path).arg("--version"))?;
    Some((path, major_of(&output)?))
}

/// Returns the major version in the output of `qemu --version`.
fn major_of(output: &str) -> Option<u32> {
    let (_, version) = output.split_once("version ")?;
    leading_number(version)
}

/// Returns the major version in a package's version: after the epoch.
fn upstream_major(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, upstream)| upstream);
    leading_number(upstream)
}

/// Returns the number that a text begins with.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_qemu_says() {
        assert_eq!(major_of("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), Some(10));
        assert_eq!(major_of("QEMU emulator version 9.2.50"), Some(9));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn the_version_of_a_package_is_after_its_epoch() {
        assert_eq!(upstream_major("1:7.2+dfsg-7+deb12u15"), Some(7));
        assert_eq!(upstream_major("1:10.0.2+ds-2~bpo12+1"), Some(10));
        assert_eq!(upstream_major("8.2.2"), Some(8));
        assert_eq!(upstream_major("(none)"), None);
    }
}
