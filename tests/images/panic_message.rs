//! The message of a panic, and what an exit hook prints, is formatted by the program's code: it can wait and compute for
//! as long as it wants, and can be killed where its process can.
#![no_std]
#![no_main]

use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Mutex, Pid, Priority, Signal, SpawnAttributes, Status, Task, at_exit, exit,
    getpid, kill, lwp_spawn, preempt_disable, println, rm_at_exit, set_priority, sleep, spawn,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, eventually, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

/// A text that is being formatted until [`RELEASED`].
struct Endless;

static BEGUN: AtomicU32 = AtomicU32::new(0);
static RELEASED: AtomicBool = AtomicBool::new(false);

impl fmt::Display for Endless {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        BEGUN.fetch_add(1, Ordering::AcqRel);
        while !RELEASED.load(Ordering::Acquire) {
            black_box(0);
        }
        out.write_str("an end after all")
    }
}

/// Nothing has been begun or released.
fn reset() {
    BEGUN.store(0, Ordering::Relaxed);
    RELEASED.store(false, Ordering::Relaxed);
}

#[track_caller]
fn await_begun(count: u32) {
    eventually("it formats its text", || BEGUN.load(Ordering::Acquire) == count);
}

/// Asserts that all others go on: they print, and processes live and end.
#[track_caller]
fn assert_others_go_on() {
    println!("the console is free");
    assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
}

/// The process whose exit a hook spoils.
static SPOILED: AtomicI32 = AtomicI32::new(0);

fn printing_hook(pid: Pid, _: Status) {
    if pid.raw() == SPOILED.load(Ordering::Relaxed) {
        println!("in a hook: {}", Endless);
    }
}

fn panicking_hook(pid: Pid, _: Status) {
    if pid.raw() == SPOILED.load(Ordering::Relaxed) {
        panic!("in a hook: {}", Endless);
    }
}

/// A child whose exit the hooks spoil.
fn spoiled(_: &Arguments<'_>) -> i32 {
    SPOILED.store(getpid().raw(), Ordering::Relaxed);
    0
}

test!(a_text_without_an_end_in_a_hook_keeps_nobody_else_from_running, {
    for (hook, panics) in [(printing_hook as fn(Pid, Status), false), (panicking_hook, true)] {
        reset();
        at_exit(hook).expect("there is room for it");
        let child = spawn_child(spoiled, 0);
        await_begun(1);
        assert_others_go_on();
        kill(child, 9).expect("it is there");
        assert_others_go_on();
        RELEASED.store(true, Ordering::Release);
        let status = wait_exit(child).status();
        if panics {
            assert_signaled(status, Signal::ABRT);
        } else {
            assert_exited(status, 0);
        }
        assert_eq!(rm_at_exit(hook), 1);
    }
});

test!(such_a_process_that_was_killed_has_no_better_priority_than_its_killer, {
    reset();
    at_exit(printing_hook).expect("there is room for it");
    let lwp = LwpAttributes { priority: Priority::LOWEST, ..LwpAttributes::default() };
    let program = asphodel::api::Program::new("child", |_| {
        SPOILED.store(getpid().raw(), Ordering::Release);
        sleep_for_ever(0) as i32
    });
    let child = spawn(&program, &[], &SpawnAttributes { lwp, ..SpawnAttributes::default() });
    let child = child.expect("a child can be spawned");
    eventually("it is ready", || SPOILED.load(Ordering::Acquire) == child.raw());
    kill(child, 9).expect("it is there");
    await_begun(1);
    assert_others_go_on();
    RELEASED.store(true, Ordering::Release);
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert_eq!(rm_at_exit(printing_hook), 1);
});

// By the first LWP, one of several, and the one that runs tasks.
test!(a_message_without_an_end_can_be_killed, {
    let entries: [fn(&Arguments<'_>) -> i32; 3] = [
        |_| panic!("{}", Endless),
        |_| {
            drop(lwp_spawn(|_| panic!("{}", Endless), 0, &LwpAttributes::default()));
            sleep_for_ever(0) as i32
        },
        |_| {
            static TASK: Task = Task::new(|_| panic!("{}", Endless), 0);
            TASK.enqueue().expect("there is memory");
            sleep_for_ever(0) as i32
        },
    ];
    for entry in entries {
        reset();
        let child = spawn_child(entry, 0);
        await_begun(1);
        assert_others_go_on();
        kill(child, 9).expect("it never ends");
        assert_signaled(wait_exit(child).status(), Signal::KILL);
    }
});

test!(a_process_ends_while_a_message_is_formatted, {
    reset();
    let child = spawn_child(
        |_| {
            drop(lwp_spawn(|_| panic!("{}", Endless), 0, &LwpAttributes::default()));
            await_begun(1);
            exit(6)
        },
        0,
    );
    assert_exited(wait_exit(child).status(), 6);
});

static HELD: Mutex<u32> = Mutex::new(0);

/// Waits for a mutex.
struct Locks;

impl fmt::Display for Locks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", *HELD.lock())
    }
}

test!(a_message_that_waits_for_what_the_panic_has_left_locked_can_be_killed, {
    let child = spawn_child(
        |_| {
            let _held = HELD.lock();
            panic!("{}", Locks)
        },
        0,
    );
    await_sleeping(child);
    assert_others_go_on();
    kill(child, 9).expect("it sleeps");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert!(HELD.is_poisoned());
    HELD.clear_poison();
    drop(HELD.lock());
});

/// Sleeps.
struct Sleeps;

impl fmt::Display for Sleeps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _slept = sleep(1_000);
        out.write_str("rested")
    }
}

// A sleep is refused there by a second panic, which is reported without its message.
test!(a_message_that_sleeps_with_preemption_disabled, {
    let child = spawn_child(
        |_| {
            let _guard = preempt_disable();
            panic!("{}", Sleeps)
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
    assert_others_go_on();
});

/// Lets an LWP panic with a text of its own, and one of the least priority run beside it.
struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        set_priority(Priority::LOWEST);
        let other = lwp_spawn(|_| panic!("{}", Sleeps), 0, &LwpAttributes::default());
        let _killed = other.expect("an LWP can be made").join();
        panic!("{}", Sleeps)
    }
}

test!(two_panics_of_one_process_are_one_end, {
    let child = spawn_child(|_| panic!("{}", Panics), 0);
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
    assert_others_go_on();
});
