//! A thousand threads that exist at the same time.

use std::sync::{Arc, Barrier};
use std::thread;

fn main() {
    let all = Arc::new(Barrier::new(1001));
    let threads: Vec<_> = (0..1000_usize)
        .map(|number| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                all.wait();
                number
            })
        })
        .collect();
    all.wait();
    let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 499_500);
}
