//! Children end as they should.
#![no_std]
#![no_main]

use asphodel::api::{Signal, kill};
use asphodel_test::{assert_exited, assert_signaled, sleep_for_ever, spawn_child, test, wait_exit};

asphodel_test::image!();

test!(a_code_reaches_the_parent, {
    assert_exited(wait_exit(spawn_child(|_| 7, 0)).status(), 7);
});

test!(
    /// Sleeping for ever ends with a kill.
    a_kill_ends_a_sleep,
    deadline_ms = 5_000,
    {
        let pid = spawn_child(|_| sleep_for_ever(0) as i32, 0);
        kill(pid, Signal::KILL.number().into()).expect("it is there");
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
    }
);
