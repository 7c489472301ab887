//! Bench: a block of memory, from the shared heap and from an arena.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use core::hint::black_box;

use asphodel::api::{Arguments, Program, SpawnAttributes, spawn, wait4};
use asphodel_test::bench::{pinned, process_on_cpu, repeat, row};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 1000;

fn allocate_and_free(name: &str) {
    row(name, || repeat(OPERATIONS, || drop(black_box(Box::new([0_u64; 8])))));
}

fn rows() {
    pinned(0, || allocate_and_free("heap.allocate_free"));
    let isolated = |_: &Arguments<'_>| {
        allocate_and_free("arena.allocate_free");
        0
    };
    let attributes = SpawnAttributes { memory: asphodel_test::ISOLATED, ..process_on_cpu(0) };
    let pid = spawn(&Program::new("isolated", isolated), &[], &attributes).expect("there is memory for it");
    wait4(pid.raw(), 0).expect("it can be waited for");
}
