//! Process 1: starts a child, waits for it, and ends with its exit status, which powers the machine off.
#![no_std]
#![no_main]

use asphodel::api::{Arguments, Program, SpawnAttributes, Status, println, program, spawn, wait4};
use asphodel_platform as _; // the boards

program!("init", init);

fn init(arguments: &Arguments<'_>) -> i32 {
    let child = Program::new("child", |arguments| arguments.words().count() as i32);
    let words: [&str; 2] = ["two", "words"];
    let pid = spawn(&child, &words, &SpawnAttributes::default()).expect("there is room for one");
    let report = wait4(pid.raw(), 0).expect("it is my child").expect("no WNOHANG: it has ended");
    println!("hello: pid {pid} {}", report.status);
    for word in arguments.words() {
        println!("hello: {word}");
    }
    if report.status == Status::exited(2) { 0 } else { 1 }
}
