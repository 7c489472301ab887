//! An LWP is reported as ended only when its stack is out of use. T84, T86, T87, T88.
//!
//! The requirements call for 10^6 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use asphodel::api::{Semaphore, getpid, lwp_spawn, process, processes, sleep, yield_now};
use asphodel_test::{
    RACE_DEADLINE_MS, cpus, disturb_all_cpus, on_cpu, poison_stack, race_rounds, return_at_once, spawn_child,
    test, wait_exit,
};

asphodel_test::image!();

/// Each round, an LWP ends on one CPU, and another that sees it on another CPU overwrites its stack at once.
fn poison_what_has_ended() {
    static STACK: AtomicUsize = AtomicUsize::new(0);
    static PINNED: Semaphore = Semaphore::new(0);
    fn short(_: usize) -> usize {
        let local = 0_u64;
        let _pinned = PINNED.wait();
        STACK.store(core::ptr::from_ref(core::hint::black_box(&local)) as usize, Ordering::Release);
        0
    }
    for round in race_rounds() {
        let handle = lwp_spawn(short, 0, &on_cpu(round as u32 % cpus())).expect("an LWP can be made");
        let pin = handle.pin_stack().expect("the LWP waits");
        PINNED.post();
        while !handle.has_ended() {
            yield_now();
        }
        // SAFETY: the pin keeps the stack, and the LWP has ended.
        unsafe { poison_stack(STACK.load(Ordering::Acquire)) };
        drop(pin);
    }
}

test!(
    /// T86, R2: the flag comes from the context that runs next.
    t086_ended_means_off_the_stack,
    deadline_ms = RACE_DEADLINE_MS,
    {
        poison_what_has_ended();
    }
);

test!(
    /// T88, R3: as T86, while interrupts preempt LWPs up to their last steps.
    t088_ended_means_off_the_stack_under_interrupts,
    deadline_ms = RACE_DEADLINE_MS,
    {
        disturb_all_cpus(20_000, 3_000);
        poison_what_has_ended();
    }
);

test!(
    /// T87, R2: stacks of dead LWPs are reused by new ones on all CPUs at once; each LWP fills its own and finds
    /// nothing changed after it has yielded.
    t087_no_stack_has_two_users,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static DAMAGE: AtomicU64 = AtomicU64::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        static LIVES: AtomicU64 = AtomicU64::new(0);
        fn fill(pattern: usize) -> usize {
            let mut words = [pattern; 1024];
            core::hint::black_box(&mut words);
            yield_now();
            let damaged = core::hint::black_box(&words).iter().filter(|word| **word != pattern).count();
            DAMAGE.fetch_add(damaged as u64, Ordering::Relaxed);
            0
        }
        fn breed(cpu: usize) -> usize {
            let mut number = cpu;
            while !STOP.load(Ordering::Acquire) {
                number = number.wrapping_add(0x0101_0101);
                let other = (cpu as u32 + 1) % cpus();
                let pair = [on_cpu(cpu as u32), on_cpu(other)].map(|on| lwp_spawn(fill, number, &on));
                for handle in pair {
                    let result = handle.expect("an LWP can be made").join();
                    assert_eq!(result, Ok(Some(0)));
                    LIVES.fetch_add(1, Ordering::Relaxed);
                }
            }
            0
        }
        let mut breeders = [const { None }; 64];
        for (cpu, breeder) in breeders.iter_mut().enumerate().take(cpus() as usize) {
            *breeder = Some(lwp_spawn(breed, cpu, &on_cpu(cpu as u32)).expect("an LWP can be made"));
        }
        for _ in race_rounds() {
            let _ = sleep(10_000_000);
        }
        STOP.store(true, Ordering::Release);
        for breeder in breeders.into_iter().flatten() {
            assert_eq!(breeder.join(), Ok(Some(0)));
        }
        asphodel::api::println!("# {} lives", LIVES.load(Ordering::Relaxed));
        assert_eq!(DAMAGE.load(Ordering::Relaxed), 0);
    }
);

test!(
    /// T84, R10, D11: a scanner walks the LWPs of a process while they come and go.
    t084_a_scanner_sees_lwps_come_and_go,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static STOP: AtomicBool = AtomicBool::new(false);
        let pid = spawn_child(
            |_| {
                let breed = |_| {
                    while !STOP.load(Ordering::Acquire) {
                        for cpu in 0..cpus() {
                            drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu)));
                        }
                        yield_now();
                    }
                    0
                };
                let handles: [_; 2] = core::array::from_fn(|cpu| lwp_spawn(breed, 0, &on_cpu(cpu as u32 % cpus())));
                for handle in handles {
                    let _ = handle.map(|handle| handle.wait());
                }
                0
            },
            0,
        );
        for _ in race_rounds() {
            let report = process(pid).expect("it has not been reaped");
            assert_eq!((report.parent, report.name), (getpid(), "child"));
            assert!(report.lwps >= 1);
            yield_now();
            assert!(processes().iter().any(|process| process.pid == pid));
        }
        STOP.store(true, Ordering::Release);
        assert_eq!(wait_exit(pid).status().code(), Some(0));
    }
);
