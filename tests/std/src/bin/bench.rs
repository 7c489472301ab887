//! Bench: the cost of threads and their synchronization, by the monotonic clock. The first word is printed with each
//! figure as the number of CPUs; with a second one, `quick`, fewer rounds are made. The figures are instructions where
//! a nanosecond of that clock is an instruction, and nanoseconds otherwise.

use std::hint::black_box;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

const OPERATIONS: u64 = 1000;

struct Bench {
    cpus: String,
    rounds: usize,
}

impl Bench {
    /// Prints the median of the cost of an operation.
    fn row(&self, name: &str, operations: u64, mut operation: impl FnMut()) {
        let mut round = || {
            let start = Instant::now();
            (0..operations).for_each(|_| operation());
            start.elapsed().as_nanos() as f64 / operations as f64
        };
        round();
        let mut values: Vec<f64> = (0..self.rounds).map(|_| round()).collect();
        values.sort_by(f64::total_cmp);
        println!("bench {name} {} {:.3} instructions", self.cpus, values[values.len() / 2]);
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let cpus = words.next().unwrap_or_else(|| "1".into());
    let bench = Bench { cpus, rounds: if words.next().is_some() { 1 } else { 5 } };

    bench.row("std.thread_spawn_join", OPERATIONS / 5, || thread::spawn(|| ()).join().unwrap());

    let count = Mutex::new(0_u64);
    bench.row("std.mutex_uncontended", OPERATIONS, || *count.lock().unwrap() += 1);

    bench.row("std.allocate_free", OPERATIONS, || drop(black_box(Box::new([0_u8; 100]))));

    let (to_echo, from_main) = mpsc::channel::<u64>();
    let (to_main, from_echo) = mpsc::channel::<u64>();
    let echo = thread::spawn(move || from_main.iter().for_each(|value| to_main.send(value).unwrap()));
    bench.row("std.channel_round_trip", OPERATIONS, || {
        to_echo.send(1).unwrap();
        from_echo.recv().unwrap();
    });
    drop(to_echo);
    echo.join().unwrap();

    let main = thread::current();
    let other = thread::spawn(move || {
        loop {
            thread::park();
            main.unpark();
        }
    });
    bench.row("std.park_unpark_round_trip", OPERATIONS, || {
        other.thread().unpark();
        thread::park();
    });
    // The other thread is still parked.
    std::process::exit(0);
}
