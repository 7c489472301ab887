//! Nothing periodic happens on a CPU that idles, nor on one with a single LWP to run: interrupts are counted.
#![no_std]
#![no_main]

use asphodel::api::{WaitResult, cpu_index, cpus, lwp_run, now_ns, relax, sleep};
use asphodel_test::{on_cpu, test};

asphodel_test::image!();

/// The observed time, in nanoseconds, in which a tick of 100 Hz would come fifty times.
const WATCHED: u64 = 500_000_000;
/// Interrupts that a CPU may take in that time: a timer that was set before and finds nothing due, a message of a CPU
/// that asks for work, and, on one CPU, the end of the sleep.
const FEW: u64 = 5;

fn interrupts() -> [u64; 64] {
    let mut counts = [0; 64];
    for cpu in cpus() {
        counts[cpu.index as usize] = cpu.statistics.interrupts.get();
    }
    counts
}

test!(an_idle_system_is_left_alone, {
    // What the beginning of the test has caused is over first.
    let _timed_out = sleep(50_000_000);
    let before = interrupts();
    assert_eq!(sleep(WATCHED), WaitResult::TimedOut);
    let after = interrupts();
    for cpu in cpus() {
        let taken = after[cpu.index as usize] - before[cpu.index as usize];
        assert!(taken <= FEW, "CPU {} took {taken} interrupts", cpu.index);
    }
});

test!(a_single_lwp_is_left_alone, {
    for cpu in 0..asphodel_test::cpus() {
        let busy = || {
            let before = interrupts()[cpu_index() as usize];
            let end = now_ns() + WATCHED / 2;
            while now_ns() < end {
                relax();
            }
            interrupts()[cpu_index() as usize] - before
        };
        let lwp = lwp_run(busy, &on_cpu(cpu)).expect("an LWP can be made");
        let taken = lwp.join().expect("it can be joined").expect("it has a result");
        assert!(taken <= FEW, "CPU {cpu} took {taken} interrupts");
    }
});
