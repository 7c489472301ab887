//! A stack that overflows, which ends the program and nothing else.

use std::hint::black_box;

fn deeper(depth: u64) -> u64 {
    let place = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deeper(black_box(depth + 1)) + place[0] }
}

fn main() {
    std::process::exit((deeper(0) & 1) as i32);
}
