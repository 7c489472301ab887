//! The console: reads lines from the serial line and carries them out.

use asphodel::api::{Arguments, print, println};
use asphodel_console_parts::line::{Editor, MAX_LINE, Outcome};

use crate::commands::{self, Next};
use crate::jobs::Jobs;
use crate::keyboard;

/// Exit status when the keyboard cannot be read: `EX_OSERR` of sysexits(3).
const NO_KEYBOARD: i32 = 71;

/// Entry of the console's process. Its exit code is the status that the system ends with.
pub(crate) fn run(_arguments: &Arguments<'_>) -> i32 {
    if let Err(error) = keyboard::start() {
        println!("console: no keyboard: {error}");
        return NO_KEYBOARD;
    }
    let mut editor = Editor::new("asphodel> ");
    let mut jobs = Jobs::default();
    loop {
        jobs.report_ended();
        match read_line(&mut editor) {
            Outcome::Line => match commands::execute(editor.line(), &mut jobs) {
                Next::Line => {}
                Next::End(status) => return status,
            },
            Outcome::TooLong => println!("a line has at most {MAX_LINE} characters; this one was longer"),
            Outcome::Interrupted | Outcome::More => {}
            Outcome::End => return 0,
        }
    }
}

/// Edits a line until it is ended.
fn read_line(editor: &mut Editor) -> Outcome {
    let mut show = |text: &str| print!("{text}");
    editor.start(&mut show);
    loop {
        match editor.feed(keyboard::read(), &mut show) {
            Outcome::More => {}
            outcome => return outcome,
        }
    }
}
