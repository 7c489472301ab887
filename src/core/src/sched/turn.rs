//! The end of a turn: the place of a thread that has used up its slice while others of its priority wait, or that a better
//! one preempts.
//!
//! As a rule it goes to the end of the line. But a strict round robin keeps its order for ever, and threads that never
//! sleep fall into step: a thread that always runs just after the one that empties a queue never finds anything in it,
//! and a CPU that has one thread more than its neighbours keeps it. So now and then a thread goes before all but one of
//! the others, which changes the order by a step, or to another CPU. No thread loses a turn by that, and each is
//! equally likely to gain one.

use crate::sched::place::CpuMask;
use crate::shim::guarded::Cell64;

/// One turn in this many ends in another way than usual.
const UNUSUAL: u64 = 4;

/// Where the thread goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After all others.
    Last,
    /// After the one that runs next.
    Second,
    /// To this CPU, unless that has more to do.
    Elsewhere(u32),
}

/// Where a thread goes that a better one preempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempted {
    /// Before the others of its priority: it keeps its place, with the ticks that are left of its slice.
    First(u64),
    /// After them: its slice is over, too, or has been for some time, in which none of them waited.
    Last,
}

impl Preempted {
    /// Decides for a thread whose slice ends at `slice_end`, both in ticks.
    ///
    /// A thread whose slice is over must not keep its place for one more tick, however short: the timer that would end that
    /// may always come so late that the better thread is due again, and the others would never run.
    #[inline]
    #[must_use]
    pub const fn at(now: u64, slice_end: u64) -> Self {
        match slice_end.saturating_sub(now) {
            0 => Self::Last,
            left => Self::First(left),
        }
    }
}

/// The sequence of chances of one CPU. Used by that CPU only, interrupts masked.
#[derive(Debug)]
pub struct Turns(Cell64);

impl Turns {
    /// The sequence of CPU `cpu`.
    #[must_use]
    pub const fn new(cpu: u32) -> Self {
        Self(Cell64::new((cpu as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Returns the next number of the sequence (xorshift64*).
    fn draw(&self) -> u64 {
        let mut word = self.0.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.0.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Returns the place of the thread whose turn ends; it may run on the CPUs in `others`, besides this one.
    pub fn end(&self, others: CpuMask) -> End {
        let draw = self.draw();
        if !draw.is_multiple_of(UNUSUAL) {
            return End::Last;
        }
        match others.nth(draw >> 8) {
            Some(cpu) if draw & UNUSUAL != 0 => End::Elsewhere(cpu),
            _ => End::Second,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_preempted_thread_keeps_what_is_left_of_its_slice() {
        assert_eq!(Preempted::at(10, 15), Preempted::First(5));
        assert_eq!(Preempted::at(14, 15), Preempted::First(1));
        for now in [15, 16, u64::MAX] {
            assert_eq!(Preempted::at(now, 15), Preempted::Last, "{now}");
        }
    }

    /// Two threads of one priority, and a better one that is due again whenever the timer interrupts, because the timer is
    /// slow: both of the two run.
    #[test]
    fn a_slow_timer_starves_no_thread() {
        const SLICE: u64 = 50;
        let (mut queue, mut left, mut ran) = ([0, 1], [0; 2], [0_u64; 2]);
        for interrupt in 0..100_u64 {
            let now = interrupt * 40;
            let first = queue[0];
            let slice_end = now + if left[first] == 0 { SLICE } else { left[first] };
            ran[first] += 40;
            left[first] = match Preempted::at(now + 40, slice_end) {
                Preempted::First(left) => left,
                Preempted::Last => {
                    queue.swap(0, 1);
                    0
                }
            };
        }
        assert_eq!(ran, [2_000, 2_000]);
    }

    #[test]
    fn most_turns_end_as_usual_and_every_other_end_comes() {
        let turns = Turns::new(3);
        let (mut last, mut second, mut elsewhere) = (0, 0, [0; 4]);
        for _ in 0..4000 {
            match turns.end(CpuMask::from_bits(0b1011)) {
                End::Last => last += 1,
                End::Second => second += 1,
                End::Elsewhere(cpu) => elsewhere[cpu as usize] += 1,
            }
        }
        assert!((2800..3200).contains(&last), "{last}");
        assert!((400..600).contains(&second), "{second}");
        assert!(
            elsewhere.iter().sum::<i32>() > 400 && elsewhere[2] == 0 && elsewhere[1] > 5,
            "{elsewhere:?}"
        );
    }

    #[test]
    fn who_may_run_here_only_stays() {
        let turns = Turns::new(0);
        assert!((0..1000).all(|_| !matches!(turns.end(CpuMask::NONE), End::Elsewhere(_))));
    }

    /// Eight threads take from a queue, and one fills it: all of them come to follow the one that fills it.
    #[test]
    fn everybody_comes_to_follow_everybody() {
        let turns = Turns::new(0);
        let mut line: std::collections::VecDeque<usize> = (0..9).collect();
        let mut followed = [false; 9];
        for _ in 0..2000 {
            let running = line.pop_front().expect("there are nine");
            let next = line[0];
            if running == 0 {
                followed[next] = true;
            }
            match turns.end(CpuMask::NONE) {
                End::Second => line.insert(1, running),
                _ => line.push_back(running),
            }
        }
        assert_eq!(followed[1..], [true; 8]);
    }
}
