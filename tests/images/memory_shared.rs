//! Processes that share an arena: it is freed once, after the last of them, in whichever order they end. T73.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, MemoryChoice, Pid, Program, Quota, Signal, SpawnAttributes, WaitQueue, census, exec, getpid,
    kill, memory_report, process, spawn, tenant, wait4,
};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, assert_signaled, await_sleeping, await_zombie, dawdle,
    eventually, orphans_are_meant, race_rounds, sleep_for_ever, test, wait_exit,
};

asphodel_test::image!();

const MIB: usize = 1 << 20;

fn start(memory: MemoryChoice, entry: fn(&Arguments<'_>) -> i32, number: usize) -> Pid {
    let attributes = SpawnAttributes { memory, number, ..SpawnAttributes::default() };
    spawn(&Program::new("sharer", entry), &[], &attributes).expect("there is room for it")
}

fn arena_of(pid: Pid) -> u64 {
    process(pid).and_then(|report| report.arena).expect("it has an arena")
}

/// What the parent has stored for its children.
static SHARED: AtomicPtr<u64> = AtomicPtr::new(core::ptr::null_mut());
static CHILD: AtomicI32 = AtomicI32::new(0);
static END: AtomicU32 = AtomicU32::new(0);
static ENDS: WaitQueue = WaitQueue::new();

/// Ends when requested.
fn wait_for_end(who: u32) {
    let _killed = ENDS.wait(|| END.load(Ordering::Relaxed) & who != 0);
}

fn tell_to_end(who: u32) {
    END.fetch_or(who, Ordering::Relaxed);
    ENDS.wake_all();
}

const PARENT: u32 = 1;
const CHILDREN: u32 = 2;

/// Allocates 4 MiB, and starts a process that shares its memory.
fn parent(_: &Arguments<'_>) -> i32 {
    core::mem::forget(black_box(Vec::<u8>::with_capacity(4 * MIB)));
    SHARED.store(Box::into_raw(Box::new(42)), Ordering::Release);
    CHILD.store(start(MemoryChoice::SameAsParent, child, 0).raw(), Ordering::Release);
    wait_for_end(PARENT);
    0
}

fn child(_: &Arguments<'_>) -> i32 {
    wait_for_end(CHILDREN);
    // Its parent may have ended; the memory stays.
    // SAFETY: created by `parent` for its children to read, in memory that they share.
    let seen = unsafe { SHARED.load(Ordering::Acquire).read_volatile() };
    let more = black_box(Box::new(seen));
    i32::from(*more != 42)
}

/// Starts both.
fn start_both() -> (Pid, Pid) {
    CHILD.store(0, Ordering::Relaxed);
    END.store(0, Ordering::Relaxed);
    let elder = start(asphodel_test::ISOLATED, parent, 0);
    eventually("the parent has a child", || CHILD.load(Ordering::Acquire) != 0);
    let younger = Pid::from_raw(CHILD.load(Ordering::Acquire));
    await_sleeping(elder);
    await_sleeping(younger);
    assert_eq!(arena_of(elder), arena_of(younger));
    assert!(arena_of(elder) >= 4 * MIB as u64);
    (elder, younger)
}

test!(
    /// T73: the parent ends first, and is reaped before or after the child, which process 1 reaps.
    t073_the_parent_ends_first,
    {
        orphans_are_meant();
        let before = census();
        for reaped_first in [true, false] {
            let (elder, younger) = start_both();
            tell_to_end(PARENT);
            await_zombie(elder);
            assert!(memory_report().arenas >= 4 * MIB as u64, "the child still uses it");
            if reaped_first {
                assert_exited(wait_exit(elder).status(), 0);
                assert!(arena_of(younger) >= 4 * MIB as u64);
            }
            tell_to_end(CHILDREN);
            eventually("process 1 reaps the child", || process(younger).is_none());
            assert_eq!(memory_report().arenas, 0);
            if !reaped_first {
                assert_exited(wait_exit(elder).status(), 0);
            }
            eventually("all is as before", || census() == before);
        }
    }
);

test!(
    /// T73: the child ends first; it is reaped by its parent, or only when that has ended, too.
    t073_the_child_ends_first,
    {
        orphans_are_meant();
        let before = census();
        let (elder, younger) = start_both();
        tell_to_end(CHILDREN);
        await_zombie(younger);
        assert!(arena_of(elder) >= 4 * MIB as u64, "the parent still uses it");
        tell_to_end(PARENT);
        await_zombie(elder);
        assert_eq!(memory_report().arenas, 0, "it is not used");
        assert_exited(wait_exit(elder).status(), 0);
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// T73: both are killed at the same time, round after round; a child that is just being created exists or does not.
    t073_both_end_at_once,
    deadline_ms = RACE_DEADLINE_MS,
    {
        orphans_are_meant();
        fn breeds(_: &Arguments<'_>) -> i32 {
            loop {
                let pid = start(MemoryChoice::SameAsParent, |_| i32::from(*Box::new(1) != 1), 0);
                LINE.cross(2);
                let _ = wait4(pid.raw(), 0);
            }
        }
        static LINE: StartLine = StartLine::new();
        let before = census();
        for round in race_rounds() {
            LINE.reset();
            let pid = start(asphodel_test::ISOLATED, breeds, 0);
            LINE.cross(2);
            dawdle(round as usize % 97 * 37);
            kill(pid, 9).expect("it is there");
            assert_signaled(wait_exit(pid).status(), Signal::KILL);
            eventually("all is as before", || census() == before);
        }
    }
);

test!(
    /// Without an arena there is nothing to share.
    a_child_of_the_usual_process,
    {
        let pid = start(MemoryChoice::SameAsParent, |_| i32::from(process(getpid()).is_some_and(|me| me.arena.is_some())), 0);
        assert_exited(wait_exit(pid).status(), 0);
    }
);

test!(
    /// exec leaves a shared arena to the others, and creates one of its own.
    exec_leaves_a_shared_arena,
    {
        fn next(_: &Arguments<'_>) -> i32 {
            let mine = black_box(Box::new(7));
            let arena = arena_of(getpid());
            i32::from(*mine != 7 || arena == 0 || arena >= MIB as u64)
        }
        fn replaced(_: &Arguments<'_>) -> i32 {
            let error = exec(&Program::new("next", next), &[], 0);
            panic!("{error}")
        }
        fn keeps(_: &Arguments<'_>) -> i32 {
            let block = core::iter::repeat_n(7_u8, MIB).collect::<Vec<u8>>();
            assert_exited(wait_exit(start(MemoryChoice::SameAsParent, replaced, 0)).status(), 0);
            i32::from(!block.iter().all(|byte| *byte == 7))
        }
        let before = census();
        assert_exited(wait_exit(start(asphodel_test::ISOLATED, keeps, 0)).status(), 0);
        eventually("all is as before", || census() == before);
    }
);

test!(
    /// The process that an arena was created for is charged for it as long as it exists, whichever process makes it
    /// grow; so is its tenant, and no longer.
    its_founder_pays,
    {
        fn tenant_of_two(_: &Arguments<'_>) -> i32 {
            let used = || tenant(getpid()).expect("the caller is in a tenant").used.memory;
            let before = used();
            let child = start(MemoryChoice::SameAsParent, |_| {
                core::mem::forget(black_box(Vec::<u8>::with_capacity(2 * MIB)));
                0
            }, 0);
            assert_exited(wait_exit(child).status(), 0);
            assert!(used() >= before + 2 * MIB as u64, "the child's block is there");
            let grandchild = start(asphodel_test::ISOLATED, |_| {
                core::mem::forget(black_box(Vec::<u8>::with_capacity(2 * MIB)));
                sleep_for_ever(0) as i32
            }, 0);
            await_sleeping(grandchild);
            assert!(used() >= before + 4 * MIB as u64);
            kill(grandchild, 9).expect("it is there");
            await_zombie(grandchild);
            assert!(used() < before + 4 * MIB as u64, "it is past the first stage");
            assert_signaled(wait_exit(grandchild).status(), Signal::KILL);
            0
        }
        let before = census();
        let attributes = SpawnAttributes {
            memory: asphodel_test::ISOLATED,
            quota: Some(Quota { memory: 16 * MIB as u64, ..Quota::UNLIMITED }),
            ..SpawnAttributes::default()
        };
        let pid = spawn(&Program::new("tenant", tenant_of_two), &[], &attributes).expect("there is room");
        assert_exited(wait_exit(pid).status(), 0);
        eventually("all is as before", || census() == before);
    }
);
