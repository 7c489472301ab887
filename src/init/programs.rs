//! The built-in programs: examples to observe, to kill and to wait for.

use core::hint::black_box;

use alloc::string::String;
use alloc::vec::Vec;

use asphodel::api::{
    Arguments, Errno, LwpAttributes, LwpHandle, Program, SpawnAttributes, cpu_index, getpid, getppid, gettid,
    lwp_spawn, now_ns, println, program, sleep, spawn,
};

use crate::units::number_or;

program!("burn", burn);
program!("sleeper", sleeper);
program!("orphans", orphans);
program!("hello", hello);

/// Name, arguments and purpose of every program of this package, for `help`.
pub(crate) const LIST: [(&str, &str, &str); 6] = [
    ("hello", "[WORDS]", "says hello"),
    ("burn", "[LWPS] [SECONDS]", "keeps LWPs (1) busy, for ever without SECONDS"),
    ("sleeper", "[SECONDS] [LWPS]", "sleeps (10 s) in one or more LWPs"),
    ("crash", "[HOW]", "dies of: null stack undefined panic breakpoint text data heap"),
    ("orphans", "[N]", "leaves N (3) children behind for process 1, which live 2 s"),
    ("storm", "[N]", "spawns and reaps N (10000) processes on all CPUs, measures, looks for leaks"),
];

/// Exit code if the words are not understood: `EX_USAGE` of sysexits(3).
pub(crate) const USAGE: i32 = 64;
/// Exit code if a system call failed: `EX_OSERR`.
pub(crate) const REFUSED: i32 = 71;

const MAX_LWPS: u64 = 10_000;
const MAX_SECONDS: u64 = 1_000_000;
/// Steps of a burner between two readings of the clock: some milliseconds.
const STEPS: u64 = 1_000_000;
const NANOSECONDS: u64 = 1_000_000_000;
const ORPHANS_LIVE: u64 = 2 * NANOSECONDS;

/// Reports why a program gives up; returns its exit code.
pub(crate) fn complain(program: &str, what: &str) -> i32 {
    println!("{program}: {what}");
    USAGE
}

fn hello(arguments: &Arguments<'_>) -> i32 {
    let words: Vec<&str> = arguments.words().collect();
    let words = if words.is_empty() { "world" } else { &*words.join(" ") };
    println!("hello, {words}: pid {}, parent {}, LWP {}, cpu{}", getpid(), getppid(), gettid(), cpu_index());
    0
}

/// Two numbers, of which either may be missing.
fn two(arguments: &Arguments<'_>, defaults: [u64; 2], most: [u64; 2]) -> Result<[u64; 2], String> {
    Ok([
        number_or(arguments.get(0), defaults[0], 1, most[0])?,
        number_or(arguments.get(1), defaults[1], 1, most[1])?,
    ])
}

fn burn(arguments: &Arguments<'_>) -> i32 {
    match two(arguments, [1, u64::MAX], [MAX_LWPS, MAX_SECONDS]) {
        Err(what) => complain("burn", &what),
        Ok([lwps, seconds]) => {
            let end = now_ns().saturating_add(seconds.saturating_mul(NANOSECONDS));
            in_lwps("burn", lwps, burn_until, end)
        }
    }
}

/// Plain program code that never enters the kernel, so only an interrupt can stop it. The clock is read rarely, because
/// an emulator takes a lock for it that its devices need as well.
fn burn_until(end: usize) -> usize {
    let mut work = 0_u64;
    while now_ns() < end as u64 {
        for step in 0..STEPS {
            work = black_box(work ^ step);
        }
    }
    0
}

fn sleeper(arguments: &Arguments<'_>) -> i32 {
    match two(arguments, [10, 1], [MAX_SECONDS, MAX_LWPS]) {
        Err(what) => complain("sleeper", &what),
        Ok([seconds, lwps]) => in_lwps("sleeper", lwps, sleep_for, seconds * NANOSECONDS),
    }
}

fn sleep_for(nanoseconds: usize) -> usize {
    // An LWP that is killed in its sleep does not get here.
    let _slept = sleep(nanoseconds as u64);
    0
}

/// Runs `work` in `lwps` LWPs, the caller's included, and waits for all of them.
fn in_lwps(program: &str, lwps: u64, work: fn(usize) -> usize, argument: u64) -> i32 {
    let start = |_| lwp_spawn(work, argument as usize, &LwpAttributes::default());
    let helpers: Result<Vec<LwpHandle>, Errno> = (1..lwps).map(start).collect();
    match helpers {
        Err(error) => {
            println!("{program}: not all LWPs can be made: {error}");
            REFUSED
        }
        Ok(helpers) => {
            work(argument as usize);
            for helper in helpers {
                // An LWP that was killed alone has no result.
                let _result = helper.join();
            }
            0
        }
    }
}

fn orphans(arguments: &Arguments<'_>) -> i32 {
    let number = match number_or(arguments.get(0), 3, 1, MAX_LWPS) {
        Ok(number) => number,
        Err(what) => return complain("orphans", &what),
    };
    let orphan = Program::new("orphan", |_| {
        let _slept = sleep(ORPHANS_LIVE);
        0
    });
    for _ in 0..number {
        if let Err(error) = spawn(&orphan, &[], &SpawnAttributes::default()) {
            println!("orphans: {error}");
            return REFUSED;
        }
    }
    println!("orphans: {number} children are left to process 1");
    0
}
