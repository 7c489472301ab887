//! `Debug` of what the kernel gives to programs, written to a program's own writer: that may use the object meanwhile,
//! panic, exit, or never end. The object works afterwards, because nothing of it is locked while it is shown.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use asphodel::api::{
    Arguments, Callout, Condvar, LwpAttributes, LwpHandle, Mutex, Semaphore, Signal, Task, Token, WaitQueue,
    WaitResult, exit, kill, lwp_spawn, preempt_disable, register, sleep, tsleep, wakeup,
};
use asphodel_test::{
    assert_exited, assert_signaled, eventually, return_at_once, spawn_child, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

static MUTEX: Mutex<u32> = Mutex::new(0);
static TOKEN: Token<u32> = Token::new(0);
static CONDITION: Condvar = Condvar::new();
static SEMAPHORE: Semaphore = Semaphore::new(0);
static QUEUE: WaitQueue = WaitQueue::new();
static TASK: Task = Task::new(|_| (), 0);
static CALLOUT: Callout = Callout::new(|_| (), 0);
const CHANNEL: usize = 8;

/// Takes a text, and calls a function for each piece.
struct Writer(fn());

impl Write for Writer {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        (self.0)();
        Ok(())
    }
}

/// Shows each object, those too that only an LWP has that holds them.
fn show_all(writer: &mut impl Write) {
    let lwp: LwpHandle = lwp_spawn(return_at_once, 0, &LwpAttributes::default()).expect("it can be made");
    let pin = lwp.pin_stack();
    let guard = MUTEX.try_lock();
    write!(writer, "{MUTEX:?} {TOKEN:?} {CONDITION:?} {SEMAPHORE:?} {QUEUE:?} {TASK:?} {CALLOUT:?}")
        .and_then(|()| write!(writer, "{lwp:?} {pin:?} {guard:?} {:?}", register(CHANNEL)))
        .and_then(|()| TOKEN.with(|token| write!(writer, "{token:?}")))
        .expect("the writer never fails");
    drop((pin, guard));
    assert_eq!(lwp.join(), Ok(Some(0)));
}

/// Uses each object that has a lock inside.
fn use_all() {
    CONDITION.notify_all();
    SEMAPHORE.post();
    QUEUE.wake_all();
    assert!(SEMAPHORE.try_wait() && QUEUE.is_empty());
    wakeup(CHANNEL);
    TOKEN.with(|token| token.access(|value| *value += 1));
}

/// Asserts that no lock of any object is held.
fn assert_all_work() {
    use_all();
    assert_eq!(QUEUE.wait_timeout(10_000, || false), WaitResult::TimedOut);
    assert_eq!(tsleep(CHANNEL, Some(10_000)), WaitResult::TimedOut);
    assert_eq!(SEMAPHORE.wait_timeout(10_000), WaitResult::TimedOut);
    let (guard, is_late) = CONDITION.wait_timeout(MUTEX.lock(), 10_000);
    assert!(is_late);
    drop(guard);
}

test!(a_writer_uses_what_it_is_shown, {
    show_all(&mut Writer(|| {
        use_all();
        let _slept = sleep(10_000);
    }));
    assert_all_work();
    drop(preempt_disable());
});

test!(a_writer_does_not_come_back, deadline_ms = 30_000, {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let ends: [(fn(), Option<Signal>); 3] = [
        (|| panic!("on purpose"), Some(Signal::ABRT)),
        (|| exit(3), None),
        (
            || {
                BEGUN.store(true, Ordering::Release);
                spin_for_ever(0);
            },
            Some(Signal::KILL),
        ),
    ];
    for (number, (_, signal)) in ends.into_iter().enumerate() {
        static END: Mutex<fn()> = Mutex::new(|| ());
        // At each piece of the text; at some of them a guard delays a kill for a second.
        for piece in (0..40).step_by(if signal == Some(Signal::KILL) { 13 } else { 1 }) {
            static LEFT: Mutex<usize> = Mutex::new(0);
            (*END.lock(), *LEFT.lock()) = (ends[number].0, piece);
            BEGUN.store(false, Ordering::Release);
            let body = |_: &Arguments<'_>| {
                show_all(&mut Writer(|| {
                    let end = *END.lock();
                    let is_last = {
                        let mut left = LEFT.lock();
                        *left = left.wrapping_sub(1);
                        *left == usize::MAX
                    };
                    if is_last {
                        end();
                    }
                }));
                3
            };
            let child = spawn_child(body, 0);
            if signal == Some(Signal::KILL) {
                eventually("it never ends", || BEGUN.load(Ordering::Acquire));
                kill(child, i32::from(Signal::KILL.number())).expect("it is there");
            }
            let status = wait_exit(child).status();
            signal.map_or_else(|| assert_exited(status, 3), |signal| assert_signaled(status, signal));
            MUTEX.clear_poison();
            assert_all_work();
        }
    }
});

test!(nothing_of_what_a_lock_protects_is_shown, {
    let text = format!("{QUEUE:?} {SEMAPHORE:?} {CONDITION:?} {:?}", register(CHANNEL));
    assert!(text.contains("..") && !text.contains("locked") && !text.contains("first"), "{text}");
});
