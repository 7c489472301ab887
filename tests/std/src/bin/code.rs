//! An exit code, while another thread is still running.

use std::thread;
use std::time::Duration;

fn main() {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let code = std::env::args().nth(1).and_then(|word| word.parse().ok());
    std::process::exit(code.unwrap_or(99));
}
