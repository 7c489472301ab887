//! A panic in an LWP ends its process, with SIGABRT, and nothing else. T198.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Pid, Signal, Status, at_exit, lwp_spawn, preempt_disable, rm_at_exit, yield_now,
};
use asphodel_test::{
    StartLine, assert_exited, assert_signaled, cpus, eventually, on_cpu, orphans_are_meant, sleep_for_ever,
    spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

test!(
    /// T198: the only LWP; by panic!, by a division, by an index.
    t198_the_only_lwp_panics,
    {
        let children: [fn(&Arguments<'_>) -> i32; 3] = [
            |_| panic!("as it should"),
            |arguments| 7 / (core::hint::black_box(arguments.number() as i32) - 1),
            |arguments| [1, 2, 3][core::hint::black_box(arguments.number()) + 3],
        ];
        for child in children {
            let report = wait_exit(spawn_child(child, 1));
            assert_signaled(report.status(), Signal::ABRT);
            assert_eq!((report.status().code(), report.status().word() & 0x80), (None, 0x80), "of the core class");
        }
    }
);

test!(
    /// T198: one LWP of many: its siblings end with it; other processes do not.
    t198_one_of_many_lwps_panics,
    {
        static OTHERS: AtomicU32 = AtomicU32::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        let bystander = spawn_child(
            |_| {
                while !STOP.load(Ordering::Acquire) {
                    OTHERS.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
                9
            },
            0,
        );
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)));
                drop(lwp_spawn(spin_for_ever, 0, &on_cpu(cpus() - 1)));
                drop(lwp_spawn(|_| panic!("as it should"), 0, &on_cpu(1 % cpus())));
                sleep_for_ever(0) as i32
            },
            0,
        );
        let report = wait_exit(pid);
        assert_signaled(report.status(), Signal::ABRT);
        assert_eq!(report.usage.lwps, 4);
        let before = OTHERS.load(Ordering::Relaxed);
        eventually("the bystander goes on", || OTHERS.load(Ordering::Relaxed) > before + 10);
        STOP.store(true, Ordering::Release);
        assert_exited(wait_exit(bystander).status(), 9);
    }
);

test!(
    /// T198: LWPs that panic at the same time, on all CPUs: one report.
    t198_all_lwps_panic_at_once,
    {
        static LINE: StartLine = StartLine::new();
        for _ in 0..5 {
            LINE.reset();
            let pid = spawn_child(
                |_| {
                    let panics = |_| {
                        LINE.cross(cpus() + 1);
                        panic!("all together");
                    };
                    for cpu in 0..cpus() {
                        drop(lwp_spawn(panics, 0, &on_cpu(cpu)));
                    }
                    panics(0) as i32
                },
                0,
            );
            let report = wait_exit(pid);
            assert_signaled(report.status(), Signal::ABRT);
            assert_eq!(report.usage.lwps, u64::from(cpus()) + 1);
        }
    }
);

test!(
    /// T198: with preemption disabled by the program.
    t198_a_panic_with_preemption_disabled,
    {
        let pid = spawn_child(
            |_| {
                let _guard = preempt_disable();
                panic!("as it should")
            },
            0,
        );
        assert_signaled(wait_exit(pid).status(), Signal::ABRT);
    }
);

test!(
    /// T198: in an exit hook: the process ends nevertheless, and its children are not lost.
    t198_a_panic_in_an_exit_hook,
    {
        orphans_are_meant();
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fn hook(_: Pid, _: Status) {
            if CALLS.fetch_add(1, Ordering::AcqRel) == 0 {
                panic!("in a hook");
            }
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)));
                spawn_child(|_| sleep_for_ever(0) as i32, 0);
                at_exit(hook).expect("there is room");
                0
            },
            0,
        );
        let report = wait_exit(pid);
        assert_signaled(report.status(), Signal::ABRT);
        assert_eq!(rm_at_exit(hook), 1);
        assert_eq!(report.usage.lwps, 2);
        let orphan = asphodel::api::processes().into_iter().find(|process| process.name == "child");
        let orphan = orphan.expect("the grandchild lives");
        assert_eq!(orphan.parent, Pid::INIT);
        asphodel::api::kill(orphan.pid, 9).expect("it is there");
        eventually("process 1 has reaped it", || asphodel_test::state_of(orphan.pid).is_none());
    }
);
