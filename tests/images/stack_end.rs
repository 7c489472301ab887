//! The end of the stack: a program that calls the kernel with little stack left overflows its own stack, with nothing of
//! the kernel's held, or gets what it has asked for. Every public service is called at every depth. The system goes on,
//! and after each test nothing is left behind.
//! deadline: 120
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use asphodel::api::files::{self, Descriptor, OpenFlags, Whence};
use asphodel::api::{
    Arguments, Callout, Condvar, CpuMask, Errno, Event, LwpAttributes, Mutex, P_PID, Pid, Priority, ProcCtl,
    Program, RUSAGE_SELF, ReaperScope, Semaphore, Signal, SpawnAttributes, State, Status, Task, Token,
    WNOHANG, WaitQueue, at_exit, autorun, board_model, board_readings, boot_argument, census, children_usage,
    cpu_activate, cpu_deactivate, cpu_index, cpu_reports, cpus as all_cpus, cpus_online, exec, exit,
    exit_records, exit_trace, extexit, fill_random, find_program, futex_wait, futex_wake, getpgid, getpgrp,
    getpid, getppid, getrusage, gettid, inject_allocation_failure, injection_stop, kill, kill_lwp, killpg,
    lwp_run, lwp_spawn, lwps, memory, memory_report, now_ns, now_ticks, off_process_exit, on_process_exit,
    preempt_disable, print, procctl, process, processes, programs, read_byte_timeout, realtime_ns,
    reaper_acquire, reaper_kill, reaper_release, reaper_status, register, relax, rm_at_exit, scale,
    set_affinity, set_auto_reap, set_priority, set_realtime, sigwait, sleep, sleep_uninterruptible, spawn,
    tenant, ticks_per_second, tsleep, usage, wait4, wakeup, wakeup_one, watchdog_ended, watchdog_report,
    yield_now,
};
use asphodel::testing::machine::store_at_stack_pointer;
use asphodel_test::{
    SMALL_STACK, assert_signaled, cpus, crashes_are_meant, eventually, on_cpu, rounds, spawn_child, state_of,
    test, wait_exit,
};

asphodel_test::image!();

/// The stack at whose depths the services are called, in bytes.
const STACK: usize = 2 * SMALL_STACK;
const _: () = assert!(STACK >= 32 * 1024);

static CONDITION: Condvar = Condvar::new();
static SEMAPHORE: Semaphore = Semaphore::new(0);
static TOKEN: Token<u32> = Token::new(0);
static QUEUE: WaitQueue = WaitQueue::new();
static WORD: AtomicU32 = AtomicU32::new(0);
static TASK: Task = Task::new(|_| (), 0);
static CALLOUT: Callout = Callout::new(|_| (), 0);

fn hook(_: Pid, _: Status) {}
fn handler(_: usize, _: Pid, _: Status) {}

const READ: OpenFlags = OpenFlags {
    read: true,
    write: false,
    create: false,
    append: false,
    exclusive: false,
    truncate: false,
    directory: false,
};

/// Drops the result of a call.
fn ignore<T>(result: T) {
    let _ = result;
}

/// The directory, and another descriptor of it.
fn directory() -> Result<Descriptor, Errno> {
    files::open("/", OpenFlags { directory: true, ..READ })
}

/// The public services, so that each probes by itself; what a call returns does not matter. The last ones do not return.
const SERVICES: &[fn()] = &[
    || ignore(lwp_spawn(|_| 0, 0, &LwpAttributes::default())),
    || ignore(lwp_run(|| 0, &LwpAttributes::default()).map(|lwp| lwp.join())),
    || {
        let lwp = lwp_spawn(|_| 0, 0, &LwpAttributes::default());
        let _looked = lwp.map(|lwp| {
            ignore((lwp.tid(), lwp.has_ended(), lwp.pin_stack().is_some()));
            ignore((lwp.wait_timeout(1), lwp.wait()));
            lwp.detach();
        });
    },
    || {
        let child = spawn(&Program::new("grandchild", |_| 0), &["word"], &SpawnAttributes::default());
        let _ended = child.map(|child| wait4(child.raw(), 0));
    },
    || ignore(kill(Pid::NONE, 0)),
    || ignore(killpg(Pid::NONE, 0)),
    || ignore(kill(getpid(), i32::from(Signal::CHLD.number()))),
    || ignore(kill_lwp(77)),
    || ignore(sigwait(1 << Signal::CHLD.number(), Some(1))),
    || ignore(wait4(-1, WNOHANG)),
    || ignore(getppid()),
    || ignore((getpgid(Pid::NONE), getpgrp(), gettid())),
    || set_auto_reap(false),
    yield_now,
    || ignore(set_affinity(CpuMask::ALL)),
    || set_priority(Priority::NORMAL),
    || ignore(cpu_activate(u32::MAX)),
    || ignore(cpu_deactivate(u32::MAX)),
    || ignore((all_cpus().count(), cpus_online(), cpu_index())),
    || ignore(sleep(1)),
    || sleep_uninterruptible(1),
    || ignore((now_ns(), now_ticks(), realtime_ns(), scale(), ticks_per_second())),
    || ignore(set_realtime(realtime_ns())),
    || relax(),
    || ignore(wakeup(1)),
    || ignore(wakeup_one(1)),
    || ignore(tsleep(1, Some(1))),
    || ignore(register(1).sleep(Some(1))),
    || ignore(QUEUE.wait_timeout(1, || false)),
    || ignore(QUEUE.wait(|| true)),
    || ignore(QUEUE.wake_one()),
    || ignore(QUEUE.wake_all()),
    || ignore(QUEUE.len()),
    || ignore(QUEUE.is_empty()),
    // Their own mutexes, because one of a process that has ended while it held it stays locked.
    || *Mutex::new(0).lock() += 1,
    || ignore(Mutex::new(0).try_lock()),
    || {
        let mut mutex = Mutex::new(0);
        ignore(mutex.lock().is_poisoned());
        ignore(mutex.is_poisoned());
        mutex.clear_poison();
        *mutex.get_mut() += 1;
    },
    || {
        let mutex = Mutex::new(0);
        ignore(CONDITION.wait_timeout(mutex.lock(), 1));
    },
    || CONDITION.notify_all(),
    || CONDITION.notify_one(),
    || SEMAPHORE.post(),
    || ignore(SEMAPHORE.try_post()),
    || ignore(SEMAPHORE.try_wait()),
    || ignore(SEMAPHORE.wait_timeout(1)),
    || ignore(Semaphore::new(1).wait()),
    || Semaphore::new(1).wait_uninterruptible(),
    || TOKEN.with(|token| token.access(|value| *value += 1)),
    || ignore(preempt_disable()),
    || ignore(futex_wake(WORD.as_ptr().addr(), 1)),
    || ignore(futex_wait(&WORD, 0, Some(1))),
    || fill_random(&mut [0; 16]),
    || ignore(TASK.enqueue()),
    || ignore(TASK.drain()),
    || ignore(CALLOUT.reserve()),
    || ignore(CALLOUT.arm(1_000).map(|()| CALLOUT.cancel())),
    || print!("{}", black_box("")),
    || ignore(black_box(Box::new([0_u64; 64]))),
    || ignore(memory()),
    || ignore(memory_report()),
    || ignore(board_readings()),
    || ignore((board_model(), boot_argument("seed"), autorun())),
    || ignore((programs().count(), find_program("none"))),
    || {
        inject_allocation_failure(u64::MAX);
        ignore(injection_stop());
    },
    || ignore(read_byte_timeout(1)),
    || ignore(census()),
    || ignore(tenant(getpid())),
    || ignore(watchdog_report()),
    || ignore(watchdog_ended()),
    || ignore(processes()),
    || ignore(process(getpid())),
    || ignore(lwps(getpid())),
    || ignore(cpu_reports()),
    || ignore(usage()),
    || ignore(children_usage()),
    || ignore(getrusage(RUSAGE_SELF)),
    || ignore(exit_records()),
    || ignore(exit_trace(getpid())),
    || ignore(at_exit(hook).map(|()| rm_at_exit(hook))),
    || ignore(on_process_exit(handler, 0, 0).map(|()| off_process_exit(handler, 0))),
    || ignore((reaper_acquire(), reaper_status(), reaper_kill(0, ReaperScope::All), reaper_release())),
    || ignore(procctl(P_PID, 0, ProcCtl::DeathSignal(0))),
    || ignore(directory().map(files::close)),
    || ignore(directory().map(|file| (files::duplicate(file).map(files::close), files::close(file)))),
    || ignore(directory().map(|file| (files::object(file), files::close(file)))),
    || ignore(directory().map(|file| (files::list(file, |_, _, _| true), files::close(file)))),
    || ignore(directory().map(|file| (files::seek(file, 0, Whence::Start), files::close(file)))),
    || ignore(files::stat("/").map(|stat| files::stat_inode(stat.inode))),
    || ignore(files::figures()),
    || ignore((files::add("/a", b"text"), files::unlink("/a"))),
    || ignore((files::make_directory("/d"), files::stat("/d"), files::remove_directory("/d"))),
    || {
        let new = OpenFlags { write: true, create: true, ..READ };
        let file = files::open("/f", new);
        let _used = file.map(|file| {
            ignore((files::write(file, b"text"), files::read(file, &mut [0; 4]), files::close(file)));
        });
        let _gone = files::unlink("/f");
    },
    || ignore(extexit(77 << 16, 0, None)),
    || ignore(exec(&Program::new("next", |_| 0), &[], 0)),
    || exit(0),
];

/// How many of the services do not return.
const LAST: usize = 2;

/// Calls a service with no more stack than down to `lowest`; or at every depth to the end of the stack.
#[inline(never)]
fn descend(lowest: usize, always: bool, service: fn()) {
    let frame = black_box([0_u8; 16]);
    let there = (&raw const frame).addr() <= lowest;
    if there || always {
        service();
    }
    if !there {
        descend(lowest, always, service);
    }
    black_box(&frame);
}

/// Returns the lowest address of the caller's stack, which has [`STACK`] bytes: a stack is the upper half of its slot.
fn bottom() -> usize {
    let local = 0_u8;
    (&raw const local).addr() & !(STACK - 1)
}

/// Calls the service of the number `service * STACK + left` with `left` bytes of stack left, or at every depth for 0.
fn call_at_depth(arguments: &Arguments<'_>) -> i32 {
    let (service, left) = (arguments.number() / STACK, arguments.number() % STACK);
    descend(bottom() + left, left == 0, SERVICES[service]);
    0
}

/// Returns whether `status` is an end by `signal`.
fn is_by(status: Status, signal: Signal) -> bool {
    matches!(status.event(), Event::Signaled { signal: by, .. } if i32::from(by) == i32::from(signal.number()))
}

/// Spawns a child that calls a service so, and checks its end.
#[track_caller]
fn check(service: usize, left: usize) {
    let attributes = SpawnAttributes {
        lwp: LwpAttributes { stack_size: STACK, ..LwpAttributes::default() },
        number: service * STACK + left,
        // What the program itself has allocated goes with it, so that what is left behind is the kernel's.
        memory: asphodel_test::ISOLATED,
        ..SpawnAttributes::default()
    };
    let child = spawn(&Program::new("child", call_at_depth), &[], &attributes).expect("it can be spawned");
    let status = wait_exit(child).status();
    // Made by a child that did not come to remove them.
    ignore((files::unlink("/f"), files::unlink("/a"), files::remove_directory("/d")));
    let returned = status.event() == Event::Exited(0);
    assert!(
        returned || is_by(status, Signal::SEGV),
        "service {service}, {left} bytes left: {:#x}",
        status.word()
    );
    assert!(left != 0 || !returned || service >= SERVICES.len() - LAST, "service {service} came to the end");
}

test!(every_service_at_every_depth_to_the_end, deadline_ms = 60_000, {
    // How many it takes is not known.
    crashes_are_meant(u64::MAX);
    for service in 0..SERVICES.len() {
        check(service, 0);
    }
});

test!(every_service_where_too_little_is_left, {
    // How many it takes is not known.
    crashes_are_meant(u64::MAX);
    // Each service at other depths, all of them together in steps of 16 bytes.
    let services = SERVICES.len();
    for step in 0..rounds(4) as usize {
        for service in 0..services {
            check(service, 16 + (step * services + service) * (SMALL_STACK / 2) / (4 * services) / 16 * 16);
        }
    }
});

/// Prints itself whole, or not.
struct Message;

static PRINTED: AtomicUsize = AtomicUsize::new(0);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "with little stack left")?;
        PRINTED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Panics with a tenth of the smallest stack left, or with the part that the number says.
fn panic_at_the_end(arguments: &Arguments<'_>) -> i32 {
    descend(bottom() + SMALL_STACK / arguments.number(), false, || panic!("on purpose, {Message}"));
    0
}

test!(a_panic_at_the_end_is_reported_whole, {
    for part in [3, 6, 10] {
        let before = PRINTED.load(Ordering::Relaxed);
        let attributes = SpawnAttributes {
            lwp: LwpAttributes { stack_size: STACK, ..LwpAttributes::default() },
            number: part,
            ..SpawnAttributes::default()
        };
        let program = Program::new("child", panic_at_the_end);
        let child = spawn(&program, &[], &attributes).expect("it can be spawned");
        assert_signaled(wait_exit(child).status(), Signal::ABRT);
        assert_eq!(PRINTED.load(Ordering::Relaxed), before + 1, "a part of 1/{part} is left");
    }
});

/// Loads a word from a null pointer.
fn fault_at_the_end(arguments: &Arguments<'_>) -> i32 {
    descend(bottom() + arguments.number(), false, || {
        // SAFETY: the load faults, which is what is tested.
        black_box(unsafe { black_box(core::ptr::null::<u32>()).read_volatile() });
    });
    0
}

test!(a_fault_at_the_end_ends_the_process, {
    for left in (0..SMALL_STACK / 2).step_by(SMALL_STACK / 64) {
        let attributes = SpawnAttributes {
            lwp: LwpAttributes { stack_size: STACK, ..LwpAttributes::default() },
            number: left,
            ..SpawnAttributes::default()
        };
        let program = Program::new("child", fault_at_the_end);
        let child = spawn(&program, &[], &attributes).expect("it can be spawned");
        assert_signaled(wait_exit(child).status(), Signal::SEGV);
    }
});

/// Addresses that are no stack.
const NOWHERE: [usize; 5] = [0x10, 0x1_0000, 0x1234_5678_9ab0, 0x00ff_0000_0000_0000, usize::MAX & !15];

test!(a_stack_pointer_that_points_nowhere_ends_its_process, {
    // How many it takes is not known.
    crashes_are_meant(u64::MAX);
    for number in 0..NOWHERE.len() {
        let child = spawn_child(
            |arguments| {
                // SAFETY: nothing is mapped there.
                unsafe { store_at_stack_pointer(NOWHERE[arguments.number()]) }
            },
            number,
        );
        let status = wait_exit(child).status();
        assert!(
            [Signal::SEGV, Signal::BUS].iter().any(|signal| is_by(status, *signal)),
            "{number}: {status:?}"
        );
    }
});

static SPINS: AtomicBool = AtomicBool::new(false);

fn spin_at_the_end(arguments: &Arguments<'_>) -> i32 {
    descend(bottom() + arguments.number(), false, || {
        SPINS.store(true, Ordering::Relaxed);
        while black_box(true) {}
    });
    0
}

test!(
    /// A kill ends an LWP wherever its stack pointer is. On the killer's own CPU, the killer has preempted it, for which
    /// its stack may have been too short.
    a_kill_at_the_end_ends_the_process,
    {
        // How many it takes is not known.
        crashes_are_meant(u64::MAX);
        for left in (0..SMALL_STACK / 2).step_by(SMALL_STACK / 32) {
            SPINS.store(false, Ordering::Relaxed);
            let attributes = SpawnAttributes {
                lwp: LwpAttributes { stack_size: STACK, ..on_cpu(cpus() - 1) },
                number: left,
                ..SpawnAttributes::default()
            };
            let program = Program::new("child", spin_at_the_end);
            let child = spawn(&program, &[], &attributes).expect("it can be spawned");
            eventually("it spins, or has ended before", || {
                SPINS.load(Ordering::Relaxed) || state_of(child) == Some(State::Zombie)
            });
            kill(child, i32::from(Signal::KILL.number())).expect("it is there");
            let status = wait_exit(child).status();
            assert!([Signal::SEGV, Signal::KILL].iter().any(|signal| is_by(status, *signal)), "{left}: {status:?}");
        }
    }
);
