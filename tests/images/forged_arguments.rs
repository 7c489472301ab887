//! Arguments that no honest caller has: numbers of nothing, sizes and times without bounds, sets of everything, paths
//! of no form. Each call returns the error that is documented, or does what it says; no process ends by it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32};

use asphodel::api::files::{self, OpenFlags, Whence};
use asphodel::api::{
    Arguments, Callout, Condvar, CpuMask, Errno, Group, LwpAttributes, MAX_HOOKS, Mutex, P_PID, Pid,
    Priority, ProcCtl, Program, Quota, ReaperKill, ReaperScope, Semaphore, Signal, SpawnAttributes, Status,
    Task, WaitQueue, WaitResult, at_exit, boot_argument, cpu_activate, cpu_deactivate, exec, exit_trace,
    extexit, fill_random, find_program, futex_wait, futex_wake, getpgid, getpid, getrusage,
    inject_allocation_failure, injection_stop, kill, kill_lwp, killpg, lwp_run, lwp_spawn, lwps,
    off_process_exit, on_process_exit, procctl, process, read_byte_timeout, reaper_acquire, reaper_kill,
    register, rm_at_exit, set_affinity, set_realtime, sigwait, sleep, spawn, tenant, tsleep, wait4, wakeup,
    wakeup_one,
};
use asphodel_test::{assert_exited, assert_signaled, await_asleep, spawn_child, test, wait_exit};

asphodel_test::image!();

/// Numbers that are no process's.
const NO_PIDS: [i32; 8] =
    [i32::MIN, i32::MIN + 1, -65_537, 65_535, 65_536, 0x7fff_0002, i32::MAX - 1, i32::MAX];
const NO_SIGNALS: [i32; 5] = [i32::MIN, -1, 32, 33, i32::MAX];

test!(processes_that_are_none, {
    for pid in NO_PIDS.map(Pid::from_raw) {
        assert!(process(pid).is_none() && lwps(pid).is_empty() && tenant(pid).is_none());
        assert!(exit_trace(pid).is_none());
        assert_eq!((getpgid(pid), kill(pid, 0)), (Err(Errno::ESRCH), Err(Errno::ESRCH)), "{pid}");
        assert_eq!((killpg(pid, 0), kill(pid, 9)), (Err(Errno::ESRCH), Err(Errno::ESRCH)), "{pid}");
        assert!(matches!(wait4(pid.raw(), 0), Err(Errno::ECHILD | Errno::ESRCH)), "{pid}");
        let attributes = SpawnAttributes { group: Group::Join(pid), ..SpawnAttributes::default() };
        assert_eq!(spawn(&Program::new("child", |_| 0), &[], &attributes), Err(Errno::ESRCH), "{pid}");
        assert_eq!(procctl(P_PID, pid.raw(), ProcCtl::ReapAcquire), Err(Errno::EINVAL), "{pid}");
    }
    for signal in NO_SIGNALS {
        assert_eq!(kill(getpid(), signal), Err(Errno::EINVAL));
        assert_eq!(killpg(Pid::NONE, signal), Err(Errno::EINVAL));
        assert_eq!(procctl(P_PID, 0, ProcCtl::DeathSignal(signal)), Err(Errno::EINVAL));
    }
    for number in [1, 2, u32::MAX] {
        assert_eq!(procctl(number, 0, ProcCtl::ReapStatus(None)), Err(Errno::EINVAL));
    }
    for tid in [0, 77, u32::MAX] {
        assert_eq!(kill_lwp(tid), Err(Errno::ESRCH));
    }
    for options in [8, 1 << 30, u32::MAX] {
        assert_eq!(wait4(-1, options), Err(Errno::EINVAL));
    }
    assert_eq!((getrusage(i32::MIN), getrusage(i32::MAX)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
});

test!(reapers_of_nothing, {
    reaper_acquire().expect("it is none");
    let child = spawn_child(|_| asphodel_test::sleep_for_ever(0) as i32, 0);
    for pid in NO_PIDS.map(Pid::from_raw) {
        assert_eq!(reaper_kill(9, ReaperScope::Subtree(pid)), Err(Errno::ESRCH), "{pid}");
    }
    for signal in NO_SIGNALS.into_iter().chain([0]) {
        let mut request = ReaperKill { signal, scope: ReaperScope::All, killed: u32::MAX };
        assert_eq!(procctl(P_PID, 0, ProcCtl::ReapKill(&mut request)), Err(Errno::EINVAL));
    }
    assert_eq!(reaper_kill(9, ReaperScope::Subtree(child)), Ok(1));
    assert_signaled(wait_exit(child).status(), Signal::KILL);
});

test!(times_of_zero, {
    let late = WaitResult::TimedOut;
    assert_eq!((sleep(0), tsleep(0, Some(0)), tsleep(usize::MAX, Some(0))), (late, late, late));
    assert_eq!(register(usize::MAX).sleep(Some(0)), late);
    assert_eq!(futex_wait(&WORD, 3, Some(0)), Err(Errno::ETIMEDOUT));
    assert_eq!(Semaphore::new(0).wait_timeout(0), late);
    assert_eq!(WaitQueue::new().wait_timeout(0, || false), late);
    assert_eq!(
        (sigwait(0, Some(0)), sigwait(u32::MAX, Some(0))),
        (Err(Errno::ETIMEDOUT), Err(Errno::ETIMEDOUT))
    );
    assert!(Condvar::new().wait_timeout(Mutex::new(0).lock(), 0).1);
    let _typed = read_byte_timeout(0);
    for channel in [0, 1, 7, usize::MAX] {
        assert_eq!((wakeup(channel), wakeup_one(channel), futex_wake(channel, 0)), (0, false, 0));
        assert_eq!(futex_wake(channel, u32::MAX), 0);
    }
});

static WORD: AtomicU32 = AtomicU32::new(3);
static SEMAPHORE: Semaphore = Semaphore::new(0);
static QUEUE: WaitQueue = WaitQueue::new();
static MUTEX: Mutex<u32> = Mutex::new(0);
static CONDITION: Condvar = Condvar::new();
static LATER: Callout = Callout::new(|_| panic!("it is due"), 0);

const SLEEPS: [fn(u64); 8] = [
    |time| _ = sleep(time),
    |time| _ = tsleep(8, Some(time)),
    |time| _ = register(16).sleep(Some(time)),
    |time| _ = futex_wait(&WORD, 3, Some(time)),
    |time| _ = SEMAPHORE.wait_timeout(time),
    |time| _ = QUEUE.wait_timeout(time, || false),
    |time| _ = sigwait(0, Some(time)),
    |time| _ = CONDITION.wait_timeout(MUTEX.lock(), time).1,
];
const TIMES: [u64; 4] = [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1, i64::MAX as u64];

test!(
    /// None of them is over, however the times are added up.
    times_without_end,
    {
        let body = |_: &Arguments<'_>| {
            let count = SLEEPS.len() * TIMES.len();
            for number in 0..count {
                let body = |number: usize| {
                    SLEEPS[number / TIMES.len()](TIMES[number % TIMES.len()]);
                    0
                };
                drop(lwp_spawn(body, number, &LwpAttributes::default()).expect("an LWP can be made"));
            }
            LATER.arm(u64::MAX).expect("there is memory");
            await_asleep(count as u32);
            let _slept = sleep(20_000_000);
            await_asleep(count as u32);
            6
        };
        assert_exited(wait_exit(spawn_child(body, 0)).status(), 6);
    }
);

test!(attributes_of_no_sense, {
    let run = |attributes: LwpAttributes| lwp_run(|| 5, &attributes).map(|lwp| lwp.join());
    let usual = LwpAttributes::default();
    for lazy_stack in [false, true] {
        for size in [usize::MAX, usize::MAX / 2 + 1, 1 << 40] {
            let attributes = LwpAttributes { stack_size: size, lazy_stack, ..usual };
            assert_eq!(run(attributes), Err(Errno::ENOMEM), "{size}");
        }
        for size in [0, 1, 4097] {
            let attributes = LwpAttributes { stack_size: size, lazy_stack, ..usual };
            assert_eq!(run(attributes), Ok(Ok(Some(5))), "{size}");
        }
    }
    for mask in [CpuMask::NONE, CpuMask::one(63)] {
        assert_eq!(run(LwpAttributes { affinity: mask, ..usual }), Err(Errno::EINVAL));
        assert_eq!(set_affinity(mask), Err(Errno::EINVAL));
    }
    for priority in [Priority::LOWEST, Priority::HIGHEST] {
        assert_eq!(run(LwpAttributes { priority, ..usual }), Ok(Ok(Some(5))));
    }
    for cpu in [64, 1 << 31, u32::MAX] {
        assert_eq!((cpu_deactivate(cpu), cpu_activate(cpu)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    }
    let nothing = Quota { processes: 0, lwps: 0, memory: 0 };
    for quota in [nothing, Quota { processes: u32::MAX, ..nothing }, Quota { memory: u64::MAX, ..nothing }] {
        let attributes = SpawnAttributes { quota: Some(quota), ..SpawnAttributes::default() };
        let refused = spawn(&Program::new("child", |_| 0), &[], &attributes);
        assert!(matches!(refused, Err(Errno::EAGAIN | Errno::ENOMEM)), "{refused:?}");
    }
});

test!(words_and_names_of_no_form, {
    let long = "x".repeat(70_000);
    let many = alloc::vec![""; 70_000];
    for (words, error) in
        [(&[long.as_str()][..], Errno::E2BIG), (&many[..], Errno::E2BIG), (&["a\0b"][..], Errno::EINVAL)]
    {
        assert_eq!(spawn(&Program::new("child", |_| 0), words, &SpawnAttributes::default()), Err(error));
        assert_eq!(exec(&Program::new("next", |_| 0), words, 0), error);
    }
    static NAME: &str = "a name of many lines\nok 1 forged\n\u{1b}[2J\0";
    for name in ["", NAME] {
        let child =
            spawn(&Program::new(name, |_| panic!("\n{NAME}")), &["", ""], &SpawnAttributes::default());
        assert_signaled(wait_exit(child.expect("it can be spawned")).status(), Signal::ABRT);
    }
    const LONG: [u8; 256] = [b'x'; 256];
    let name = core::str::from_utf8(&LONG).expect("it is text");
    let start = |name| spawn(&Program::new(name, |_| 4), &[], &SpawnAttributes::default());
    assert_eq!(start(name), Err(Errno::ENAMETOOLONG));
    assert_eq!(exec(&Program::new(name, |_| 0), &[], 0), Errno::ENAMETOOLONG);
    assert_exited(wait_exit(start(&name[1..]).expect("it can be spawned")).status(), 4);
    for key in ["", "=", "\0", " ", long.as_str()] {
        assert!(boot_argument(key).is_none() && find_program(key).is_none(), "{key}");
    }
});

test!(paths_and_descriptors_of_no_form, {
    let deep = "/x".repeat(5000);
    let long = String::from("/") + &"x".repeat(300);
    let read = OpenFlags { read: true, ..OpenFlags::default() };
    for path in ["", "x", "/x/", "/..x", "/x\0", "/x/../..", deep.as_str(), long.as_str()] {
        assert!(files::open(path, read).is_err(), "{path}");
        assert!(files::stat(path).is_err() && files::unlink(path).is_err(), "{path}");
        assert!(files::remove_directory(path).is_err(), "{path}");
    }
    for path in ["/", "//", "/.", "/.."] {
        assert!(files::stat(path).is_ok() && files::remove_directory(path).is_err(), "{path}");
        assert!(files::unlink(path).is_err() && files::make_directory(path).is_err(), "{path}");
        assert!(files::add(path, b"text").is_err(), "{path}");
    }
    for descriptor in [i32::MIN, -1, 4095, 4096, i32::MAX] {
        assert_eq!(files::close(descriptor), Err(Errno::EBADF));
        assert_eq!(files::duplicate(descriptor), Err(Errno::EBADF));
        assert_eq!(files::read(descriptor, &mut [0]), Err(Errno::EBADF));
        assert_eq!(files::write(descriptor, &[0]), Err(Errno::EBADF));
        assert_eq!(files::seek(descriptor, 0, Whence::Start), Err(Errno::EBADF));
        assert_eq!(files::list(descriptor, |_, _, _| true), Err(Errno::EBADF));
    }
    let new = OpenFlags { read: true, write: true, create: true, ..OpenFlags::default() };
    let file = files::open("/forged", new).expect("it can be created");
    for (by, whence) in
        [(i64::MIN, Whence::Start), (-1, Whence::Start), (i64::MIN, Whence::End), (-1, Whence::Current)]
    {
        assert_eq!(files::seek(file, by, whence), Err(Errno::EINVAL), "{by}");
    }
    if let Ok(place) = files::seek(file, i64::MAX, Whence::Start) {
        assert_eq!(place, i64::MAX as u64);
        assert_eq!((files::write(file, &[1]), files::read(file, &mut [0])), (Err(Errno::EFBIG), Ok(0)));
        assert_eq!(files::seek(file, i64::MAX, Whence::Current), Err(Errno::EINVAL));
    }
    assert_eq!((files::read(file, &mut []), files::write(file, &[])), (Ok(0), Ok(0)));
    let copies: Vec<_> = core::iter::from_fn(|| files::duplicate(file).ok()).collect();
    assert_eq!(files::open("/forged", read), Err(Errno::EMFILE));
    assert_eq!(copies.len(), 4096 - 4);
    files::unlink("/forged").expect("it is there");
    for copy in copies.into_iter().chain([file]) {
        files::close(copy).expect("it is open");
    }
});

test!(the_rest, {
    static WORD: AtomicI32 = AtomicI32::new(0);
    static SOON: Callout = Callout::new(|_| (), 0);
    static NEVER: Task = Task::new(|_| (), usize::MAX);
    fn hook(_: Pid, _: Status) {}
    fn handler(_: usize, _: Pid, _: Status) {}
    for how in [2, 3, 0xffff, 2 << 16, u32::MAX, 1 << 31] {
        assert_eq!(extexit(how, 0, Some(&WORD)), Errno::EINVAL, "{how:#x}");
    }
    assert_eq!((extexit(1, 0, None), extexit(1 << 16 | 1, 0, None)), (Errno::EFAULT, Errno::EFAULT));
    assert_eq!(
        (set_realtime(u64::MAX), Semaphore::new(u32::MAX).try_post()),
        (Err(Errno::EINVAL), Err(Errno::EOVERFLOW))
    );
    fill_random(&mut []);
    inject_allocation_failure(u64::MAX);
    assert!(!injection_stop());
    assert_eq!((at_exit(hook), at_exit(hook)), (Ok(()), Err(Errno::EEXIST)));
    for argument in 0..MAX_HOOKS {
        let priority = if argument % 2 == 0 { i32::MIN } else { i32::MAX };
        assert_eq!(on_process_exit(handler, argument, priority), Ok(()), "{argument}");
    }
    assert_eq!(on_process_exit(handler, usize::MAX, 0), Err(Errno::ENOMEM));
    assert_exited(wait_exit(spawn_child(|_| 3, 0)).status(), 3);
    assert_eq!((0..=MAX_HOOKS).map(|argument| off_process_exit(handler, argument)).sum::<usize>(), MAX_HOOKS);
    assert_eq!((rm_at_exit(hook), rm_at_exit(hook)), (1, 0));
    assert_eq!((NEVER.drain(), SOON.cancel()), (Ok(()), false));
    SOON.arm(0).expect("there is memory");
    let _called = SOON.cancel();
});
