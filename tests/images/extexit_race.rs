//! Many LWPs leave at once, and the word of extexit is stored when the LWP's stack is out of use. T11, T16, T17, T18.
//!
//! The requirements call for 10^5 to 10^6 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use asphodel::api::{
    EXTEXIT_LWP, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Semaphore, WaitResult, extexit, lwp_spawn, register,
    yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, cpus, disturb_all_cpus, on_cpu, poison_stack, race_rounds, spawn_child,
    test, wait_exit,
};

asphodel_test::image!();

static WORD: AtomicI32 = AtomicI32::new(0);

/// Leaves with `status`, which is stored.
fn leave_with_word(status: usize) -> usize {
    let error = extexit(EXTEXIT_SETINT | EXTEXIT_LWP, status as i32, Some(&WORD));
    panic!("extexit has returned: {error}");
}

test!(
    /// T11, D40: an LWP that sees the word may use the leaving LWP's stack in any way: here it is overwritten at once.
    t011_the_word_comes_after_the_last_use_of_the_stack,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static STACK: AtomicUsize = AtomicUsize::new(0);
        static PINNED: Semaphore = Semaphore::new(0);
        fn leaver(status: usize) -> usize {
            let local = 0_u64;
            let _pinned = PINNED.wait();
            STACK.store(core::ptr::from_ref(core::hint::black_box(&local)) as usize, Ordering::Release);
            leave_with_word(status)
        }
        for round in race_rounds() {
            let handle = lwp_spawn(leaver, round as usize, &on_cpu(round as u32 % cpus())).expect("an LWP can be made");
            let pin = handle.pin_stack().expect("the LWP waits");
            PINNED.post();
            while WORD.load(Ordering::Acquire) != round as i32 {
                yield_now();
            }
            // SAFETY: the pin keeps the stack, and the word says that the LWP does not use it any more.
            unsafe { poison_stack(STACK.load(Ordering::Acquire)) };
            drop(pin);
        }
    }
);

test!(
    /// T18: an LWP that sleeps on the word is woken by the end of the leaving one; there is no timeout that could do
    /// it.
    t018_a_sleeper_on_the_word_is_woken,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let round = round as i32;
            WORD.store(0, Ordering::Relaxed);
            drop(lwp_spawn(leave_with_word, round as usize, &on_cpu(round as u32 % cpus())));
            loop {
                let registration = register(WORD.as_ptr() as usize);
                if WORD.load(Ordering::Acquire) == round {
                    break;
                }
                assert_eq!(registration.sleep(None), WaitResult::Ready);
            }
        }
    }
);

/// A child of the races below: `number` LWPs leave when all have arrived, each with its own status.
fn leave_together(number: usize) -> ! {
    static LINE: StartLine = StartLine::new();
    fn member(argument: usize) -> usize {
        let (runners, status) = (argument >> 8, argument & 0xff);
        LINE.cross(runners as u32);
        let _ = extexit(EXTEXIT_SIMPLE | EXTEXIT_LWP, status as i32, None);
        0
    }
    LINE.reset();
    for status in 1..number {
        let cpu = status as u32 % cpus();
        drop(lwp_spawn(member, number << 8 | status, &on_cpu(cpu)).expect("an LWP can be made"));
    }
    member(number << 8);
    unreachable!("extexit does not return to a good caller");
}

test!(
    /// T16, R6, D9: all LWPs leave at once: the process always ends, with the status of one of them.
    t016_all_leave_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for _ in race_rounds() {
            let number = cpus().max(2) as usize;
            let report = wait_exit(spawn_child(|arguments| leave_together(arguments.number()), number));
            let code = report.status().code().expect("it has exited");
            assert!(usize::from(code) < number, "status {code} of {number} LWPs");
            assert_eq!(report.usage.lwps, number as u64);
        }
    }
);

test!(
    /// T17: as T16, with leaving LWPs held up on their way. Nothing on that way blocks here, but they can be preempted
    /// up to the last switch: there are more of them than CPUs, and LWPs of a higher priority wake up all the time.
    t017_all_leave_at_once_and_are_held_up,
    deadline_ms = RACE_DEADLINE_MS,
    {
        disturb_all_cpus(30_000, 7_000);
        for _ in race_rounds() {
            let number = 3 * cpus() as usize;
            let report = wait_exit(spawn_child(|arguments| leave_together(arguments.number()), number));
            assert!(report.status().code().is_some_and(|code| usize::from(code) < number));
            assert_eq!(report.usage.lwps, number as u64);
        }
    }
);
