//! wait4 with WNOHANG: it never sleeps, and reports no child twice. T108, T132, T134.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Errno, Semaphore, State, WNOHANG, exit, lwp_spawn, preempt_disable, process, wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, cpus, eventually, on_cpu, race_rounds, sleep_for_ever, spawn_child,
    test, wait_exit,
};

asphodel_test::image!();

static GO: Semaphore = Semaphore::new(0);

test!(
    /// T108: the child runs: there is nothing to report; later there is.
    t108_the_child_runs,
    {
        let pid = spawn_child(
            |_| {
                let _ = GO.wait();
                7
            },
            0,
        );
        for selector in [-1, 0, pid.raw()] {
            assert_eq!(wait4(selector, WNOHANG), Ok(None));
        }
        GO.post();
        let mut report = None;
        eventually("the child is reported", || {
            report = wait4(pid.raw(), WNOHANG).expect("the child has not been reported");
            report.is_some()
        });
        assert_exited(report.expect("there is a report").status, 7);
        assert_eq!(wait4(-1, WNOHANG), Err(Errno::ECHILD));
    }
);

test!(
    /// T132, R48, D25: the child is exiting and waits for one of its LWPs. The call is made with preemption disabled,
    /// where a sleep would end the caller.
    t132_the_child_is_dying,
    {
        static EVENT: Semaphore = Semaphore::new(0);
        static ASLEEP: AtomicBool = AtomicBool::new(false);
        let pid = spawn_child(
            |_| {
                let stubborn = |_| {
                    ASLEEP.store(true, Ordering::Release);
                    EVENT.wait_uninterruptible();
                    0
                };
                drop(lwp_spawn(stubborn, 0, &on_cpu(1 % cpus())));
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)));
                eventually("the stubborn LWP is there", || ASLEEP.load(Ordering::Acquire));
                exit(3)
            },
            0,
        );
        eventually("the child is exiting", || {
            process(pid).is_some_and(|report| report.state == State::Exiting && report.waits_for.is_some())
        });
        for selector in [-1, pid.raw()] {
            let guard = preempt_disable();
            let result = wait4(selector, WNOHANG);
            drop(guard);
            assert_eq!(result, Ok(None));
        }
        EVENT.post();
        assert_exited(wait_exit(pid).status(), 3);
    }
);

test!(
    /// T134: one LWP polls all the time, another one sleeps in wait4: each child is reported to one of them.
    t134_a_looker_and_a_sleeper,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static LOOKED: AtomicU32 = AtomicU32::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        fn look_all_the_time(_: usize) -> usize {
            while !STOP.load(Ordering::Acquire) {
                if let Ok(Some(_)) = wait4(-1, WNOHANG) {
                    LOOKED.fetch_add(1, Ordering::AcqRel);
                }
                yield_now();
            }
            0
        }
        let looker = lwp_spawn(look_all_the_time, 0, &on_cpu(cpus() - 1)).expect("an LWP can be made");
        let (mut born, mut slept) = (0, 0);
        for _ in race_rounds() {
            for _ in 0..4 {
                spawn_child(|_| 0, 0);
                born += 1;
            }
            while let Ok(report) = wait4(-1, 0) {
                assert!(report.is_some());
                slept += 1;
            }
        }
        STOP.store(true, Ordering::Release);
        assert_eq!(looker.join(), Ok(Some(0)));
        assert_eq!(LOOKED.load(Ordering::Acquire) + slept, born);
    }
);
