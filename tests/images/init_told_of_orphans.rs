//! Process 1 sleeps until SIGCHLD notifies it, and does nothing else: it is notified of a zombie that it inherits, for
//! which no other signal is sent. T160, D20.
//! expect: init-ends 0
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, Errno, Signal, State, WNOHANG, getpid, kill, process, sigwait, wait4, yield_now,
};
use asphodel_test::{platform as _, sleep_for_ever, spawn_child};

asphodel::program!("init", init);

/// Longer than anything takes here.
const LONG: u64 = 20_000_000_000;

/// Leaves a zombie to process 1, which is not its own parent.
fn leaves_a_zombie(_: &Arguments<'_>) -> i32 {
    let zombie = spawn_child(|_| 5, 0);
    while process(zombie).map(|report| report.state) != Some(State::Zombie) {
        yield_now();
    }
    6
}

/// Has a child that leaves a zombie, and does not end: a signal to process 1 is caused by the orphan alone.
fn stays(_: &Arguments<'_>) -> i32 {
    let child = spawn_child(leaves_a_zombie, 0);
    let report = wait4(child.raw(), 0).expect("it is a child").expect("it ends");
    assert_eq!(report.status.code(), Some(6));
    sleep_for_ever(0) as i32
}

fn init(_: &Arguments<'_>) -> i32 {
    let stays = spawn_child(stays, 0);
    assert_eq!(sigwait(Signal::CHLD.bit(), Some(LONG)), Ok(Signal::CHLD));
    let report = wait4(-1, WNOHANG).expect("there are children").expect("one is a zombie");
    assert_eq!((report.status.code(), report.pid == stays), (Some(5), false));
    assert_eq!(sigwait(Signal::CHLD.bit(), Some(5_000_000)), Err(Errno::ETIMEDOUT), "once");
    kill(stays, 9).expect("it is there");
    assert_eq!(sigwait(Signal::CHLD.bit(), Some(LONG)), Ok(Signal::CHLD));
    assert!(matches!(wait4(-1, WNOHANG), Ok(Some(report)) if report.pid == stays));
    i32::from(getpid().raw() != 1)
}
