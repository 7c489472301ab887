//! The simplest program.

fn main() {
    println!("# hello from std");
}
