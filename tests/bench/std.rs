//! Bench: an unmodified program for Rust's `std`, which measures itself (`tests/std/src/bin/bench.rs`), and the life of
//! another one.
//! programs: bench code
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;

use asphodel::api::{Group, SpawnAttributes, boot_argument, find_program, spawn, wait4};
use asphodel_test::bench::{cpus, repeat, row};
use asphodel_test::bench_image;

bench_image!(rows);

fn rows() {
    row("std.program_life", || repeat(10, || run("code", &["0"])));
    let cpus = format!("{}", cpus());
    let quick: &[&str] = if boot_argument("quick").is_some() { &[&cpus, "quick"] } else { &[&cpus] };
    run("bench", quick);
}

/// Starts a program and waits for its end.
fn run(name: &str, words: &[&str]) {
    let program = find_program(name).expect("it is in the payload");
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let pid = spawn(program, words, &attributes).expect("it can be started");
    let report = wait4(pid.raw(), 0).expect("it is a child").expect("it has ended");
    assert_eq!(report.status.code(), Some(0), "{}", report.status);
}
