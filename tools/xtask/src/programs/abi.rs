//! The functions of the kernel that a program may use: those that `std` for `aarch64-unknown-hermit` calls.
//!
//! The linker gets them as a shared library that consists of their names, so the linker reports a function that does
//! not exist, and calls go through the tables that the kernel's loader fills in.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process;
use crate::setup::Toolchain;
use crate::source_tree;

/// The name of the kernel as a shared library, which its loader expects.
pub(super) const KERNEL: &str = "asphodel";

/// The functions, by their names.
pub(super) const FUNCTIONS: [&str; 48] = [
    "sys_abort",
    "sys_accept",
    "sys_available_parallelism",
    "sys_bind",
    "sys_clock_gettime",
    "sys_close",
    "sys_connect",
    "sys_dup",
    "sys_exit",
    "sys_free",
    "sys_freeaddrinfo",
    "sys_fstat",
    "sys_futex_wait",
    "sys_futex_wake",
    "sys_get_errno",
    "sys_getaddrinfo",
    "sys_getdents64",
    "sys_getpeername",
    "sys_getsockname",
    "sys_getsockopt",
    "sys_ioctl",
    "sys_join",
    "sys_listen",
    "sys_lseek",
    "sys_lstat",
    "sys_malloc",
    "sys_mkdir",
    "sys_open",
    "sys_poll",
    "sys_read",
    "sys_read_entropy",
    "sys_readv",
    "sys_realloc",
    "sys_recv",
    "sys_recvfrom",
    "sys_rmdir",
    "sys_send",
    "sys_sendto",
    "sys_setsockopt",
    "sys_shutdown",
    "sys_socket",
    "sys_spawn2",
    "sys_stat",
    "sys_unlink",
    "sys_usleep",
    "sys_write",
    "sys_writev",
    "sys_yield",
];

/// Makes the library in `directory`, unless it exists; returns its path.
///
/// # Errors
/// Fails when it cannot be written, or the linker refuses.
pub(super) fn library(toolchain: &Toolchain, directory: &Path) -> anyhow::Result<PathBuf> {
    let script = directory.join("asphodel.ld");
    let library = directory.join("libasphodel.so");
    let text = script_text();
    if library.is_file() && fs::read_to_string(&script).ok().as_ref() == Some(&text) {
        return Ok(library);
    }
    fs::create_dir_all(directory)?;
    // Another process may be at it, too: so it is made elsewhere, and the script, which says what it is, comes last.
    let place = tempfile::tempdir_in(directory)?;
    let (input, made) = (place.path().join("asphodel.ld"), place.path().join("libasphodel.so"));
    fs::write(&input, &text).with_context(|| format!("cannot write {}", input.display()))?;
    let mut linker = Command::new(&toolchain.linker);
    // The linker of a toolchain takes its flavor as an argument; another one has it in its name.
    if toolchain.linker.ends_with("rust-lld") {
        linker.args(["-flavor", "gnu"]);
    }
    linker.args(["-m", "aarch64elf", "-shared", "-soname", KERNEL, "-o"]).arg(&made).arg(&input);
    process::check(&mut linker, "linking the names of the kernel's functions")?;
    fs::rename(&made, &library).with_context(|| format!("cannot write {}", library.display()))?;
    source_tree::write_if_changed(&script, &text)?;
    Ok(library)
}

/// Returns the linker's input: each function is a symbol.
fn script_text() -> String {
    FUNCTIONS.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{name} = 0;");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn the_kernel_has_these_functions_and_no_others() {
        let workspace = Workspace::find().unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir(workspace.root().join("src/kernel/src/hermit")).unwrap() {
            let source = fs::read_to_string(entry.unwrap().path()).unwrap();
            for rest in source.split("Symbol::new(\"").skip(1) {
                found.push(rest.split('"').next().unwrap().to_string());
            }
        }
        found.sort();
        assert_eq!(found, FUNCTIONS);
    }

    #[test]
    fn functions_are_in_order_and_none_is_there_twice() {
        assert!(FUNCTIONS.is_sorted_by(|one, other| one < other));
    }
}
