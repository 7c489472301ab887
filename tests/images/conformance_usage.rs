//! Cases of other systems' suites: resource usage of processes, their children and their LWPs.
//! A-b13, A-i01 to A-i04, A-i06 to A-i08.
//!
//! The times are shorter than in those cases, but long against anything else that runs.
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Errno, RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, Semaphore, Usage, WNOHANG, exit,
    getrusage, lwp_spawn, now_ns, now_ticks, scale, set_auto_reap, wait4,
};
use asphodel_test::{
    assert_exited, await_zombie, cpus, eventually, on_cpu, spawn_child, state_of, test, wait_exit,
};

asphodel_test::image!();

const MILLISECOND: u64 = 1_000_000;
/// The time that is computed where the cases compute for seconds.
const LONG: u64 = 50 * MILLISECOND;

/// Computes until the calling LWP has used that many nanoseconds more.
fn burn(nanoseconds: usize) -> usize {
    let begun = cpu_time(RUSAGE_THREAD);
    while cpu_time(RUSAGE_THREAD) - begun < nanoseconds as u64 {
        core::hint::spin_loop();
    }
    0
}

/// CPU time in nanoseconds.
fn cpu_time(who: i32) -> u64 {
    nanoseconds(getrusage(who).expect("there is such an account"))
}

fn nanoseconds(usage: Usage) -> u64 {
    scale().nanoseconds(usage.cpu_ticks)
}

/// Computes for [`LONG`] and exits with its number.
fn burns(arguments: &Arguments<'_>) -> i32 {
    burn(LONG as usize);
    exit(arguments.number() as i32)
}

test!(
    /// A-b13: an account that does not exist.
    b13_nobodys_account,
    {
        for who in [-2, 2, 100, i32::MIN, i32::MAX] {
            assert_eq!(getrusage(who), Err(Errno::EINVAL), "{who}");
        }
    }
);

test!(
    /// A-i01: a child computes and exits with 21: the report contains its time. A-i02: so does the account of the
    /// children. By the clock it can have been that long.
    i01_i02_a_child_that_was_waited_for,
    {
        let (begun, before) = (now_ns(), cpu_time(RUSAGE_CHILDREN));
        let report = wait_exit(spawn_child(burns, 21));
        let elapsed = now_ns() - begun;
        assert_exited(report.status(), 21);
        let (used, children) = (nanoseconds(report.usage), cpu_time(RUSAGE_CHILDREN) - before);
        assert!(used >= LONG && children >= LONG, "{used} ns, children {children} ns");
        assert!(used <= elapsed, "{used} of {elapsed} ns");
    }
);

test!(
    /// A-i03: a new process: its children have used nothing, itself a little. A-i06: although its parent, and its
    /// siblings, have used much; the same for a new LWP.
    i03_i06_a_new_process_and_a_new_lwp,
    {
        assert_exited(wait_exit(spawn_child(burns, 0)).status(), 0);
        burn(LONG as usize);
        // What has hardly begun can have used no more than the time since its creation.
        static MADE_AT: AtomicU64 = AtomicU64::new(0);
        let age = || now_ns() - MADE_AT.load(Ordering::Acquire);
        let looks = |_: &Arguments<'_>| {
            assert_eq!(getrusage(RUSAGE_CHILDREN), Ok(Usage::default()));
            let (thread, own) = (cpu_time(RUSAGE_THREAD), cpu_time(RUSAGE_SELF));
            let age = now_ns() - MADE_AT.load(Ordering::Acquire);
            assert!(thread > 0 && own >= thread && own <= age, "{own} {thread} {age}");
            0
        };
        MADE_AT.store(now_ns(), Ordering::Release);
        assert_exited(wait_exit(spawn_child(looks, 0)).status(), 0);
        MADE_AT.store(now_ns(), Ordering::Release);
        let used = lwp_spawn(|_| cpu_time(RUSAGE_THREAD) as usize, 0, &on_cpu(0)).expect("an LWP can be made").join();
        let used = used.expect("it ends").expect("it returns") as u64;
        assert!(used > 0 && used <= age(), "{used}");
        assert!(cpu_time(RUSAGE_SELF) >= LONG && cpu_time(RUSAGE_THREAD) >= LONG);
    }
);

test!(
    /// A-i04: a zombie is not in the account of the children before it has been waited for.
    i04_a_zombie_is_not_counted,
    {
        let child = spawn_child(burns, 0);
        assert_eq!((wait4(-1, WNOHANG), getrusage(RUSAGE_CHILDREN)), (Ok(None), Ok(Usage::default())));
        await_zombie(child);
        assert_eq!(getrusage(RUSAGE_CHILDREN), Ok(Usage::default()));
        let usage = wait_exit(child).usage;
        assert!(nanoseconds(usage) >= LONG);
        assert_eq!(getrusage(RUSAGE_CHILDREN), Ok(usage));
    }
);

test!(
    /// Children that are reaped automatically (PS_NOCLDWAIT) are never in the parent's account, because it has not
    /// waited for them. I11: they are in process 1's.
    auto_reaped_children_are_not_counted,
    {
        set_auto_reap(true);
        let child = spawn_child(burns, 0);
        assert_eq!(wait4(-1, 0), Err(Errno::ECHILD));
        assert_eq!((state_of(child), getrusage(RUSAGE_CHILDREN)), (None, Ok(Usage::default())));
    }
);

test!(
    /// A-i07: in repeated readings during a computation, the time never decreases, and never grows by more than the
    /// clock does.
    i07_time_goes_on_steadily,
    {
        let (mut clock, mut used) = (0, 0);
        let begun = now_ns();
        while now_ns() - begun < LONG {
            let before = now_ticks();
            let next = getrusage(RUSAGE_SELF).expect("there is such an account").cpu_ticks;
            let after = now_ticks();
            assert!(next >= used, "from {used} to {next}");
            // `clock` is from before the last reading: the time between the two readings is less than this.
            assert!(clock == 0 || next - used <= after - clock, "from {used} to {next}, {clock} to {after}");
            (clock, used) = (before, next);
        }
        assert!(nanoseconds(Usage { cpu_ticks: used, ..Usage::default() }) > 0);
    }
);

test!(
    /// A-i08: two LWPs compute, one of them ends earlier: the process has used what both have.
    i08_departed_lwps_count,
    {
        static STOP: Semaphore = Semaphore::new(0);
        static BURNT: AtomicU64 = AtomicU64::new(0);
        fn burns_and_waits(nanoseconds: usize) -> usize {
            burn(nanoseconds);
            BURNT.fetch_add(1, Ordering::Release);
            let _ = STOP.wait();
            0
        }
        let before = cpu_time(RUSAGE_SELF);
        let departs = lwp_spawn(burn, LONG as usize, &on_cpu(0)).expect("an LWP can be made");
        let stays = lwp_spawn(burns_and_waits, LONG as usize, &on_cpu(1 % cpus())).expect("an LWP can be made");
        assert_eq!(departs.join(), Ok(Some(0)));
        eventually("the other one has computed", || BURNT.load(Ordering::Acquire) == 1);
        let used = cpu_time(RUSAGE_SELF) - before;
        assert!(used >= 2 * LONG, "{used}");
        STOP.post();
        assert_eq!(stays.join(), Ok(Some(0)));
        assert!(cpu_time(RUSAGE_SELF) - before >= used);
    }
);
