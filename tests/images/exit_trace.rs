//! The trace of an exit: every step with its time, one record for each process. T194, T69; which step is the longest is
//! in `exit_longest_step.rs`.
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, Pid, Signal, Status, Step, at_exit, exit_records, exit_trace, getpid, kill, lwp_spawn,
    rm_at_exit, set_auto_reap, sleep,
};
use asphodel_test::exits::{end_waiting_exit, spawn_waiting_exit, steps, took, trace_of};
use asphodel_test::{
    assert_exited, assert_signaled, await_zombie, cpus, eventually, on_cpu, return_at_once, sleep_for_ever,
    spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;

/// Returns how many records of `pid` are kept.
fn records_of(pid: Pid) -> usize {
    exit_records().iter().filter(|record| record.pid == pid).count()
}

test!(
    /// T194: a reaped process has recorded all steps, in their order.
    t194_every_step_is_there_in_order,
    {
        let pid = spawn_child(|_| 7, 0);
        assert_exited(wait_exit(pid).status(), 7);
        let record = trace_of(pid);
        assert_eq!((record.pid, record.name, record.status, record.lwps), (pid, "child", Status::exited(7), 1));
        let stamps = Step::ALL.map(|step| record.at(step).expect("each step was done"));
        assert!(stamps.is_sorted(), "{stamps:?}");
        assert!(record.steps().map(|done| done.took).sum::<u64>() == stamps[stamps.len() - 1] - stamps[0]);
        assert_eq!(exit_records()[0], record, "it is the newest");
    }
);

test!(
    /// T194: an exit that waits for a sibling has a trace of the steps so far, and later of all.
    t194_an_exit_in_progress,
    {
        let pid = spawn_waiting_exit();
        let record = trace_of(pid);
        assert_eq!(steps(&record)[..], [Step::Elected, Step::SiblingsKilled]);
        assert_eq!(record.latest().map(|latest| latest.step), Some(Step::SiblingsKilled));
        assert_eq!((record.status, records_of(pid)), (Status::exited(2), 0));
        end_waiting_exit();
        assert_exited(wait_exit(pid).status(), 2);
        let record = trace_of(pid);
        assert_eq!(steps(&record)[..], Step::ALL);
        assert_eq!((record.lwps, records_of(pid)), (2, 1));
    }
);

test!(
    /// T194: a hook that panics ends its step, and all later steps are recorded.
    t194_a_hook_that_panics,
    {
        fn hook(_: Pid, _: Status) {
            panic!("as it shall");
        }
        at_exit(hook).expect("there is room");
        let pid = spawn_child(|_| 4, 0);
        let status = wait_exit(pid).status();
        assert_eq!(rm_at_exit(hook), 1);
        assert_signaled(status, Signal::ABRT);
        let record = trace_of(pid);
        assert_eq!((steps(&record).len(), record.status), (Step::ALL.len(), status));
    }
);

test!(
    /// T194: a zombie's trace ends with the notification of its parent; reaping adds the last step.
    t194_a_zombie_and_the_same_one_reaped,
    {
        let pid = spawn_child(|_| 0, 0);
        await_zombie(pid);
        let zombie = trace_of(pid);
        assert_eq!(steps(&zombie)[..], Step::ALL[..Step::ALL.len() - 1]);
        assert_eq!(records_of(pid), 0);
        let _ = sleep(20 * MILLISECOND);
        assert_exited(wait_exit(pid).status(), 0);
        let reaped = trace_of(pid);
        assert_eq!((steps(&reaped).len(), records_of(pid)), (Step::ALL.len(), 1));
        assert!(took(&reaped, Step::Reaped) >= 20 * MILLISECOND);
        assert_ne!(reaped.longest().map(|done| done.step), Some(Step::Reaped), "that is up to the parent");
        assert_eq!((reaped.longest(), reaped.total()), (zombie.longest(), zombie.total()));
    }
);

test!(
    /// T194: a process that does not end has no trace; nor has a pid that is not used.
    t194_the_living_have_no_trace,
    {
        let pid = spawn_child(|_| sleep_for_ever(0) as i32, 0);
        assert_eq!(exit_trace(pid), None);
        assert_eq!(exit_trace(getpid()), None);
        kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
        assert!(wait_exit(pid).status().signal().is_some());
        let record = trace_of(pid);
        assert_eq!(record.status, Status::signaled(Signal::KILL));
        assert_eq!(steps(&record)[..], Step::ALL);
        for unused in [0, -1, i32::MAX, 1 << 16] {
            assert_eq!(exit_trace(Pid::from_raw(unused)), None);
        }
    }
);

test!(
    /// T69: exactly one record for each process, however many LWPs it had; none for an LWP.
    t69_one_record_for_each_process,
    deadline_ms = 30_000,
    {
        fn three_lwps(arguments: &Arguments<'_>) -> i32 {
            let spawn = |cpu: usize| lwp_spawn(return_at_once, 0, &on_cpu(cpu as u32 % cpus()));
            let joined = spawn(arguments.number()).expect("there is memory").join();
            drop(spawn(arguments.number() + 1));
            i32::from(joined.is_err())
        }
        for round in 0..100 {
            let pid = spawn_child(three_lwps, round);
            assert_exited(wait_exit(pid).status(), 0);
            assert_eq!(records_of(pid), 1);
            assert_eq!(trace_of(pid).lwps, 3);
        }
        let newest = exit_records()[0];
        for cpu in 0..cpus() {
            lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("there is memory").join().expect("it is not killed");
        }
        assert_eq!(exit_records()[0], newest);
    }
);

test!(
    /// T194, D19: a child that is reaped automatically has all steps, too.
    t194_who_is_reaped_by_itself_leaves_a_record,
    {
        set_auto_reap(true);
        let pid = spawn_child(|_| 5, 0);
        eventually("the child is gone", || state_of(pid).is_none());
        eventually("its record is kept", || records_of(pid) == 1);
        let record = trace_of(pid);
        assert_eq!((steps(&record).len(), record.status), (Step::ALL.len(), Status::exited(5)));
    }
);

test!(
    /// T194: readings of the records while processes end on all CPUs find no record twice, and none that is torn.
    t194_looks_meet_exits,
    deadline_ms = 30_000,
    {
        for _ in 0..20 {
            let children: heapless::Vec<Pid, 8> =
                (0..8).map(|number| spawn_child(|arguments| arguments.number() as i32, number)).collect();
            for record in exit_records() {
                let stamps = Step::ALL.map(|step| record.at(step).expect("it was reaped"));
                assert!(stamps.is_sorted(), "{stamps:?}");
            }
            for (number, pid) in children.into_iter().enumerate() {
                assert_exited(wait_exit(pid).status(), number as u8);
                assert_eq!(trace_of(pid).status, Status::exited(number as i32));
            }
        }
    }
);
