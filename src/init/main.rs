//! The default image: process 1, a console on the serial line, and built-in programs.
//!
//! Process 1 starts the console and from then on only reaps: the console, and every orphan there will ever be. When
//! the console ends, process 1 ends with its status, and with that the system powers off.
#![no_std]
#![no_main]

extern crate alloc;

mod commands;
mod console;
mod crash;
mod jobs;
mod keyboard;
mod programs;
mod show;
mod storm;
mod units;

use asphodel::api::{
    Arguments, Group, LwpAttributes, Pid, Program, SpawnAttributes, getpid, println, program, spawn, wait4,
};
use asphodel_platform as _;

program!("init", init);

const CONSOLE: Program = Program::new("console", console::run);

/// The console formats much and holds little: room for both, and for a deep call.
const CONSOLE_STACK: usize = 64 * 1024;

/// Exit status when the console cannot be started: `EX_OSERR` of sysexits(3).
const NO_CONSOLE: i32 = 71;

/// Process 1.
fn init(_arguments: &Arguments<'_>) -> i32 {
    if getpid() != Pid::INIT {
        println!("init: process 1 is init, and there is only one");
        return 1;
    }
    println!("init: pid {}", getpid());
    let attributes = SpawnAttributes {
        lwp: LwpAttributes { stack_size: CONSOLE_STACK, ..LwpAttributes::default() },
        group: Group::New,
        ..SpawnAttributes::default()
    };
    match spawn(&CONSOLE, &[], &attributes) {
        Ok(console) => reap_until(console),
        Err(error) => {
            println!("init: no console: {error}");
            NO_CONSOLE
        }
    }
}

/// Reaps children and orphans until `console` ends; gives its status as a shell would show it.
fn reap_until(console: Pid) -> i32 {
    loop {
        match wait4(-1, 0) {
            Ok(Some(report)) if report.pid == console => {
                if report.status.signal().is_some() {
                    println!("init: the console was {}", report.status);
                }
                return i32::from(report.status.shell_code());
            }
            Ok(_) => {}
            // The console is a child until it has been reaped: there is always one to wait for.
            Err(error) => unreachable!("process 1 cannot wait: {error}"),
        }
    }
}
