//! Debugging a guest: a free port on the loopback, and the line to type.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Context as _;

use crate::process::{self, find_program};
use crate::progress::note;

/// Debuggers that know the target, in the order of preference.
const DEBUGGERS: &[&str] = &["gdb-multiarch", "aarch64-none-elf-gdb", "aarch64-linux-gnu-gdb"];

/// The port that is used if it is free.
const USUAL_PORT: u16 = 1234;

/// Returns a free TCP port: the usual one, or any.
///
/// # Errors
/// Fails when the machine has no free port.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind(("127.0.0.1", USUAL_PORT)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    let listener = listener.context("no TCP port is free for the debugger")?;
    Ok(listener.local_addr()?.port())
}

/// Prints that the guest waits for a debugger, and the command to type.
pub(crate) fn announce(elf: &Path, port: u16) {
    let debugger = DEBUGGERS.iter().find(|name| find_program(name).is_some());
    if debugger.is_none() {
        note("no debugger for the target is on PATH: install gdb-multiarch");
    }
    note("the machine waits before its first instruction; in another terminal type:");
    eprintln!("{}", line(debugger.unwrap_or(&DEBUGGERS[0]), elf, port));
    note("(until the kernel has switched its page tables on, break with `hbreak`)");
}

/// Returns the command to type.
fn line(debugger: &str, elf: &Path, port: u16) -> String {
    let elf = process::shell_word(&elf.to_string_lossy());
    format!("{debugger} -ex 'target remote 127.0.0.1:{port}' {elf}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_port_and_the_elf() {
        assert_eq!(line("gdb", Path::new("/p/a b"), 99), "gdb -ex 'target remote 127.0.0.1:99' '/p/a b'");
        assert!(line("gdb", Path::new("/p/it's"), 99).ends_with(" \"/p/it's\""));
    }

    #[test]
    fn a_port_is_found() {
        assert_ne!(free_port().unwrap(), 0);
    }
}
