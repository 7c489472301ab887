//! A process continues with another program: one LWP calls exec, all others end. T27, T28, T29, R38.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, LwpHandle, LwpState, Mutex, Pid, Program, Signal, SpawnAttributes, State, WaitReason,
    at_exit, exec, exit, getpid, gettid, kill, kill_lwp, lwp_run, lwp_spawn, lwps, preempt_disable,
    rm_at_exit, set_auto_reap, spawn, usage, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, assert_signaled, await_asleep, cpus, eventually, on_cpu,
    race_rounds, return_at_once, sleep_for_ever, spawn_child, spin_for_ever, state_of, test, wait_exit,
};

asphodel_test::image!();

/// Starts `count` LWPs, on all CPUs in turn.
fn start_lwps(count: u32, entry: fn(usize) -> usize, argument: usize) {
    for index in 0..count {
        drop(lwp_spawn(entry, argument, &on_cpu(index % cpus())).expect("an LWP can be made"));
    }
}

test!(
    /// T27: of five LWPs four end, asleep and computing; the caller continues in the new program as LWP 1. The process
    /// is an ordinary one: it has its words, creates and joins LWPs, spawns and waits, and exits.
    t027_the_caller_goes_on_alone,
    {
        static BEFORE: AtomicI32 = AtomicI32::new(0);
        fn second(arguments: &Arguments<'_>) -> i32 {
            assert_eq!(arguments.words().collect::<heapless::Vec<_, 4>>(), ["one", "two"]);
            assert_eq!(arguments.number(), 7);
            assert_eq!(getpid().raw(), BEFORE.load(Ordering::Relaxed), "the process is the same");
            assert_eq!(gettid(), 1);
            assert_eq!(usage().lwps, 4, "the others are gone");
            let lwp = lwp_spawn(return_at_once, 5, &on_cpu(cpus() - 1)).expect("an LWP can be made");
            assert_eq!(lwp.tid(), 2);
            assert_eq!(lwp.join(), Ok(Some(5)));
            assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
            42
        }
        let pid = spawn_child(
            |_| {
                BEFORE.store(getpid().raw(), Ordering::Relaxed);
                start_lwps(2, sleep_for_ever, 0);
                await_asleep(2);
                start_lwps(2, spin_for_ever, 0);
                let error = exec(&Program::new("second", second), &["one", "two"], 7);
                panic!("exec came back: {error}");
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 42);
    }
);

test!(
    /// A program gets its words unchanged: none, empty ones, and words with blanks, from spawn and from exec.
    words_arrive_as_they_are,
    {
        const CASES: [&[&str]; 5] = [&[], &[""], &["", ""], &["a", "", "b c"], &["", "z"]];
        fn expects_words(arguments: &Arguments<'_>) -> i32 {
            i32::from(!arguments.words().eq(CASES[arguments.number()].iter().copied()))
        }
        fn replaces_itself(arguments: &Arguments<'_>) -> i32 {
            let case = arguments.number();
            let error = exec(&Program::new("expects_words", expects_words), CASES[case], case);
            panic!("exec came back: {error}");
        }
        for (number, words) in CASES.into_iter().enumerate() {
            for program in [expects_words, replaces_itself] {
                let attributes = SpawnAttributes { number, ..SpawnAttributes::default() };
                let pid = spawn(&Program::new("words", program), words, &attributes).expect("it is spawned");
                assert_exited(wait_exit(pid).status(), 0);
            }
        }
    }
);

test!(
    /// T27: an LWP that is not the first may call exec; the first LWP then ends like any other.
    t027_not_only_the_first_lwp_may_ask,
    {
        fn ask(_: usize) -> usize {
            let error = exec(&Program::new("second", |_| gettid() as i32), &[], 0);
            panic!("exec came back: {error}");
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(ask, 0, &on_cpu(0)));
                sleep_for_ever(0);
                0
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 1);
    }
);

test!(
    /// A program that replaces itself again and again leaves nothing behind, and its exit hooks run once, at its end.
    a_hundred_programs_one_life,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fn hook(_: Pid, _: asphodel::api::Status) {
            CALLS.fetch_add(1, Ordering::Relaxed);
        }
        fn next(arguments: &Arguments<'_>) -> i32 {
            let number = arguments.number();
            if number == 100 {
                return 100;
            }
            start_lwps(1, sleep_for_ever, 0);
            let error = exec(&Program::new("next", next), &["word"], number + 1);
            panic!("exec came back: {error}");
        }
        assert_eq!(at_exit(hook), Ok(()));
        let report = wait_exit(spawn_child(next, 0));
        assert_exited(report.status(), 100);
        assert_eq!(report.usage.lwps, 101);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        assert_eq!(rm_at_exit(hook), 1);
    }
);

test!(
    /// Another process holds the handle of an LWP that continues with another program: a join of it ends then, because
    /// the LWP of the handle does not exist any more.
    a_join_from_outside_ends,
    {
        static HANDLE: Mutex<Option<LwpHandle>> = Mutex::new(None);
        static JOINING: AtomicBool = AtomicBool::new(false);
        static JOINED: AtomicBool = AtomicBool::new(false);
        fn second(_: &Arguments<'_>) -> i32 {
            eventually("the join has ended", || JOINED.load(Ordering::Acquire));
            8
        }
        fn replace(_: usize) -> usize {
            eventually("the other process joins", || JOINING.load(Ordering::Acquire));
            let error = exec(&Program::new("second", second), &[], 0);
            panic!("exec came back: {error}");
        }
        let pid = spawn_child(
            |_| {
                let handle = lwp_spawn(replace, 0, &on_cpu(0)).expect("an LWP can be made");
                *HANDLE.lock() = Some(handle);
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("there is a handle", || HANDLE.lock().is_some());
        let handle = HANDLE.lock().take().expect("there is a handle");
        let joiner = lwp_run(move || handle.join(), &on_cpu(cpus() - 1)).expect("an LWP can be made");
        await_asleep(1);
        JOINING.store(true, Ordering::Release);
        assert_eq!(joiner.join(), Ok(Some(Ok(None))));
        JOINED.store(true, Ordering::Release);
        assert_exited(wait_exit(pid).status(), 8);
    }
);

test!(
    /// Bad input, and a call by an LWP that still holds guards, are refused; nothing has happened.
    what_cannot_be_is_refused,
    {
        let pid = spawn_child(
            |_| {
                let program = Program::new("never", |_| 1);
                static MUTEX: Mutex<()> = Mutex::new(());
                start_lwps(1, sleep_for_ever, 0);
                await_asleep(1);
                assert_eq!(exec(&program, &["a\0b"], 0), Errno::EINVAL);
                let long = [0x61_u8; 4096];
                let long = core::str::from_utf8(&long).expect("it is ASCII");
                assert_eq!(exec(&program, &[long; 17], 0), Errno::E2BIG);
                let guard = MUTEX.lock();
                assert_eq!(exec(&program, &[], 0), Errno::EBUSY);
                drop(guard);
                let guard = preempt_disable();
                assert_eq!(exec(&program, &[], 0), Errno::EBUSY);
                drop(guard);
                await_asleep(1);
                5
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 5);
    }
);

test!(
    /// exec from an exit hook is refused: the process is ending.
    an_exit_hook_cannot_replace_the_program,
    {
        static SEEN: AtomicI32 = AtomicI32::new(0);
        fn hook(_: Pid, _: asphodel::api::Status) {
            SEEN.store(exec(&Program::new("never", |_| 1), &[], 0).number(), Ordering::Relaxed);
        }
        assert_eq!(at_exit(hook), Ok(()));
        assert_exited(wait_exit(spawn_child(|_| 6, 0)).status(), 6);
        assert_eq!(SEEN.load(Ordering::Relaxed), Errno::EBUSY.number());
        assert_eq!(rm_at_exit(hook), 1);
    }
);

test!(
    /// PS_NOCLDWAIT does not outlast the program that set it; its children do.
    children_are_kept_and_waited_for,
    {
        static CHILD: AtomicI32 = AtomicI32::new(0);
        fn second(_: &Arguments<'_>) -> i32 {
            let child = Pid::from_raw(CHILD.load(Ordering::Relaxed));
            kill(child, i32::from(Signal::KILL.number())).expect("the first program's child is there");
            assert_signaled(wait_exit(child).status(), Signal::KILL);
            0
        }
        let pid = spawn_child(
            |_| {
                let child = spawn_child(|_| sleep_for_ever(0) as i32, 0);
                CHILD.store(child.raw(), Ordering::Relaxed);
                set_auto_reap(true);
                let error = exec(&Program::new("second", second), &[], 0);
                panic!("exec came back: {error}");
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 0);
    }
);

/// The LWPs of a race act when all are at the line.
static LINE: StartLine = StartLine::new();

fn replace_at_the_line(_: usize) -> usize {
    LINE.cross(2);
    let error = exec(&Program::new("winner", winner), &[], 0);
    // It got a kill pending while it waited, and ends when it leaves the service.
    panic!("exec came back: {error}");
}

fn winner(_: &Arguments<'_>) -> i32 {
    start_lwps(1, spin_for_ever, 0);
    7
}

test!(
    /// T28, R38: exec and exit at once: the process ends; by the exit, or by the end of the new program. The old one is
    /// never returned to.
    t028_exec_meets_exit,
    deadline_ms = RACE_DEADLINE_MS,
    {
        let mut seen = [0_u32; 2];
        for _ in race_rounds() {
            LINE.reset();
            let pid = spawn_child(
                |_| {
                    drop(lwp_spawn(replace_at_the_line, 0, &on_cpu(1 % cpus())));
                    LINE.cross(2);
                    exit(4)
                },
                0,
            );
            let code = wait_exit(pid).status().code().expect("it has exited");
            assert!(code == 4 || code == 7, "code {code}");
            seen[usize::from(code == 7)] += 1;
        }
        asphodel::api::println!("# exit won {}, exec won {}", seen[0], seen[1]);
    }
);

test!(
    /// T28: exec and a fatal signal at once: the process ends by the signal, whatever program it runs then.
    t028_exec_meets_a_kill,
    deadline_ms = RACE_DEADLINE_MS,
    {
        fn again(_: &Arguments<'_>) -> i32 {
            start_lwps(1, sleep_for_ever, 0);
            let error = exec(&Program::new("again", again), &[], 0);
            panic!("exec came back: {error}");
        }
        for round in race_rounds() {
            let pid = spawn_child(again, 0);
            asphodel_test::dawdle(round as usize * 37 % 20_000);
            kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
            assert_signaled(wait_exit(pid).status(), Signal::KILL);
        }
    }
);

test!(
    /// T29: two LWPs call exec at once: one wins, the other one ends.
    t029_two_ask_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for _ in race_rounds() {
            LINE.reset();
            let pid = spawn_child(
                |_| {
                    drop(lwp_spawn(replace_at_the_line, 0, &on_cpu(1 % cpus())));
                    replace_at_the_line(0) as i32
                },
                0,
            );
            let report = wait_exit(pid);
            assert_exited(report.status(), 7);
            // The loser, the winner, and the LWP that the winner's program created.
            assert_eq!(report.usage.lwps, 3);
        }
    }
);

test!(
    /// T29: the LWP that was first is killed alone before its new program runs, while another one calls exec: no LWP is
    /// left that could continue, so the process ends as if its last LWP had left. The exit hook is called once for
    /// each.
    t029_the_first_is_killed_alone,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fn hook(_: Pid, _: asphodel::api::Status) {
            CALLS.fetch_add(1, Ordering::AcqRel);
        }
        // Joining the words takes time, before the decision which LWP is first.
        const WORD: &str = match core::str::from_utf8(&[b'w'; 4095]) {
            Ok(word) => word,
            Err(_) => panic!("it is ASCII"),
        };
        fn replace_by_seventh() -> ! {
            let error = exec(&Program::new("seventh", |_| 7), &[WORD; 16], 0);
            panic!("exec came back: {error}");
        }
        /// Set when the first LWP calls exec.
        static ASKS: AtomicBool = AtomicBool::new(false);
        fn kill_the_first(pause: usize) -> usize {
            while !ASKS.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            asphodel_test::dawdle(pause);
            // It may have ended already, with all others.
            let _killed = kill_lwp(1);
            replace_by_seventh()
        }
        assert_eq!(at_exit(hook), Ok(()));
        let mut codes = [0_u32; 2];
        for round in race_rounds() {
            ASKS.store(false, Ordering::Relaxed);
            let pid = spawn_child(
                |arguments| {
                    let pause = arguments.number() % 32 * 64;
                    drop(lwp_spawn(kill_the_first, pause, &on_cpu(1 % cpus())));
                    if cpus() > 1 {
                        eventually("the other LWP runs", || {
                            lwps(getpid()).iter().any(|lwp| lwp.tid == 2 && lwp.state == LwpState::Running)
                        });
                    }
                    ASKS.store(true, Ordering::Release);
                    replace_by_seventh()
                },
                round as usize,
            );
            let code = wait_exit(pid).status().code().expect("it has exited");
            assert!(code == 0 || code == 7, "code {code}");
            codes[usize::from(code == 7)] += 1;
            assert_eq!(u64::from(CALLS.load(Ordering::Acquire)), round, "code {code}");
        }
        assert_eq!(rm_at_exit(hook), 1);
        asphodel::api::println!("# both died {}, exec won {}", codes[0], codes[1]);
    }
);

test!(
    /// exec waits for a sibling that holds a guard, and can be killed meanwhile.
    a_waiting_exec_can_be_killed,
    {
        static LOCKED: AtomicBool = AtomicBool::new(false);
        static DONE: AtomicBool = AtomicBool::new(false);
        fn hold(_: usize) -> usize {
            static MUTEX: Mutex<()> = Mutex::new(());
            let _guard = MUTEX.lock();
            LOCKED.store(true, Ordering::Release);
            while !DONE.load(Ordering::Acquire) {
                yield_now();
            }
            0
        }
        let program = Program::new("child", |_: &Arguments<'_>| {
            drop(lwp_spawn(hold, 0, &on_cpu(1 % cpus())));
            eventually("the other LWP is there", || LOCKED.load(Ordering::Acquire));
            let error = exec(&Program::new("never", |_| 1), &[], 0);
            panic!("exec came back: {error}");
        });
        let pid = spawn(&program, &[], &Default::default()).expect("a child can be spawned");
        // Not just any sleep: a kill before exec would end both LWPs at once.
        eventually("exec waits", || lwps(pid).iter().any(|lwp| lwp.waits_for == Some(WaitReason::SingleThreading)));
        kill(pid, i32::from(Signal::TERM.number())).expect("it is there");
        eventually("the kill has begun", || state_of(pid) == Some(State::Exiting));
        DONE.store(true, Ordering::Release);
        assert_signaled(wait_exit(pid).status(), Signal::TERM);
    }
);

test!(
    /// T29: the LWP that calls exec is killed by its number while it waits for a sibling that it has killed itself. No LWP is
    /// left, and no signal was sent to the process, so it ends as one whose last LWP was killed alone: with 0.
    t029_all_are_killed_one_by_one,
    {
        static LOCKED: AtomicBool = AtomicBool::new(false);
        fn kill_the_first(_: usize) -> usize {
            static MUTEX: Mutex<()> = Mutex::new(());
            let guard = MUTEX.lock();
            LOCKED.store(true, Ordering::Release);
            while !lwps(getpid()).iter().any(|lwp| lwp.waits_for == Some(WaitReason::SingleThreading)) {
                yield_now();
            }
            assert_eq!(kill_lwp(1), Ok(()));
            drop(guard);
            0
        }
        let pid = spawn_child(
            |_| {
                drop(lwp_spawn(kill_the_first, 0, &on_cpu(1 % cpus())));
                eventually("the other LWP holds its guard", || LOCKED.load(Ordering::Acquire));
                let error = exec(&Program::new("never", |_| 1), &[], 0);
                panic!("exec came back: {error}");
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 0);
    }
);
