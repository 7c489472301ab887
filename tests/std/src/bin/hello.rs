//! The first program of all.

fn main() {
    println!("# hello from std");
}
