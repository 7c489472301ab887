//! A kill of a process of low priority takes effect while others compute at better ones: the victim is raised for its
//! death, wherever it waits. T202.
//!
//! | | tests |
//! |---|---|
//! | T202 | `one_that_waits_in_any_run_queue`, `one_that_sleeps`, `one_that_has_never_run`, `a_process_with_many_lwps_on_all_cpus`, `a_group_of_processes`, `one_lwp_alone`, `one_that_holds_a_guard` |
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, LwpHandle, Mutex, Pid, Priority, Program, Signal, SpawnAttributes,
    Status, at_exit, getpid, gettid, kill, kill_lwp, lwp_spawn, rm_at_exit, set_affinity, set_priority,
    sleep, spawn, wait4,
};
use asphodel_test::{
    assert_signaled, await_sleeping, cpus, eventually, rounds, sleep_for_ever, spin_for_ever, test, wait_exit,
};

asphodel_test::image!();

/// The priority of those that compute on each CPU, and of the tests, which must come to kill.
const BETTER: u8 = 20;
const BEST: u8 = 22;

fn level(level: u8) -> Priority {
    Priority::new(level).expect("a level below 32")
}

fn at(priority: Priority, affinity: CpuMask) -> LwpAttributes {
    LwpAttributes { priority, affinity, ..LwpAttributes::default() }
}

/// Those that compute on each CPU, until this is dropped.
struct Hogs(heapless::Vec<LwpHandle, 64>);

static STOP: AtomicBool = AtomicBool::new(false);
static BUSY: AtomicU32 = AtomicU32::new(0);

/// Makes all CPUs compute at [`BETTER`], so that nothing below it gets one, and the caller continue above it.
fn occupy_all_cpus() -> Hogs {
    occupy_all_cpus_at(level(BETTER))
}

fn occupy_all_cpus_at(priority: Priority) -> Hogs {
    fn compute(_: usize) -> usize {
        BUSY.fetch_add(1, Ordering::AcqRel);
        while !STOP.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
        0
    }
    STOP.store(false, Ordering::Relaxed);
    BUSY.store(0, Ordering::Relaxed);
    set_priority(level(BEST));
    let begin = |cpu| {
        let attributes = at(priority, CpuMask::one(cpu));
        lwp_spawn(compute, 0, &attributes).expect("an LWP can be made")
    };
    let hogs = Hogs((0..cpus()).map(begin).collect());
    eventually("all CPUs compute", || BUSY.load(Ordering::Acquire) == cpus());
    hogs
}

impl Drop for Hogs {
    fn drop(&mut self) {
        STOP.store(true, Ordering::Relaxed);
        for hog in core::mem::take(&mut self.0) {
            assert_eq!(hog.join(), Ok(Some(0)));
        }
    }
}

/// Spawns a process whose first LWP has these attributes.
fn spawn_with(lwp: LwpAttributes, entry: fn(&Arguments<'_>) -> i32) -> Pid {
    let attributes = SpawnAttributes { lwp, ..SpawnAttributes::default() };
    spawn(&Program::new("victim", entry), &[], &attributes).expect("a child can be spawned")
}

static ALIVE: AtomicU32 = AtomicU32::new(0);

/// A victim that computes.
fn computes(_: &Arguments<'_>) -> i32 {
    ALIVE.fetch_add(1, Ordering::AcqRel);
    spin_for_ever(0) as i32
}

#[track_caller]
fn await_alive(count: u32) {
    eventually("the victims live", || ALIVE.load(Ordering::Acquire) == count);
}

#[track_caller]
fn kill_and_reap(victim: Pid) {
    kill(victim, 9).expect("it never ends");
    assert_signaled(wait_exit(victim).status(), Signal::KILL);
}

// The killer moves through all CPUs, so that the victim waits in its own CPU's queue, or in another one's.
test!(one_that_waits_in_any_run_queue, {
    for own in 0..cpus() {
        for its in 0..cpus() {
            ALIVE.store(0, Ordering::Relaxed);
            let victim = spawn_with(at(Priority::LOWEST, CpuMask::one(its)), computes);
            await_alive(1);
            let hogs = occupy_all_cpus();
            set_affinity(CpuMask::one(own)).expect("it is online");
            kill_and_reap(victim);
            drop(hogs);
            set_priority(Priority::NORMAL);
        }
    }
    set_affinity(CpuMask::ALL).expect("some are online");
});

test!(one_that_sleeps, {
    for _ in 0..rounds(20) {
        let victim = spawn_with(at(Priority::LOWEST, CpuMask::ALL), |_| sleep_for_ever(0) as i32);
        await_sleeping(victim);
        let hogs = occupy_all_cpus();
        kill_and_reap(victim);
        drop(hogs);
        set_priority(Priority::NORMAL);
    }
});

test!(one_that_has_never_run, {
    for _ in 0..rounds(20) {
        let hogs = occupy_all_cpus();
        let victim = spawn_with(at(Priority::LOWEST, CpuMask::ALL), computes);
        kill_and_reap(victim);
        drop(hogs);
        set_priority(Priority::NORMAL);
    }
});

const MANY: u32 = 40;

// More of them than one message moves up.
test!(a_process_with_many_lwps_on_all_cpus, {
    ALIVE.store(0, Ordering::Relaxed);
    let victim = spawn_with(at(Priority::LOWEST, CpuMask::ALL), |_| {
        fn compute(_: usize) -> usize {
            ALIVE.fetch_add(1, Ordering::AcqRel);
            spin_for_ever(0)
        }
        for number in 0..MANY {
            let attributes = at(level((number % 19) as u8), CpuMask::one(number / 3 % cpus()));
            drop(lwp_spawn(compute, 0, &attributes).expect("an LWP can be made"));
            drop(lwp_spawn(sleep_for_ever, 0, &attributes).expect("an LWP can be made"));
        }
        // The worst ones get a CPU when the better ones have been there.
        while ALIVE.load(Ordering::Acquire) == 0 {
            let _ = sleep(1_000_000);
        }
        sleep_for_ever(0) as i32
    });
    eventually("some compute", || ALIVE.load(Ordering::Acquire) > 0);
    let hogs = occupy_all_cpus();
    kill_and_reap(victim);
    drop(hogs);
});

test!(a_group_of_processes, {
    ALIVE.store(0, Ordering::Relaxed);
    let victims: heapless::Vec<Pid, 16> = (0..16)
        .map(|number| spawn_with(at(Priority::LOWEST, CpuMask::one(number % cpus())), computes))
        .collect();
    await_alive(16);
    let hogs = occupy_all_cpus();
    for victim in &victims {
        kill(*victim, 15).expect("it never ends");
    }
    for victim in victims {
        assert_signaled(wait_exit(victim).status(), Signal::TERM);
    }
    drop(hogs);
});

test!(one_lwp_alone, {
    static TID: AtomicU32 = AtomicU32::new(0);
    for cpu in 0..cpus() {
        TID.store(0, Ordering::Relaxed);
        let compute = |_| {
            TID.store(gettid(), Ordering::Release);
            spin_for_ever(0)
        };
        let attributes = at(Priority::LOWEST, CpuMask::one(cpu));
        let lwp = lwp_spawn(compute, 0, &attributes).expect("an LWP can be made");
        eventually("it runs", || TID.load(Ordering::Acquire) != 0);
        let hogs = occupy_all_cpus();
        kill_lwp(TID.load(Ordering::Relaxed)).expect("it never ends");
        assert_eq!(lwp.join(), Ok(None));
        drop(hogs);
        set_priority(Priority::NORMAL);
    }
});

// In its section it has a share of the time among ordinary programs, and no more, whatever it tries; then it dies.
test!(one_that_holds_a_guard, {
    static GUARDED: Mutex<()> = Mutex::new(());
    static MAY_LEAVE: AtomicBool = AtomicBool::new(false);
    static TRIES: AtomicU32 = AtomicU32::new(0);
    ALIVE.store(0, Ordering::Relaxed);
    MAY_LEAVE.store(false, Ordering::Relaxed);
    let victim = spawn_with(at(Priority::LOWEST, CpuMask::one(0)), |_| {
        let guard = GUARDED.lock();
        ALIVE.fetch_add(1, Ordering::AcqRel);
        while !MAY_LEAVE.load(Ordering::Acquire) {
            set_priority(Priority::LOWEST);
            TRIES.fetch_add(1, Ordering::Relaxed);
        }
        drop(guard);
        spin_for_ever(0) as i32
    });
    await_alive(1);
    // Above ordinary programs, on its CPU: what it computes in its section keeps nobody there from running.
    set_affinity(CpuMask::one(0)).expect("it is online");
    set_priority(level(13));
    kill(victim, 9).expect("it never ends");
    assert!(
        wait4(victim.raw(), asphodel::api::WNOHANG).is_ok_and(|ended| ended.is_none()),
        "it holds a guard"
    );
    let before = TRIES.load(Ordering::Relaxed);
    eventually("it computes in its section", || TRIES.load(Ordering::Relaxed) > before);
    MAY_LEAVE.store(true, Ordering::Release);
    let hogs = occupy_all_cpus_at(Priority::NORMAL);
    drop(GUARDED.lock());
    assert_signaled(wait_exit(victim).status(), Signal::KILL);
    drop(hogs);
});

static VICTIM: AtomicU32 = AtomicU32::new(0);
static WAITS: AtomicBool = AtomicBool::new(false);
static SEEN: AtomicBool = AtomicBool::new(false);

/// Does not return before an LWP of a priority above ordinary programs has run on the same CPU.
fn patient_hook(pid: Pid, _: Status) {
    if pid.raw() as u32 == VICTIM.load(Ordering::Acquire) {
        WAITS.store(true, Ordering::Release);
        while !SEEN.load(Ordering::Acquire) {
            black_box(0);
        }
    }
}

test!(its_exit_hooks_keep_no_cpu_from_others, {
    for flag in [&WAITS, &SEEN] {
        flag.store(false, Ordering::Relaxed);
    }
    at_exit(patient_hook).expect("there is room for it");
    set_affinity(CpuMask::one(0)).expect("it is online");
    let victim = spawn_with(at(Priority::LOWEST, CpuMask::one(0)), |_| {
        VICTIM.store(getpid().raw() as u32, Ordering::Release);
        spin_for_ever(0) as i32
    });
    eventually("it runs", || VICTIM.load(Ordering::Acquire) == victim.raw() as u32);
    kill(victim, 9).expect("it never ends");
    eventually("it calls the hook", || WAITS.load(Ordering::Acquire));
    set_priority(level(13));
    SEEN.store(true, Ordering::Release);
    assert_signaled(wait_exit(victim).status(), Signal::KILL);
    assert_eq!(rm_at_exit(patient_hook), 1);
});
