//! A program may sleep on any number. One that sleeps on the addresses of another's mutex or futex does not take its
//! wake-ups: a waiter of the mutex, or of the futex, is woken by what it waits for.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use asphodel::api::{
    Errno, LwpAttributes, Mutex, Pid, Signal, futex_wait, futex_wake, kill, lwp_spawn, register, tsleep,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_asleep, await_sleeping, eventually, sleep_for_ever, spawn_child,
    test, wait_exit,
};

asphodel_test::image!();

static MUTEX: Mutex<u32> = Mutex::new(0);
static WORD: AtomicU32 = AtomicU32::new(0);

/// Where the thief sleeps: this many bytes from there.
static PLACE: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static READY: AtomicUsize = AtomicUsize::new(0);

/// Numbers from which a kernel could make the same key as from `address`.
fn numbers(address: usize) -> [usize; 4] {
    let highest = 0b11 << (usize::BITS - 2);
    [address, address & !highest, address & !highest | 0b01 << (usize::BITS - 2), address | highest]
}

const SLEEPS: [fn(usize) -> usize; 2] = [
    |number| {
        let _woken = tsleep(number, None);
        sleep_for_ever(0)
    },
    |number| {
        let _woken = register(number).sleep(None);
        sleep_for_ever(0)
    },
];

/// Starts a process that sleeps on all numbers of `object`, and is there before any other sleeper.
fn start_thief<T>(object: &T) -> Pid {
    PLACE.store((&raw const *object).addr(), Ordering::Relaxed);
    BYTES.store(size_of::<T>(), Ordering::Relaxed);
    READY.store(0, Ordering::Relaxed);
    let thief = spawn_child(
        |_| {
            let (place, bytes) = (PLACE.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
            let mut count = 0;
            for number in (place..place + bytes).step_by(4).flat_map(numbers) {
                for body in SLEEPS {
                    drop(lwp_spawn(body, number, &LwpAttributes::default()).expect("an LWP can be made"));
                    count += 1;
                }
            }
            await_asleep(count);
            READY.store(1, Ordering::Release);
            sleep_for_ever(0) as i32
        },
        0,
    );
    eventually("the thief sleeps", || READY.load(Ordering::Acquire) != 0);
    thief
}

fn end_thief(thief: Pid) {
    kill(thief, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(thief).status(), Signal::KILL);
}

test!(the_wake_up_of_a_mutex, {
    let guard = MUTEX.lock();
    let thief = start_thief(&MUTEX);
    let waiters = [0; 3].map(|_| {
        let waiter = spawn_child(
            |_| {
                *MUTEX.lock() += 1;
                0
            },
            0,
        );
        await_sleeping(waiter);
        waiter
    });
    drop(guard);
    for waiter in waiters {
        assert_exited(wait_exit(waiter).status(), 0);
    }
    assert_eq!(*MUTEX.lock(), 3);
    end_thief(thief);
});

test!(the_wake_up_of_a_futex, {
    let thief = start_thief(&WORD);
    let waiters = [0; 3].map(|_| {
        let waiter = spawn_child(|_| i32::from(futex_wait(&WORD, 0, None) == Err(Errno::EAGAIN)), 0);
        await_sleeping(waiter);
        waiter
    });
    for waiter in waiters {
        assert_eq!(futex_wake(WORD.as_ptr().addr(), 1), 1);
        assert_exited(wait_exit(waiter).status(), 0);
    }
    assert_eq!(futex_wake(WORD.as_ptr().addr(), u32::MAX), 0);
    end_thief(thief);
});
