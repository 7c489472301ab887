//! A program that aborts.

fn main() {
    std::process::abort();
}
