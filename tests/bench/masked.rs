//! Bench: what takes long in one go, and what the time with interrupts masked must not grow with: stacks, records, and
//! sleepers that wake up together. The sections themselves are measured by the emulator, in every bench image.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, LwpHandle, MemoryChoice, Priority, Program, Semaphore,
    SpawnAttributes, WaitQueue, WaitResult, cpu_activate, cpu_deactivate, kill, lwp_spawn, now_ns,
    set_affinity, sleep, spawn, wait4,
};
use asphodel_test::bench::{self, Interval, on_cpu, process_on_cpu, repeat, row, time};
use asphodel_test::bench_image;

bench_image!(rows);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// LWPs that exist at once: more than any table has records for in advance.
const CROWD: u64 = 3000;
/// Processes that exist at once.
const PROCESSES: u64 = 300;
/// Longer than it takes all of a crowd to go to sleep.
const LATER: u64 = 100_000_000;

/// Longer than it takes two LWPs to begin.
const SOON: u64 = 1_000_000;

/// The signal that ends a process in any case.
const SIGKILL: i32 = 9;

/// This semaphore is never posted.
static NEVER: Semaphore = Semaphore::new(0);

fn rows() {
    for (name, stack_size, lazy_stack) in [
        ("stack.life_32k", 32 * KIB, false),
        ("stack.life_1m", MIB, false),
        ("stack.life_16m", 16 * MIB, false),
        ("stack.life_1m_lazy", MIB, true),
        ("stack.life_8m_lazy", 8 * MIB, true),
        ("stack.life_16m_lazy", 16 * MIB, true),
    ] {
        row(name, || stack_life(&LwpAttributes { stack_size, lazy_stack, ..on_cpu(0) }));
    }
    row("stack.crowd_1m_lazy", || crowd_of_stacks(64, MIB));
    row("sleepers.due_at_once", sleepers_due_at_once);
    row("sleepers.woken_at_once", || woken_at_once(0));
    if bench::cpus() > 1 {
        row("sleepers.woken_on_other_cpu", || woken_at_once(1));
        row("cpu.deactivated_with_crowd", deactivated_with_crowd);
    }
    row("lwp.joined_by_crowd", joined_by_crowd);
    row("process.crowd", || crowd_of_processes(MemoryChoice::System));
    row("arena.crowd", || crowd_of_processes(asphodel_test::ISOLATED));
    row("arena.grows_to_16m", arena_that_grows);
    row("heap.allocate_free_4m", || repeat(4, || drop(black_box(vec![1_u8; 4 * MIB]))));
    row("process.killed_with_crowd", killed_with_its_lwps);
}

/// An LWP with such a stack, which uses some of it.
fn stack_life(attributes: &LwpAttributes) -> Interval {
    repeat(4, || {
        let entry = |_| {
            black_box([1_u8; 12 * KIB]);
            0
        };
        let lwp = lwp_spawn(entry, 0, attributes).expect("there is memory for an LWP");
        assert_eq!(lwp.join(), Ok(Some(0)));
    })
}

/// More LWPs with stacks of the size of std's than a CPU keeps stacks for.
fn crowd_of_stacks(number: u64, stack_size: usize) -> Interval {
    static GO: Semaphore = Semaphore::new(0);
    let attributes = LwpAttributes { stack_size, lazy_stack: true, ..on_cpu(0) };
    time(number, || {
        let start = |_| lwp_spawn(|_| usize::from(GO.wait() == WaitResult::Ready), 0, &attributes);
        let lwps: Vec<_> = (0..number).map(|at| start(at).expect("there is memory for an LWP")).collect();
        (0..number).for_each(|_| GO.post());
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(1)));
        }
    })
}

/// The LWPs of a crowd sleep until the same moment.
fn sleepers_due_at_once() -> Interval {
    static WHEN: AtomicU64 = AtomicU64::new(0);
    let entry = |_| {
        let _slept = sleep(WHEN.load(Ordering::Relaxed).saturating_sub(now_ns()));
        0
    };
    time(CROWD, || {
        WHEN.store(now_ns() + LATER, Ordering::Relaxed);
        let start = |_| lwp_spawn(entry, 0, &on_cpu(0)).expect("there is memory for an LWP");
        let lwps: Vec<_> = (0..CROWD).map(start).collect();
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(0)));
        }
    })
}

/// A crowd on CPU `cpu` is woken by one call on another one, or the same.
fn woken_at_once(cpu: u32) -> Interval {
    static CALL: WaitQueue = WaitQueue::new();
    static CALLED: AtomicU64 = AtomicU64::new(0);
    let entry = |round: usize| {
        let _called = CALL.wait(|| CALLED.load(Ordering::Relaxed) > round as u64);
        0
    };
    let round = CALLED.load(Ordering::Relaxed);
    let start = |_| lwp_spawn(entry, round as usize, &on_cpu(cpu)).expect("there is memory for an LWP");
    let lwps: Vec<_> = (0..CROWD).map(start).collect();
    let _later = sleep(LATER);
    time(CROWD, || {
        CALLED.fetch_add(1, Ordering::Relaxed);
        CALL.wake_all();
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(0)));
        }
    })
}

/// A CPU with a crowd that is ready to run is deactivated: all of it moves to the only other CPU where it may run.
fn deactivated_with_crowd() -> Interval {
    static GO: Semaphore = Semaphore::new(0);
    static ENDED: AtomicU64 = AtomicU64::new(0);
    static INACTIVE: AtomicBool = AtomicBool::new(false);
    ENDED.store(0, Ordering::Relaxed);
    INACTIVE.store(false, Ordering::Relaxed);
    let member = |_| {
        set_affinity(CpuMask::from_bits(0b110)).expect("both CPUs are online");
        let woken = GO.wait();
        ENDED.fetch_add(1, Ordering::Relaxed);
        usize::from(woken == WaitResult::Ready)
    };
    let start = |entry, cpu, priority| {
        let attributes = LwpAttributes { priority, ..on_cpu(cpu) };
        lwp_spawn(entry, 0, &attributes).expect("there is memory for an LWP")
    };
    let lwps: Vec<_> = (0..CROWD).map(|_| start(member, 1, Priority::NORMAL)).collect();
    let _later = sleep(LATER);
    // Neither CPU is idle, and the members stay where they were.
    let busy_until_gone = |_| {
        while ENDED.load(Ordering::Relaxed) < CROWD {
            core::hint::spin_loop();
        }
        0
    };
    let busy_until_inactive = |_| {
        while !INACTIVE.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
        0
    };
    let busy =
        [start(busy_until_gone, 1, Priority::HIGHEST), start(busy_until_inactive, 2, Priority::HIGHEST)];
    let _later = sleep(SOON);
    let spent = time(CROWD, || {
        (0..CROWD).for_each(|_| GO.post());
        cpu_deactivate(1).expect("it is not the last one");
        INACTIVE.store(true, Ordering::Relaxed);
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(1)));
        }
    });
    cpu_activate(1).expect("it is inactive");
    for lwp in busy {
        assert_eq!(lwp.join(), Ok(Some(0)));
    }
    spent
}

/// A crowd waits for the end of one LWP.
fn joined_by_crowd() -> Interval {
    static END: Semaphore = Semaphore::new(0);
    let start = |entry, number| lwp_spawn(entry, number, &on_cpu(0)).expect("there is memory for an LWP");
    let ends = start(|_| usize::from(END.wait() == WaitResult::Ready), 0);
    let wait = |handle: usize| {
        // SAFETY: the handle is dropped after all that wait with it have ended.
        let handle = unsafe { &*core::ptr::with_exposed_provenance::<LwpHandle>(handle) };
        usize::from(handle.wait().is_ok())
    };
    let handle = (&raw const ends).expose_provenance();
    let lwps: Vec<_> = (0..CROWD).map(|_| start(wait, handle)).collect();
    let _later = sleep(LATER);
    time(CROWD, || {
        END.post();
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(1)));
        }
    })
}

/// Processes that exist at once, and end at once.
fn crowd_of_processes(memory: MemoryChoice) -> Interval {
    let program = |_: &Arguments<'_>| {
        drop(black_box(vec![1_u8; KIB]));
        let _killed = NEVER.wait();
        0
    };
    let program = Program::new("member", program);
    let attributes = SpawnAttributes { memory, ..process_on_cpu(0) };
    time(PROCESSES, || {
        let start = |_| spawn(&program, &[], &attributes).expect("there is room for a process");
        let pids: Vec<_> = (0..PROCESSES).map(start).collect();
        for pid in &pids {
            kill(*pid, SIGKILL).expect("it is a child");
        }
        for pid in pids {
            assert!(wait4(pid.raw(), 0).is_ok_and(|report| report.is_some()));
        }
    })
}

/// A process whose arena grows to many mebibytes, and is freed with it.
fn arena_that_grows() -> Interval {
    let program = |_: &Arguments<'_>| {
        let pieces: Vec<_> = (0..16).map(|_| vec![1_u8; MIB]).collect();
        i32::from(pieces.len() != 16)
    };
    let program = Program::new("grows", program);
    let attributes = SpawnAttributes { memory: asphodel_test::ISOLATED, ..process_on_cpu(0) };
    time(1, || {
        let pid = spawn(&program, &[], &attributes).expect("there is room for a process");
        let report = wait4(pid.raw(), 0).expect("it is a child").expect("it has ended");
        assert_eq!(report.status.code(), Some(0), "{}", report.status);
    })
}

/// A process with a crowd of LWPs is killed.
fn killed_with_its_lwps() -> Interval {
    let program = |_: &Arguments<'_>| {
        for _ in 0..CROWD {
            let entry = |_| usize::from(NEVER.wait() == WaitResult::Killed);
            drop(lwp_spawn(entry, 0, &on_cpu(0)).expect("there is memory for an LWP"));
        }
        let _killed = NEVER.wait();
        0
    };
    let program = Program::new("crowd", program);
    let pid = spawn(&program, &[], &process_on_cpu(0)).expect("there is room for a process");
    let _later = sleep(LATER);
    time(CROWD, || {
        kill(pid, SIGKILL).expect("it is a child");
        assert!(wait4(pid.raw(), 0).is_ok_and(|report| report.is_some()));
    })
}
