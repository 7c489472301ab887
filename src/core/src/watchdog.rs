//! The watchdog over exits: when its timer is armed, and what it reports when (T195, D38).
//!
//! An exit that may take long arms the timer ([`Arming::begin`]); when that expires, the watchdog marks it unarmed
//! ([`Arming::fired`]) and then examines all exits that are in progress. No thread waits for a condition here, because
//! the timer serves the report alone. Model: `tests/loom_watchdog.rs`.

use crate::shim::atomic::{AtomicBool, Ordering, fence};
use crate::shim::const_unless_loom;

/// Seconds after which an exit is reported by default.
pub const DEFAULT_SECONDS: u64 = 10;

/// The armed flag of the watchdog's timer. No exit is missed: see the two methods.
#[derive(Debug)]
pub struct Arming(AtomicBool);

impl Arming {
    const_unless_loom! {
        /// Not armed.
        pub fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    /// An exit, which has already published that it is in progress, may take long from here on. Returns `true` if the
    /// caller must arm the timer. Any context.
    #[inline]
    #[must_use = "no other code arms the timer"]
    pub fn begin(&self) -> bool {
        // Store-load order against `fired` and the check that follows it: either this sees that the timer is not armed
        // any more, or the check sees that the exit is in progress.
        fence(Ordering::SeqCst);
        // A load comes first, because exits that come while it is armed need no write.
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    /// The timer has expired; afterwards the caller examines all exits, and calls [`Arming::begin`] if one is in
    /// progress.
    pub fn fired(&self) {
        self.0.store(false, Ordering::Relaxed);
        // Pairs with the fence in `begin`.
        fence(Ordering::SeqCst);
    }
}

impl Default for Arming {
    fn default() -> Self {
        Self::new()
    }
}

/// The action for an exit that is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// It must be reported now.
    pub report: bool,
    /// The number of reports including this one.
    pub reports: u32,
    /// Its age when the next report is due.
    pub due: u64,
}

/// Returns the action for an exit that has been in progress for `age`, and of which there were `reports`: it is
/// reported when it is `limit` old, and then after intervals that double. A report that is late by more than an
/// interval replaces those that were left out.
#[must_use]
pub fn judge(limit: u64, age: u64, reports: u32) -> Judgement {
    let mut judgement = Judgement { report: false, reports, due: due(limit, reports) };
    while age >= judgement.due && judgement.due != u64::MAX {
        let reports = judgement.reports + 1;
        judgement = Judgement { report: true, reports, due: due(limit, reports) };
    }
    judgement
}

/// Returns the age at which the report after `reports` others is due: `limit` times 1, 3, 7, 15, ..
fn due(limit: u64, reports: u32) -> u64 {
    let intervals = 1_u64.checked_shl(reports + 1).map_or(u64::MAX, |power| power.wrapping_sub(1));
    limit.saturating_mul(intervals)
}

/// Returns the limit that the boot argument sets, in seconds; 0 turns the watchdog off. A value that is not a number is
/// ignored.
#[must_use]
pub fn limit_seconds(argument: Option<&str>) -> u64 {
    argument.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SECONDS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// T195: when it is as old as the limit, and then after doubled intervals.
    #[test]
    fn t195_reports_come_after_doubled_intervals() {
        let mut reports = 0;
        let reported: Vec<u64> = (0..=200)
            .filter(|age| {
                let judgement = judge(10, *age, reports);
                assert!(judgement.due > *age, "the next one is to come");
                assert_eq!(judgement.report, judgement.reports != reports);
                reports = judgement.reports;
                judgement.report
            })
            .collect();
        assert_eq!(reported, [10, 30, 70, 150]);
    }

    #[test]
    fn a_late_look_makes_up_with_one_report() {
        assert_eq!(judge(10, 75, 0), Judgement { report: true, reports: 3, due: 150 });
        assert_eq!(judge(10, 75, 3), Judgement { report: false, reports: 3, due: 150 });
    }

    #[test]
    fn long_ages_and_limits_do_not_overflow() {
        for (limit, age) in [(1, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 5), (1 << 40, 1 << 63)] {
            let judgement = judge(limit, age, 0);
            assert!(judgement.due > age || judgement.due == u64::MAX);
        }
        assert!(!judge(7, u64::MAX - 1, 64).report, "nothing is due any more");
    }

    #[test]
    fn the_limit_is_asked_for_or_the_usual() {
        assert_eq!([None, Some(""), Some("soon"), Some("-1")].map(limit_seconds), [DEFAULT_SECONDS; 4]);
        assert_eq!([Some("0"), Some("1"), Some("3600")].map(limit_seconds), [0, 1, 3600]);
    }

    #[test]
    fn one_exit_arms_until_the_timer_fires() {
        let arming = Arming::new();
        assert!(arming.begin());
        assert!(!arming.begin());
        arming.fired();
        assert!(arming.begin());
    }
}
