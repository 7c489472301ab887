//! The longest step of an exit is found. T194.
//!
//! Which step takes longest must not depend on when the host lets the emulator run.
//! clock: instructions
#![no_std]
#![no_main]
use asphodel::api::{Pid, Signal, Status, Step, at_exit, rm_at_exit, sleep};
use asphodel_test::exits::{end_waiting_exit, spawn_waiting_exit, steps, took, trace_of};
use asphodel_test::{assert_exited, assert_signaled, spawn_child, test, wait_exit};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;

test!(
    /// T194: the longest step is found: a slow hook.
    t194_a_slow_hook_is_the_longest_step,
    {
        fn hook(_: Pid, _: Status) {
            let _ = sleep(20 * MILLISECOND);
        }
        at_exit(hook).expect("there is room");
        let pid = spawn_child(|_| 0, 0);
        assert_exited(wait_exit(pid).status(), 0);
        assert_eq!(rm_at_exit(hook), 1);
        let record = trace_of(pid);
        assert_eq!(record.longest().map(|done| done.step), Some(Step::HooksDone));
        assert!(took(&record, Step::HooksDone) >= 20 * MILLISECOND);
    }
);

test!(
    /// T194: a hook that panics ends its step at the panic, and the steps before it keep their times.
    t194_a_hook_that_panics_counts_as_long_as_it_ran,
    {
        fn hook(_: Pid, _: Status) {
            let _ = sleep(20 * MILLISECOND);
            panic!("as it shall");
        }
        at_exit(hook).expect("there is room");
        let pid = spawn_child(|_| 0, 0);
        assert_signaled(wait_exit(pid).status(), Signal::ABRT);
        assert_eq!(rm_at_exit(hook), 1);
        let record = trace_of(pid);
        assert_eq!(steps(&record)[..], Step::ALL);
        assert_eq!(record.longest().map(|done| done.step), Some(Step::HooksDone));
    }
);

test!(
    /// T194: a sibling that no kill wakes makes "alone" the longest step.
    t194_a_slow_sibling_is_the_longest_step,
    {
        let pid = spawn_waiting_exit();
        let _ = sleep(20 * MILLISECOND);
        end_waiting_exit();
        assert_exited(wait_exit(pid).status(), 2);
        let record = trace_of(pid);
        assert_eq!(record.longest().map(|done| done.step), Some(Step::Alone));
    }
);
