//! The kernel calls code of programs only where a program runs: whatever that code does, it does to its own process.
#![no_std]
#![no_main]

extern crate alloc;

use core::fmt;
use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, LwpAttributes, Mutex, Pid, Program, Signal, Status, WaitQueue, WaitResult, at_exit, exec,
    exit, files, getpid, kill, lwp_run, println, register, rm_at_exit, sleep, tsleep, wakeup, yield_now,
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
    wait_exit(child).status()
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

// One that never ends is in `panic_message`: nothing kills it.
test!(a_value_is_formatted_in_an_exit_hook, deadline_ms = 40_000, {
    for (hook, panics) in [(printing_hook as fn(Pid, Status), false), (panicking_hook, true)] {
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
            let status = wait_exit(child).status();
            match deed {
                Prints | Sleeps if panics => assert_signaled(status, Signal::ABRT),
                other => other.assert_end(status),
            }
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
        assert_signaled(wait_exit(child).status(), Signal::KILL);
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
    assert_signaled(wait_exit(child).status(), Signal::SEGV);
    yield_now();
});

static QUEUE: WaitQueue = WaitQueue::new();

/// Asserts that nothing is left in [`QUEUE`], and that it can be used.
#[track_caller]
fn assert_queue_works() {
    assert!(QUEUE.is_empty());
    assert_eq!((QUEUE.wake_all(), QUEUE.wait(|| true)), (0, WaitResult::Ready));
    assert_eq!(QUEUE.wait_timeout(100_000, || false), WaitResult::TimedOut);
}

test!(a_condition_is_called_as_its_program, deadline_ms = 40_000, {
    for (number, deed) in DEEDS.into_iter().enumerate() {
        let status = ended(
            |arguments| {
                let woken = QUEUE.wait(|| {
                    DEEDS[arguments.number()].carry_out();
                    true
                });
                i32::from(woken != WaitResult::Ready)
            },
            deed,
            number,
        );
        deed.assert_end(status);
        assert_queue_works();
    }
});

/// Counts the looks of a waiter at its condition.
static LOOKS: AtomicUsize = AtomicUsize::new(0);
static IS_READY: AtomicBool = AtomicBool::new(false);

// The waiter that is woken does something else than to come back; the next one must have the wake-up.
test!(a_wake_up_is_passed_on_by_a_condition_that_does_not_return, deadline_ms = 40_000, {
    for (number, deed) in DEEDS.into_iter().enumerate() {
        if matches!(deed, Prints | Sleeps) {
            continue;
        }
        LOOKS.store(0, Ordering::Relaxed);
        IS_READY.store(false, Ordering::Relaxed);
        let begun = BEGUN.load(Ordering::Acquire);
        let first = spawn_child(
            |arguments| {
                let look = || {
                    if LOOKS.fetch_add(1, Ordering::AcqRel) > 0 {
                        DEEDS[arguments.number()].carry_out();
                    }
                    false
                };
                i32::from(QUEUE.wait(look) == WaitResult::Ready)
            },
            number,
        );
        eventually("the first waits", || QUEUE.len() == 1);
        let second = spawn_child(
            |_| i32::from(QUEUE.wait(|| IS_READY.load(Ordering::Acquire)) != WaitResult::Ready),
            0,
        );
        eventually("the second waits", || QUEUE.len() == 2);
        IS_READY.store(true, Ordering::Release);
        assert!(QUEUE.wake_one());
        if deed == NeverEnds {
            eventually("it has begun", || BEGUN.load(Ordering::Acquire) > begun);
            kill(first, 9).expect("it never ends");
        }
        deed.assert_end(wait_exit(first).status());
        assert_exited(wait_exit(second).status(), 0);
        assert_queue_works();
    }
});

test!(a_condition_may_wait_itself, {
    static INNER: WaitQueue = WaitQueue::new();
    let child = spawn_child(
        |_| {
            let mut looks = 0;
            let woken = QUEUE.wait(|| {
                looks += 1;
                let inner = INNER.wait_timeout(200_000, || false);
                assert_eq!((inner, tsleep(8, Some(1000))), (WaitResult::TimedOut, WaitResult::TimedOut));
                assert_eq!(QUEUE.wait(|| true), WaitResult::Ready);
                looks == 3
            });
            assert_eq!(woken, WaitResult::Ready);
            3
        },
        0,
    );
    eventually("it has had its wake-ups", || {
        QUEUE.wake_one();
        yield_now();
        asphodel_test::state_of(child) == Some(asphodel::api::State::Zombie)
    });
    assert_exited(wait_exit(child).status(), 3);
    assert_queue_works();
});

test!(a_condition_may_wake_its_own_queue, {
    let mut looks = 0;
    let woken = QUEUE.wait(|| {
        looks += 1;
        assert_eq!(QUEUE.wake_all(), 0);
        looks == 5
    });
    assert_eq!((woken, looks), (WaitResult::Ready, 5));
    let busy = QUEUE.wait_timeout(1_000_000, || QUEUE.wake_one());
    assert_eq!(busy, WaitResult::TimedOut);
    let child = spawn_child(|_| i32::from(QUEUE.wait(|| QUEUE.wake_one()) == WaitResult::Ready), 0);
    let _slept = sleep(2_000_000);
    kill(child, 9).expect("it looks for ever");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
    assert_queue_works();
});

test!(a_condition_may_exec, {
    let child = spawn_child(
        |_| {
            let _never = QUEUE.wait(|| {
                let error = exec(&Program::new("another", |_| 5), &[], 0);
                panic!("{error:?}")
            });
            0
        },
        0,
    );
    assert_exited(wait_exit(child).status(), 5);
    assert_queue_works();
});

test!(the_files_survive_what_a_listing_calls, deadline_ms = 40_000, {
    assert!(files::add("/listed", b"a name").is_ok());
    for (number, deed) in DEEDS.into_iter().enumerate() {
        let status = ended(
            |arguments| {
                let flags = files::OpenFlags { read: true, directory: true, ..Default::default() };
                let root = files::open("/", flags).expect("it is there");
                let listed = files::list(root, |_, inode, _| {
                    files::stat_inode(inode).expect("the files can be used meanwhile");
                    DEEDS[arguments.number()].carry_out();
                    true
                });
                listed.map_or(1, |()| 0)
            },
            deed,
            number,
        );
        deed.assert_end(status);
        assert!(files::stat("/").is_ok());
    }
    // Each was called, because there is a name.
    assert!(files::unlink("/listed").is_ok());
});

/// A child that does something with registrations, and must return 0; then nothing is left on its channels.
#[track_caller]
fn registrations(entry: fn(&Arguments<'_>) -> i32) {
    assert_exited(wait_exit(spawn_child(entry, 0)).status(), 0);
    for channel in [0, 8, 16] {
        assert_eq!(wakeup(channel), 0, "no LWP is left there");
        assert_eq!(tsleep(channel, Some(10_000)), WaitResult::TimedOut);
    }
}

test!(registrations_end_in_any_order, {
    registrations(|_| {
        let (first, second, third) = (register(8), register(16), register(8));
        drop(first);
        assert_eq!(tsleep(16, Some(1000)), WaitResult::TimedOut);
        wakeup(16);
        assert_eq!(second.sleep(None), WaitResult::Ready);
        assert_eq!(third.sleep(Some(1000)), WaitResult::TimedOut);
        0
    });
});

test!(a_registration_may_be_forgotten, {
    registrations(|_| {
        let _never_dropped = ManuallyDrop::new((register(8), register(16), register(0)));
        assert_eq!(register(8).sleep(Some(1000)), WaitResult::TimedOut);
        let _never_dropped = ManuallyDrop::new(register(8));
        0
    });
    let child = spawn_child(
        |_| {
            let _never_dropped = ManuallyDrop::new(register(8));
            asphodel_test::spin_for_ever(0) as i32
        },
        0,
    );
    let _slept = sleep(1_000_000);
    kill(child, 9).expect("it runs");
    assert_signaled(wait_exit(child).status(), Signal::KILL);
});

test!(a_registration_may_be_of_channel_0, {
    registrations(|_| {
        let lwp = lwp_run(|| register(0), &LwpAttributes::default()).expect("an LWP can be made");
        let registration = lwp.join().expect("it ends").expect("it returns it");
        wakeup(0);
        assert_eq!(registration.sleep(None), WaitResult::Ready);
        0
    });
    let child = spawn_child(
        |_| {
            let _kept = register(0);
            panic!("registered on channel 0")
        },
        0,
    );
    assert_signaled(wait_exit(child).status(), Signal::ABRT);
    assert_eq!(wakeup(0), 0);
});

// The lock puts the LWP into another queue between the registration and the sleep.
test!(a_registered_lwp_may_wait_for_something_else, {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    registrations(|_| {
        let held = MUTEX.lock();
        let waits = || {
            let registration = register(8);
            *MUTEX.lock() += 1;
            registration.sleep(None)
        };
        let waiter = lwp_run(waits, &LwpAttributes::default()).expect("an LWP can be made");
        asphodel_test::await_asleep(1);
        // It comes between the registration and the sleep.
        assert_eq!(wakeup(8), 0);
        drop(held);
        i32::from(waiter.join() != Ok(Some(WaitResult::Ready)))
    });
    assert_eq!(*MUTEX.lock(), 1);
});
