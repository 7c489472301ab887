//! A program that gives up.

fn main() {
    std::process::abort();
}
