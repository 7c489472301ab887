use std::env;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let Some(limit) = env::args().nth(1).map_or(Some(100_000), |word| word.parse().ok()) else {
        eprintln!("usage: count-primes [LIMIT]");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let count = count_primes::count_on_all_cpus(0..limit);
    println!("{count} primes below {limit}, in {:?}", begun.elapsed());
    ExitCode::SUCCESS
}
