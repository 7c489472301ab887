//! An isolated process's memory is its own, and is freed as a whole when it ends, however it ends. T71, T72, T13, T104.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use asphodel::api::{
    Arguments, CpuMask, EXTEXIT_PROC, EXTEXIT_SETINT, Errno, LwpAttributes, Mutex, Pid, Program, Quota,
    Signal, SpawnAttributes, Token, WaitQueue, census, exec, extexit, getpid, kill, lwp_run, lwp_spawn,
    memory_report, process, set_affinity, spawn, wakeup,
};
use asphodel_test::{
    Dice, assert_exited, assert_signaled, await_asleep, await_sleeping, await_zombie, cpus,
    crashes_are_meant, eventually, leaves_heap, on_cpu, orphans_are_meant, return_at_once, rounds,
    sleep_for_ever, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Starts `entry` as an isolated process.
fn isolate(entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    try_isolate(entry, number, None).expect("an isolated process can be made")
}

/// Returns attributes for any CPU, or for the only one.
fn on_cpu_of_caller() -> LwpAttributes {
    if PINNED.load(Ordering::Relaxed) { on_cpu(0) } else { LwpAttributes::default() }
}

/// `true` if everything is to happen on one CPU.
static PINNED: AtomicBool = AtomicBool::new(false);

fn try_isolate(entry: fn(&Arguments<'_>) -> i32, number: usize, quota: Option<Quota>) -> Result<Pid, Errno> {
    let attributes = SpawnAttributes {
        number,
        quota,
        memory: asphodel_test::ISOLATED,
        lwp: on_cpu_of_caller(),
        ..SpawnAttributes::default()
    };
    spawn(&Program::new("isolated", entry), &["some", "words"], &attributes)
}

/// Returns the free frames, in bytes.
fn free_frames() -> u64 {
    memory_report().free
}

/// Returns the size of the caller's arena, in bytes.
fn my_arena() -> u64 {
    process(getpid()).and_then(|report| report.arena).expect("the caller is isolated")
}

/// Allocates much, and leaks it.
fn litter(bytes: usize) {
    let mut map = BTreeMap::new();
    for number in 0..100_usize {
        map.insert(number, String::from("something that is not given back"));
    }
    core::mem::forget(black_box(map));
    core::mem::forget(black_box(Vec::<u8>::with_capacity(bytes)));
}

test!(
    /// What the program allocates comes from its arena, which grows; what services allocate does not.
    a_program_allocates_from_its_arena,
    {
        fn grows(_: &Arguments<'_>) -> i32 {
            assert_eq!(my_arena(), 0, "an arena that was not used costs nothing");
            let heap = memory_report().heap_used;
            let small = black_box(Box::new(7_u64));
            let first = my_arena();
            assert!(first > 0 && first <= 64 * KIB as u64, "{first}");
            let large = black_box(Vec::<u8>::with_capacity(3 * MIB));
            assert!(my_arena() >= 3 * MIB as u64);
            assert_eq!(memory_report().heap_used, heap, "nothing of it is on the kernel heap");
            drop(large);
            let grown = my_arena();
            for _ in 0..100 {
                drop(black_box(Vec::<u8>::with_capacity(2 * MIB)));
            }
            assert_eq!(my_arena(), grown, "what is free is used again");
            assert_eq!(*small, 7);
            0
        }
        let report = wait_exit(isolate(grows, 0));
        assert_exited(report.status(), 0);
        assert!(report.usage.peak_memory >= 3 * MIB as u64, "{:?}", report.usage);
    }
);

test!(
    /// Blocks of all sizes and alignments are valid, whichever LWP frees them.
    blocks_are_sound,
    {
        fn churn(_: &Arguments<'_>) -> i32 {
            let mut blocks: Vec<Vec<u8>> = Vec::new();
            let mut seed = 1_u64;
            for round in 0..3000_usize {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let size = (seed >> 33) as usize % (8 << ((seed >> 20) % 13)) + 1;
                if round % 3 == 2 {
                    let block = blocks.swap_remove(size % blocks.len());
                    let first = block[0];
                    assert!(block.iter().all(|byte| *byte == first), "a block was written by another one's owner");
                    if round % 30 == 2 {
                        let freed = lwp_run(move || drop(block), &LwpAttributes::default());
                        assert_eq!(freed.expect("an LWP can be made").join(), Ok(Some(())));
                    }
                } else {
                    blocks.push(core::iter::repeat_n(round as u8, size).collect());
                }
            }
            #[repr(align(4096))]
            struct Page(#[expect(dead_code, reason = "only its address counts")] [u8; 4096]);
            let page = Box::new(Page([0; 4096]));
            assert!(core::ptr::from_ref(&*page).addr().is_multiple_of(4096));
            0
        }
        assert_exited(wait_exit(isolate(churn, 0)).status(), 0);
    }
);

/// Addresses of an arena.
const ARENA_SIZE: usize = 1 << 29;

test!(
    /// A program writes over the lists of its own heap, in and around its blocks, or at the arena's start, and goes on to
    /// allocate and free: it ends, or gets what it has made of its memory, and nothing else is touched.
    a_program_that_overwrites_its_heap_ends_alone,
    deadline_ms = 60_000,
    {
        const LENGTH: usize = 20_000;
        fn use_heap(sizes: &[usize]) {
            for _ in 0..4 {
                let blocks: Vec<_> = sizes.iter().map(|size| Vec::<u8>::with_capacity(*size)).collect();
                drop(black_box(blocks));
            }
        }
        fn overwrites(arguments: &Arguments<'_>) -> i32 {
            let seed = arguments.number();
            let [mut first, second, third] = [(); 3].map(|()| Vec::<u8>::with_capacity(LENGTH));
            let start = first.as_mut_ptr();
            assert!((LENGTH..LENGTH + 64).contains(&(second.as_ptr().addr() - start.addr())));
            drop(black_box(second));
            let dice = Dice::new(seed as u64);
            if seed == 0 {
                // SAFETY: memory of the arena; what is broken is what is tested.
                unsafe { start.add(LENGTH).write_bytes(0xa4, 100) };
            } else {
                let place = match seed % 3 {
                    0 => (start.addr() & !(ARENA_SIZE - 1)) as *mut u32,
                    _ => start.cast::<u32>().wrapping_add(LENGTH / 4),
                };
                let value = || match dice.below(4) {
                    0 => dice.below(1 << 32) as u32,
                    1 => 1 << dice.below(32),
                    2 => (dice.below(LENGTH as u64 * 4) / 16) as u32,
                    _ => u32::MAX,
                };
                for word in 0..if seed % 3 == 0 { 600 } else { 32 } {
                    if dice.one_in(3) {
                        // SAFETY: as above, as long as the program does not reach the end of what is mapped.
                        unsafe { place.add(word).write_volatile(value()) };
                    }
                }
            }
            use_heap(&[LENGTH, 100, 7, LENGTH / 2, 3 * LENGTH]);
            drop(black_box((third, first)));
            use_heap(&[1, 24, LENGTH]);
            0
        }
        fn frees_twice(arguments: &Arguments<'_>) -> i32 {
            let block = black_box(Vec::<u8>::with_capacity(arguments.number()));
            // SAFETY: it is not, which is what is tested.
            drop(unsafe { core::ptr::read(&raw const block) });
            drop(black_box(block));
            0
        }
        let before = census();
        assert_signaled(wait_exit(isolate(overwrites, 0)).status(), Signal::ABRT);
        for size in [8, 100, 1000, LENGTH] {
            assert_signaled(wait_exit(isolate(frees_twice, size)).status(), Signal::ABRT);
        }
        let rounds = rounds(60);
        crashes_are_meant(rounds);
        for seed in 1..=rounds {
            let status = wait_exit(isolate(overwrites, seed as usize)).status();
            let any = [None, Some(Signal::ABRT), Some(Signal::SEGV)];
            assert!(any.contains(&status.signal()), "{status}");
        }
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// T71: free memory increases while the zombie waits to be reaped. T72: afterwards everything is as it was.
    t071_t072_the_arena_goes_before_the_zombie_is_reaped,
    {
        fn owns(_: &Arguments<'_>) -> i32 {
            litter(8 * MIB);
            sleep_for_ever(0) as i32
        }
        // All on one CPU, where a stack that was used is the next to be used.
        set_affinity(CpuMask::one(0)).expect("it is online");
        PINNED.store(true, Ordering::Relaxed);
        // Page tables of the first arena's addresses stay.
        assert_signaled(end(isolate(owns, 0)), Signal::KILL);
        let (before, counted) = (free_frames(), census());
        let pid = isolate(owns, 0);
        await_sleeping(pid);
        assert!(free_frames() + 8 * MIB as u64 <= before);
        assert!(process(pid).and_then(|report| report.arena) >= Some(8 * MIB as u64));
        assert!(process(pid).map(|report| report.memory) >= Some(8 * MIB as u64));
        kill(pid, 9).expect("it is there");
        await_zombie(pid);
        assert_eq!(process(pid).and_then(|report| report.arena), Some(0));
        assert_eq!(memory_report().arenas, 0);
        assert_eq!(free_frames(), before, "the zombie has given its memory back");
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
        assert_eq!(free_frames(), before);
        eventually("all is as before", || census() == counted);
        PINNED.store(false, Ordering::Relaxed);
    }
);

fn end(pid: Pid) -> asphodel::api::Status {
    await_sleeping(pid);
    kill(pid, 9).expect("it is there");
    wait_exit(pid).status()
}

static SHELF: Mutex<usize> = Mutex::new(0);
static LOOSE: Token<usize> = Token::new(0);

test!(
    /// Killed while its LWPs sleep, compute, allocate, or hold guards: nothing is left, and the kill is not noticed in
    /// advance.
    killed_processes_leave_nothing,
    deadline_ms = 60_000,
    {
        fn allocate_for_ever(_: usize) -> usize {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(Box::new([0_u8; 100])));
                if kept.len() == 500 {
                    kept.clear();
                }
            }
        }
        fn allocate_in_guards(_: usize) -> usize {
            loop {
                let mut shelf = SHELF.lock();
                *shelf += 1;
                core::mem::forget(black_box(Box::new([0_u8; 8])));
                drop(shelf);
                LOOSE.with(|held| {
                    core::mem::forget(black_box(Box::new([0_u8; 8])));
                    held.access(|count| *count += 1);
                });
            }
        }
        fn busy(arguments: &Arguments<'_>) -> i32 {
            litter(100 * KIB);
            for entry in [sleep_for_ever, spin_for_ever, allocate_for_ever, allocate_in_guards] {
                drop(lwp_spawn(entry, 0, &LwpAttributes::default()));
            }
            let _handle = lwp_run(|| Box::new(7), &LwpAttributes::default());
            litter(arguments.number());
            STARTED.fetch_add(1, Ordering::Relaxed);
            sleep_for_ever(0) as i32
        }
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let before = census();
        for round in 1..=rounds(40) {
            let pid = isolate(busy, round as usize * 1000);
            eventually("it has started", || STARTED.load(Ordering::Relaxed) == round);
            asphodel_test::dawdle(round as usize * 1000);
            kill(pid, 9).expect("it is there");
            assert_signaled(wait_exit(pid).status(), Signal::KILL);
            eventually("all is as before", || census() == before);
        }
    }
);

test!(
    /// The same by its own exit, a panic, a fault.
    no_end_leaves_anything,
    {
        let before = census();
        type End = (fn(&Arguments<'_>) -> i32, Option<Signal>);
        let ends: [End; 4] = [
            (
                |_| {
                    litter(MIB);
                    0
                },
                None,
            ),
            (
                |_| {
                    litter(MIB);
                    panic!("as the test wants it")
                },
                Some(Signal::ABRT),
            ),
            (
                |_| {
                    litter(MIB);
                    // SAFETY: it faults, which is what is tested.
                    unsafe { core::ptr::null::<i32>().read_volatile() }
                },
                Some(Signal::SEGV),
            ),
            (
                |_| {
                    litter(MIB);
                    black_box(Vec::<u8>::with_capacity(1 << 40));
                    0
                },
                Some(Signal::ABRT),
            ),
        ];
        for (entry, signal) in ends {
            let status = wait_exit(isolate(entry, 0)).status();
            match signal {
                Some(signal) => assert_signaled(status, signal),
                None => assert_exited(status, 0),
            }
            eventually("all is as before", || census() == before);
        }
    }
);

test!(
    /// An arena that cannot grow gives null, and the process continues: its own addresses, all memory, or a quota is
    /// exhausted.
    an_arena_that_cannot_grow,
    {
        fn greedy(_: &Arguments<'_>) -> i32 {
            let keep = black_box(Box::new(7));
            let mut block = Vec::<u8>::new();
            // A program of a suite needed this much, with which an arena of 256 MiB was full.
            assert_eq!(block.try_reserve_exact(400 * MIB), Ok(()));
            assert!(Vec::<u8>::new().try_reserve_exact(200 * MIB).is_err());
            assert!(Vec::<u8>::new().try_reserve_exact(usize::MAX / 4).is_err());
            drop(block);
            let before = my_arena();
            let mut blocks = Vec::new();
            // Until all memory is used, or all its addresses.
            loop {
                let mut block = Vec::<u8>::new();
                if block.try_reserve_exact(512 * KIB).is_err() || blocks.try_reserve(1).is_err() {
                    break;
                }
                blocks.push(block);
            }
            assert!(my_arena() > before + MIB as u64);
            assert_eq!(*keep, 7);
            drop(blocks);
            assert!(Vec::<u8>::new().try_reserve_exact(MIB).is_ok());
            0
        }
        fn limited(_: &Arguments<'_>) -> i32 {
            let mut block = Vec::<u8>::new();
            assert!(block.try_reserve_exact(MIB).is_err());
            assert!(block.try_reserve_exact(500 * KIB).is_ok());
            assert!(my_arena() <= MIB as u64);
            0
        }
        let before = census();
        assert_exited(wait_exit(isolate(greedy, 0)).status(), 0);
        eventually("all is as before", || census() == before);
        let quota = Quota { memory: MIB as u64, ..Quota::UNLIMITED };
        let pid = try_isolate(limited, 0, Some(quota)).expect("there is room for it");
        assert_exited(wait_exit(pid).status(), 0);
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// T104: when frames run out for an arena, stacks that are kept for reuse are freed first; then the result is null.
    t104_an_arena_under_memory_pressure,
    deadline_ms = 120_000,
    {
        /// Allocates all memory, and keeps it.
        fn hoards(_: &Arguments<'_>) -> i32 {
            loop {
                let mut block = Vec::<u8>::new();
                if block.try_reserve_exact(MIB).is_err() {
                    break;
                }
                core::mem::forget(black_box(block));
            }
            HOARDED.fetch_add(my_arena(), Ordering::Relaxed);
            HOARDERS.fetch_add(1, Ordering::Relaxed);
            sleep_for_ever(0) as i32
        }
        static HOARDED: AtomicU64 = AtomicU64::new(0);
        static HOARDERS: AtomicUsize = AtomicUsize::new(0);
        let before = census();
        // More dead stacks than the CPUs keep for themselves.
        let kept_by_cpus = u64::from(cpus()) * 64;
        let many = kept_by_cpus as u32 + 300;
        let killed = |_: &Arguments<'_>| {
            for _ in 0..u64::from(cpus()) * 64 + 300 {
                drop(lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()));
            }
            sleep_for_ever(0) as i32
        };
        let pid = asphodel_test::spawn_child(killed, 0);
        eventually("all its LWPs sleep", || process(pid).is_some_and(|report| report.sleeping == many + 1));
        kill(pid, 9).expect("it is there");
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
        assert!(memory_report().stacks_cached > kept_by_cpus, "{}", memory_report().stacks_cached);
        let mut hoarders = Vec::new();
        while free_frames() > 16 * MIB as u64 {
            hoarders.push(isolate(hoards, 0));
            eventually("it has what it can get", || HOARDERS.load(Ordering::Relaxed) == hoarders.len());
        }
        assert!(memory_report().stacks_cached <= kept_by_cpus, "{}", memory_report().stacks_cached);
        assert!(HOARDED.load(Ordering::Relaxed) > 64 * MIB as u64);
        // What needs no more frames continues; what does fails, such as a process when this CPU keeps no stack.
        match spawn(&Program::new("child", |_| 7), &[], &SpawnAttributes::default()) {
            Ok(pid) => assert_exited(wait_exit(pid).status(), 7),
            Err(error) => assert_eq!(error, Errno::ENOMEM),
        }
        for pid in hoarders {
            assert_signaled(end(pid), Signal::KILL);
        }
        assert_exited(wait_exit(asphodel_test::spawn_child(|_| 7, 0)).status(), 7);
        eventually("all is as before", || census() == before);
        assert!(free_frames() > HOARDED.load(Ordering::Relaxed));
    }
);

test!(
    /// T13: the word that the last LWP stores is stored before its memory is freed, and its waiter elsewhere is woken,
    /// wherever the word lies.
    t013_a_word_in_the_arena,
    {
        static SEEN: AtomicI32 = AtomicI32::new(0);
        fn leaves_a_word(arguments: &Arguments<'_>) -> i32 {
            let word: &AtomicI32 = Box::leak(Box::new(AtomicI32::new(0)));
            let word = if arguments.number() == 0 { word } else { &SEEN };
            litter(MIB);
            let error = extexit(EXTEXIT_PROC | EXTEXIT_SETINT, 9, Some(word));
            panic!("{error}")
        }
        for number in [0, 1] {
            assert_exited(wait_exit(isolate(leaves_a_word, number)).status(), 9);
        }
        assert_eq!(SEEN.load(Ordering::Acquire), 9);
    }
);

test!(
    /// What the kernel would keep for longer than the arena lasts is refused.
    nothing_that_outlives_it_may_lie_there,
    {
        orphans_are_meant();
        fn hands_out(_: &Arguments<'_>) -> i32 {
            let name: &'static str = Box::leak(String::from("short-lived").into_boxed_str());
            let program = Program::new(name, |_| 0);
            assert_eq!(spawn(&program, &[], &SpawnAttributes::default()), Err(Errno::EFAULT));
            assert_eq!(exec(&program, &[], 0), Errno::EFAULT);
            // Words are copied.
            let word = String::from("copied");
            let asked = Program::new("asked", |arguments| i32::from(arguments.get(0) != Some("copied")));
            let attributes = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
            assert!(spawn(&asked, &[&word], &attributes).is_ok());
            0
        }
        assert_exited(wait_exit(isolate(hands_out, 0)).status(), 0);
    }
);

test!(
    /// exec: the old program's arena is freed, the new one has a fresh one; round after round.
    exec_gives_the_old_programs_memory_back,
    {
        fn again(arguments: &Arguments<'_>) -> i32 {
            assert_eq!(my_arena(), 0, "a new program's memory is fresh");
            let left = arguments.number();
            if left == 0 {
                return 7;
            }
            litter(2 * MIB);
            for _ in 0..3 {
                drop(lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()));
            }
            await_asleep(3);
            assert!(memory_report().arenas < 4 * MIB as u64);
            // In the arena, which is freed when the new program starts.
            let program = Box::new(Program::new("again", again));
            let error = exec(&program, &[&String::from("word")], left - 1);
            panic!("{error}")
        }
        let before = census();
        assert_exited(wait_exit(isolate(again, 20)).status(), 7);
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// Many of them, at the same time: each has addresses of its own; when there are no more, the next is refused.
    many_arenas,
    deadline_ms = 60_000,
    {
        fn owns(arguments: &Arguments<'_>) -> i32 {
            let mine = black_box(Box::new(arguments.number()));
            let place = core::ptr::from_ref(&*mine).addr();
            READY.fetch_add(1, Ordering::Relaxed);
            wakeup(READY.as_ptr().addr());
            let _killed = GO.wait(|| OPEN.load(Ordering::Relaxed) != 0);
            i32::from(*mine != arguments.number() || core::ptr::from_ref(&*mine).addr() != place)
        }
        static READY: AtomicUsize = AtomicUsize::new(0);
        static GO: WaitQueue = WaitQueue::new();
        static OPEN: AtomicUsize = AtomicUsize::new(0);
        let before = census();
        let mut pids = Vec::new();
        let refused = loop {
            match try_isolate(owns, pids.len(), None) {
                Ok(pid) => pids.push(pid),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, Errno::ENOMEM);
        assert!(pids.len() >= 400, "{} arenas", pids.len());
        eventually("all have started", || READY.load(Ordering::Relaxed) == pids.len());
        OPEN.store(1, Ordering::Relaxed);
        GO.wake_all();
        for pid in pids {
            assert_exited(wait_exit(pid).status(), 0);
        }
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// A process that is not isolated leaves its memory allocated, as always.
    the_usual_process_is_as_it_was,
    {
        fn keeps(_: &Arguments<'_>) -> i32 {
            core::mem::forget(black_box(Vec::<u8>::with_capacity(1000)));
            i32::from(process(getpid()).and_then(|report| report.arena).is_some())
        }
        leaves_heap(1000);
        assert_exited(wait_exit(asphodel_test::spawn_child(keeps, 0)).status(), 0);
        assert_eq!(lwp_spawn(return_at_once, 1, &LwpAttributes::default()).map(|lwp| lwp.join()), Ok(Ok(Some(1))));
    }
);
