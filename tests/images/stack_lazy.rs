//! Lazy stacks: memory only for pages that were touched, by any thread, in programs and in the kernel; the guard stays
//! a guard; nothing is left when the LWPs have ended; only the process ends that touches a page for which there is no
//! memory.
//! race: yes
//! deadline: 120
#![no_std]
#![no_main]
extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, EXTEXIT_LWP, EXTEXIT_SETINT, LwpAttributes, Pid, Program, Semaphore, Signal,
    SpawnAttributes, WaitResult, boot_argument, census, extexit_at, getpid, kill, kill_lwp, lwp_run,
    lwp_spawn, memory, memory_report, now_ns, println, process, sleep, spawn, yield_now,
};
use asphodel::testing::machine::with_lowered_stack;
use asphodel_test::{
    SMALL_STACK, assert_exited, assert_signaled, await_asleep, await_sleeping, cpus, disturb_all_cpus,
    eventually, on_cpu, rounds, skip, sleep_for_ever, spawn_child, spin_for_ever, test, wait_exit, within,
};

asphodel_test::image!();

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What calls below a test's own frames need.
const ROOM: usize = 4 * KIB;

/// Attributes of an LWP with a lazy stack, on CPU `cpu` only.
fn lazy_on(cpu: u32, size: usize) -> LwpAttributes {
    LwpAttributes { stack_size: size, lazy_stack: true, ..on_cpu(cpu) }
}

fn lazy(size: usize) -> LwpAttributes {
    LwpAttributes { affinity: CpuMask::ALL, ..lazy_on(0, size) }
}

/// Returns the free bytes, including stacks that are kept for reuse.
fn free() -> u64 {
    memory().1 + memory_report().stacks_cached_bytes
}

/// Returns whether `before` bytes are free again, after some time.
fn comes_back(before: u64) -> bool {
    within(300_000_000, || free() >= before)
}

/// Performs `work` until it leaves as much free as it found, because at first page tables and records may grow.
#[track_caller]
fn assert_nothing_lost(mut before: u64, work: impl Fn()) {
    for _ in 0..6 {
        work();
        if comes_back(before) {
            return;
        }
        println!("# {} bytes free, {before} before", free());
        before = free();
    }
    panic!("each time something is lost");
}

/// Has `number` LWPs at a time, which all end then.
fn crowd(number: u32, attributes: &LwpAttributes) {
    static GO: Semaphore = Semaphore::new(0);
    let counts = census();
    for _ in 0..number {
        let member = |_| usize::from(GO.wait() == WaitResult::Ready);
        drop(lwp_spawn(member, 0, attributes).expect("an LWP can be made"));
    }
    for _ in 0..number {
        GO.post();
    }
    eventually("all are disposed of", || census() == counts);
}

/// Makes what stays, page tables, records and the stacks kept for reuse, as large as it gets, so that the free memory
/// before and after can be compared; performs `work` for the first time. Returns what is free.
fn warm_up(work: impl Fn()) -> u64 {
    crowd(600, &LwpAttributes::default());
    for size in [32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, MIB] {
        crowd(64, &lazy(size));
    }
    for size in [2 * MIB, 4 * MIB, 8 * MIB] {
        crowd(4, &lazy(size));
    }
    for _ in 0..2 {
        let counts = census();
        work();
        eventually("all are disposed of", || census() == counts);
    }
    free()
}

/// Uses a kibibyte of stack, and `kibibytes - 1` more below it.
#[inline(never)]
fn use_stack(kibibytes: usize) -> usize {
    let mut frame = [0_u8; KIB - 128];
    black_box(&mut frame)[kibibytes % 64] = 1;
    let below = if kibibytes > 1 { use_stack(kibibytes - 1) } else { 0 };
    below + usize::from(black_box(&frame)[kibibytes % 64])
}

/// Uses all of a stack of `size` bytes but for some room.
fn use_all(size: usize) {
    let kibibytes = (size - ROOM) / KIB;
    assert_eq!(use_stack(kibibytes), kibibytes);
}

/// Processes that have all memory but `rest` bytes, which they never touch: using up the rest takes less time.
fn take_all_but(rest: u64) -> Vec<Pid> {
    fn keep(arguments: &Arguments<'_>) -> i32 {
        let mut blocks = Vec::new();
        // Until its addresses are used up, or the memory is.
        while free() > (arguments.number() + MIB) as u64 {
            let mut block = Vec::<u8>::new();
            if block.try_reserve_exact(MIB).is_err() {
                break;
            }
            blocks.push(black_box(block));
        }
        sleep_for_ever(0) as i32
    }
    let attributes = SpawnAttributes {
        number: rest as usize,
        memory: asphodel_test::ISOLATED,
        ..SpawnAttributes::default()
    };
    let mut keepers = Vec::new();
    while free() > rest + 16 * MIB as u64 {
        let keeper = spawn(&Program::new("keeper", keep), &[], &attributes).expect("it can be spawned");
        await_sleeping(keeper);
        keepers.push(keeper);
    }
    keepers
}

/// Leaves a test out that takes long and in which nothing races when the boot is one of many schedules.
fn skip_if_seeded() {
    if boot_argument("seed").is_some() {
        skip("nothing races here");
    }
}

test!(a_thousand_large_stacks_fit, deadline_ms = 60_000, {
    const LWPS: u32 = 1000;
    static GO: Semaphore = Semaphore::new(0);
    fn crowd() {
        let member = |_| usize::from(GO.wait() == WaitResult::Ready);
        for index in 0..LWPS {
            drop(lwp_spawn(member, 0, &lazy_on(index % cpus(), MIB)).expect("an LWP can be made"));
        }
        await_asleep(LWPS);
    }
    skip_if_seeded();
    let all_end = || {
        crowd();
        for _ in 0..LWPS {
            GO.post();
        }
    };
    let before = warm_up(all_end);
    let mine = process(getpid()).expect("it is there").memory;
    crowd();
    let used = before - free();
    println!("# {LWPS} LWPs with 1 MiB of stack each have {} KiB", used / 1024);
    assert!(used <= u64::from(LWPS) * (SMALL_STACK + 4 * KIB) as u64, "{used} bytes");
    assert_eq!(process(getpid()).expect("it is there").memory - mine, u64::from(LWPS) * MIB as u64);
    for _ in 0..LWPS {
        GO.post();
    }
    assert_nothing_lost(before, all_end);
});

test!(all_of_a_stack_can_be_used, {
    let each_size = || {
        for size in [16 * KIB, 32 * KIB, 64 * KIB, 100 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB] {
            let lwp =
                lwp_run(move || use_all(size.next_power_of_two()), &lazy(size)).expect("an LWP can be made");
            assert_eq!(lwp.join(), Ok(Some(())), "of a stack of {size} bytes");
        }
    };
    let before = warm_up(each_size);
    assert_nothing_lost(before, each_size);
});

test!(
    /// Lazy stacks of 2 MiB and more share addresses with those that are mapped at once, by larger blocks.
    slots_are_shared_with_other_stacks,
    {
    let each_kind = || {
        for lazily in [true, false, true, false] {
            let attributes = LwpAttributes { lazy_stack: lazily, ..lazy(4 * MIB) };
            let lwp = lwp_run(|| use_all(4 * MIB), &attributes).expect("an LWP can be made");
            assert_eq!(lwp.join(), Ok(Some(())));
        }
    };
    let before = warm_up(each_kind);
    assert_nothing_lost(before, each_kind);
    }
);

test!(on_all_cpus_under_preemption, {
    // In a child, with which the LWPs end that disturb.
    fn recurse_everywhere(_: &Arguments<'_>) -> i32 {
        disturb_all_cpus(40_000, 7_000);
        for _ in 0..rounds(10) {
            let lwps: Vec<_> = (0..4 * cpus())
                .map(|index| {
                    lwp_run(|| use_all(MIB), &lazy_on(index % cpus(), MIB)).expect("an LWP can be made")
                })
                .collect();
            for lwp in lwps {
                assert_eq!(lwp.join(), Ok(Some(())));
            }
        }
        0
    }
    let once = || assert_exited(wait_exit(spawn_child(recurse_everywhere, 0)).status(), 0);
    let before = warm_up(once);
    assert_nothing_lost(before, once);
});

test!(
    /// Moves the stack pointer far down without touching anything, and is preempted there: both ends of what preemption
    /// needs may be unmapped.
    preempted_where_nothing_is_mapped,
    {
    fn hover(_: usize) -> usize {
        for step in 1..200_usize {
            let (bytes, start) = (step * 4096 - 64 * (step % 64), now_ns());
            while now_ns() - start < 190_000 {
                // SAFETY: the stack has that many bytes.
                unsafe { with_lowered_stack(bytes, 1000) };
            }
        }
        0
    }
    fn hover_everywhere(_: &Arguments<'_>) -> i32 {
        disturb_all_cpus(50_000, 9_000);
        let lwps: Vec<_> = (0..cpus())
            .map(|cpu| lwp_spawn(hover, 0, &lazy_on(cpu, MIB)).expect("an LWP can be made"))
            .collect();
        i32::from(!lwps.into_iter().all(|lwp| lwp.join() == Ok(Some(0))))
    }
    let once = || assert_exited(wait_exit(spawn_child(hover_everywhere, 0)).status(), 0);
    let before = warm_up(once);
    assert_nothing_lost(before, once);
    }
);

/// Recurses until the stack is full.
#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 16]);
    if depth == usize::MAX { 0 } else { recurse(black_box(depth + 1)) + frame[depth % 16] }
}

/// Same as [`recurse`], with a kernel service at each level, so that the overflow happens inside the kernel.
#[inline(never)]
fn recurse_in_services(depth: usize) -> usize {
    drop(black_box(alloc::boxed::Box::new(depth)));
    yield_now();
    let frame = black_box([depth; 40]);
    if depth == usize::MAX { 0 } else { recurse_in_services(black_box(depth + 1)) + frame[depth % 16] }
}

/// Same as [`recurse_in_services`], without memory except the stack's.
#[inline(never)]
fn recurse_in_yields(depth: usize) -> usize {
    yield_now();
    let frame = black_box([depth; 40]);
    if depth == usize::MAX { 0 } else { recurse_in_yields(black_box(depth + 1)) + frame[depth % 16] }
}

test!(an_overflow_is_an_overflow, {
    fn overflow(arguments: &Arguments<'_>) -> i32 {
        let body = if arguments.number() == 0 { recurse } else { recurse_in_services };
        let lwp = lwp_spawn(body, 0, &lazy(256 * KIB)).expect("an LWP can be made");
        i32::from(lwp.join().is_ok())
    }
    let all = || {
        let children: Vec<Pid> =
            (0..2 * cpus()).map(|index| spawn_child(overflow, index as usize % 2)).collect();
        for child in children {
            assert_signaled(wait_exit(child).status(), Signal::SEGV);
        }
    };
    // What a killed LWP had on the heap stays allocated, but frames do not.
    let before = warm_up(all);
    assert_nothing_lost(before, all);
});

test!(
    /// A buffer on a lazy stack that is never touched by its owner.
    siblings_touch_what_they_borrow,
    {
    const BYTES: usize = 512 * KIB;
    fn lend() {
        let mut buffer = core::mem::MaybeUninit::<[u8; BYTES]>::uninit();
        let address = buffer.as_mut_ptr() as usize;
        let parts = cpus() as usize;
        let write = move |part: usize| {
            for offset in (0..BYTES).step_by(KIB) {
                // Each page is touched by all at about the same time, each byte by one.
                let own = offset + part * 8;
                // SAFETY: inside the buffer, which is lent until all are joined.
                unsafe { ((address + own) as *mut u8).write_volatile(part as u8 + 1) };
            }
        };
        let siblings: Vec<_> = (0..parts)
            .map(|part| lwp_run(move || write(part), &on_cpu(part as u32)).expect("an LWP can be made"))
            .collect();
        for sibling in siblings {
            assert_eq!(sibling.join(), Ok(Some(())));
        }
        for offset in (0..BYTES).step_by(KIB) {
            for part in 0..parts {
                // SAFETY: as above; written by a sibling.
                let byte = unsafe { ((address + offset + part * 8) as *const u8).read_volatile() };
                assert_eq!(usize::from(byte), part + 1, "at {offset}");
            }
            if offset > BYTES - 32 * KIB {
                // It has had its memory from the beginning, with whatever contents.
                continue;
            }
            // SAFETY: as above; a page that was never written is zero.
            assert_eq!(unsafe { ((address + offset + 900) as *const u8).read_volatile() }, 0, "at {offset}");
        }
    }
    let once = || {
        for _ in 0..rounds(20) {
            let owner = lwp_run(lend, &lazy(MIB)).expect("an LWP can be made");
            assert_eq!(owner.join(), Ok(Some(())));
        }
    };
    let before = warm_up(once);
    assert_nothing_lost(before, once);
    }
);

test!(
    /// The kernel stores the word of `extexit` with interrupts masked, on the stack of an idle thread.
    the_kernel_touches_what_it_is_given,
    {
    fn owner(_: usize) -> usize {
        let mut words = core::mem::MaybeUninit::<[i32; 64 * KIB]>::uninit();
        // SAFETY: inside the array: 128 KiB from either end.
        let word = unsafe { words.as_mut_ptr().cast::<i32>().add(32 * KIB) };
        let address = word as usize;
        let leave = |address| {
            // SAFETY: in the stack of an LWP that waits for this one's end.
            let _ = unsafe { extexit_at(EXTEXIT_LWP | EXTEXIT_SETINT, 42, address as *mut i32) };
            0
        };
        let leaver = lwp_spawn(leave, address, &LwpAttributes::default()).expect("an LWP can be made");
        assert!(leaver.join().is_ok());
        // SAFETY: the kernel has written it, or it is zero.
        let value = unsafe { word.read_volatile() };
        value as usize
    }
    let once = || {
        for _ in 0..rounds(50) {
            let lwp = lwp_spawn(owner, 0, &lazy(MIB)).expect("an LWP can be made");
            assert_eq!(lwp.join(), Ok(Some(42)));
        }
    };
    let before = warm_up(once);
    assert_nothing_lost(before, once);
    }
);

test!(the_killed_leave_no_frame, {
    /// Recurses down its stack and returns again without end.
    fn swing(_: usize) -> usize {
        loop {
            use_all(256 * KIB);
        }
    }
    fn sleep_deep(_: usize) -> usize {
        use_stack(100);
        sleep_for_ever(0)
    }
    const STATES: [fn(usize) -> usize; 4] = [swing, sleep_deep, spin_for_ever, sleep_for_ever];
    fn crowd(_: &Arguments<'_>) -> i32 {
        for (index, body) in STATES.into_iter().cycle().take(32).enumerate() {
            let attributes = lazy_on(index as u32 % cpus(), 256 * KIB);
            drop(lwp_spawn(body, 0, &attributes).expect("an LWP can be made"));
        }
        let _ = sleep_for_ever(0);
        0
    }
    let once = || {
        for round in 0..rounds(10) {
            let child = spawn_child(crowd, 0);
            let _ = sleep(round * 1_000_000);
            kill(child, i32::from(Signal::KILL.number())).expect("it is there");
            assert_signaled(wait_exit(child).status(), Signal::KILL);
        }
        // And alone, in a process that continues.
        for body in STATES {
            let lwp = lwp_spawn(body, 0, &lazy(256 * KIB)).expect("an LWP can be made");
            let _ = sleep(1_000_000);
            kill_lwp(lwp.tid()).expect("it is there");
            assert_eq!(lwp.wait(), Ok(()));
        }
    };
    let before = warm_up(once);
    assert_nothing_lost(before, once);
});

test!(
    /// All memory is used up by lazy stacks: only the process that needs more ends.
    without_memory_its_process_ends,
    deadline_ms = 40_000,
    {
    static HUNGRY: AtomicU32 = AtomicU32::new(0);
    static GO: Semaphore = Semaphore::new(0);
    fn grow_for_ever(argument: usize) -> usize {
        let _ = GO.wait();
        if argument == 0 { recurse(0) } else { recurse_in_yields(0) }
    }
    fn hog(arguments: &Arguments<'_>) -> i32 {
        for cpu in 0..cpus() {
            drop(lwp_spawn(grow_for_ever, arguments.number(), &lazy_on(cpu, 64 * MIB)).expect("an LWP can be made"));
        }
        // Each needs some stack for that sleep.
        await_asleep(cpus());
        // All but a little is allocated at once, which takes less time; by stacks that have one page table each.
        for shift in (18..21).rev() {
            let eager = LwpAttributes { stack_size: 1 << shift, ..LwpAttributes::default() };
            while let Ok(lwp) = lwp_spawn(sleep_for_ever, 0, &eager) {
                drop(lwp);
            }
        }
        HUNGRY.store(1, Ordering::Relaxed);
        for _ in 0..cpus() {
            GO.post();
        }
        sleep_for_ever(0) as i32
    }
    skip_if_seeded();
    let bystander = spawn_child(|_| i32::from(sleep_for_ever(0) == 0), 0);
    await_sleeping(bystander);
    let keepers = take_all_but(96 * MIB as u64);
    let once = || {
        let attributes = SpawnAttributes { memory: asphodel_test::ISOLATED, ..SpawnAttributes::default() };
        for number in 0..2 {
            HUNGRY.store(0, Ordering::Relaxed);
            // LWPs that were killed before they could use their unit have returned it.
            while GO.try_wait() {}
            let attributes = SpawnAttributes { number, ..attributes };
            let hog = spawn(&Program::new("hog", hog), &[], &attributes).expect("it can be spawned");
            assert_signaled(wait_exit(hog).status(), Signal::ABRT);
            assert_eq!(HUNGRY.load(Ordering::Relaxed), 1, "it was a stack for which there was no memory");
        }
    };
    let before = warm_up(once);
    assert_nothing_lost(before, once);
    for process in keepers.into_iter().chain([bystander]) {
        kill(process, i32::from(Signal::KILL.number())).expect("it is there");
        assert_signaled(wait_exit(process).status(), Signal::KILL);
    }
    }
);
