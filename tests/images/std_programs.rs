//! Unmodified programs for Rust's `std`, loaded from behind the image: each tests its own subject, and all that it had
//! is freed when it has ended. The programs are those of `tests/std`.
//! programs: hello words threads crowd locks clocks maps locals
//! programs: panics aborts code overflows paths sockets wild
//! deadline: 180
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString as _;

use asphodel::api::{Group, Pid, Signal, SpawnAttributes, Status, find_program, kill, process, spawn};
use asphodel_test::{assert_exited, assert_signaled, crashes_are_meant, eventually, rounds, test, wait_exit};

asphodel_test::image!();

/// Starts a program.
fn start(name: &str, words: &[&str]) -> Pid {
    let program = find_program(name).expect("it is in the payload");
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    spawn(program, words, &attributes).expect("it can be started")
}

/// Runs a program to its end.
fn run(name: &str, words: &[&str]) -> Status {
    wait_exit(start(name, words)).status()
}

test!(a_program_says_hello, {
    assert_exited(run("hello", &[]), 0);
});

test!(words_and_environment, {
    assert_exited(run("words", &["one", "two words"]), 0);
});

test!(threads, {
    assert_exited(run("threads", &[]), 0);
});

test!(a_thousand_threads, deadline_ms = 60_000, {
    assert_exited(run("crowd", &[]), 0);
});

test!(locks_conditions_and_channels, deadline_ms = 60_000, {
    assert_exited(run("locks", &[]), 0);
});

test!(clocks, {
    assert_exited(run("clocks", &[]), 0);
});

test!(the_heap, deadline_ms = 60_000, {
    assert_exited(run("maps", &[]), 0);
});

test!(variables_of_threads, {
    assert_exited(run("locals", &[]), 0);
});

test!(a_panic_aborts, {
    assert_signaled(run("panics", &[]), Signal::ABRT);
});

test!(an_abort, {
    assert_signaled(run("aborts", &[]), Signal::ABRT);
});

test!(an_exit_code_ends_all_threads, {
    for (word, code) in [("0", 0), ("3", 3), ("255", 255), ("256", 0)] {
        assert_exited(run("code", &[word]), code);
    }
});

test!(a_stack_that_overflows_ends_its_program_only, {
    assert_signaled(run("overflows", &[]), Signal::SEGV);
});

test!(files, {
    assert_exited(run("paths", &[]), 0);
});

test!(no_network, {
    assert_exited(run("sockets", &[]), 0);
});

test!(a_program_runs_again_and_beside_itself, deadline_ms = 60_000, {
    for _ in 0..3 {
        assert_exited(run("locals", &[]), 0);
    }
    let programs = [start("threads", &[]), start("locks", &[]), start("threads", &[])];
    for program in programs {
        assert_exited(wait_exit(program).status(), 0);
    }
});

test!(
    /// Any words to the functions of the kernel that come back: the program goes on, and so does everything else.
    any_words_do_no_harm,
    deadline_ms = 120_000,
    {
        for seed in 1..=rounds(20) {
            assert_exited(run("wild", &["all", &seed.to_string()]), 0);
        }
        assert_exited(run("hello", &[]), 0);
    }
);

test!(what_is_not_the_programs_is_refused, {
    assert_exited(run("wild", &["foreign"]), 0);
});

test!(
    /// A block that the program does not have, has given back, or has in another size ends it as abort(3) does.
    a_program_that_gives_back_what_it_has_not_ends,
    deadline_ms = 60_000,
    {
        for way in ["twice", "inside", "size", "align"] {
            assert_signaled(run("wild", &[way]), Signal::ABRT);
        }
        for seed in 0..20 {
            assert_signaled(run("wild", &["free", &seed.to_string()]), Signal::ABRT);
            assert_signaled(run("wild", &["realloc", &seed.to_string()]), Signal::ABRT);
        }
    }
);

test!(
    /// A program has the kernel write over the lists of its heap, by too long a length, and goes on to use it: it ends
    /// alone, at the latest when an operation finds them broken.
    a_program_that_has_its_heap_overwritten_ends_alone,
    deadline_ms = 60_000,
    {
        assert_signaled(run("wild", &["heap", "0"]), Signal::ABRT);
        let rounds = rounds(20);
        crashes_are_meant(rounds);
        for seed in 1..=rounds {
            let status = run("wild", &["heap", &seed.to_string()]);
            let any = [None, Some(Signal::ABRT), Some(Signal::SEGV)];
            assert!(any.contains(&status.signal()), "{status}");
        }
        assert_exited(run("hello", &[]), 0);
    }
);

test!(words_to_the_functions_that_end_it, {
    assert_exited(run("wild", &["exit", "18446744073709551359"]), 255);
    assert_exited(run("wild", &["exit", "4294967296"]), 0);
    assert_signaled(run("wild", &["abort"]), Signal::ABRT);
    let sleeps = start("wild", &["sleep"]);
    eventually("it sleeps", || process(sleeps).is_some_and(|report| report.sleeping == 1));
    kill(sleeps, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(sleeps).status(), Signal::KILL);
});
