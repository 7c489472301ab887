//! The message of a panic is formatted by the program, which still has the guards that it held: it may exec, drop one,
//! sleep, and wait for more. The process ends by the panic or a kill, its mutexes and tokens are given up, and what is
//! left of the old program touches nothing.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::fmt;
use core::mem::forget;
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    Arguments, Errno, LwpAttributes, Mutex, Pid, Program, Semaphore, Signal, Token, exec, kill, lwp_spawn,
    preempt_disable,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, eventually, sleep_for_ever, spawn_child, spin_for_ever,
    test, wait_exit,
};

asphodel_test::image!();

/// A message that calls a function once while it is formatted.
struct Message<F>(Cell<Option<F>>);

impl<F: FnOnce()> fmt::Display for Message<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(act) = self.0.take() {
            act();
        }
        out.write_str("on purpose")
    }
}

/// Panics with a message that calls `act`.
fn panic_and(act: impl FnOnce()) -> ! {
    panic!("{}", Message(Cell::new(Some(act))))
}

/// Replaces the program by one that ends with 5.
fn replace() {
    let error = exec(&Program::new("next", |_| 5), &[], 0);
    assert_eq!(error, Errno::EBUSY);
}

fn kill_it(pid: Pid) {
    kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(pid).status(), Signal::KILL);
}

test!(exec_in_a_message, {
    let child = spawn_child(|_| panic_and(replace), 0);
    assert_exited(wait_exit(child).status(), 5);
    asphodel_test::crashes_are_meant(1);
});

test!(exec_with_a_mutex, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let child = spawn_child(
        |_| {
            let _guard = MUTEX.lock();
            panic_and(replace)
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
    assert!(MUTEX.lock().is_poisoned());
});

test!(exec_with_a_token, {
    static TOKEN: Token<u32> = Token::new(0);
    for deep in [false, true] {
        let body: fn(&Arguments<'_>) -> i32 = if deep {
            // The token is on the stack that the next program would use.
            |_| Token::new(0).with(|_| panic_and(replace))
        } else {
            |_| TOKEN.with(|_| panic_and(replace))
        };
        assert_signaled(wait_exit(spawn_child(body, 0)).status(), Signal::ABRT);
    }
    assert_eq!(TOKEN.with(|token| token.access(|value| *value)), 0);
});

test!(exec_with_preemption_disabled, {
    let body = |_: &Arguments<'_>| {
        let _sibling = lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default());
        let _stay = preempt_disable();
        panic_and(replace)
    };
    assert_signaled(wait_exit(spawn_child(body, 0)).status(), Signal::ABRT);
});

test!(a_message_drops_the_guards, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static OTHER: Mutex<u32> = Mutex::new(0);
    let body = |_: &Arguments<'_>| {
        let guards = RefCell::new(Some((MUTEX.lock(), preempt_disable())));
        panic_and(|| {
            drop(guards.take());
            let _other = OTHER.lock();
        })
    };
    assert_signaled(wait_exit(spawn_child(body, 0)).status(), Signal::ABRT);
    // One that has to wait for the other mutex can be killed.
    let held = OTHER.lock();
    let child = spawn_child(body, 0);
    await_sleeping(child);
    kill_it(child);
    drop(held);
    assert!(!MUTEX.lock().is_poisoned());
});

test!(
    /// Another process keeps the token that the message's sleep has given up.
    a_message_sleeps_with_a_token,
    deadline_ms = 30_000,
    {
        static TOKEN: Token<u32> = Token::new(0);
        static AWAKE: Semaphore = Semaphore::new(0);
        static KEPT: AtomicBool = AtomicBool::new(false);
        let sleeper = spawn_child(|_| TOKEN.with(|_| panic_and(|| AWAKE.wait_uninterruptible())), 0);
        await_sleeping(sleeper);
        let keeper = spawn_child(
            |_| {
                TOKEN.with(|_| {
                    KEPT.store(true, Ordering::Release);
                    spin_for_ever(0) as i32
                })
            },
            0,
        );
        eventually("the token is kept", || KEPT.load(Ordering::Acquire));
        AWAKE.post();
        await_sleeping(sleeper);
        kill_it(sleeper);
        kill_it(keeper);
        assert_eq!(TOKEN.with(|token| token.access(|value| *value)), 0);
    }
);

test!(a_message_forgets_guards_and_never_ends, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static HELD: AtomicBool = AtomicBool::new(false);
    let child = spawn_child(
        |_| {
            panic_and(|| {
                forget(MUTEX.lock());
                HELD.store(true, Ordering::Release);
                spin_for_ever(0);
            })
        },
        0,
    );
    eventually("it has the mutex", || HELD.load(Ordering::Acquire));
    kill_it(child);
    assert!(MUTEX.lock().is_poisoned());
});

test!(a_message_waits_for_the_mutex_that_its_lwp_holds, deadline_ms = 30_000, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    let child = spawn_child(
        |_| {
            let _guard = MUTEX.lock();
            panic_and(|| *MUTEX.lock() += 1)
        },
        0,
    );
    await_sleeping(child);
    kill_it(child);
    assert!(MUTEX.lock().is_poisoned());
});
