//! Process 1 takes no fatal signal, stays the reaper of all, and ends with its last LWP, whose status is the system's.
//! T19, T171, A-g10 (policy P10).
//! expect: init-ends 9
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, EXTEXIT_LWP, Errno, Pid, Signal, extexit, getpid, kill, lwp_spawn, process, reaper_acquire,
    reaper_release, reaper_status, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, cpus, on_cpu, platform as _, sleep_for_ever, spawn_child, wait_exit,
};

asphodel::program!("init", init);

fn leave(status: i32) -> ! {
    panic!("{}", extexit(EXTEXIT_LWP, status, None));
}

/// Leaves when the first LWP has left.
fn last(_: usize) -> usize {
    while process(getpid()).is_some_and(|report| report.lwps > 1) {
        yield_now();
    }
    leave(9)
}

/// A fatal signal to process 1's own group ends its members but process 1, and leaves no trace: children that are
/// spawned into the group afterwards live.
fn signal_to_own_group() {
    let member = spawn_child(|_| sleep_for_ever(0) as i32, 0);
    assert_eq!(kill(Pid::NONE, 15), Ok(()));
    assert_signaled(wait_exit(member).status(), Signal::TERM);
    for code in 1..4 {
        assert_exited(
            wait_exit(spawn_child(|arguments| arguments.number() as i32, code)).status(),
            code as u8,
        );
    }
}

fn init(_: &Arguments<'_>) -> i32 {
    for signal in [9, 15, 6] {
        assert_eq!(kill(Pid::INIT, signal), Ok(()));
    }
    assert_eq!(reaper_release(), Err(Errno::EINVAL));
    assert_eq!(reaper_acquire(), Err(Errno::EALREADY));
    let status = reaper_status();
    assert!(status.owned && status.real_init && status.reaper == Pid::INIT);
    // Stopping does not exist yet: refused, for process 1 like for any other.
    assert_eq!(kill(Pid::INIT, 17), Err(Errno::EOPNOTSUPP));
    signal_to_own_group();
    drop(lwp_spawn(last, 0, &on_cpu(1 % cpus())).expect("an LWP can be made"));
    leave(1)
}
