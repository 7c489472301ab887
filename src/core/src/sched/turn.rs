//! The end of a turn: the place of a thread that has used up its slice while others of its priority wait.
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
