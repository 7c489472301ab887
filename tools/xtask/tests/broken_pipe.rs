//! A command whose output is not read to its end: `cargo xtask conformance | head -1`.

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_goes_ends_the_command_without_a_message() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("conformance").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it can be started");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it can be waited for");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
    assert_eq!(ended.status.code(), Some(141), "{said}");
}
