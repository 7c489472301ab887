//! Programs that are linked with the kernel are found by their names, listed, and shown with them.
#![no_std]
#![no_main]

extern crate alloc;

use asphodel::api::{
    Arguments, Program, Signal, SpawnAttributes, exec, find_program, kill, process, programs, spawn,
};
use asphodel_test::{assert_exited, assert_signaled, sleep_for_ever, spawn_child, test, wait_exit};

asphodel_test::image!();

asphodel::program!("doubles", doubles);
asphodel::program!("sleeps", sleeps);

/// Ends with twice the number that is its only word.
fn doubles(arguments: &Arguments<'_>) -> i32 {
    let number = arguments.get(0).and_then(|word| word.parse::<i32>().ok());
    number.filter(|_| arguments.words().count() == 1).map_or(-1, |number| 2 * number)
}

fn sleeps(_: &Arguments<'_>) -> i32 {
    sleep_for_ever(0) as i32
}

/// Returns the program with this name, which is there.
fn find(name: &str) -> &'static Program {
    find_program(name).expect("it is registered")
}

test!(a_program_is_found_by_its_name, {
    let program = find("doubles");
    assert_eq!((program.name, program.is_loadable()), ("doubles", false));
    let pid = spawn(program, &["21"], &SpawnAttributes::default()).expect("a child can be spawned");
    assert_exited(wait_exit(pid).status(), 42);
});

test!(exec_takes_what_was_found, {
    let pid = spawn_child(
        |_| {
            let error = exec(find("doubles"), &["4"], 0);
            panic!("exec came back: {error}");
        },
        0,
    );
    assert_exited(wait_exit(pid).status(), 8);
});

test!(only_the_whole_name_is_a_name, {
    for name in ["", "double", "doubles ", "Doubles", "doubles\0"] {
        assert!(find_program(name).is_none(), "{name:?}");
    }
});

test!(each_is_listed_once, {
    for name in ["init", "doubles", "sleeps"] {
        assert_eq!(programs().filter(|program| program.name == name).count(), 1, "{name}");
    }
    assert!(programs().all(|program| find(program.name).name == program.name));
});

test!(reports_show_the_name, {
    let program = find("sleeps");
    assert_eq!(alloc::format!("{program:?}"), "Program(sleeps)");
    let pid = spawn(program, &[], &SpawnAttributes::default()).expect("a child can be spawned");
    assert_eq!(process(pid).map(|report| report.name), Some("sleeps"));
    kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(pid).status(), Signal::KILL);
});
