//! The kernel calls code of programs only where a program runs: whatever that code does, it does to its own process.
#![no_std]
#![no_main]

extern crate alloc;

use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, Pid, Signal, Status, at_exit, exit, getpid, kill, println, rm_at_exit, sleep, yield_now,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, eventually, spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// What a piece of program code can do besides returning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Panics,
    Faults,
    Overflows,
    CannotAllocate,
    Prints,
    Sleeps,
    Exits,
    NeverEnds,
}

use Deed::{CannotAllocate, Exits, Faults, NeverEnds, Overflows, Panics, Prints, Sleeps};

const DEEDS: [Deed; 8] = [Panics, Faults, Overflows, CannotAllocate, Prints, Sleeps, Exits, NeverEnds];

/// The code with which [`Exits`] ends a process.
const CODE: u8 = 7;

/// How many deeds that never end have begun.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { recurse(black_box(depth + 1)) + frame[depth % 16] }
}

impl Deed {
    fn carry_out(self) {
        match self {
            Panics => panic!("inside code that the kernel has called"),
            // SAFETY: not at all: what is tested is that it faults.
            Faults => unsafe {
                black_box(black_box(core::ptr::null::<u64>()).read_volatile());
            },
            Overflows => {
                black_box(recurse(0));
            }
            CannotAllocate => {
                black_box(alloc::vec::Vec::<u8>::with_capacity(black_box(1 << 45)));
            }
            Prints => println!("printed inside, {}", Long(200)),
            Sleeps => {
                let _slept = sleep(1_000_000);
            }
            Exits => exit(i32::from(CODE)),
            NeverEnds => {
                BEGUN.fetch_add(1, Ordering::AcqRel);
                while black_box(true) {}
            }
        }
    }

    /// Asserts how a process has ended in which this was done, and which exits with 0 if it may go on.
    #[track_caller]
    fn assert_end(self, status: Status) {
        match self {
            Panics | CannotAllocate => assert_signaled(status, Signal::ABRT),
            Faults | Overflows => assert_signaled(status, Signal::SEGV),
            Prints | Sleeps => assert_exited(status, 0),
            Exits => assert_exited(status, CODE),
            NeverEnds => assert_signaled(status, Signal::KILL),
        }
    }
}

/// A text of that many bytes.
struct Long(usize);

impl fmt::Display for Long {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.0).try_for_each(|_| out.write_str("x"))
    }
}

/// A value that does something when it is formatted, after that many bytes.
struct Value(Deed, usize);

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Long(self.1).fmt(out)?;
        self.0.carry_out();
        Long(self.1).fmt(out)
    }
}

/// Lengths of a text that is still in the caller's buffer when the deed is done, and of one that is partly sent.
const LENGTHS: [usize; 2] = [3, 900];

/// A child that does what `number` says, and how it ended; one that never ends is killed.
#[track_caller]
fn ended(entry: fn(&Arguments<'_>) -> i32, deed: Deed, number: usize) -> Status {
    let before = BEGUN.load(Ordering::Acquire);
    let child = spawn_child(entry, number);
    if deed == NeverEnds {
        eventually("it has begun", || BEGUN.load(Ordering::Acquire) > before);
        kill(child, 9).expect("it never ends");
    }
    wait_exit(child).status
}

/// The deed and the length behind a number.
fn value_of(number: usize) -> Value {
    Value(DEEDS[number / LENGTHS.len()], LENGTHS[number % LENGTHS.len()])
}

fn all_values() -> impl Iterator<Item = (usize, Deed)> {
    (0..DEEDS.len() * LENGTHS.len()).map(|number| (number, value_of(number).0))
}

test!(a_value_is_formatted_by_its_program, deadline_ms = 40_000, {
    for (number, deed) in all_values() {
        let status = ended(
            |arguments| {
                println!("a value: {}", value_of(arguments.number()));
                0
            },
            deed,
            number,
        );
        deed.assert_end(status);
        println!("the console is free");
    }
});

test!(the_message_of_a_panic_is_formatted_by_its_program, deadline_ms = 40_000, {
    for (number, deed) in all_values() {
        let status = ended(|arguments| panic!("a value: {}", value_of(arguments.number())), deed, number);
        match deed {
            Prints | Sleeps => assert_signaled(status, Signal::ABRT),
            other => other.assert_end(status),
        }
        println!("the console is free");
    }
});

/// The process whose end a hook is to spoil, and the value that the hook prints.
static SPOILED: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);

fn printing_hook(pid: Pid, _: Status) {
    if pid.raw() == SPOILED.load(Ordering::Relaxed) {
        println!("in a hook: {}", value_of(VALUE.load(Ordering::Relaxed)));
    }
}

fn panicking_hook(pid: Pid, _: Status) {
    if pid.raw() == SPOILED.load(Ordering::Relaxed) {
        panic!("in a hook: {}", value_of(VALUE.load(Ordering::Relaxed)));
    }
}

// What such a hook does to the status of its process is tested with the hooks.
test!(a_value_is_formatted_in_an_exit_hook, deadline_ms = 40_000, {
    for hook in [printing_hook, panicking_hook] {
        at_exit(hook).expect("there is room for it");
        for (number, deed) in all_values() {
            if deed == NeverEnds {
                continue;
            }
            VALUE.store(number, Ordering::Relaxed);
            let child = spawn_child(
                |_| {
                    SPOILED.store(getpid().raw(), Ordering::Relaxed);
                    0
                },
                0,
            );
            let _status = wait_exit(child).status;
            println!("the console is free");
        }
        assert_eq!(rm_at_exit(hook), 1);
    }
});

test!(a_process_that_sleeps_while_it_prints_can_be_killed, {
    struct Sleeper;
    impl fmt::Display for Sleeper {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _killed = sleep(u64::MAX);
            out.write_str("awake")
        }
    }
    let entries: [fn(&Arguments<'_>) -> i32; 2] = [
        |_| {
            println!("{}{}", Long(900), Sleeper);
            0
        },
        |_| panic!("{}{}", Long(900), Sleeper),
    ];
    for entry in entries {
        let child = spawn_child(entry, 0);
        await_sleeping(child);
        println!("others print meanwhile");
        kill(child, 9).expect("it sleeps");
        assert_signaled(wait_exit(child).status, Signal::KILL);
    }
});

/// Prints at each depth until the stack is full.
#[inline(never)]
fn print_and_recurse(depth: usize) -> usize {
    println!("depth {}{}", depth, Long(300));
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { print_and_recurse(black_box(depth + 1)) + frame[depth % 16] }
}

test!(printing_with_little_stack_left_is_an_overflow, {
    let child = spawn_child(|_| i32::from(print_and_recurse(0) == 0), 0);
    assert_signaled(wait_exit(child).status, Signal::SEGV);
    yield_now();
});
