//! Installing packages with apt: as root or through `sudo -n`, with the lists fetched once, and one line printed for
//! each step.
//!
//! The output of apt itself goes to a log; its end is printed when something fails.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::sources::{self, SourceFile, Wish};
use crate::process;
use crate::progress::note;
use crate::workspace::Workspace;

/// The permission to install something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Permission {
    /// Install what is missing.
    Install,
    /// Only check.
    Look,
}

/// Where apt's sources are.
pub(super) const SOURCES: &str = "/etc/apt";

/// The name of the file that is added there.
const OWN_SOURCE: &str = "asphodel-backports";

/// The machine's package manager.
#[derive(Debug)]
pub(super) struct Apt {
    permission: Permission,
    log: PathBuf,
    updated: bool,
}

impl Apt {
    /// Creates the package manager; does nothing yet.
    pub(super) fn new(workspace: &Workspace, permission: Permission) -> Self {
        Self { permission, log: workspace.state().join("apt.log"), updated: false }
    }

    /// Fetches the package lists, only the first time.
    ///
    /// # Errors
    /// Fails when packages may not or cannot be installed here.
    pub(super) fn update(&mut self) -> anyhow::Result<()> {
        if self.updated {
            return Ok(());
        }
        self.require()?;
        let mut command = privileged("apt-get update")?;
        note("fetching the package lists (apt-get update)");
        command.args(["apt-get", "-q", "-o", "Acquire::Retries=3", "update"]);
        process::logged(&mut command, &self.log, "apt-get update")?;
        self.updated = true;
        Ok(())
    }

    /// Returns the version that would be installed, from `suite` if one is named.
    pub(super) fn candidate(&self, package: &str, suite: Option<&str>) -> Option<String> {
        let mut command = Command::new("apt-cache");
        command.env("LC_ALL", "C");
        if let Some(suite) = suite {
            command.args(["-t", suite]);
        }
        candidate_of(&process::output(command.args(["policy", package]))?)
    }

    /// Installs packages, from `suite` if one is named; `what` names their purpose.
    ///
    /// # Errors
    /// Fails when they may not or cannot be installed, or when something else would have to be removed.
    pub(super) fn install(
        &mut self,
        packages: &[&str],
        suite: Option<&str>,
        what: &str,
    ) -> anyhow::Result<()> {
        let from = suite.map_or(String::new(), |suite| format!("-t {suite} "));
        let typed = format!("apt-get install --no-install-recommends {from}{}", packages.join(" "));
        self.require()?;
        self.update()?;
        let mut command = privileged(&typed)?;
        note(&format!("installing {what}: {typed}"));
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-remove"]);
        command.args([
            "--no-install-recommends",
            "-o",
            "Acquire::Retries=3",
            "-o",
            "DPkg::Lock::Timeout=300",
        ]);
        if let Some(suite) = suite {
            command.args(["-t", suite]);
        }
        command.arg("install").args(packages);
        process::logged(&mut command, &self.log, &typed)
    }

    /// Returns the name of this release's backports.
    ///
    /// # Errors
    /// Fails when the machine does not report which release it runs.
    pub(super) fn backports_suite(&self) -> anyhow::Result<String> {
        Ok(format!("{}-backports", codename()?))
    }

    /// Adds a source for this release's backports, made from the machine's own sources.
    ///
    /// # Errors
    /// Fails when no source serves this release, or the new one cannot be written.
    pub(super) fn add_backports(&mut self, suite: &str) -> anyhow::Result<()> {
        let codename = codename()?;
        let files = source_files(Path::new(SOURCES));
        if sources::serves(&files, suite) {
            return Ok(());
        }
        let wish = Wish { suite, components: "main", architecture: None };
        let Some(derived) = sources::derive(&files, &codename, wish) else {
            bail!("no package source under {SOURCES} serves {codename}: add one for {suite} by hand");
        };
        let path = format!("{SOURCES}/sources.list.d/{OWN_SOURCE}.{}", derived.extension);
        self.require()?;
        note(&format!("adding the package source {path} for {suite}"));
        self.write_source(&path, &derived.text)?;
        self.updated = false;
        self.update()
    }

    /// Writes a file that only root may write.
    fn write_source(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let state = self.log.parent().context("the log is in a directory")?;
        fs::create_dir_all(state)?;
        let copy = state.join(OWN_SOURCE);
        fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
        let mut command = privileged(&format!("install {} {path}", copy.display()))?;
        command.args([OsStr::new("install"), OsStr::new("-m644"), copy.as_os_str(), OsStr::new(path)]);
        process::logged(&mut command, &self.log, &format!("writing {path}"))
    }

    /// Fails if packages may not be installed, or there is no apt.
    fn require(&self) -> anyhow::Result<()> {
        if process::find_program("apt-get").is_none() {
            bail!("this machine has no apt-get to install it with");
        }
        if self.permission == Permission::Look {
            bail!("apt can install it");
        }
        Ok(())
    }
}

/// Returns a command to which a program and its arguments can be added, and which runs it as root.
fn privileged(typed: &str) -> anyhow::Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new("env"));
    }
    if process::output(Command::new("sudo").args(["-n", "true"])).is_none() {
        bail!("it takes root to install it: run `sudo -v` and then this again, or `{typed}` as root");
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "env"]);
    Ok(command)
}

/// Returns the codename of the release that this machine runs.
pub(super) fn codename() -> anyhow::Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    codename_in(&text).context("/etc/os-release names no VERSION_CODENAME")
}

/// Returns the codename in an os-release file.
fn codename_in(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then(|| value.to_string())
}

/// Returns the candidate in the output of `apt-cache policy`.
fn candidate_of(policy: &str) -> Option<String> {
    let value = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (value != "(none)").then(|| value.to_string())
}

/// Returns all files of package sources, in the order in which apt reads them.
pub(super) fn source_files(directory: &Path) -> Vec<SourceFile> {
    let mut paths = vec![directory.join("sources.list")];
    let mut parts: Vec<PathBuf> = fs::read_dir(directory.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    parts.sort();
    paths.extend(parts);
    paths.iter().filter_map(|path| source_file(path)).collect()
}

/// Returns one file of package sources, if its name is one that apt reads.
fn source_file(path: &Path) -> Option<SourceFile> {
    let deb822 = match path.extension()?.to_str()? {
        "sources" => true,
        "list" => false,
        _ => return None,
    };
    Some(SourceFile { deb822, text: fs::read_to_string(path).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy = "qemu-system-arm:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n";
        assert_eq!(candidate_of(policy).as_deref(), Some("1:7.2+dfsg-7"));
        assert_eq!(candidate_of("x:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_of(""), None);
    }

    #[test]
    fn the_codename_may_be_quoted() {
        assert_eq!(codename_in("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename_in("VERSION_CODENAME=\"noble\"\n").as_deref(), Some("noble"));
        assert_eq!(codename_in("ID=arch\n"), None);
    }

    #[test]
    fn only_files_that_apt_reads_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let parts = directory.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(directory.path().join("sources.list"), "deb http://a.example/ s main\n").unwrap();
        fs::write(parts.join("b.sources"), "Types: deb\n").unwrap();
        fs::write(parts.join("c.list.disabled"), "deb http://c.example/ s main\n").unwrap();
        let files = source_files(directory.path());
        assert_eq!(files.iter().map(|file| file.deb822).collect::<Vec<_>>(), [false, true]);
    }
}
