//! Counts primes, on all CPUs.

use std::ops::Range;
use std::thread;

/// How many numbers of the range are prime.
pub fn count(range: Range<u64>) -> usize {
    range.filter(|number| is_prime(*number)).count()
}

/// The same, by as many threads as there are CPUs.
pub fn count_on_all_cpus(range: Range<u64>) -> usize {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let step = (range.end - range.start).div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts = (range.start..range.end).step_by(step as usize);
        let threads: Vec<_> =
            parts.map(|start| scope.spawn(move || count(start..range.end.min(start + step)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    })
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_25_primes_below_100() {
        assert_eq!(count(0..100), 25);
    }
}
