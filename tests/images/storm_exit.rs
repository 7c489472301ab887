//! A storm of creations and exits on all CPUs: LWPs of several processes spawn, exit, kill, wait, leave, replace their
//! programs, register hooks and read reports of all others, by chance. T191, T192, T198, I6, I13.
//!
//! The outcome of each child is known in advance and checked; each process that ends calls the exit hooks once and is
//! reported once; in the end all counts are back where they were (the leak check). A run in CI is short; the long one
//! has a million LWPs and a hundred thousand processes. `storm=N` makes the same choices again.
//! race: yes
//! deadline: 120
//! soak: lives=1000000
//! soak-deadline: 3600
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Errno, Group, Mutex, Pid, Program,
    Report, Signal, SpawnAttributes, Status, WNOHANG, at_exit, boot_argument, exec, exit, extexit, getpgrp,
    getpid, kill, kill_lwp, lwp_spawn, lwps, now_ns, println, processes, reaper_acquire, rm_at_exit, sleep,
    spawn, wait4, yield_now,
};
use asphodel_test::{
    Dice, cpus, crashes_are_meant, dawdle, on_cpu, return_at_once, rounds, sleep_for_ever, spin_for_ever,
    test,
};

asphodel_test::image!();

/// LWPs of a short run; a tenth as many processes.
const LIVES: u64 = 20_000;
/// Most LWPs of a child besides its first.
const MOST_LWPS: u64 = 18;
/// Exit code of a process that outlives its parent.
const ORPHAN: u8 = 211;
/// How long a storm may take, in milliseconds: generous for the long run.
const DEADLINE_MS: u64 = 3_500_000;

/// LWPs and processes that have ended and were reported.
static LWPS: AtomicU64 = AtomicU64::new(0);
static PROCESSES: AtomicU64 = AtomicU64::new(0);
/// Processes that have called the exit hooks.
static HOOKS: AtomicU64 = AtomicU64::new(0);
/// When the storm ends.
static TARGET: AtomicU64 = AtomicU64::new(0);
/// One child in so many faults; 0 means none.
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// Where leaving LWPs have their word stored.
static WORD: AtomicI32 = AtomicI32::new(0);

/// How a child ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    Exits,
    Returns,
    ExitsByExtexit,
    AllLeave,
    AllExit,
    IsKilled,
    KillsItself,
    Execs,
    LeavesOrphans,
    LeadsPeers,
    KillsItsLwps,
    Panics,
    Faults,
    Overflows,
}

/// Number of ways that are not faults, and number of all.
const ORDERLY: u64 = 11;
const WAYS: [Way; 14] = [
    Way::Exits,
    Way::Returns,
    Way::ExitsByExtexit,
    Way::AllLeave,
    Way::AllExit,
    Way::IsKilled,
    Way::KillsItself,
    Way::Execs,
    Way::LeavesOrphans,
    Way::LeadsPeers,
    Way::KillsItsLwps,
    Way::Panics,
    Way::Faults,
    Way::Overflows,
];

/// The actions of a child, in the number that it is started with.
#[derive(Clone, Copy, Debug)]
struct Plan {
    way: Way,
    lwps: u64,
    code: u8,
    salt: u64,
}

impl Plan {
    fn draw(dice: &Dice) -> Self {
        let faults = FAULTS.load(Ordering::Relaxed);
        let way = if faults != 0 && dice.one_in(faults) {
            ORDERLY + dice.below(WAYS.len() as u64 - ORDERLY)
        } else {
            dice.below(ORDERLY)
        };
        Self {
            way: WAYS[way as usize],
            lwps: dice.below(MOST_LWPS + 1),
            code: dice.below(200) as u8,
            salt: dice.below(1 << 32),
        }
    }

    fn number(self) -> usize {
        (self.way as usize)
            | (self.lwps as usize) << 8
            | usize::from(self.code) << 16
            | (self.salt as usize) << 24
    }

    fn read(number: usize) -> Self {
        Self {
            way: WAYS[number & 0xff],
            lwps: (number >> 8 & 0xff) as u64,
            code: (number >> 16 & 0xff) as u8,
            salt: (number >> 24) as u64,
        }
    }

    fn signal(self) -> Signal {
        [Signal::KILL, Signal::TERM, Signal::HUP, Signal::USR1][self.salt as usize % 4]
    }

    /// Returns the status that its parent will get.
    fn status(self) -> Status {
        match self.way {
            Way::IsKilled | Way::KillsItself => Status::signaled(self.signal()),
            Way::Panics => Status::signaled(Signal::ABRT),
            Way::Faults | Way::Overflows => Status::signaled(Signal::SEGV),
            _ => Status::exited(i32::from(self.code)),
        }
    }
}

fn extexit_now(how: u32, code: u8, word: Option<&'static AtomicI32>) -> ! {
    let error = extexit(how, i32::from(code), word);
    panic!("extexit came back: {error}");
}

/// An LWP of a child whose actions must not affect the outcome: it ends by itself, or is killed.
fn bystander(number: usize) -> usize {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    match number % 8 {
        0 => sleep_for_ever(0),
        1 => spin_for_ever(0),
        2 => return_at_once(number),
        3 => extexit_now(EXTEXIT_LWP | EXTEXIT_SETINT, 1, Some(&WORD)),
        4 => loop {
            *MUTEX.lock() += 1;
            yield_now();
        },
        5 => loop {
            let _ = sleep(20_000);
        },
        6 => loop {
            // A sibling that creates siblings.
            match lwp_spawn(return_at_once, 0, &on_cpu(number as u32 / 8 % cpus())) {
                Ok(lwp) => drop(lwp.join()),
                Err(_ending) => yield_now(),
            }
        },
        _ => {
            dawdle(number % 5_000);
            0
        }
    }
}

/// An LWP of a child in which all of them end the same way.
fn companion(number: usize) -> usize {
    let plan = Plan::read(number);
    dawdle(plan.salt as usize % 500);
    match plan.way {
        Way::AllExit => exit(i32::from(plan.code)),
        _ => extexit_now(EXTEXIT_LWP | EXTEXIT_SIMPLE, plan.code, None),
    }
}

/// Ends the process by a fault.
fn faulter(number: usize) -> usize {
    #[expect(unconditional_recursion, reason = "it is to overflow its stack")]
    fn overflow(depth: u64) -> u64 {
        core::hint::black_box(overflow(core::hint::black_box(depth + 1))) + 1
    }
    match Plan::read(number).way {
        Way::Panics => panic!("in the storm"),
        Way::Overflows => overflow(0) as usize,
        // SAFETY: none: the access faults, which ends this process.
        _ => unsafe { core::ptr::without_provenance::<usize>(8).read_volatile() },
    }
}

/// Program of every child.
fn child(arguments: &Arguments<'_>) -> i32 {
    let plan = Plan::read(arguments.number());
    let entry = match plan.way {
        Way::AllLeave | Way::AllExit => companion,
        _ => bystander,
    };
    for index in 0..plan.lwps {
        let number = match plan.way {
            Way::AllLeave | Way::AllExit => arguments.number(),
            _ => (plan.salt + index * 7) as usize,
        };
        // It is refused when the process is ending already.
        let _lwp = lwp_spawn(entry, number, &on_cpu((plan.salt + index) as u32 % cpus()));
    }
    dawdle(plan.salt as usize % 2_000);
    finish(plan, arguments.number())
}

/// The rest of the first LWP of a child.
fn finish(plan: Plan, number: usize) -> i32 {
    let code = i32::from(plan.code);
    match plan.way {
        Way::Returns => code,
        Way::ExitsByExtexit => extexit_now(EXTEXIT_PROC | EXTEXIT_SETINT, plan.code, Some(&WORD)),
        Way::AllLeave | Way::AllExit => companion(number) as i32,
        Way::IsKilled => sleep_for_ever(0) as i32,
        Way::KillsItself => {
            kill(getpid(), i32::from(plan.signal().number())).expect("it is there");
            unreachable!("a killed LWP does not come back")
        }
        Way::Execs => {
            let error =
                exec(&Program::new("second", |arguments| arguments.number() as i32), &[], code as usize);
            panic!("exec came back: {error}");
        }
        Way::LeavesOrphans => {
            relatives(plan, false);
            code
        }
        Way::LeadsPeers => {
            relatives(plan, true);
            exit(code)
        }
        Way::KillsItsLwps => {
            for tid in 2..2 + plan.lwps as u32 {
                // Some have left by themselves.
                let _gone = kill_lwp(tid);
            }
            code
        }
        Way::Exits => exit(code),
        Way::Panics | Way::Faults | Way::Overflows => {
            if plan.salt.is_multiple_of(2) {
                return faulter(number) as i32;
            }
            let _lwp = lwp_spawn(faulter, number, &on_cpu(plan.salt as u32 % cpus()));
            sleep_for_ever(0) as i32
        }
    }
}

/// Children of a child, which its parent, a reaper, adopts, and which are in that one's group.
fn relatives(plan: Plan, peer: bool) {
    let group = Group::Join(asphodel::api::getppid());
    let attributes =
        SpawnAttributes { peer, group, number: plan.salt as usize, ..SpawnAttributes::default() };
    let program = Program::new("relative", |arguments: &Arguments<'_>| {
        dawdle(arguments.number() % 3_000);
        if arguments.number().is_multiple_of(3) {
            // So that a leader kills its peers, and the end of an orphan finds a reaper that waits already.
            let _ = sleep(50_000);
        }
        i32::from(ORPHAN)
    });
    for _ in 0..1 + plan.salt % 3 {
        spawn(&program, &[], &attributes).expect("there is memory for a process");
    }
}

fn count(report: &Report) {
    LWPS.fetch_add(report.usage.lwps, Ordering::Relaxed);
    PROCESSES.fetch_add(1, Ordering::Relaxed);
}

fn is_over() -> bool {
    let target = TARGET.load(Ordering::Relaxed);
    LWPS.load(Ordering::Relaxed) >= target && PROCESSES.load(Ordering::Relaxed) >= target / 10
}

/// One child from its spawn to its report.
fn one_life(dice: &Dice) {
    let plan = Plan::draw(dice);
    let attributes = SpawnAttributes {
        group: Group::New,
        number: plan.number(),
        lwp: on_cpu(dice.below(u64::from(cpus())) as u32),
        ..SpawnAttributes::default()
    };
    let pid = spawn(&Program::new("child", child), &[], &attributes).expect("there is memory for a process");
    if plan.way == Way::IsKilled {
        dawdle(dice.below(20_000) as usize);
        kill(pid, i32::from(plan.signal().number())).expect("no other process reaps it");
    }
    if dice.one_in(4) {
        while wait4(pid.raw(), WNOHANG).inspect(|report| {
            report.iter().for_each(|report| check(plan, report));
        }) == Ok(None)
        {
            yield_now();
        }
        return;
    }
    let report = wait4(pid.raw(), 0).expect("it is my child").expect("it has ended");
    check(plan, &report);
}

fn check(plan: Plan, report: &Report) {
    assert_eq!(report.status, plan.status(), "{plan:?}");
    count(report);
}

/// Reaps one relative that this process has adopted, if there is one. Returns `false` if there is none left at all.
fn reap_relative(options: u32) -> bool {
    match wait4(0, options) {
        Ok(Some(report)) => {
            let expected = [Status::exited(i32::from(ORPHAN)), Status::signaled(Signal::KILL)];
            assert!(expected.contains(&report.status), "{}", report.status);
            count(&report);
            true
        }
        Ok(None) => true,
        Err(Errno::ECHILD) => false,
        Err(error) => panic!("{error}"),
    }
}

fn flicker(_: Pid, _: Status) {
    yield_now();
}

/// An LWP of a conductor, which runs until the storm is over.
fn conduct(seed: usize) -> usize {
    let dice = Dice::new(seed as u64);
    while !is_over() {
        match dice.below(16) {
            0 => {
                let _relatives = reap_relative(WNOHANG);
            }
            1 => {
                let _known = at_exit(flicker);
            }
            2 => {
                let _unknown = rm_at_exit(flicker);
            }
            3 if dice.one_in(8) => {
                // A report of every process, which may have ended a moment later.
                for process in processes() {
                    core::hint::black_box(lwps(process.pid));
                }
            }
            _ => one_life(&dice),
        }
    }
    0
}

/// Program of a conductor: a reaper, in a group of its own, with three LWPs.
fn conductor(arguments: &Arguments<'_>) -> i32 {
    assert_eq!(getpgrp(), getpid());
    assert_eq!(reaper_acquire(), Ok(()));
    let seed = arguments.number();
    let others =
        [1, 2].map(|index| lwp_spawn(conduct, seed + index, &on_cpu((seed + index) as u32 % cpus())));
    conduct(seed);
    for other in others {
        other.expect("there is memory for an LWP").join().expect("it ends with the storm");
    }
    while reap_relative(0) {}
    0
}

/// A storm of `lives` LWPs in which one child in `faults` faults.
fn storm(lives: u64, faults: u64) {
    fn hook(_: Pid, _: Status) {
        HOOKS.fetch_add(1, Ordering::Relaxed);
    }
    static PRINTED: AtomicU32 = AtomicU32::new(0);
    let seed = Dice::storm_seed();
    println!("storm: {lives} LWP lives, storm={seed}");
    for counter in [&LWPS, &PROCESSES, &HOOKS] {
        counter.store(0, Ordering::Relaxed);
    }
    TARGET.store(lives, Ordering::Relaxed);
    FAULTS.store(faults, Ordering::Relaxed);
    assert_eq!(at_exit(hook), Ok(()));
    let began = now_ns();
    let dice = Dice::new(seed);
    let conductors: [Pid; 6] = core::array::from_fn(|_| {
        let number = dice.below(1 << 40) as usize;
        let attributes = SpawnAttributes { group: Group::New, number, ..SpawnAttributes::default() };
        spawn(&Program::new("conductor", conductor), &[], &attributes).expect("there is memory for a process")
    });
    let mut ended = 0;
    while !is_over() {
        let _ = sleep(20_000_000);
        let seconds = ((now_ns() - began) / 1_000_000_000) as u32;
        if PRINTED.swap(seconds, Ordering::Relaxed) != seconds {
            let (lwps, processes) = (LWPS.load(Ordering::Relaxed), PROCESSES.load(Ordering::Relaxed));
            println!("storm: {lwps} LWP lives, {processes} process lives after {seconds} s");
        }
        // A conductor that has failed an assertion does not return.
        if let Ok(Some(report)) = wait4(-1, WNOHANG) {
            assert!(is_over() && report.status == Status::exited(0), "a conductor {}", report.status);
            count(&report);
            ended += 1;
        }
    }
    while let Ok(Some(report)) = wait4(-1, 0) {
        assert_eq!(report.status, Status::exited(0));
        count(&report);
        ended += 1;
    }
    assert_eq!(ended, conductors.len());
    let _flickered = rm_at_exit(flicker);
    assert_eq!(rm_at_exit(hook), 1);
    let (lwps, processes) = (LWPS.load(Ordering::Relaxed), PROCESSES.load(Ordering::Relaxed));
    println!("storm: {lwps} LWP lives, {processes} process lives in {} ms", (now_ns() - began) / 1_000_000);
    assert_eq!(HOOKS.load(Ordering::Relaxed), processes, "each that ended was reported once");
}

fn lives() -> u64 {
    boot_argument("lives").and_then(|lives| lives.parse().ok()).unwrap_or_else(|| rounds(LIVES))
}

test!(
    /// T191, T192, I6, I13: every orderly way to end, by chance, at the same time on all CPUs.
    t192_storm_of_exits,
    deadline_ms = DEADLINE_MS,
    {
        storm(lives(), 0);
    }
);

test!(
    /// T198, T192: panics, forbidden accesses and stack overflows in the middle of it: the storm continues.
    t198_storm_with_faults,
    deadline_ms = DEADLINE_MS,
    {
        crashes_are_meant(u64::MAX);
        storm(lives() / 10, 20);
    }
);
