//! Many LWPs of one parent wait for many children that end at random. T130.
//!
//! The requirement calls for 10^5 rounds; see `asphodel_test::race_rounds`.
//! race: yes
#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use asphodel::api::{Errno, WNOHANG, lwp_spawn, wait4};
use asphodel_test::{RACE_DEADLINE_MS, cpus, dawdle, on_cpu, race_rounds, spawn_child, test};

asphodel_test::image!();

const WAITERS: u32 = 4;
const CHILDREN: usize = 12;

/// A bit for each child that has been reported in this round.
static REPORTED: AtomicU64 = AtomicU64::new(0);
static TWICE: AtomicU32 = AtomicU32::new(0);

/// Waits until there is no child left; every second time with a check before the sleep. Returns the number of reports.
fn collect(number: usize) -> usize {
    let mut reports = 0;
    loop {
        let looked = if number % 2 == 1 { wait4(-1, WNOHANG) } else { Ok(None) };
        let result = if matches!(looked, Ok(None)) { wait4(-1, 0) } else { looked };
        match result {
            Ok(Some(report)) => {
                let bit = 1 << report.status.code().expect("it has exited");
                if REPORTED.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
                    TWICE.fetch_add(1, Ordering::Relaxed);
                }
                reports += 1;
            }
            Ok(None) => unreachable!("a wait without WNOHANG reports"),
            Err(error) => {
                assert_eq!(error, Errno::ECHILD);
                return reports;
            }
        }
    }
}

test!(
    /// T130, R16, D12: as many distinct reports as children.
    t130_many_waiters_many_children,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            REPORTED.store(0, Ordering::Relaxed);
            for number in 0..CHILDREN {
                spawn_child(
                    |arguments| {
                        let (number, loops) = (arguments.number() & 0xff, arguments.number() >> 8);
                        dawdle(loops);
                        number as i32
                    },
                    ((round as usize * 37 + number * 101) % 5000) << 8 | number,
                );
            }
            let waiters: [_; WAITERS as usize] = core::array::from_fn(|number| {
                lwp_spawn(collect, number, &on_cpu(number as u32 % cpus())).expect("an LWP can be made")
            });
            let reports: usize =
                waiters.into_iter().map(|waiter| waiter.join().expect("it has ended").expect("it returned")).sum();
            assert_eq!((reports, TWICE.load(Ordering::Relaxed)), (CHILDREN, 0));
            assert_eq!(REPORTED.load(Ordering::Acquire), (1 << CHILDREN) - 1);
        }
    }
);
