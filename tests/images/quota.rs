//! A quota limits a process and all its descendants together, and is charged until they are reaped. T81, T96.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Errno, Group, LwpAttributes, LwpHandle, Pid, Program, Quota, Signal, SpawnAttributes, Status,
    census, getpid, kill, lwp_spawn, now_ns, println, process, processes, spawn, tenant, wait4,
};
use asphodel_test::{
    SMALL_STACK, assert_exited, assert_signaled, await_asleep, await_sleeping, await_zombie, cpus,
    eventually, on_cpu, orphans_are_meant, return_at_once, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

const STACK: u64 = SMALL_STACK as u64;

/// Starts `entry` as the founder of a tenant.
fn found(quota: Quota, entry: fn(&Arguments<'_>) -> i32, number: usize) -> Result<Pid, Errno> {
    let attributes = SpawnAttributes { number, quota: Some(quota), ..SpawnAttributes::default() };
    spawn(&Program::new("tenant", entry), &[], &attributes)
}

/// Runs `entry` as the founder of a tenant; it must succeed.
#[track_caller]
fn run(quota: Quota, entry: fn(&Arguments<'_>) -> i32) {
    assert_exited(wait_exit(found(quota, entry, 0).expect("there is room for the founder")).status(), 0);
}

fn try_child(entry: fn(&Arguments<'_>) -> i32) -> Result<Pid, Errno> {
    spawn(&Program::new("member", entry), &[], &SpawnAttributes::default())
}

fn sleeper(_: &Arguments<'_>) -> i32 {
    sleep_for_ever(0) as i32
}

/// Checks the processes and LWPs that the caller's tenant is charged with.
#[track_caller]
fn assert_used(processes: u32, lwps: u32) {
    // An LWP's record is disposed of by the context that runs after it.
    eventually("the tenant has what it should", || {
        let used = tenant(getpid()).expect("the caller is in a tenant").used;
        (used.processes, used.lwps) == (processes, lwps)
    });
}

#[track_caller]
fn end(pid: Pid) {
    kill(pid, 9).expect("it is there");
    assert_signaled(wait_exit(pid).status(), Signal::KILL);
}

const THREE: Quota = Quota { processes: 3, ..Quota::UNLIMITED };

test!(
    /// T81: a zombie is charged until it has been reaped.
    t081_processes_are_charged_until_reaped,
    {
        run(THREE, |_| {
            assert_used(1, 1);
            let alone = census();
            let (zombie, living) = (spawn_child(|_| 7, 0), spawn_child(sleeper, 0));
            await_zombie(zombie);
            assert_used(3, 2);
            // A process is a zombie a little before the record of its last LWP is freed.
            eventually("the zombie's LWP is gone", || census().threads == alone.threads + 1);
            let before = census();
            for _ in 0..100 {
                assert_eq!(try_child(|_| 0), Err(Errno::EAGAIN));
            }
            assert_eq!(census(), before);
            assert_exited(wait_exit(zombie).status(), 7);
            assert_used(2, 2);
            let another = spawn_child(sleeper, 0);
            assert_eq!(try_child(|_| 0), Err(Errno::EAGAIN));
            end(living);
            end(another);
            assert_used(1, 1);
            0
        });
    }
);

test!(
    /// Descendants of any degree count, and so do those whose parents have ended: adoption does not change the tenant.
    t081_descendants_count,
    {
        orphans_are_meant();
        fn chain(arguments: &Arguments<'_>) -> i32 {
            if arguments.number() == 0 {
                return sleep_for_ever(0) as i32;
            }
            spawn_child(chain, arguments.number() - 1);
            0
        }
        let founder = found(THREE, |_| {
            // Two generations: the younger one sleeps and is an orphan when the older one has been reaped.
            assert_exited(wait_exit(spawn_child(chain, 1)).status(), 0);
            assert_used(2, 2);
            assert!(try_child(sleeper).is_ok());
            assert_eq!(try_child(sleeper), Err(Errno::EAGAIN));
            0
        }, 0);
        let founder = founder.expect("there is room");
        assert_exited(wait_exit(founder).status(), 0);
        // The founder has ended, but its tenant lasts until the last member has.
        for left in [2, 1] {
            let member = member_of(founder).expect("the tenant has a member");
            assert_eq!(tenant(member).map(|tenant| tenant.used.processes), Some(left));
            kill(member, 9).expect("it is there");
            eventually("process 1 reaps it", || process(member).is_none());
        }
        assert_eq!(member_of(founder), None);
    }
);

/// A member of the tenant that `founder` has founded.
fn member_of(founder: Pid) -> Option<Pid> {
    processes().iter().find(|process| process.tenant == founder).map(|process| process.pid)
}

test!(
    /// Reaped automatically (PS_NOCLDWAIT), by process 1, and with the founder's own end: everything is released.
    t081_places_come_back_whoever_reaps,
    {
        orphans_are_meant();
        run(THREE, |_| {
            asphodel::api::set_auto_reap(true);
            for _ in 0..20 {
                let pid = try_child(|_| 0).expect("the one before is gone");
                eventually("it reaps itself", || process(pid).is_none());
            }
            let unowned = SpawnAttributes { no_wait: true, ..SpawnAttributes::default() };
            for _ in 0..20 {
                let pid = spawn(&Program::new("unowned", |_| 0), &[], &unowned);
                let pid = pid.expect("the one before is gone");
                eventually("process 1 reaps it", || process(pid).is_none());
            }
            assert_used(1, 1);
            0
        });
    }
);

test!(
    /// LWPs, including the first one of a process, are charged until their records are disposed of.
    lwps_are_charged_until_disposed_of,
    {
        run(Quota { lwps: 4, ..Quota::UNLIMITED }, |_| {
            let start = || lwp_spawn(return_at_once, 0, &on_cpu(0));
            let handles: Vec<LwpHandle> = (0..3).map(|_| start().expect("there is room")).collect();
            for handle in &handles {
                handle.wait().expect("it ends");
            }
            // All have ended, but there are references to their records.
            let before = census();
            for _ in 0..100 {
                assert_eq!(start().err(), Some(Errno::EAGAIN));
                assert_eq!(try_child(|_| 0), Err(Errno::EAGAIN), "the first LWP of a process");
            }
            assert_eq!(census(), before);
            assert_used(1, 4);
            drop(handles);
            assert_used(1, 1);
            assert_exited(wait_exit(spawn_child(|_| 7, 0)).status(), 7);
            for _ in 0..3 {
                drop(lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()).expect("there is room"));
            }
            await_asleep(3);
            assert_eq!(start().err(), Some(Errno::EAGAIN));
            0
        });
    }
);

test!(
    /// T81: a process that has reaped a child has its places again, including that of its last LWP, whose record
    /// another CPU may not have freed yet.
    t081_a_reaped_childs_places_are_free_at_once,
    {
        run(Quota { processes: 2, lwps: 2, ..Quota::UNLIMITED }, |_| {
            let until = now_ns() + 1_000_000_000;
            let mut rounds = 0;
            while now_ns() < until {
                let lwp = on_cpu(rounds % cpus());
                let attributes = SpawnAttributes { lwp, ..SpawnAttributes::default() };
                let child = spawn(&Program::new("child", |_| 0), &[], &attributes);
                assert_exited(wait_exit(child.expect("the last one has been reaped")).status(), 0);
                rounds += 1;
            }
            println!("# {rounds} rounds");
            0
        });
    }
);

test!(
    /// Memory: stacks are refused with ENOMEM, heap by a null pointer; what is freed can be allocated again.
    memory_is_limited,
    {
        run(Quota { memory: 4 * STACK + STACK / 2, ..Quota::UNLIMITED }, |_| {
            let large = LwpAttributes { stack_size: 4 * STACK as usize, ..LwpAttributes::default() };
            let before = census();
            for _ in 0..100 {
                assert_eq!(lwp_spawn(return_at_once, 0, &large).err(), Some(Errno::ENOMEM));
                let mut block = Vec::<u8>::new();
                assert!(block.try_reserve_exact(4 * SMALL_STACK).is_err());
                assert!(block.try_reserve_exact(2 * SMALL_STACK).is_ok());
                assert!(block.try_reserve_exact(4 * SMALL_STACK).is_err());
            }
            assert_eq!(census(), before);
            // Two more stacks, and there is too little for a third with the words of its process.
            for _ in 0..3 {
                drop(lwp_spawn(sleep_for_ever, 0, &LwpAttributes::default()).expect("there is room"));
            }
            await_asleep(3);
            assert_eq!(try_child(|_| 0), Err(Errno::ENOMEM), "its stack");
            let long = "word".repeat(1000);
            let words = [long.as_str(); 4];
            let spawned = spawn(&Program::new("words", |_| 0), &words, &SpawnAttributes::default());
            assert_eq!(spawned, Err(Errno::ENOMEM), "its words");
            0
        });
    }
);

test!(
    /// Only a program that allocates without checking for failure ends by it.
    an_allocation_over_the_limit_panics,
    {
        let founder = found(
            Quota { memory: 6 * STACK, ..Quota::UNLIMITED },
            |_| {
                let greedy = |_: &Arguments<'_>| {
                    core::hint::black_box(Vec::<u8>::with_capacity(12 * SMALL_STACK));
                    0
                };
                assert_signaled(wait_exit(spawn_child(greedy, 0)).status(), Signal::ABRT);
                assert_used(1, 1);
                0
            },
            0,
        );
        assert_exited(wait_exit(founder.expect("there is room")).status(), 0);
    }
);

test!(
    /// An inner tenant is limited by its own quota and by those around it, and leaves nothing in them.
    tenants_nest,
    {
        let before = census();
        run(Quota { processes: 5, ..Quota::UNLIMITED }, |_| {
            let inner = found(
                THREE,
                |_| {
                    let two = [spawn_child(sleeper, 0), spawn_child(sleeper, 0)];
                    assert_eq!(try_child(sleeper), Err(Errno::EAGAIN), "its own limit");
                    let mine = tenant(getpid()).expect("the caller is in a tenant");
                    assert_eq!((mine.quota, mine.used.processes), (THREE, 3));
                    two.into_iter().for_each(end);
                    sleep_for_ever(0) as i32
                },
                0,
            );
            let inner = inner.expect("there is room");
            await_sleeping(inner);
            eventually("the inner one's children are gone", || tenant(inner).is_some_and(|inner| inner.used.processes == 1));
            assert_used(2, 2);
            let three: Vec<Pid> = (0..3).map(|_| spawn_child(sleeper, 0)).collect();
            let outer_full = found(Quota::UNLIMITED, sleeper, 0);
            assert_eq!(outer_full, Err(Errno::EAGAIN), "an inner tenant cannot have more than its outer");
            three.into_iter().for_each(end);
            end(inner);
            assert_used(1, 1);
            0
        });
        // A quota that does not even allow the founder. What has been reaped may not be off its CPU yet.
        eventually("what came before is gone", || census() == before);
        for nothing in [
            (Quota { processes: 0, ..Quota::UNLIMITED }, Errno::EAGAIN),
            (Quota { lwps: 0, ..Quota::UNLIMITED }, Errno::EAGAIN),
            (Quota { memory: STACK - 1, ..Quota::UNLIMITED }, Errno::ENOMEM),
        ] {
            assert_eq!(found(nothing.0, sleeper, 0), Err(nothing.1));
        }
        assert_eq!(census(), before);
    }
);

test!(
    /// A chain of tenants, each inside the one before, whose founders have all been reaped but for the last, is
    /// released from the inside out when that one is.
    a_deep_nest_is_given_back,
    deadline_ms = 30_000,
    {
        orphans_are_meant();
        fn nest(arguments: &Arguments<'_>) -> i32 {
            if arguments.number() > 0 {
                found(Quota::UNLIMITED, nest, arguments.number() - 1).expect("there is room");
                return 0;
            }
            INNERMOST.store(getpid().raw(), Ordering::Relaxed);
            sleep_for_ever(0) as i32
        }
        let before = census();
        assert_exited(wait_exit(found(Quota::UNLIMITED, nest, 300).expect("there is room")).status(), 0);
        eventually("only the innermost is left", || {
            INNERMOST.load(Ordering::Relaxed) != 0 && processes().len() == before.processes as usize + 1
        });
        assert_eq!(census().processes, before.processes + 301, "tenants' records stay");
        kill(Pid::from_raw(INNERMOST.load(Ordering::Relaxed)), 9).expect("it is there");
        eventually("all records are free", || census() == before);
    }
);

/// The last process of the chain.
static INNERMOST: AtomicI32 = AtomicI32::new(0);

/// How many children the racing LWPs have created in this round.
static MADE: AtomicU32 = AtomicU32::new(0);

test!(
    /// LWPs on all CPUs spawn at the same time where there is room for one child: one gets it, round after round.
    t081_a_race_for_the_last_place,
    deadline_ms = asphodel_test::RACE_DEADLINE_MS,
    {
        fn try_one(_: usize) -> usize {
            LINE.cross(cpus());
            match try_child(|_| 0) {
                Ok(_) => MADE.fetch_add(1, Ordering::Relaxed) as usize,
                Err(error) => {
                    assert_eq!(error, Errno::EAGAIN);
                    0
                }
            }
        }
        static LINE: asphodel_test::StartLine = asphodel_test::StartLine::new();
        run(Quota { processes: 2, ..Quota::UNLIMITED }, |_| {
            for _ in asphodel_test::race_rounds() {
                LINE.reset();
                MADE.store(0, Ordering::Relaxed);
                let lwps: Vec<LwpHandle> =
                    (0..cpus()).map(|cpu| lwp_spawn(try_one, 0, &on_cpu(cpu)).expect("there is room")).collect();
                for lwp in lwps {
                    assert_eq!(lwp.join().map(|joined| joined.is_some()), Ok(true));
                }
                assert_eq!(MADE.load(Ordering::Relaxed), 1);
                let report = wait4(-1, 0).expect("there is a child").expect("no WNOHANG");
                assert_eq!(report.status, Status::exited(0));
            }
            0
        });
    }
);

test!(
    /// Members of another group, of any class, and their killer outside: the tenant is the one in which they were
    /// spawned.
    a_group_is_no_tenant,
    {
        run(THREE, |_| {
            let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
            let pid = spawn(&Program::new("member", sleeper), &[], &attributes).expect("there is room");
            assert_used(2, 2);
            assert_eq!(process(pid).map(|report| report.tenant), Some(getpid()));
            end(pid);
            assert_used(1, 1);
            0
        });
        assert_eq!(tenant(getpid()), None);
    }
);
