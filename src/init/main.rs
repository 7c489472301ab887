//! The default image: process 1, a console on the serial line, and built-in programs.
//!
//! Process 1 starts the console and from then on only reaps: the console, and every orphan. When the console ends,
//! process 1 ends with its status, and with that the system powers off. An image whose payload has orders for process 1
//! has no console: the programs named there are run instead, and so is the program that the boot arguments name after `
//! -- `.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

mod autorun;
mod commands;
mod console;
mod crash;
mod jobs;
mod keyboard;
mod programs;
mod reaper;
mod show;
mod storm;
mod units;

use asphodel::api::{
    self, Arguments, Group, LwpAttributes, Pid, Program, SpawnAttributes, getpid, println, program, spawn,
};
use asphodel_platform as _;

use crate::reaper::reap_until;

program!("init", init);

const CONSOLE: Program = Program::new("console", console::run);

/// The console formats much and stores little: room for both, and for a deep call.
const CONSOLE_STACK: usize = 64 * 1024;

/// Exit status when the console cannot be started: `EX_OSERR` of sysexits(3).
const NO_CONSOLE: i32 = 71;

/// Process 1.
fn init(arguments: &Arguments<'_>) -> i32 {
    if getpid() != Pid::INIT {
        println!("init: process 1 is init, and there is only one");
        return 1;
    }
    let words: Vec<&str> = arguments.words().collect();
    if !words.is_empty() {
        return autorun::run_words(&words);
    }
    if let Some(lines) = api::autorun() {
        return autorun::run(lines);
    }
    let attributes = SpawnAttributes {
        lwp: LwpAttributes { stack_size: CONSOLE_STACK, ..LwpAttributes::default() },
        group: Group::New,
        ..SpawnAttributes::default()
    };
    match spawn(&CONSOLE, &[], &attributes) {
        Ok(console) => {
            let status = reap_until(console);
            if status.signal().is_some() {
                println!("init: the console was {status}");
            }
            i32::from(status.shell_code())
        }
        Err(error) => {
            println!("init: no console: {error}");
            NO_CONSOLE
        }
    }
}
