//! The figures of programs for Rust's `std` on Linux: the same source, built for it, as the only program that it runs.
//!
//! The kernel and the C library are taken from the distribution's packages, without installing them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cpio::newc;

use super::figures::{self, Figure};
use super::{Arguments, CPUS, QUICK_WORD};
use crate::machine::{Boot, Clock, Configuration, Machine};
use crate::programs::{self, LinuxLibraries, Program};
use crate::progress::note;
use crate::qemu_run::{self, End};
use crate::setup::Environment;
use crate::setup::packages::{self, C_COMPILER_LIBRARY, C_LIBRARY, LINUX};
use crate::workspace::Workspace;

/// The program of `tests/std` that measures itself.
const PROGRAM: &str = "bench";

/// What Linux prints when its only program has ended with success.
const END: &str = "Attempted to kill init! exitcode=0x00000000";

/// Measures on Linux what the bench of `std` measures on Asphodel.
///
/// # Errors
/// Fails if the packages are not available, the program does not build, or it does not end.
pub(super) fn measure(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
) -> anyhow::Result<Vec<Figure>> {
    let kernel = kernel(&packages::unpacked(workspace, &LINUX)?)?;
    let libraries = LinuxLibraries {
        c: packages::unpacked(workspace, &C_LIBRARY)?,
        compiler: packages::unpacked(workspace, &C_COMPILER_LIBRARY)?,
    };
    note("building the bench of std for Linux");
    let program = programs::own_for_linux(workspace, &environment.toolchain, PROGRAM, &libraries)?;
    let directory = tempfile::tempdir()?;
    let initrd = directory.path().join("initrd");
    write_initrd(&program, &initrd)?;
    let mut figures = Vec::new();
    for cpus in CPUS {
        note(&format!("{}, {cpus} CPUs", kernel.file_name().unwrap_or_default().to_string_lossy()));
        let boot = boot(&kernel, &initrd, cpus, arguments.quick)?;
        let deadline = Duration::from_secs(arguments.timeout);
        let ran = qemu_run::watch(environment, &boot, Some(deadline), &mut |_| {})?;
        if ran.end != End::EndedEarly || !ran.lines.iter().any(|line| line.text().contains(END)) {
            bail!("{PROGRAM} on Linux did not come to its end ({:?}):\n{}", ran.end, ran.console());
        }
        figures.extend(ran.lines.iter().filter_map(|line| figures::read(line.text(), PROGRAM)));
    }
    ensure!(!figures.is_empty(), "{PROGRAM} on Linux printed no figure");
    Ok(figures)
}

/// Returns the kernel among the files of its package.
fn kernel(directory: &Path) -> anyhow::Result<PathBuf> {
    let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let is_kernel =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    files.filter(is_kernel).max().with_context(|| format!("there is no kernel in {}", directory.display()))
}

/// Writes a file system with this program alone, which the kernel starts first.
fn write_initrd(program: &Program, path: &Path) -> anyhow::Result<()> {
    // `read` would require that it is fit for Asphodel.
    let bytes = fs::read(&program.elf).with_context(|| format!("cannot read {}", program.elf.display()))?;
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let init = newc::Builder::new("init").mode(0o100_755);
    cpio::write_cpio([(init, std::io::Cursor::new(bytes))].into_iter(), file)?;
    Ok(())
}

/// Returns how Linux is booted: with the same machine and clock as our own images. It restarts when its only program
/// has ended, and the emulator ends with that.
fn boot(kernel: &Path, initrd: &Path, cpus: u32, quick: bool) -> anyhow::Result<Boot> {
    let mut boot = Boot::new(Configuration::new(Machine::Virt, cpus)?, kernel);
    boot.clock = Clock::CountedInstructions;
    boot.word = None;
    boot.initrd = Some(initrd.to_path_buf());
    boot.append = format!("console=ttyAMA0 panic=-1 quiet rdinit=/init -- {cpus}");
    if quick {
        boot.append.push_str(&format!(" {QUICK_WORD}"));
    }
    Ok(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_of_a_package_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        assert!(kernel(directory.path()).is_err());
        for name in ["vmlinuz-6.1.0-49-arm64", "vmlinuz-6.1.0-50-arm64", "copyright"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert!(kernel(directory.path()).unwrap().ends_with("vmlinuz-6.1.0-50-arm64"));
    }

    #[test]
    fn the_program_gets_its_words_from_the_boot_arguments() {
        let [kernel, initrd] = ["k", "i"].map(Path::new);
        let of = |quick| boot(kernel, initrd, 4, quick).unwrap().append;
        assert!(of(false).ends_with("rdinit=/init -- 4"));
        assert!(of(true).ends_with("rdinit=/init -- 4 quick"));
    }
}
