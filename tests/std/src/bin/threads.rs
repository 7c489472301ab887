//! Threads: created, joined, parked, detached, and more of them than there are CPUs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

static MAY_GO_ON: AtomicBool = AtomicBool::new(false);
static LEFT_ALONE: AtomicUsize = AtomicUsize::new(0);

fn main() {
    assert!(thread::available_parallelism().unwrap().get() >= 1);

    let squares: Vec<_> = (0..100_u64).map(|number| thread::spawn(move || number * number)).collect();
    let sum: u64 = squares.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 328_350);

    let mut numbers = [1_u32; 64];
    thread::scope(|scope| {
        for part in numbers.chunks_mut(8) {
            scope.spawn(|| part.iter_mut().for_each(|number| *number += 1));
        }
    });
    assert_eq!(numbers, [2; 64]);

    thread::park_timeout(Duration::from_millis(1));
    let parked = thread::spawn(|| {
        while !MAY_GO_ON.load(Ordering::Acquire) {
            thread::park();
        }
    });
    thread::sleep(Duration::from_millis(5));
    MAY_GO_ON.store(true, Ordering::Release);
    parked.thread().unpark();
    parked.join().unwrap();

    // These are never joined.
    for _ in 0..50 {
        drop(thread::spawn(|| LEFT_ALONE.fetch_add(1, Ordering::Release)));
    }
    while LEFT_ALONE.load(Ordering::Acquire) != 50 {
        thread::yield_now();
    }

    let small = thread::Builder::new().stack_size(16 << 10).name("small".into());
    let name = small.spawn(|| thread::current().name().map(String::from)).unwrap().join().unwrap();
    assert_eq!(name.as_deref(), Some("small"));
}
