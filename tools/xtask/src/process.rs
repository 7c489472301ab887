//! Starting other programs: a clean environment for a nested cargo, and messages that name what failed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Returns a word as a shell reads it, for lines that the user is to type.
pub(crate) fn shell_word(word: &str) -> String {
    match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        // No argument of a command has a NUL.
        Err(_) => word.replace('\0', ""),
    }
}

/// Variables that `cargo run` sets for this program, or that the user has set for host builds, and that would change
/// what a nested cargo builds.
const DISTURBING: &[&str] = &[
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTDOC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "MAKEFLAGS",
    "OUT_DIR",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// Prefixes of further variables of that kind: those that describe this very package.
const DISTURBING_PREFIXES: &[&str] =
    &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PROFILE_", "CARGO_UNSTABLE_"];

/// Returns where this program can be started once more, by its own children, too, as long as it runs.
///
/// # Errors
/// Fails when the host does not tell.
pub(crate) fn own_program() -> anyhow::Result<PathBuf> {
    // Linux's name for the file that runs: a cargo that builds this program again replaces the file at its path.
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if running.exists() {
        return Ok(running);
    }
    env::current_exe().context("this program has no path")
}

/// Returns the cargo that started this program, or the one on PATH.
pub(crate) fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// Returns a cargo command in a clean environment.
pub(crate) fn cargo(directory: &Path) -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(directory);
    clean(&mut command);
    command
}

/// Removes everything from the command's environment that would disturb a nested cargo or compiler.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if disturbs(&name) {
            command.env_remove(name);
        }
    }
    if let Some(libraries) = env::var_os("LD_LIBRARY_PATH") {
        match foreign_libraries(&libraries) {
            Some(rest) => command.env("LD_LIBRARY_PATH", rest),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
}

/// Returns whether a variable of this name is removed.
fn disturbs(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    DISTURBING.contains(&name)
        || DISTURBING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (name.starts_with("CARGO_TARGET_") && name != "CARGO_TARGET_DIR")
}

/// Returns the library path without the directories that `cargo run` added (build outputs and the toolchain's own
/// libraries, which are wrong for another toolchain's compiler).
fn foreign_libraries(libraries: &OsStr) -> Option<OsString> {
    let rest: Vec<PathBuf> = env::split_paths(libraries)
        .filter(|path| {
            let text = path.to_string_lossy();
            !(text.contains("/target/") || text.contains("/toolchains/") || text.contains("/rustlib/"))
        })
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if rest.is_empty() { None } else { env::join_paths(rest).ok() }
}

/// Runs a command with its output on that of this program; the error names it.
///
/// # Errors
/// Fails when the program cannot be started or does not succeed.
pub(crate) fn check(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{what}: cannot start {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns its standard output, or nothing when it cannot be started or does not succeed.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with all its output in a file; on failure the end of that file is part of the error.
///
/// # Errors
/// Fails when the log cannot be written, or the program cannot be started or does not succeed.
pub(crate) fn logged(command: &mut Command, log: &Path, what: &str) -> anyhow::Result<()> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("{what}: cannot start {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        bail!("{what} failed ({status}); {} ends with:\n{}", log.display(), last_lines(&text, 12));
    }
    Ok(())
}

/// Returns the last `count` lines of a text.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Returns the first program of this name on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// Returns the first program of this name on PATH, or in the directories of system administration programs.
pub(crate) fn find_system_program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/sbin"].map(|directory| Path::new(directory).join(name));
    find_program(name).or_else(|| places.into_iter().find(|candidate| candidate.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_a_build_are_taken_away() {
        for name in
            ["RUSTFLAGS", "CARGO_PKG_NAME", "CARGO_TARGET_DIR", "CARGO_TARGET_X_LINKER", "RUSTC_BOOTSTRAP"]
        {
            assert!(disturbs(OsStr::new(name)), "{name}");
        }
        for name in
            ["PATH", "CARGO_HOME", "CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL", "CARGO_NET_OFFLINE"]
        {
            assert!(!disturbs(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn library_directories_of_the_outer_cargo_are_taken_away() {
        let libraries = "/p/target/debug/deps:/h/.rustup/toolchains/stable/lib:/opt/qemu/lib";
        assert_eq!(foreign_libraries(OsStr::new(libraries)), Some(OsString::from("/opt/qemu/lib")));
        assert_eq!(foreign_libraries(OsStr::new("/p/target/debug:")), None);
    }

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
    }
}
