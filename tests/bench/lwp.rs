//! Bench: the cost of an LWP from its creation to its join.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{LwpAttributes, Semaphore, cpu_index, cpus, lwp_spawn, sleep, yield_now};
use asphodel_test::bench::{
    self, Interval, bench_begin, bench_end, median, on_cpu, overhead, pinned, repeat, report, row,
};
use asphodel_test::bench_image;

bench_image!(rows);

const OPERATIONS: u64 = 200;
/// LWPs that sleep, in the two cases that are compared.
const FEW: usize = 10;
const MANY: usize = 10_000;

/// This semaphore is never posted.
static NEVER: Semaphore = Semaphore::new(0);

fn rows() {
    row("lwp.create_exit_join", create_exit_join);
    row("lwp.create_exit_join_one_cpu", || pinned(0, create_exit_join_here));
    row("exit.to_stack_cached", || pinned(0, exit_to_stack_cached));
    live_ratio();
}

/// Creates, runs, ends and joins LWPs one after another.
fn create_exit_join() -> Interval {
    let attributes = LwpAttributes::default();
    repeat(OPERATIONS, || one_life(&attributes))
}

/// Same, restricted to this CPU.
fn create_exit_join_here() -> Interval {
    let attributes = on_cpu(cpu_index());
    repeat(OPERATIONS, || one_life(&attributes))
}

#[inline(always)]
fn one_life(attributes: &LwpAttributes) {
    let lwp = lwp_spawn(|argument| argument + 1, 41, attributes).expect("there is memory for an LWP");
    let result = lwp.join();
    debug_assert_eq!(result, Ok(Some(42)), "it is not killed");
}

/// Same with many LWPs of the process asleep, against with few.
fn live_ratio() {
    let name = "lwp.live_10000_ratio";
    if !bench::selected(name) {
        return;
    }
    let attributes = LwpAttributes::default();
    let asleep = |count: usize| {
        for _ in 0..count {
            let lwp = lwp_spawn(
                |_| {
                    let _never = NEVER.wait();
                    0
                },
                0,
                &attributes,
            );
            drop(lwp.expect("there is memory for so many LWPs"));
        }
        // This is long enough for all of them to go to sleep.
        let _later = sleep(100_000_000);
    };
    asleep(FEW);
    let with_few = median(create_exit_join);
    asleep(MANY - FEW);
    let with_many = median(create_exit_join);
    report(name, with_many * 1000 / with_few, "ratio");
}

/// Measures from an LWP's call of exit (here its return from its entry) to the next LWP of the CPU, which finds the
/// stack in the cache, because the context that runs next puts it there before anything else.
fn exit_to_stack_cached() -> Interval {
    static LEFT_AT: AtomicU64 = AtomicU64::new(0);
    let stacks_returned = || {
        let here = cpu_index();
        cpus().filter(|cpu| cpu.index == here).map(|cpu| cpu.statistics.stacks_returned.get()).sum::<u64>()
    };
    let mut sum = Interval { ticks: 0, operations: 0 };
    for _ in 0..20 {
        let before = stacks_returned();
        let lwp = lwp_spawn(
            |_| {
                LEFT_AT.store(bench_begin(), Ordering::Relaxed);
                0
            },
            0,
            &on_cpu(0),
        );
        let lwp = lwp.expect("there is memory for an LWP");
        yield_now();
        let at = bench_end();
        assert_eq!(stacks_returned(), before + 1, "the stack is in the cache again");
        sum.ticks += (at - LEFT_AT.load(Ordering::Relaxed)).saturating_sub(overhead());
        sum.operations += 1;
        drop(lwp);
    }
    sum
}
