//! A handle of an LWP that is gone stays that of an LWP that has ended: neither a program that exec has started, nor
//! another process, finds its own LWPs touched by it, whose records and numbers are the same.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use asphodel::api::{
    Arguments, Errno, LwpAttributes, LwpHandle, Mutex, Program, Semaphore, SpawnAttributes, WaitResult, exec,
    lwp_spawn, set_affinity, spawn,
};
use asphodel_test::{assert_exited, eventually, on_cpu, sleep_for_ever, test, wait_exit};

asphodel_test::image!();

/// The handle of an LWP that is gone.
static SENT: Mutex<Option<LwpHandle>> = Mutex::new(None);
/// The next user of its record has made its own.
static MADE: Semaphore = Semaphore::new(0);
/// The old handle has been used.
static USED: Semaphore = Semaphore::new(0);
/// The LWP of the next user is to end.
static END: Semaphore = Semaphore::new(0);

/// All of it on one CPU, which uses the records that it has freed last.
fn here() -> LwpAttributes {
    on_cpu(0)
}

fn send_handle(body: fn(usize) -> usize) {
    *SENT.lock() = lwp_spawn(body, 0, &here()).ok();
}

/// The next user: its LWP and handle are its own, whatever is done with the old handle.
fn next_user(_: &Arguments<'_>) -> i32 {
    let body = |argument| {
        assert_eq!(END.wait(), WaitResult::Ready);
        argument
    };
    let lwp = lwp_spawn(body, 7, &here()).expect("an LWP can be made");
    MADE.post();
    assert_eq!(USED.wait(), WaitResult::Ready);
    assert!(!lwp.has_ended());
    assert_eq!(lwp.wait_timeout(0), Err(Errno::EBUSY));
    assert!(lwp.pin_stack().is_some(), "no one else has pinned it");
    END.post();
    assert_eq!(lwp.join(), Ok(Some(7)));
    0
}

fn start(entry: fn(&Arguments<'_>) -> i32) -> asphodel::api::Pid {
    let attributes = SpawnAttributes { lwp: here(), ..SpawnAttributes::default() };
    spawn(&Program::new("child", entry), &[], &attributes).expect("a child can be spawned")
}

/// Uses the handle that was sent in every way, while the next user has an LWP.
fn use_it() {
    assert_eq!(MADE.wait(), WaitResult::Ready);
    let stale = SENT.lock().take().expect("it was sent");
    assert!(stale.has_ended(), "{stale:?} is of an LWP that is gone");
    assert!(stale.pin_stack().is_none());
    assert_eq!((stale.wait(), stale.wait_timeout(u64::MAX)), (Ok(()), Ok(())));
    assert_eq!(stale.join(), Ok(None));
    USED.post();
}

test!(a_handle_of_the_program_before_exec, {
    let bodies: [fn(usize) -> usize; 2] = [sleep_for_ever, |_| 3];
    for body in bodies {
        static BODY: Mutex<fn(usize) -> usize> = Mutex::new(|_| 0);
        *BODY.lock() = body;
        set_affinity(asphodel::api::CpuMask::one(0)).expect("it is online");
        let child = start(|_| {
            let body = *BODY.lock();
            send_handle(body);
            panic!("{:?}", exec(&Program::new("next", next_user), &[], 0))
        });
        use_it();
        assert_exited(wait_exit(child).status(), 0);
    }
});

test!(a_handle_of_a_process_that_has_ended, {
    assert_exited(
        wait_exit(start(|_| {
            send_handle(sleep_for_ever);
            0
        }))
        .status(),
        0,
    );
    let next = start(next_user);
    use_it();
    assert_exited(wait_exit(next).status(), 0);
});

test!(a_handle_that_its_own_process_sends_to_the_next_program, {
    static LOOKED: Mutex<bool> = Mutex::new(false);
    let child = start(|_| {
        send_handle(sleep_for_ever);
        let next = |arguments: &Arguments<'_>| {
            let user = asphodel::api::lwp_run(use_it, &here()).expect("an LWP can be made");
            // That LWP has the number of the old one, and perhaps its record.
            let ended = next_user(arguments);
            assert_eq!(user.join(), Ok(Some(())));
            *LOOKED.lock() = true;
            ended
        };
        panic!("{:?}", exec(&Program::new("next", next), &[], 0))
    });
    assert_exited(wait_exit(child).status(), 0);
    eventually("it has come to its end", || *LOOKED.lock());
});
