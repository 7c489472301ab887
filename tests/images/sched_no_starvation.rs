//! Threads that never sleep do not run in lockstep: each one that consumes what another produces finds something at
//! some time, however many they are, and a surplus of threads is not always on the same CPU.
#![no_std]
#![no_main]

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::{LwpAttributes, cpu_index, lwp_run, now_ns};
use asphodel_test::{cpus, test};

asphodel_test::image!();

const TAKERS: usize = 8;

test!(
    /// One produces, eight consume; a strict round robin lets only the one that runs just after the producer find
    /// anything.
    everybody_finds_something,
    deadline_ms = 60_000,
    {
        static STOCK: AtomicU32 = AtomicU32::new(0);
        static TAKEN: [AtomicU32; TAKERS] = [const { AtomicU32::new(0) }; TAKERS];
        static DONE: AtomicBool = AtomicBool::new(false);
        let take = |number: usize| {
            while !DONE.load(Ordering::Relaxed) {
                let one_less = |stock: u32| stock.checked_sub(1);
                if STOCK.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_less).is_ok() {
                    TAKEN[number].fetch_add(1, Ordering::Relaxed);
                }
                spin_loop();
            }
        };
        let takers: [_; TAKERS] = core::array::from_fn(|number| {
            lwp_run(move || take(number), &LwpAttributes::default()).expect("there is room")
        });
        while TAKEN.iter().any(|taken| taken.load(Ordering::Relaxed) == 0) {
            // Never so much that a consumer could not empty it in a turn.
            if STOCK.load(Ordering::Relaxed) < 100 {
                STOCK.fetch_add(1, Ordering::AcqRel);
            }
            spin_loop();
        }
        DONE.store(true, Ordering::Relaxed);
        for taker in takers {
            assert_eq!(taker.join(), Ok(Some(())));
        }
    }
);

test!(
    /// One more than there are CPUs, all busy: each gets about as much time as any other, and runs on more than one CPU.
    a_surplus_goes_round,
    deadline_ms = 60_000,
    {
        const MOST: usize = 64;
        static TURNS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
        static PLACES: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
        static DONE: AtomicBool = AtomicBool::new(false);
        let number = cpus() as usize + 1;
        let work = |number: usize| {
            while !DONE.load(Ordering::Relaxed) {
                TURNS[number].fetch_add(1, Ordering::Relaxed);
                PLACES[number].fetch_or(1 << cpu_index(), Ordering::Relaxed);
            }
        };
        let mut workers = heapless::Vec::<_, MOST>::new();
        for place in 0..number {
            let worker = lwp_run(move || work(place), &LwpAttributes::default()).expect("there is room");
            assert!(workers.push(worker).is_ok());
        }
        let start = now_ns();
        let moved = || PLACES[..number].iter().all(|places| places.load(Ordering::Relaxed).count_ones() > 1);
        while cpus() > 1 && !moved() || now_ns() - start < 1_000_000_000 {
            spin_loop();
        }
        DONE.store(true, Ordering::Relaxed);
        for worker in workers {
            assert_eq!(worker.join(), Ok(Some(())));
        }
        assert!(TURNS[..number].iter().all(|turns| turns.load(Ordering::Relaxed) > 0));
    }
);
