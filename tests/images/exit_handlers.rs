//! Handlers of the event `process_exit` run before all at_exit hooks, by priority, each with its argument. T50, T51.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use asphodel::api::{Errno, MAX_HOOKS, Pid, Status, at_exit, off_process_exit, on_process_exit, rm_at_exit};
use asphodel_test::{assert_exited, spawn_child, test, wait_exit};

asphodel_test::image!();

/// The calls so far, a digit each.
static ORDER: AtomicUsize = AtomicUsize::new(0);
static STATUS: AtomicU32 = AtomicU32::new(0);

fn note(digit: usize) {
    ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
}

fn handler(argument: usize, _: Pid, status: Status) {
    STATUS.store(u32::from(status.word()), Ordering::Relaxed);
    note(argument);
}

fn hook(_: Pid, _: Status) {
    note(9);
}

test!(
    /// T50, T51: handlers first, by priority and then in the order of their registration; all see the status.
    t050_handlers_come_before_hooks,
    {
        assert_eq!(at_exit(hook), Ok(()));
        for (argument, priority) in [(1, 0), (2, 10), (3, -10), (4, 0)] {
            assert_eq!(on_process_exit(handler, argument, priority), Ok(()));
        }
        assert_eq!(on_process_exit(handler, 4, 5), Err(Errno::EEXIST));
        assert_exited(wait_exit(spawn_child(|_| 6, 0)).status(), 6);
        assert_eq!(ORDER.load(Ordering::Relaxed), 31_429);
        assert_eq!(STATUS.load(Ordering::Relaxed), 0x600);
        for argument in 1..=4 {
            assert_eq!(off_process_exit(handler, argument), 1);
        }
        assert_eq!(off_process_exit(handler, 1), 0);
        assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
        assert_eq!(ORDER.load(Ordering::Relaxed), 314_299, "the hook alone is left");
        assert_eq!(rm_at_exit(hook), 1);
    }
);

test!(
    /// A hook that registers another one while it runs: the new one is called by the same exit, once.
    a_hook_registered_by_a_hook_is_called,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fn later(_: Pid, _: Status) {
            CALLS.fetch_add(100, Ordering::Relaxed);
        }
        fn first(_: Pid, _: Status) {
            CALLS.fetch_add(1, Ordering::Relaxed);
            assert_eq!(at_exit(later), Ok(()));
        }
        assert_eq!(at_exit(first), Ok(()));
        assert_exited(wait_exit(spawn_child(|_| 0, 0)).status(), 0);
        assert_eq!(CALLS.load(Ordering::Relaxed), 101);
        assert_eq!((rm_at_exit(first), rm_at_exit(later)), (1, 1));
    }
);

test!(
    /// A limited number of handlers fits, and then registration fails with ENOMEM.
    handlers_are_limited,
    {
        for argument in 0..MAX_HOOKS {
            assert_eq!(on_process_exit(handler, argument, 0), Ok(()));
        }
        assert_eq!(on_process_exit(handler, MAX_HOOKS, 0), Err(Errno::ENOMEM));
        for argument in 0..MAX_HOOKS {
            assert_eq!(off_process_exit(handler, argument), 1);
        }
    }
);
