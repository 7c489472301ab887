//! The end of a command whose output is not read any more: quiet, as that of any program which SIGPIPE ends.
//!
//! SIGPIPE itself stays ignored, because a write to the pipe of an emulator that has ended is an error like any other.

use std::any::Any;
use std::io;
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status: 128 + SIGPIPE, as a shell would show it.
const STATUS: u8 = 141;

/// `true` if the reader of standard output or error is gone: what happens from then on is a consequence.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Runs a command; when the reader of its output goes, it unwinds, and ends without a message.
pub(crate) fn run(command: fn() -> ExitCode) -> ExitCode {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if is_broken_pipe(panic.payload()) {
            IS_LOST.store(true, Ordering::Relaxed);
        }
        if !is_lost() {
            report(panic);
        }
    }));
    match panic::catch_unwind(command) {
        _ if is_lost() => ExitCode::from(STATUS),
        Ok(code) => code,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Returns whether the reader of the output is gone.
pub(crate) fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Returns the result of a write to standard output, after noting whether the reader is gone.
pub(crate) fn noted(result: io::Result<()>) -> io::Result<()> {
    result.inspect_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            IS_LOST.store(true, Ordering::Relaxed);
        }
    })
}

/// Returns whether a panic is that of `println!` or `eprintln!` when there is no reader.
fn is_broken_pipe(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.is_some_and(|text| text.starts_with("failed printing to std") && text.contains("Broken pipe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_print_without_a_reader_ends_quietly() {
        let lost = |text: &str| is_broken_pipe(&text.to_string());
        assert!(lost("failed printing to stdout: Broken pipe (os error 32)"));
        assert!(!lost("failed printing to stdout: No space left on device (os error 28)"));
        assert!(!lost("Broken pipe"));
        assert!(!is_broken_pipe(&"failed printing to stdout: Broken pipe"), "a message of the code itself");
    }
}
