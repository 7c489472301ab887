//! Programs that process 1 runs instead of the console: the one that the boot arguments name after ` -- `, or those
//! that the payload names, one after the other.
//!
//! A line of `etc/autorun` is the name of a program and its words, quoted as for a shell; empty lines, and what follows
//! a `#` at a word's beginning, are left out. The first program that fails is the last: its status is the system's.

use alloc::string::String;
use alloc::vec::Vec;

use asphodel::api::{Group, SpawnAttributes, find_program, println, spawn};

use crate::reaper::reap_until;

/// Exit status if the program does not exist, as in shells.
const NOT_FOUND: i32 = 127;
/// Exit status if the program cannot be started, as in shells.
const NOT_STARTED: i32 = 126;
/// Exit status if a line cannot be read: `EX_DATAERR` of sysexits(3).
const BAD_LINE: i32 = 65;

/// Runs all lines; returns the status of the first program that failed, as a shell would show it, or 0.
pub(crate) fn run(lines: &str) -> i32 {
    lines.lines().map(run_line).find(|status| *status != 0).unwrap_or(0)
}

fn run_line(line: &str) -> i32 {
    let Some(words) = shlex::split(line) else {
        println!("init: a quote is not closed: {line}");
        return BAD_LINE;
    };
    run_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs the program that the first word names, with the others; returns its status, as a shell would show it, or 0 if
/// there are no words.
pub(crate) fn run_words(words: &[&str]) -> i32 {
    let Some((name, words)) = words.split_first() else { return 0 };
    let Some(program) = find_program(name) else {
        println!("init: there is no program '{name}'");
        return NOT_FOUND;
    };
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    match spawn(program, words, &attributes) {
        Ok(pid) => {
            let status = reap_until(pid);
            if status.signal().is_some() {
                println!("init: {name} was {status}");
            }
            i32::from(status.shell_code())
        }
        Err(error) => {
            println!("init: {name}: {error}");
            NOT_STARTED
        }
    }
}
