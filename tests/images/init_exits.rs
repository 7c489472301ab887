//! Process 1 exits: the system reports its status, and powers off with it. Nothing has been torn down before: no hook
//! has run, its other LWP and its child were still running. T19, R50.
//! expect: init-ends 7
#![no_std]
#![no_main]
use asphodel::api::{Arguments, Pid, Status, at_exit, exit, lwp_spawn, power_off, println, sleep};
use asphodel_test::{on_cpu, platform as _, sleep_for_ever, spawn_child};

asphodel::program!("init", init);

/// This would be the first step of a teardown.
fn hook(pid: Pid, _: Status) {
    println!("pid {pid} is torn down");
    power_off(1)
}

fn init(_: &Arguments<'_>) -> i32 {
    println!("init: pid 1");
    at_exit(hook).expect("there is room");
    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)).expect("an LWP can be made"));
    spawn_child(|_| sleep_for_ever(0) as i32, 0);
    let _ = sleep(1_000_000);
    exit(7)
}
