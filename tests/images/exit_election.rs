//! Many LWPs end their process at once: one of them is the exit owner, once. T21 to T25, T30, T31, T46.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Mutex, Pid, Program, Signal, SpawnAttributes, State, Status, Token, at_exit, census, exit,
    getpid, kill, kill_lwp, lwp_spawn, rm_at_exit, spawn, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, cpus, crashes_are_meant, dawdle, eventually, on_cpu,
    race_rounds, sleep_for_ever, spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

/// `number` LWPs of a child exit when all have arrived, with 1, 2, and so on.
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
            let code = report.status().code().expect("it has exited");
            assert!(code == 1 || code == 2, "code {code}");
            assert_eq!(report.usage.lwps, 2);
            seen[usize::from(code)] += 1;
            assert_eq!(state_of(report.pid), None, "it is reaped once and gone");
        }
        asphodel::api::println!("# winners: {seen:?}");
    }
);

test!(
    /// T22, D14: the exit hooks ran once for each process, and saw the status that is reported.
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
            assert_eq!(SEEN.1.load(Ordering::Relaxed), u32::from(report.status().word()));
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
        assert_exited(wait_exit(pid).status(), 4);
        assert!(LATE.load(Ordering::Acquire), "the second exit was called");
    }
);

test!(
    /// T23: LWPs that hold a token each exit at once: the losers' tokens are released like the winner's, and the exit
    /// hook was called once, for all of them.
    t023_losers_give_back_what_they_have,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        static LINE: StartLine = StartLine::new();
        static TOKENS: [Token<u32>; 4] = [const { Token::new(0) }; 4];
        fn hook(_: Pid, _: Status) {
            CALLS.fetch_add(1, Ordering::AcqRel);
        }
        fn exit_with_token(index: usize) -> usize {
            LINE.cross(TOKENS.len() as u32);
            TOKENS[index].with(|held| {
                held.access(|count| *count += 1);
                exit(index as i32)
            })
        }
        assert_eq!(at_exit(hook), Ok(()));
        for round in race_rounds() {
            LINE.reset();
            let pid = spawn_child(
                |_| {
                    for index in 1..TOKENS.len() {
                        drop(lwp_spawn(exit_with_token, index, &on_cpu(index as u32 % cpus())));
                    }
                    exit_with_token(0) as i32
                },
                0,
            );
            assert!(wait_exit(pid).status().code().is_some());
            assert_eq!(u64::from(CALLS.load(Ordering::Acquire)), round);
            // An LWP that was killed before it took its token has not counted.
            let taken: u32 = TOKENS.iter().map(|token| token.with(|held| held.access(|count| *count))).sum();
            assert!(u64::from(taken) >= round);
        }
        assert_eq!(rm_at_exit(hook), 1);
    }
);

test!(
    /// T25: an exit is under way: a fatal signal is taken with success and changes nothing.
    t025_a_signal_does_not_change_the_status,
    {
        static SENT: AtomicBool = AtomicBool::new(false);
        static MUTEX: Mutex<bool> = Mutex::new(false);
        fn holds(_: usize) -> usize {
            let mut held = MUTEX.lock();
            *held = true;
            while !SENT.load(Ordering::Acquire) {
                yield_now();
            }
            0
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(holds, 0, &on_cpu(1 % cpus())));
                while MUTEX.try_lock().is_some_and(|held| !*held) {
                    yield_now();
                }
                exit(4)
            },
            0,
        );
        eventually("it exits", || state_of(pid) == Some(State::Exiting));
        for signal in [15, 9, 6, 0] {
            assert_eq!(kill(pid, signal), Ok(()));
        }
        SENT.store(true, Ordering::Release);
        assert_exited(wait_exit(pid).status(), 4);
    }
);

test!(
    /// T30: what a process has besides its LWPs, here the words it was started with, is freed once, whichever of the
    /// LWPs that exit at once is first, and whichever still reads them.
    t030_words_go_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        fn child(arguments: &Arguments<'_>) -> i32 {
            assert!(arguments.words().eq(["some", "words"]));
            exit_together(arguments.number())
        }
        let (before, number) = (census(), cpus().max(3) as usize);
        for _ in race_rounds() {
            let attributes = SpawnAttributes { number, ..SpawnAttributes::default() };
            let words = ["some", "words"];
            let pid = spawn(&Program::new("child", child), &words, &attributes).expect("a child can be spawned");
            assert!(wait_exit(pid).status().code().is_some());
            assert_eq!(census().heap, before.heap);
        }
    }
);

test!(
    /// T31, R40: an LWP panics, which prints a report, as a core dump does elsewhere, and others exit meanwhile: the
    /// process ends by one or the other.
    t031_a_panic_and_an_exit,
    deadline_ms = RACE_DEADLINE_MS,
    {
        // One that comes too late is no less a panic.
        crashes_are_meant(20);
        static LINE: StartLine = StartLine::new();
        fn panics(_: usize) -> usize {
            LINE.cross(3);
            panic!("as it should")
        }
        fn exits(loops: usize) -> usize {
            LINE.cross(3);
            dawdle(loops);
            exit(5)
        }
        let mut panicked = 0;
        for round in 0..20 {
            LINE.reset();
            let pid = spawn_child(
                |arguments| {
                    drop(lwp_spawn(panics, 0, &on_cpu(1 % cpus())));
                    drop(lwp_spawn(exits, arguments.number() * 3, &on_cpu(2 % cpus())));
                    exits(arguments.number()) as i32
                },
                round * 200,
            );
            let report = wait_exit(pid);
            assert_eq!(report.usage.lwps, 3);
            match (report.status().code(), report.status().signal()) {
                (Some(5), None) => {}
                (None, Some(Signal::ABRT)) => panicked += 1,
                other => panic!("{other:?}"),
            }
        }
        asphodel::api::println!("# {panicked} of 20 panicked first");
    }
);

test!(
    /// T46: an LWP is killed by a sibling, by its process's exit and by a signal from outside, all at once: it ends
    /// once.
    t046_killed_from_all_sides,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static LINE: StartLine = StartLine::new();
        fn kills(tid: usize) -> usize {
            LINE.cross(2);
            // It may have ended already.
            let _ = kill_lwp(tid as u32);
            sleep_for_ever(0)
        }
        fn exits(_: usize) -> usize {
            LINE.cross(2);
            exit(6)
        }
        let before = census();
        for round in race_rounds() {
            LINE.reset();
            let pid = spawn_child(
                |_| {
                    let victim = lwp_spawn(sleep_for_ever, 0, &on_cpu(0)).expect("an LWP can be made");
                    drop(lwp_spawn(kills, victim.tid() as usize, &on_cpu(1 % cpus())));
                    drop(lwp_spawn(exits, 0, &on_cpu(2 % cpus())));
                    sleep_for_ever(0) as i32
                },
                0,
            );
            // Not at the line, because the LWP that wakes the others there may be killed before it has woken all.
            while LINE.arrived() < 2 {
                yield_now();
            }
            dawdle(round as usize * 17 % 500);
            assert_eq!(kill(pid, 9), Ok(()));
            let report = wait_exit(pid);
            assert!(report.status().code() == Some(6) || report.status().signal() == Some(Signal::KILL));
            assert_eq!(report.usage.lwps, 4, "each has ended once");
        }
        eventually("nothing is left", || census() == before);
    }
);
