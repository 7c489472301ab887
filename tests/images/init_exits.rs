//! Process 1 exits: the system reports its status, and powers off with it. Nothing has been torn down before: no hook
//! has run, its other LWP and its child were still running. T19, R50. The last exits are reported before that, of which
//! there are more than the report has room for.
//! expect: init-ends 7
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, Pid, Status, at_exit, exit, exit_records, lwp_spawn, power_off, println, set_affinity, sleep,
};
use asphodel_test::{cpus, on_cpu, platform as _, sleep_for_ever, spawn_child, wait_exit};

asphodel::program!("init", init);

/// This would be the first step of a teardown.
fn hook(pid: Pid, _: Status) {
    println!("pid {pid} is torn down");
    power_off(1)
}

/// Reaps so many children, whose records are kept, on all CPUs in turn.
fn reap(children: usize) {
    for code in 0..children {
        set_affinity(on_cpu(code as u32 % cpus()).affinity).expect("the CPU is online");
        let child = spawn_child(|arguments| arguments.number() as i32, code);
        assert_eq!(wait_exit(child).status(), Status::exited(code as i32));
    }
    let codes = exit_records().into_iter().filter_map(|record| record.status.code());
    assert!(codes.map(usize::from).eq((0..children).rev()), "the newest is the first");
}

fn init(_: &Arguments<'_>) -> i32 {
    reap(20);
    at_exit(hook).expect("there is room");
    drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)).expect("an LWP can be made"));
    spawn_child(|_| sleep_for_ever(0) as i32, 0);
    let _ = sleep(1_000_000);
    exit(7)
}
