//! The clocks, and random bytes: the wall clock advances with the counter and can be set; random bytes are never
//! repeated.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeSet;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{Errno, boot_argument, fill_random, lwp_run, now_ns, realtime_ns, set_realtime, sleep};
use asphodel::testing::board;
use asphodel_test::{cpus, on_cpu, test};

asphodel_test::image!();

const SECOND: u64 = 1_000_000_000;
/// 2025-01-01: the clock of every machine that this runs on is later.
const LONG_AGO: u64 = 1_735_689_600 * SECOND;

test!(
    /// A board with a clock has the date, others count from 1970.
    the_date,
    {
        let before = now_ns();
        let now = realtime_ns();
        if board::info().rtc.is_some() {
            assert!(now > LONG_AGO, "{now}");
        } else if boot_argument("time").is_none() {
            assert!((before..=now_ns()).contains(&now), "{now}");
        }
    }
);

test!(the_wall_clock_goes_with_the_counter_and_can_be_set, {
    /// Returns bounds of the wall clock's lead over the counter, which hold however long the readings are apart.
    fn ahead() -> (i64, i64) {
        let before = now_ns();
        let wall = realtime_ns();
        let after = now_ns();
        (wall.wrapping_sub(after) as i64, wall.wrapping_sub(before) as i64)
    }
    let first = ahead();
    let _slept = sleep(10_000_000);
    let second = ahead();
    assert!(first.0 <= second.1 && second.0 <= first.1, "{first:?} {second:?}");
    let before = now_ns();
    assert_eq!(set_realtime(LONG_AGO), Ok(()));
    let now = realtime_ns();
    assert!(now >= LONG_AGO && now - LONG_AGO <= now_ns() - before, "{now}");
    assert_eq!(set_realtime(now_ns().wrapping_add_signed(first.1)), Ok(()));
});

test!(
    /// A time that would overflow soon is refused, and the clock goes on as before.
    the_wall_clock_never_overflows,
    {
        let before = realtime_ns();
        for nanoseconds in [u64::MAX, 1 << 63] {
            assert_eq!(set_realtime(nanoseconds), Err(Errno::EINVAL));
        }
        let now = realtime_ns();
        assert!(now >= before && now < 1 << 63, "{before} to {now}");
        assert_eq!(set_realtime(i64::MAX as u64), Ok(()));
        assert!(realtime_ns() >= i64::MAX as u64);
        assert_eq!(set_realtime(before), Ok(()));
    }
);

test!(
    /// On all CPUs at once, in requests of every size.
    random_bytes_never_come_again,
    {
        static DRAWN: AtomicU32 = AtomicU32::new(0);
        let draw = || {
            let mut seen = BTreeSet::new();
            for _ in 0..200 {
                let mut bytes = [0; 16];
                fill_random(&mut bytes);
                assert!(seen.insert(bytes), "16 bytes came twice");
                DRAWN.fetch_add(1, Ordering::Relaxed);
            }
            seen
        };
        let lwps: [_; 4] = core::array::from_fn(|number| {
            lwp_run(draw, &on_cpu(number as u32 % cpus())).expect("there is room")
        });
        let mut all = BTreeSet::new();
        for lwp in lwps {
            for bytes in lwp.join().expect("it is not killed").expect("it returns") {
                assert!(all.insert(bytes), "two LWPs drew the same");
            }
        }
        assert_eq!(DRAWN.load(Ordering::Relaxed), 800);
    }
);

test!(every_byte_is_filled_and_every_value_comes, {
    for length in [0, 1, 255, 256, 257, 1000] {
        let mut bytes = alloc::vec![0_u8; length + 1];
        let mut touched = alloc::vec![false; length];
        for _ in 0..20 {
            fill_random(&mut bytes[..length]);
            touched.iter_mut().zip(&bytes).for_each(|(touched, byte)| *touched |= *byte != 0);
        }
        assert!(touched.into_iter().all(|touched| touched), "{length}");
        assert_eq!(bytes[length], 0, "no byte more");
    }
    let mut counts = [0_u32; 256];
    let mut bytes = alloc::vec![0; 64 * 1024];
    fill_random(&mut bytes);
    bytes.into_iter().for_each(|byte| counts[usize::from(byte)] += 1);
    // 256 of each are expected, with a standard deviation of 16.
    assert!(counts.iter().all(|count| (128..384).contains(count)), "{counts:?}");
});
