//! A panic, which ends the program where `std` does not unwind.

fn main() {
    let words: Vec<String> = std::env::args().collect();
    assert!(words.is_empty(), "this is meant to panic: {words:?}");
}
