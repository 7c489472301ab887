//! An LWP of process 1 panics: the system reports it, and powers off with 128 + SIGABRT. T19.
//! expect: init-ends 134
#![no_std]
#![no_main]
use asphodel::api::{Arguments, lwp_spawn};
use asphodel_test::{on_cpu, platform as _, sleep_for_ever};

asphodel::program!("init", init);

fn init(_: &Arguments<'_>) -> i32 {
    drop(lwp_spawn(|_| panic!("as it should"), 0, &on_cpu(0)).expect("an LWP can be made"));
    sleep_for_ever(0) as i32
}
