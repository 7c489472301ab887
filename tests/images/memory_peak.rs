//! A process's report contains the most memory that it had at a time: heap and stacks, its own or a reaped
//! descendant's.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::vec::Vec;

use asphodel::api::{
    Arguments, LwpAttributes, Signal, children_usage, getpid, kill, lwp_spawn, process, usage,
};
use asphodel_test::{
    SMALL_STACK, assert_exited, assert_signaled, await_asleep, await_sleeping, leaves_heap, on_cpu,
    return_at_once, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

const STACK: u64 = SMALL_STACK as u64;
const MIB: usize = 1 << 20;
/// Memory that a program may allocate unnoticed.
const LITTLE: u64 = 4096;

/// Allocates `bytes` of heap for a moment.
fn touch(bytes: usize) {
    let block = Vec::<u8>::with_capacity(bytes);
    core::hint::black_box(block.as_ptr());
}

/// Allocates as many bytes of heap as its number says, twice in turn, and then half as many.
fn allocate(arguments: &Arguments<'_>) -> i32 {
    let bytes = arguments.number();
    touch(bytes);
    touch(bytes);
    touch(bytes / 2);
    0
}

#[track_caller]
fn assert_about(peak: u64, expected: u64) {
    assert!((expected..=expected + LITTLE).contains(&peak), "{peak} bytes, not about {expected}");
}

test!(the_most_at_a_time_is_told, {
    for bytes in [0, 1000, MIB, 3 * MIB] {
        let report = wait_exit(spawn_child(allocate, bytes));
        assert_exited(report.status(), 0);
        assert_about(report.usage.peak_memory, bytes as u64 + STACK);
    }
});

test!(
    /// The stacks that LWPs have at the same time, of any size, are counted; and each is freed.
    stacks_count,
    {
        fn many(_: &Arguments<'_>) -> i32 {
            let mine = || process(getpid()).expect("it is there").memory;
            let before = mine();
            for _ in 0..3 {
                for _ in 0..10 {
                    assert_eq!(lwp_spawn(return_at_once, 0, &on_cpu(0)).map(|lwp| lwp.join()), Ok(Ok(Some(0))));
                }
                let large = LwpAttributes { stack_size: 100_000, ..on_cpu(0) };
                let lwps = lwp_spawn(return_at_once, 0, &large).map(|lwp| lwp.join());
                assert_eq!(lwps, Ok(Ok(Some(0))));
            }
            assert_eq!(mine(), before, "dead LWPs have no stacks");
            assert_about(usage().peak_memory, 128 * 1024 + STACK);
            for _ in 0..20 {
                drop(lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()));
            }
            await_asleep(20);
            assert_eq!(mine(), before + 20 * STACK);
            0
        }
        assert_about(wait_exit(spawn_child(many, 0)).usage.peak_memory, 21 * STACK);
    }
);

test!(
    /// As BSD's ru_maxrss: of a process and those that it has reaped, the highest is reported; peaks are not added.
    a_descendants_peak_is_told,
    {
        fn parent(arguments: &Arguments<'_>) -> i32 {
            for bytes in [1000, arguments.number(), 2000] {
                assert_exited(wait_exit(spawn_child(allocate, bytes)).status(), 0);
            }
            assert_about(usage().peak_memory, STACK);
            assert_about(children_usage().peak_memory, arguments.number() as u64 + STACK);
            0
        }
        for bytes in [MIB, 2 * MIB, MIB] {
            let report = wait_exit(spawn_child(parent, bytes));
            assert_exited(report.status(), 0);
            assert_about(report.usage.peak_memory, bytes as u64 + STACK);
        }
        assert_about(children_usage().peak_memory, 2 * MIB as u64 + STACK);
    }
);

test!(
    /// The same for a process that was killed while it had its memory, which stays allocated, so that the leak check
    /// expects it.
    a_killed_process_tells_its_peak,
    {
        fn keep(arguments: &Arguments<'_>) -> i32 {
            let block = Vec::<u8>::with_capacity(arguments.number());
            core::hint::black_box(block.as_ptr());
            sleep_for_ever(0) as i32
        }
        let pid = spawn_child(keep, MIB);
        await_sleeping(pid);
        assert_about(process(pid).expect("it is there").memory, MIB as u64 + STACK);
        leaves_heap(MIB as u64);
        kill(pid, 9).expect("it is there");
        let ended = wait_exit(pid);
        assert_signaled(ended.status(), Signal::KILL);
        assert_about(ended.usage.peak_memory, MIB as u64 + STACK);
    }
);
