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

use asphodel::api::files::{self, OpenFlags};
use asphodel::api::{
    Arguments, Callout, Condvar, CpuMask, Event, LwpAttributes, MemoryChoice, Mutex, Pid, Priority, Program,
    RUSAGE_SELF, ReaperScope, Semaphore, Signal, SpawnAttributes, State, Status, Task, Token, WNOHANG,
    WaitQueue, at_exit, board_readings, census, children_usage, cpu_reports, exit, exit_records, extexit,
    fill_random, futex_wait, futex_wake, getpgid, getpid, getppid, getrusage, kill, kill_lwp, killpg,
    lwp_run, lwp_spawn, lwps, memory, memory_report, off_process_exit, on_process_exit, preempt_disable,
    print, process, processes, reaper_acquire, reaper_kill, reaper_release, reaper_status, register,
    rm_at_exit, set_affinity, set_priority, sigwait, sleep, spawn, tenant, tsleep, usage, wait4, wakeup,
    wakeup_one, watchdog_report, yield_now,
};
use asphodel::testing::machine::store_at_stack_pointer;
use asphodel_test::{
    SMALL_STACK, assert_signaled, cpus, eventually, on_cpu, rounds, spawn_child, state_of, test, wait_exit,
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

/// The public services; what a call returns does not matter. The last ones do not return.
const SERVICES: &[fn()] = &[
    || ignore(lwp_spawn(|_| 0, 0, &LwpAttributes::default())),
    || ignore(lwp_run(|| 0, &LwpAttributes::default()).map(|lwp| lwp.join())),
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
    || ignore((getppid(), getpgid(Pid::NONE))),
    yield_now,
    || ignore(set_affinity(CpuMask::ALL)),
    || set_priority(Priority::NORMAL),
    || ignore(sleep(1)),
    || ignore((wakeup(1), wakeup_one(1))),
    || ignore(tsleep(1, Some(1))),
    || ignore(register(1)),
    || ignore(QUEUE.wait_timeout(1, || false)),
    || ignore((QUEUE.wake_one(), QUEUE.wake_all(), QUEUE.len())),
    // Their own mutexes, because one of a process that has ended while it held it stays locked.
    || *Mutex::new(0).lock() += 1,
    || ignore(Mutex::new(0).try_lock()),
    || {
        let mutex = Mutex::new(0);
        ignore(CONDITION.wait_timeout(mutex.lock(), 1));
    },
    || CONDITION.notify_all(),
    || SEMAPHORE.post(),
    || ignore((SEMAPHORE.try_wait(), SEMAPHORE.wait_timeout(1))),
    || TOKEN.with(|token| token.access(|value| *value += 1)),
    || ignore(preempt_disable()),
    || ignore((futex_wake(WORD.as_ptr().addr(), 1), futex_wait(&WORD, 0, Some(1)))),
    || fill_random(&mut [0; 16]),
    || ignore(TASK.enqueue()),
    || ignore(CALLOUT.arm(1_000).map(|()| CALLOUT.cancel())),
    || print!("{}", black_box("")),
    || ignore(black_box(Box::new([0_u64; 64]))),
    || ignore((memory(), memory_report(), board_readings())),
    || ignore((census(), tenant(getpid()), watchdog_report())),
    || ignore((processes(), process(getpid()), lwps(getpid()), cpu_reports())),
    || ignore((usage(), children_usage(), getrusage(RUSAGE_SELF))),
    || ignore(exit_records()),
    || ignore(at_exit(hook).map(|()| rm_at_exit(hook))),
    || ignore(on_process_exit(handler, 0, 0).map(|()| off_process_exit(handler, 0))),
    || ignore((reaper_acquire(), reaper_status(), reaper_kill(0, ReaperScope::All), reaper_release())),
    || ignore(files::open("/", OpenFlags { directory: true, ..READ }).map(files::close)),
    || ignore((files::make_directory("/d"), files::stat("/d"), files::remove_directory("/d"))),
    || {
        let new = OpenFlags { write: true, create: true, ..READ };
        let file = files::open("/f", new);
        let _written = file.map(|file| (files::write(file, b"text"), files::close(file)));
        let _gone = files::unlink("/f");
    },
    || ignore(extexit(77 << 16, 0, None)),
    || exit(0),
];

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
        memory: MemoryChoice::Isolated,
        ..SpawnAttributes::default()
    };
    let child = spawn(&Program::new("child", call_at_depth), &[], &attributes).expect("it can be spawned");
    let status = wait_exit(child).status;
    // Made by a child that did not come to remove them.
    ignore((files::unlink("/f"), files::remove_directory("/d")));
    let returned = status.event() == Event::Exited(0);
    assert!(
        returned || is_by(status, Signal::SEGV),
        "service {service}, {left} bytes left: {:#x}",
        status.word()
    );
    assert!(left != 0 || !returned || service == SERVICES.len() - 1, "service {service} came to the end");
}

test!(every_service_at_every_depth_to_the_end, {
    for service in 0..SERVICES.len() {
        check(service, 0);
    }
});

test!(every_service_where_too_little_is_left, {
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
        assert_signaled(wait_exit(child).status, Signal::ABRT);
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
        assert_signaled(wait_exit(child).status, Signal::SEGV);
    }
});

/// Addresses that are no stack.
const NOWHERE: [usize; 5] = [0x10, 0x1_0000, 0x1234_5678_9ab0, 0x00ff_0000_0000_0000, usize::MAX & !15];

test!(a_stack_pointer_that_points_nowhere_ends_its_process, {
    for number in 0..NOWHERE.len() {
        let child = spawn_child(
            |arguments| {
                // SAFETY: nothing is mapped there.
                unsafe { store_at_stack_pointer(NOWHERE[arguments.number()]) }
            },
            number,
        );
        let status = wait_exit(child).status;
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
            let status = wait_exit(child).status;
            assert!([Signal::SEGV, Signal::KILL].iter().any(|signal| is_by(status, *signal)), "{left}: {status:?}");
        }
    }
);
