//! A breakpoint instruction ends its process with SIGTRAP, because there is no debugger.
#![no_std]
#![no_main]

use asphodel::api::{Arguments, LwpAttributes, Signal, lwp_spawn};
use asphodel::testing::machine::breakpoint;
use asphodel_test::{assert_signaled, spawn_child, test, wait_exit};

asphodel_test::image!();

fn in_the_first_lwp(_arguments: &Arguments<'_>) -> i32 {
    breakpoint();
    0
}

fn in_another_lwp(_arguments: &Arguments<'_>) -> i32 {
    let body = |argument| {
        breakpoint();
        argument
    };
    let lwp = lwp_spawn(body, 0, &LwpAttributes::default()).expect("an LWP can be made");
    i32::from(lwp.join().is_ok())
}

test!(it_ends_its_process, {
    for entry in [in_the_first_lwp, in_another_lwp] {
        assert_signaled(wait_exit(spawn_child(entry, 0)).status(), Signal::TRAP);
    }
});
