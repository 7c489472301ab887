//! The files on a boot card that are not part of this project: the VideoCore's firmware and the board's device tree.
//!
//! They come from a directory, or from the distribution's packages. What is not available is left out and reported: the
//! card is complete after it has been copied there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::contents::Content;
use crate::setup::packages::{self, Wanted};
use crate::workspace::Workspace;

/// The board's device tree, by the name under which the firmware looks for it.
pub(crate) const DEVICE_TREE: &str = "bcm2711-rpi-4-b.dtb";

/// The files that the board needs besides those of this project, and their purposes.
const NEEDED: [(&str, &str); 3] = [
    ("start4.elf", "the firmware, which starts the kernel"),
    ("fixup4.dat", "goes with start4.elf: how it divides the memory"),
    (DEVICE_TREE, "the device tree: without it the kernel uses one gibibyte of memory only"),
];

/// Licences, by their names in directories of firmware, and their names on the card.
const LICENCES: [(&str, &str); 2] =
    [("LICENCE.broadcom", "licences/firmware.txt"), ("COPYING.linux", "licences/device-tree.txt")];

/// Where the files are available, for people.
const ORIGIN: &str =
    "the directory `boot` of the repository raspberrypi/firmware, or any card of Raspberry Pi OS";

/// The files that were found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Firmware {
    /// The files, as they are put on the card.
    pub(crate) files: Vec<Content>,
    /// Why others are missing.
    pub(crate) complaints: Vec<String>,
}

impl Firmware {
    /// Returns files that exist already.
    #[cfg(test)]
    pub(crate) fn of(files: Vec<Content>) -> Self {
        Self { files, complaints: Vec::new() }
    }

    /// Takes them from a directory.
    ///
    /// # Errors
    /// Fails when the directory has none of them, or one cannot be read.
    pub(crate) fn from_directory(directory: &Path) -> anyhow::Result<Self> {
        let mut firmware = Self::default();
        for (name, _) in NEEDED {
            firmware.take(&directory.join(name), name)?;
        }
        ensure!(!firmware.files.is_empty(), "{} has none of the firmware's files", directory.display());
        for (name, to) in LICENCES {
            if !firmware.take(&directory.join(name), to)? {
                firmware.complaints.push(format!("{} has no {name}", directory.display()));
            }
        }
        Ok(firmware)
    }

    /// Takes them from the distribution's packages.
    ///
    /// # Errors
    /// Fails when a file of a package cannot be read.
    pub(crate) fn from_packages(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut firmware = Self::default();
        let [start, fixup, tree] = NEEDED.map(|(name, _)| name);
        let [firmware_licence, tree_licence] = LICENCES.map(|(_, to)| to);
        firmware.take_package(workspace, &packages::FIRMWARE, &[start, fixup], firmware_licence)?;
        firmware.take_package(workspace, &packages::DEVICE_TREE, &[tree], tree_licence)?;
        Ok(firmware)
    }

    /// Takes files of a package and its licence; a package that is not available is a complaint.
    fn take_package(
        &mut self,
        workspace: &Workspace,
        wanted: &Wanted,
        names: &[&str],
        licence: &str,
    ) -> anyhow::Result<()> {
        match packages::unpacked(workspace, wanted) {
            Ok(directory) => {
                for name in names {
                    self.take(&directory.join(name), name)?;
                }
                self.take(&directory.join("copyright"), licence)?;
            }
            Err(error) => self.complaints.push(format!("{} cannot be had: {error:#}", wanted.what)),
        }
        Ok(())
    }

    /// Takes one file, if it exists; returns whether it does.
    fn take(&mut self, from: &Path, name: &str) -> anyhow::Result<bool> {
        if !from.is_file() {
            return Ok(false);
        }
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.files.push(Content::new(name, bytes));
        Ok(true)
    }

    /// Returns what must be copied to the card before a board boots from it; empty when nothing is missing.
    pub(crate) fn advice(&self) -> String {
        let missing: Vec<_> =
            NEEDED.iter().filter(|(name, _)| !self.files.iter().any(|file| file.name == *name)).collect();
        if missing.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "the card is not complete; copy to its first partition, or name a directory with --firmware:",
        );
        for (name, what) in missing {
            text.push_str(&format!("\n  {name}: {what}"));
        }
        text.push_str(&format!("\nthey are in {ORIGIN}"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_files_and_licences() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["start4.elf", "fixup4.dat", DEVICE_TREE, "LICENCE.broadcom", "start.elf"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let firmware = Firmware::from_directory(directory.path()).unwrap();
        let names: Vec<&str> = firmware.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["start4.elf", "fixup4.dat", DEVICE_TREE, "licences/firmware.txt"]);
        assert_eq!(firmware.files[0].bytes, b"start4.elf");
        assert_eq!(firmware.complaints.len(), 1, "COPYING.linux is not there");
        assert_eq!(firmware.advice(), "");
    }

    #[test]
    fn what_is_missing_is_told_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Firmware::from_directory(directory.path()).is_err(), "it has nothing");
        fs::write(directory.path().join("start4.elf"), "x").unwrap();
        let advice = Firmware::from_directory(directory.path()).unwrap().advice();
        assert!(advice.contains("  fixup4.dat: ") && advice.contains(DEVICE_TREE), "{advice}");
        assert!(!advice.contains("  start4.elf: "), "{advice}");
    }
}
