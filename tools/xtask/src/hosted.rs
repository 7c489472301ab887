//! The hosted machine: an image that is a Linux program, with the kernel in a process, each CPU a thread.
//!
//! This module decides what such an image is built for and with, and the words that it is started with. It needs no
//! emulator and no compiler but this computer's own.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use crate::machine::{Boot, Clock};
use crate::process;
use crate::workspace::Workspace;

/// The compiler's flags for hosted images: at the addresses of the ELF, so that the addresses in a backtrace are those
/// of its symbols, and with the frame pointers that a backtrace walks.
pub(crate) const RUSTFLAGS: [&str; 2] = ["-Cforce-frame-pointers=yes", "-Crelocation-model=static"];

/// Returns the target triple of hosted images: that of this computer.
///
/// # Errors
/// Fails if there is no hosted machine for it.
pub(crate) fn triple() -> anyhow::Result<&'static str> {
    match (ARCH, OS) {
        ("x86_64", "linux") => Ok("x86_64-unknown-linux-gnu"),
        _ => bail!("the machine `host` needs Linux on x86-64, and this is {OS} on {ARCH}"),
    }
}

/// Returns cargo's configuration for hosted images, as `--config` takes it.
///
/// # Errors
/// Same as [`triple`].
pub(crate) fn configuration() -> anyhow::Result<String> {
    Ok(format!("target.{}.rustflags = {RUSTFLAGS:?}", triple()?))
}

/// Returns the target directory of hosted images: their own, so that they and other host builds never rebuild each
/// other.
pub(crate) fn target_directory(workspace: &Workspace) -> PathBuf {
    workspace.target().join("hosted")
}

/// Returns the words that the image of `boot` is started with.
///
/// # Errors
/// Fails when the boot needs something that only an emulator has.
pub(crate) fn words(boot: &Boot) -> anyhow::Result<Vec<String>> {
    ensure!(
        boot.clock == Clock::Host,
        "the machine `host` has no instruction clock: its CPUs are threads of Linux"
    );
    ensure!(boot.dtb.is_none(), "the machine `host` has no device tree");
    if boot.gdb_port.is_some() {
        bail!("the machine `host` is a process, to be debugged as any other: {}", debugger_line(boot)?);
    }
    machine_words(boot)
}

fn machine_words(boot: &Boot) -> anyhow::Result<Vec<String>> {
    let cpus = boot.configuration.cpus;
    let mut words = vec![format!("cpus={cpus}"), format!("memory={}", mebibytes(&boot.memory)?)];
    words.extend(boot.words().split_whitespace().map(String::from));
    Ok(words)
}

/// Returns the command for a debugger. Signals are interrupts and faults of programs there, which the kernel handles.
fn debugger_line(boot: &Boot) -> anyhow::Result<String> {
    let signals = "handle SIGUSR1 SIGSEGV nostop noprint pass";
    let words = machine_words(boot)?;
    let program = boot.kernel.to_string_lossy();
    let words: Vec<String> = [program.as_ref()]
        .into_iter()
        .chain(words.iter().map(String::as_str))
        .map(process::shell_word)
        .collect();
    Ok(format!("gdb -ex '{signals}' --args {}", words.join(" ")))
}

/// Converts a size of memory as QEMU writes it to MiB.
fn mebibytes(size: &str) -> anyhow::Result<u64> {
    let digits = size.trim_end_matches(|last: char| !last.is_ascii_digit());
    let number: u64 = digits.parse().with_context(|| format!("`{size}` is no size of memory"))?;
    match &size[digits.len()..] {
        "" | "M" | "m" => Ok(number),
        "G" | "g" => Ok(number << 10),
        unit => bail!("`{size}`: the unit is M or G, not {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::machine::{Configuration, Machine};

    fn boot() -> Boot {
        Boot::new(Configuration::new(Machine::Host, 2).unwrap(), Path::new("/p/image"))
    }

    #[test]
    fn the_words_are_those_of_the_machine_then_the_boot_arguments() {
        let mut boot = boot();
        boot.memory = "512M".into();
        boot.append = "filter=a -- storm 5".into();
        let word = boot.word.as_ref().map(|word| word.argument()).unwrap();
        assert_eq!(words(&boot).unwrap(), ["cpus=2", "memory=512", &word, "filter=a", "--", "storm", "5"]);
    }

    #[test]
    fn what_only_an_emulator_has_is_refused() {
        let mut counted = boot();
        counted.clock = Clock::Instructions;
        assert!(words(&counted).unwrap_err().to_string().contains("instruction clock"));
        let mut debugged = boot();
        debugged.gdb_port = Some(1234);
        let error = words(&debugged).unwrap_err().to_string();
        assert!(error.contains("--args /p/image 'cpus=2' 'memory=1024'"), "{error}");
    }

    #[test]
    fn memory_is_given_as_for_an_emulator() {
        assert_eq!(["1G", "512", "64M"].map(|size| mebibytes(size).unwrap()), [1024, 512, 64]);
        assert!(mebibytes("1T").is_err() && mebibytes("much").is_err());
    }
}
