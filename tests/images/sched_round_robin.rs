//! LWPs of one priority on one CPU take turns, those that yield and those that never do. Turns are counted, because by
//! the wall clock they may pass while the emulator does not run.
//! clock: instructions
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{LwpAttributes, Priority, lwp_run, set_affinity, set_priority, usage, yield_now};
use asphodel_test::{on_cpu, rounds, test};

asphodel_test::image!();

const LWPS: usize = 3;

/// Makes the calling LWP, which is on CPU 0 from here on, run before all that it creates, until it blocks.
fn conduct() -> LwpAttributes {
    let attributes = on_cpu(0);
    set_affinity(attributes.affinity).expect("CPU 0 is online");
    set_priority(Priority::KERNEL);
    attributes
}

// None can be ahead of another by more than a turn; a turn that the end of a slice takes away adds one.
test!(those_that_yield_alternate, {
    static TURNS: [AtomicU64; LWPS] = [const { AtomicU64::new(0) }; LWPS];
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let attributes = conduct();
    let rounds = rounds(2000);
    let lwps = [0, 1, 2].map(|me| {
        let body = move || {
            for turn in 1..=rounds {
                TURNS[me].store(turn, Ordering::Relaxed);
                let least = TURNS.iter().map(|turns| turns.load(Ordering::Relaxed)).min();
                AHEAD.fetch_max(turn - least.expect("there are some"), Ordering::Relaxed);
                yield_now();
            }
        };
        lwp_run(body, &attributes).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    let (ahead, preemptions) = (AHEAD.load(Ordering::Relaxed), usage().involuntary_switches);
    assert!(ahead <= 1 + preemptions, "one was {ahead} turns ahead, with {preemptions} preemptions");
    assert!(usage().voluntary_switches >= 3 * (rounds - preemptions).saturating_sub(1));
});

// The turns of LWPs that compute are ended by the time slice.
test!(those_that_compute_have_slices, {
    const ENOUGH: u32 = 5;
    static TURNS: [AtomicU32; LWPS] = [const { AtomicU32::new(0) }; LWPS];
    static LAST: AtomicU32 = AtomicU32::new(u32::MAX);
    let least = || TURNS.iter().map(|turns| turns.load(Ordering::Relaxed)).min().expect("there are some");
    let attributes = conduct();
    let lwps = [0, 1, 2].map(|me| {
        let body = move || {
            while least() < ENOUGH {
                if LAST.swap(me, Ordering::Relaxed) != me {
                    TURNS[me as usize].fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        lwp_run(body, &attributes).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    let most = TURNS.iter().map(|turns| turns.load(Ordering::Relaxed)).max().expect("there are some");
    assert!(most <= ENOUGH + 1, "one had {most} turns when another had {ENOUGH}");
});
