//! The usage of a child and of its reaped children is added to its parent's. T121, T122.
#![no_std]
#![no_main]
use asphodel::api::{Arguments, Signal, Usage, children_usage, lwp_spawn, usage, wait4};
use asphodel_test::{
    assert_exited, assert_signaled, await_zombie, on_cpu, orphans_are_meant, return_at_once, sleep_for_ever,
    spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// Computes a little, with that many LWPs besides the first.
fn work(lwps: usize) {
    for _ in 0..lwps {
        let handle = lwp_spawn(return_at_once, 0, &on_cpu(0)).expect("an LWP can be made");
        assert_eq!(handle.join(), Ok(Some(0)));
    }
}

/// Computes, has a child do the same, and reaps it; recursively to the depth of its number.
fn descend(arguments: &Arguments<'_>) -> i32 {
    let depth = arguments.number();
    work(depth);
    if depth > 0 {
        let before = children_usage();
        let report = wait_exit(spawn_child(descend, depth - 1));
        assert_eq!(children_usage().since(before), report.usage);
    }
    0
}

test!(
    /// T121: three generations: LWPs are counted exactly, each once.
    t121_reaped_descendants_are_included,
    {
        let report = wait_exit(spawn_child(descend, 3));
        assert_exited(report.status(), 0);
        // Depth 3, 2, 1, 0: each has as many LWPs as its depth, and its first.
        assert_eq!(report.usage.lwps, 4 + 3 + 2 + 1);
        assert!(report.usage.cpu_ticks > 0 && report.usage.voluntary_switches > 0);
    }
);

test!(
    /// T121: a grandchild that its parent did not reap is not included.
    t121_orphans_are_not_included,
    {
        orphans_are_meant();
        let leaves_a_zombie = |_: &Arguments<'_>| {
            await_zombie(spawn_child(|_| 0, 0));
            0
        };
        assert_eq!(wait_exit(spawn_child(leaves_a_zombie, 0)).usage.lwps, 1);
    }
);

test!(
    /// T122: the caller's "children" account grows by exactly what is reported, and its own is not changed by it.
    t122_the_account_grows_by_the_report,
    {
        assert_eq!(children_usage(), Usage::default());
        let mut sum = Usage::default();
        for number in 0..10 {
            let pid = spawn_child(descend, number % 3);
            assert_eq!(children_usage(), sum, "a living child adds nothing");
            if number % 2 == 0 {
                await_zombie(pid);
                assert_eq!(children_usage(), sum, "a zombie adds nothing");
            }
            let report = wait4(-1, 0).expect("there is a child").expect("wait4 without WNOHANG reports");
            sum = sum.plus(report.usage);
            assert_eq!(children_usage(), sum);
        }
        assert_eq!(usage().lwps, 0, "none of the caller's own LWPs has ended");
    }
);

test!(
    /// T122: also for a child that was killed, and for its LWPs.
    t122_a_killed_child_counts,
    {
        let pid = spawn_child(
            |_| {
                work(2);
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)));
                sleep_for_ever(0) as i32
            },
            0,
        );
        asphodel_test::await_sleeping(pid);
        asphodel::api::kill(pid, 9).expect("it is there");
        let report = wait_exit(pid);
        assert_signaled(report.status(), Signal::KILL);
        assert_eq!(children_usage(), report.usage);
        assert!((1..=4).contains(&report.usage.lwps), "{:?}", report.usage);
    }
);
