//! Single files from the distribution's packages, unpacked without installing anything.
//!
//! The boot files of a Raspberry Pi, and Linux for comparison, come in packages of another architecture and of a
//! component that few machines have as a source. So apt is run with a state of its own, in the state directory: it
//! needs no privileges, knows only the source that is derived from the machine's own, and changes nothing on the
//! machine. What was unpacked is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::apt;
use super::sources::{self, Wish};
use crate::process;
use crate::progress::note;
use crate::workspace::Workspace;

/// The architecture of the packages.
const ARCHITECTURE: &str = "arm64";

/// The components that have them.
const COMPONENTS: &str = "main non-free-firmware";

/// Files of a package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Their description, for people.
    pub(crate) what: &'static str,
    /// The directory in which they are kept.
    pub(crate) place: &'static str,
    /// The package; with a `*` for the part that differs from release to release, the one on which the last of
    /// `through` depends.
    pub(crate) package: &'static str,
    /// A package that always depends on the newest of those, or on the next in this list, and so on.
    pub(crate) through: &'static [&'static str],
    /// Patterns of the files' paths.
    pub(crate) members: &'static [&'static str],
}

/// The boot firmware of the Raspberry Pi 4's VideoCore, with its licence.
pub(crate) const FIRMWARE: Wanted = Wanted {
    what: "the boot firmware of the Raspberry Pi",
    place: "raspi-firmware",
    package: "raspi-firmware",
    through: &[],
    members: &["*/start4.elf", "*/fixup4.dat", "*/copyright"],
};

/// The board's device tree, with its licence: part of a kernel's package.
pub(crate) const DEVICE_TREE: Wanted = Wanted {
    what: "the device tree of the Raspberry Pi 4",
    place: "device-tree",
    package: "linux-image-*",
    through: &["linux-image-arm64"],
    members: &["*/broadcom/bcm2711-rpi-4-b.dtb", "*/copyright"],
};

/// The boot loader that reads a card in the emulator, which has no VideoCore.
pub(crate) const BOOT_LOADER: Wanted = Wanted {
    what: "the boot loader U-Boot",
    place: "u-boot",
    package: "u-boot-rpi",
    through: &[],
    members: &["*/rpi_4/u-boot.bin", "*/copyright"],
};

/// Linux, for comparison.
pub(crate) const LINUX: Wanted = Wanted {
    what: "Linux for aarch64",
    place: "linux",
    package: "linux-image-*",
    through: &["linux-image-arm64"],
    members: &["*/vmlinuz-*", "*/copyright"],
};

/// The C library that programs for Linux are linked with.
pub(crate) const C_LIBRARY: Wanted = Wanted {
    what: "the C library of Linux for aarch64",
    place: "c-library",
    package: "libc6-dev",
    through: &[],
    members: &["*/crt*.o", "*/lib*.a", "*/copyright"],
};

/// The C compiler's own library, which belongs to it.
pub(crate) const C_COMPILER_LIBRARY: Wanted = Wanted {
    what: "the C compiler's library for aarch64",
    place: "c-compiler-library",
    package: "libgcc-*-dev",
    through: &["gcc", "gcc-*"],
    members: &["*/crt*.o", "*/libgcc*.a"],
};

/// Returns the directory with the files, without the directories of the package; they are fetched if they are not kept
/// yet.
///
/// # Errors
/// Fails if there is no apt, no source serves this release, or the package is not available from it.
pub(crate) fn unpacked(workspace: &Workspace, wanted: &Wanted) -> anyhow::Result<PathBuf> {
    let all = workspace.state().join("packages");
    let directory = all.join(wanted.place);
    if directory.is_dir() {
        return Ok(directory);
    }
    for program in ["apt-get", "dpkg-deb"] {
        ensure!(process::find_program(program).is_some(), "this machine has no {program} to fetch it with");
    }
    let private = Private::new(workspace)?;
    let package = private.name(wanted)?;
    note(&format!(
        "fetching {} (apt-get download {package}, unpacked below target, not installed)",
        wanted.what
    ));
    let archive = private.download(&package)?;

    // Another run must never find a partial copy.
    let partial = all.join(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    extract(&archive, wanted.members, &partial)?;
    fs::remove_file(&archive)?;
    if fs::rename(&partial, &directory).is_err() && !directory.is_dir() {
        bail!("cannot make {}", directory.display());
    }
    Ok(directory)
}

/// An apt with a configuration of its own.
#[derive(Debug)]
struct Private {
    directory: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
}

impl Private {
    /// Sets it up and fetches the package lists.
    fn new(workspace: &Workspace) -> anyhow::Result<Self> {
        let codename = apt::codename()?;
        let wish = Wish { suite: &codename, components: COMPONENTS, architecture: Some(ARCHITECTURE) };
        let files = apt::source_files(Path::new(apt::SOURCES));
        let derived = sources::derive(&files, &codename, wish);
        let derived =
            derived.with_context(|| format!("no package source under {} serves {codename}", apt::SOURCES))?;

        let directory = workspace.state().join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let source = directory.join(format!("own.{}", derived.extension));
        fs::write(&source, derived.text)?;
        // For this apt nothing is installed.
        fs::write(directory.join("status"), "")?;
        let configuration = directory.join("apt.conf");
        fs::write(&configuration, text_of_configuration(&directory, &source))?;
        let private = Self { directory, configuration, log: workspace.state().join("apt.log") };
        let mut update = private.apt("apt-get");
        process::logged(update.args(["-q", "update"]), &private.log, "apt-get update")?;
        Ok(private)
    }

    /// Returns a program of apt with that configuration.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").env("APT_CONFIG", &self.configuration).current_dir(&self.directory);
        command
    }

    /// Returns the name of the package that has the wanted files.
    fn name(&self, wanted: &Wanted) -> anyhow::Result<String> {
        let Some((first, others)) = wanted.through.split_first() else { return Ok(wanted.package.into()) };
        others.iter().chain([&wanted.package]).try_fold(String::from(*first), |package, next| {
            let output =
                process::output(self.apt("apt-cache").args(["depends", &package])).unwrap_or_default();
            dependency(&output, next).with_context(|| format!("{package} depends on no {next}"))
        })
    }

    /// Downloads a package; returns the archive.
    fn download(&self, package: &str) -> anyhow::Result<PathBuf> {
        let mut command = self.apt("apt-get");
        command.args(["-q", "download", package]);
        process::logged(&mut command, &self.log, &format!("apt-get download {package}"))?;
        let beginning = format!("{package}_");
        let archive = fs::read_dir(&self.directory)?.flatten().map(|entry| entry.path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&beginning) && name.ends_with(".deb")
        });
        archive.with_context(|| format!("apt-get left no {beginning}*.deb"))
    }
}

/// Returns the configuration of an apt that works only below `directory`. The configuration of the machine (a proxy,
/// for example) applies as well.
fn text_of_configuration(directory: &Path, source: &Path) -> String {
    let lines = [
        ("Dir::State", directory.display().to_string()),
        ("Dir::State::status", directory.join("status").display().to_string()),
        ("Dir::Cache", directory.join("cache").display().to_string()),
        ("Dir::Etc::SourceList", source.display().to_string()),
        ("Dir::Etc::SourceParts", "-".into()),
        ("APT::Architecture", ARCHITECTURE.into()),
        ("APT::Architectures", ARCHITECTURE.into()),
        // Run by root, apt would download as a user that may not write here.
        ("APT::Sandbox::User", "root".into()),
        ("Acquire::Languages", "none".into()),
        ("Acquire::Retries", "3".into()),
        ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
    ];
    lines.iter().map(|(name, value)| format!("{name} \"{value}\";\n")).collect()
}

/// Returns the dependency that matches `pattern`, which has a `*`, in the output of `apt-cache depends`.
fn dependency(output: &str, pattern: &str) -> Option<String> {
    let (beginning, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let depends = output.lines().filter_map(|line| line.trim().strip_prefix("Depends:"));
    let named = |name: &&str| name.strip_prefix(beginning).is_some_and(|rest| rest.ends_with(end));
    depends.map(str::trim).find(named).map(String::from)
}

/// Extracts the members of a package's archive, all into one directory.
fn extract(archive: &Path, members: &[&str], into: &Path) -> anyhow::Result<()> {
    let unpack = duct::cmd!("dpkg-deb", "--fsys-tarfile", archive);
    let mut arguments = vec!["--extract", "--no-same-owner", "--wildcards", "--transform", "s,.*/,,"];
    arguments.extend(members);
    let take = duct::cmd("tar", arguments).dir(into);
    let output = unpack.pipe(take).stderr_capture().unchecked().run()?;
    ensure!(
        output.status.success(),
        "cannot unpack {}: {}",
        archive.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_family_is_what_another_package_depends_on() {
        let output = "linux-image-arm64\n  PreDepends: x\n  Depends: linux-base\n  Depends: linux-image-6.1.0-50-arm64\n";
        assert_eq!(dependency(output, "linux-image-*").as_deref(), Some("linux-image-6.1.0-50-arm64"));
        assert_eq!(dependency("linux-image-arm64\n", "linux-image-*"), None);
        let output = "gcc-12\n  Depends: libgcc-s1\n  Depends: libgcc-12-dev\n";
        assert_eq!(dependency(output, "libgcc-*-dev").as_deref(), Some("libgcc-12-dev"));
    }

    #[test]
    fn the_configuration_names_nothing_of_the_machine() {
        let text = text_of_configuration(Path::new("/s/apt"), Path::new("/s/apt/own.sources"));
        assert!(text.contains("Dir::State \"/s/apt\";\n"), "{text}");
        assert!(text.contains("Dir::Etc::SourceParts \"-\";\n"), "{text}");
        assert!(!text.contains("/etc") && !text.contains("/var"), "{text}");
    }
}
