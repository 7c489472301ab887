//! Many LWPs end their process at once: one of them does, once. T21, T22, T24.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{Mutex, Pid, State, Status, at_exit, exit, getpid, lwp_spawn, rm_at_exit, yield_now};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, cpus, eventually, on_cpu, race_rounds, spawn_child, state_of,
    test, wait_exit,
};

asphodel_test::image!();

/// `number` LWPs of a child exit when all are there, with 1, 2, and so on.
fn exit_together(number: usize) -> ! {
    static LINE: StartLine = StartLine::new();
    fn member(argument: usize) -> usize {
        LINE.cross((argument >> 8) as u32);
        exit((argument & 0xff) as i32)
    }
    LINE.reset();
    for code in 2..=number {
        drop(
            lwp_spawn(member, number << 8 | code, &on_cpu(code as u32 % cpus())).expect("an LWP can be made"),
        );
    }
    member(number << 8 | 1);
    unreachable!("exit does not return");
}

test!(
    /// T21, R5: two exits at once: one status, one report.
    t021_two_exits_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        let mut seen = [0_u32; 3];
        for _ in race_rounds() {
            let report = wait_exit(spawn_child(|_| exit_together(2), 0));
            let code = report.status.code().expect("it has exited");
            assert!(code == 1 || code == 2, "code {code}");
            assert_eq!(report.usage.lwps, 2);
            seen[usize::from(code)] += 1;
            assert_eq!(state_of(report.pid), None, "it is reaped once and gone");
        }
        asphodel::api::println!("# winners: {seen:?}");
    }
);

test!(
    /// T22: the exit hooks ran once for each process, and saw the status that is reported.
    t022_hooks_run_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        static SEEN: (AtomicI32, AtomicU32) = (AtomicI32::new(0), AtomicU32::new(0));
        fn hook(pid: Pid, status: Status) {
            CALLS.fetch_add(1, Ordering::AcqRel);
            SEEN.0.store(pid.raw(), Ordering::Relaxed);
            SEEN.1.store(u32::from(status.word()), Ordering::Relaxed);
        }
        assert_eq!(at_exit(hook), Ok(()));
        for round in race_rounds() {
            let number = cpus().max(3) as usize;
            let report = wait_exit(spawn_child(|arguments| exit_together(arguments.number()), number));
            assert_eq!(u64::from(CALLS.load(Ordering::Acquire)), round);
            assert_eq!(SEEN.0.load(Ordering::Relaxed), report.pid.raw());
            assert_eq!(SEEN.1.load(Ordering::Relaxed), u32::from(report.status.word()));
        }
        assert_eq!(rm_at_exit(hook), 1);
    }
);

test!(
    /// T24: an LWP calls exit(9) when the exit(4) of another is under way. It can, because it holds a mutex: no LWP is
    /// killed inside a service.
    t024_the_status_stays_the_winners,
    {
        static LOCKED: AtomicBool = AtomicBool::new(false);
        static LATE: AtomicBool = AtomicBool::new(false);
        fn late(_: usize) -> usize {
            static MUTEX: Mutex<()> = Mutex::new(());
            let _guard = MUTEX.lock();
            LOCKED.store(true, Ordering::Release);
            while state_of(getpid()) != Some(State::Exiting) {
                yield_now();
            }
            LATE.store(true, Ordering::Release);
            exit(9)
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(late, 0, &on_cpu(1 % cpus())));
                eventually("the other LWP is there", || LOCKED.load(Ordering::Acquire));
                exit(4)
            },
            0,
        );
        assert_exited(wait_exit(pid).status, 4);
        assert!(LATE.load(Ordering::Acquire), "the second exit was called");
    }
);
