//! Threads count what one counts.

#[test]
fn all_cpus_count_the_same() {
    for range in [0..0, 0..2, 10..10_000] {
        assert_eq!(count_primes::count_on_all_cpus(range.clone()), count_primes::count(range));
    }
}
