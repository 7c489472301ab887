//! A service that finds no memory, at each of its attempts to get some in turn, fails, or ends its process. What it refers
//! to then, another process above all, is released: nothing is left of that one when it has ended. T196.
//! deadline: 240
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;
use core::sync::atomic::{AtomicI32, Ordering};

use asphodel::api::files::{self, OpenFlags};
use asphodel::api::{
    Arguments, Callout, Census, Group, LwpAttributes, Pid, Program, Quota, ReaperScope, Signal,
    SpawnAttributes, Status, Task, Token, at_exit, board_readings, census, cpu_reports, exec, exit_records,
    exit_trace, inject_allocation_failure, injection_stop, kill, killpg, lwp_run, lwps, off_process_exit,
    on_process_exit, process, processes, reaper_acquire, reaper_kill, rm_at_exit, spawn, tenant, wait4,
};
use asphodel_test::{
    ISOLATED, assert_signaled, crashes_are_meant, eventually, sleep_for_ever, test, wait_exit, within,
};

asphodel_test::image!();

static TASK: Task = Task::new(|_| (), 0);
static CALLOUT: Callout = Callout::new(|_| (), 0);
static TOKEN: Token<u32> = Token::new(0);

fn hook(_: Pid, _: Status) {}
fn handler(_: usize, _: Pid, _: Status) {}

fn ignore<T>(result: T) {
    drop(result);
}

/// Spawns a child, and reaps it.
fn spawn_with(attributes: &SpawnAttributes) {
    let child = spawn(&Program::new("grandchild", |_| 0), &["some", "words"], attributes);
    ignore(child.map(|child| wait4(child.raw(), 0)));
}

/// Services that need memory, or look at another process, which is given.
const SERVICES: &[fn(Pid)] = &[
    |target| ignore(lwps(target)),
    |target| ignore(process(target)),
    |target| ignore((exit_trace(target), tenant(target))),
    |_| ignore(processes()),
    |_| ignore(cpu_reports()),
    |_| ignore(exit_records()),
    |_| ignore(board_readings()),
    |target| ignore((kill(target, i32::from(Signal::CHLD.number())), killpg(target, 0))),
    |target| spawn_with(&SpawnAttributes { group: Group::Join(target), ..SpawnAttributes::default() }),
    |_| spawn_with(&SpawnAttributes { group: Group::New, peer: true, ..SpawnAttributes::default() }),
    |_| spawn_with(&SpawnAttributes { vfork: true, memory: ISOLATED, ..SpawnAttributes::default() }),
    |_| {
        let quota = Quota { memory: 1 << 20, ..Quota::UNLIMITED };
        spawn_with(&SpawnAttributes { quota: Some(quota), ..SpawnAttributes::default() });
    },
    |_| ignore((reaper_acquire(), reaper_kill(i32::from(Signal::CHLD.number()), ReaperScope::Children))),
    |_| {
        let _lwp = lwp_run(|| TOKEN.with(|_| 0), &LwpAttributes::default()).map(|lwp| lwp.join());
    },
    |_| ignore((TASK.enqueue(), TASK.drain(), CALLOUT.reserve(), CALLOUT.arm(1), CALLOUT.cancel())),
    |_| ignore((at_exit(hook), on_process_exit(handler, 0, 0))),
    |_| {
        let new = OpenFlags { read: true, write: true, create: true, ..OpenFlags::default() };
        let made = files::make_directory("/new");
        if let Ok(file) = files::open("/new/file", new) {
            ignore((files::write(file, &[1; 5000]), files::duplicate(file)));
            ignore(files::list(file, |_, _, _| true));
        }
        ignore(made);
    },
    |_| ignore(black_box(black_box(1.5_f64) * 3.0).to_bits()),
    |_| panic!("{:?}", exec(&Program::new("next", |_| 0), &["word"], 0)),
];

static TARGET: AtomicI32 = AtomicI32::new(0);

/// Calls the service of the number, with the attempt of the number above it failing.
fn call(arguments: &Arguments<'_>) -> i32 {
    let (service, attempt) = (arguments.number() % SERVICES.len(), arguments.number() / SERVICES.len());
    inject_allocation_failure(attempt as u64);
    SERVICES[service](Pid::from_raw(TARGET.load(Ordering::Relaxed)));
    0
}

/// Takes away what the children have left that is the system's.
fn tidy() {
    ignore((rm_at_exit(hook), off_process_exit(handler, 0)));
    ignore((files::unlink("/new/file"), files::remove_directory("/new")));
}

/// Calls a service with each attempt failing in turn, in a process with that quota.
fn fail_each(service: usize, quota: Option<Quota>) {
    for attempt in 0.. {
        let number = attempt * SERVICES.len() + service;
        let attributes = SpawnAttributes { number, quota, memory: ISOLATED, ..SpawnAttributes::default() };
        let child = spawn(&Program::new("child", call), &[], &attributes).expect("there is room for it");
        let status = wait_exit(child).status();
        let is_last = !injection_stop();
        tidy();
        let is_right = status == Status::exited(0) || status.signal() == Some(Signal::ABRT);
        assert!(is_right, "service {service}, attempt {attempt}: {status}");
        if is_last {
            assert!(quota.is_some() || status == Status::exited(0), "service {service}: {status}");
            return;
        }
    }
}

/// Has a service look at another process, which ends then.
fn call_beside_a_target(service: usize, quota: Option<Quota>) {
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let sleeper = Program::new("target", |_| sleep_for_ever(0) as i32);
    let target = spawn(&sleeper, &[], &attributes).expect("there is room for it");
    TARGET.store(target.raw(), Ordering::Relaxed);
    fail_each(service, quota);
    kill(target, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(target).status(), Signal::KILL);
}

test!(each_attempt_of_each_service, deadline_ms = 120_000, {
    // How many it takes is not known.
    crashes_are_meant(u64::MAX);
    let start = census();
    let small = Quota { memory: 128 * 1024, processes: 2, lwps: 3 };
    for (service, quota) in (0..SERVICES.len()).flat_map(|service| [(service, None), (service, Some(small))])
    {
        // Once for what stays: records, tables.
        call_beside_a_target(service, quota);
        let mut before = start;
        // The last steps of what was there may be under way.
        eventually("all is gone", || {
            before = census();
            Census { heap: start.heap, ..before } == start
        });
        call_beside_a_target(service, quota);
        if !within(5_000_000_000, || census() == before) {
            assert_eq!(census(), before, "service {service}, {quota:?}");
        }
    }
});
