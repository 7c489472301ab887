//! The record and the stack of a dead LWP stay as long as there is a reference, and not longer. T82, T83, T85, T91,
//! T97, T98.
//! race: yes
#![no_std]
#![no_main]
use asphodel::api::{
    CpuMask, EXTEXIT_LWP, Errno, LwpHandle, Mutex, Pid, Semaphore, WNOHANG, census, exit, extexit, kill,
    kill_lwp, lwp_spawn, process, set_affinity, wait4, yield_now,
};
use asphodel_test::{
    RACE_DEADLINE_MS, assert_exited, assert_signaled, await_sleeping, cpus, eventually, on_cpu, poison_stack,
    race_rounds, return_at_once, sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

fn start(entry: fn(usize) -> usize, argument: usize) -> LwpHandle {
    lwp_spawn(entry, argument, &on_cpu(1 % cpus())).expect("an LWP can be made")
}

test!(
    /// T82, D4: what a handle reports stays true after the LWP's end. T83: the record is freed with the handle, at
    /// once.
    t082_t083_the_record_goes_with_the_last_reference,
    {
        // On one CPU an LWP has been disposed of before another one runs, so the counts are exact.
        set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
        for end in [return_at_once, |_| extexit(EXTEXIT_LWP, 0, None) as usize] {
            let before = census();
            let handle = lwp_spawn(end, 5, &on_cpu(0)).expect("an LWP can be made");
            assert_eq!((handle.tid() > 1, handle.wait()), (true, Ok(())));
            assert!(handle.has_ended());
            let held = census();
            assert_eq!((held.threads, held.stacks), (before.threads + 1, before.stacks), "the stack goes first");
            drop(handle);
            assert_eq!(census(), before);
        }
    }
);

test!(
    /// T85: a pin keeps the stack: it can be written to, and is freed when the pin is dropped.
    t085_a_pinned_stack_stays,
    {
        let before = census();
        let handle = start(
            |_| {
                let local = 0_u64;
                core::ptr::from_ref(core::hint::black_box(&local)) as usize
            },
            0,
        );
        let Some(pin) = handle.pin_stack() else {
            // It ran to its end first; nothing is pinned then.
            assert_eq!(handle.wait(), Ok(()));
            return;
        };
        assert!(handle.pin_stack().is_none(), "one pin at a time");
        assert_eq!(handle.wait(), Ok(()));
        assert_eq!(census().stacks, before.stacks + 1);
        drop(pin);
        assert_eq!(census().stacks, before.stacks);
        assert!(handle.pin_stack().is_none(), "the stack has gone");
        let local = handle.join().expect("it has ended").expect("it returned");
        assert_ne!(local, 0);
    }
);

test!(
    /// T85: the stack of a pinned LWP that was killed can be written to.
    t085_a_pinned_stack_of_a_killed_lwp,
    {
        static PLACE: Mutex<usize> = Mutex::new(0);
        let handle = start(
            |_| {
                let local = 0_u64;
                *PLACE.lock() = core::ptr::from_ref(core::hint::black_box(&local)) as usize;
                sleep_for_ever(0)
            },
            0,
        );
        let pin = handle.pin_stack().expect("it sleeps for ever");
        eventually("it is there", || *PLACE.lock() != 0);
        assert_eq!(kill_lwp(handle.tid()), Ok(()));
        assert_eq!(handle.wait(), Ok(()));
        // SAFETY: the LWP has ended, and the pin keeps its stack.
        unsafe { poison_stack(*PLACE.lock()) };
        drop(pin);
    }
);

test!(
    /// T82: handles of a killed process are invalid, and keep neither records nor stacks nor the pid.
    t082_handles_die_with_their_process,
    {
        let before = census();
        let pid = spawn_child(
            |_| {
                let done = start(return_at_once, 0);
                let sleeper = start(sleep_for_ever, 0);
                let _pinned = (done.pin_stack(), sleeper.pin_stack());
                let _killed = sleeper.wait();
                0
            },
            0,
        );
        await_sleeping(pid);
        kill(pid, 9).expect("it is there");
        assert_signaled(wait_exit(pid).status(), asphodel::api::Signal::KILL);
        eventually("everything is back", || census() == before);
    }
);

test!(
    /// T82: the handle of an LWP whose process has ended reports that it has ended, whichever LWP owns the record now.
    t082_a_handle_that_outlives_its_process,
    {
        static HANDLE: Mutex<Option<LwpHandle>> = Mutex::new(None);
        let pid = spawn_child(
            |_| {
                *HANDLE.lock() = Some(start(sleep_for_ever, 0));
                sleep_for_ever(0) as i32
            },
            0,
        );
        eventually("there is a handle", || HANDLE.lock().is_some());
        let handle = HANDLE.lock().take().expect("there is a handle");
        assert!(!handle.has_ended());
        kill(pid, 9).expect("it is there");
        assert_eq!(handle.wait(), Ok(()));
        assert_signaled(wait_exit(pid).status(), asphodel::api::Signal::KILL);
        let others: [LwpHandle; 8] = core::array::from_fn(|_| start(sleep_for_ever, 0));
        assert!(handle.has_ended() && handle.pin_stack().is_none());
        assert_eq!((handle.tid(), handle.join()), (2, Ok(None)));
        for other in others {
            assert!(!other.has_ended());
            kill_lwp(other.tid()).expect("it sleeps");
            assert_eq!(other.wait(), Ok(()));
        }
    }
);

test!(
    /// T85: a holder in another process pins stacks again and again while the LWPs' process ends: each pin is refused
    /// or released, and no record or stack is lost.
    t085_a_pin_from_outside_meets_the_end,
    deadline_ms = RACE_DEADLINE_MS,
    {
        const LWPS: usize = 8;
        static HANDLES: Mutex<heapless::Vec<LwpHandle, LWPS>> = Mutex::new(heapless::Vec::new());
        set_affinity(CpuMask::one(0)).expect("CPU 0 is online");
        let before = census();
        let mut pins = 0_u64;
        for _ in race_rounds() {
            let pid = spawn_child(
                |_| {
                    // On another CPU than the holder, not behind it.
                    set_affinity(on_cpu(1 % cpus()).affinity).expect("the CPU is online");
                    *HANDLES.lock() = (0..LWPS).map(|_| start(return_at_once, 0)).collect();
                    0
                },
                0,
            );
            let handles = loop {
                let handles = core::mem::take(&mut *HANDLES.lock());
                if !handles.is_empty() {
                    break handles;
                }
                yield_now();
            };
            while wait4(pid.raw(), WNOHANG).expect("it is a child").is_none() {
                for handle in &handles {
                    pins += u64::from(handle.pin_stack().is_some());
                }
                if cpus() == 1 {
                    yield_now();
                }
            }
            assert!(handles.iter().all(|handle| handle.has_ended() && handle.pin_stack().is_none()));
        }
        eventually("everything is back", || census() == before);
        asphodel::api::println!("# {pins} pins");
    }
);

test!(
    /// T91, D39: a process can be reaped, and its pid is unused, only when the usage of all its LWPs has been added to
    /// it.
    t091_the_process_outlives_its_lwps,
    deadline_ms = RACE_DEADLINE_MS,
    {
        let mut last = Pid::NONE;
        for _ in race_rounds() {
            let pid = spawn_child(
                |_| {
                    for cpu in 0..cpus() {
                        drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu)));
                    }
                    exit(1)
                },
                0,
            );
            assert_ne!(pid, last);
            last = pid;
            let report = wait_exit(pid);
            assert_exited(report.status(), 1);
            assert_eq!(report.usage.lwps, u64::from(cpus()) + 1);
            assert!(process(pid).is_none());
        }
    }
);

test!(
    /// T97: the number of a dead LWP is unused. T98: and is not used again.
    t097_t098_the_number_of_a_dead_lwp,
    {
        let mut last = 1;
        for _ in 0..200 {
            let handle = start(sleep_for_ever, 0);
            assert!(handle.tid() > last);
            last = handle.tid();
            assert_eq!(kill_lwp(last), Ok(()));
            assert_eq!(handle.wait(), Ok(()));
            assert_eq!(kill_lwp(last), Err(Errno::ESRCH));
        }
        for tid in [0, last + 1, u32::MAX] {
            assert_eq!(kill_lwp(tid), Err(Errno::ESRCH));
        }
    }
);

test!(
    /// T85: a pin of the stack of the LWP that ends the process lasts as long as the process, whose other LWPs do not
    /// drop it: nothing is left.
    t085_a_pin_of_the_exit_owners_stack,
    {
        static GO: Semaphore = Semaphore::new(0);
        fn end_the_process(_: usize) -> usize {
            let _woken = GO.wait();
            exit(5)
        }
        let before = census();
        let pid = spawn_child(
            |_| {
                let handle = start(end_the_process, 0);
                let _pin = handle.pin_stack().expect("the LWP waits");
                GO.post();
                sleep_for_ever(0) as i32
            },
            0,
        );
        assert_exited(wait_exit(pid).status(), 5);
        eventually("nothing is left", || census() == before);
    }
);
