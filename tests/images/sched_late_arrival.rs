//! No runnable LWP starves behind others of its priority: late arrivals have their turn, and a stream of arrivals does
//! not keep one out that was there before. Turns are counted, because by the wall clock they may pass while the
//! emulator does not run.
//! clock: instructions
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use asphodel::api::{LwpAttributes, Priority, lwp_run, set_affinity, set_priority};
use asphodel_test::{eventually, on_cpu, test};

asphodel_test::image!();

/// Counts turns: changes of the LWP that computes.
struct Turns {
    count: AtomicU32,
    last: AtomicU32,
}

impl Turns {
    const fn new() -> Self {
        Self { count: AtomicU32::new(0), last: AtomicU32::new(u32::MAX) }
    }

    /// Counts that LWP `me` runs.
    fn tick(&self, me: u32) {
        if self.last.swap(me, Ordering::Relaxed) != me {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

fn conduct() -> LwpAttributes {
    let attributes = on_cpu(0);
    set_affinity(attributes.affinity).expect("CPU 0 is online");
    set_priority(Priority::KERNEL);
    attributes
}

// Behind two that compute, the third has its turn after at most one of each.
test!(a_late_arrival_has_the_next_turn, {
    static TURNS: Turns = Turns::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    let attributes = conduct();
    let hogs = [0, 1].map(|me| {
        let body = move || {
            while !DONE.load(Ordering::Relaxed) {
                TURNS.tick(me);
            }
        };
        lwp_run(body, &attributes).expect("an LWP can be made")
    });
    for wanted in 1..=5 {
        eventually("both have turns", || TURNS.count() >= 4 * wanted);
        let before = TURNS.count();
        let late = lwp_run(|| TURNS.count(), &attributes).expect("an LWP can be made");
        let at_start = late.join().expect("it can be joined").expect("it has a result");
        assert!(at_start - before <= 2, "{} turns of two others came first", at_start - before);
    }
    DONE.store(true, Ordering::Relaxed);
    for hog in hogs {
        assert_eq!(hog.join(), Ok(Some(())));
    }
});

// Two LWPs of the same priority start new ones without end; the one that only computes keeps having turns.
test!(a_stream_of_arrivals_starves_nobody, {
    static TURNS: Turns = Turns::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    let attributes = conduct();
    let makers = [1, 2].map(|me| {
        let body = move || {
            while !DONE.load(Ordering::Relaxed) {
                let short = lwp_run(move || TURNS.tick(me), &attributes).expect("an LWP can be made");
                assert_eq!(short.join(), Ok(Some(())));
            }
        };
        lwp_run(body, &attributes).expect("an LWP can be made")
    });
    let patient = || {
        while TURNS.count() < 100 {
            TURNS.tick(0);
        }
        DONE.store(true, Ordering::Relaxed);
    };
    let patient = lwp_run(patient, &attributes).expect("an LWP can be made");
    assert_eq!(patient.join(), Ok(Some(())));
    for maker in makers {
        assert_eq!(maker.join(), Ok(Some(())));
    }
});
