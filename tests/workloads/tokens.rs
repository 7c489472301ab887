//! Tokens: one that is free is given to the LWP that waits for it, whatever the others wait for.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{Arguments, LwpAttributes, Token, now_ns};

use crate::common::{DONE, Dice, Roots, check, compute, lwp, root, step};

static A: Token<u32> = Token::new(0);
static B: Token<u32> = Token::new(0);

/// Whether the owner of B has it, and whether the LWP that wants A only has got it.
static B_IS_TAKEN: AtomicU32 = AtomicU32::new(0);
static A_WAS_HAD: AtomicU32 = AtomicU32::new(0);

/// How long the others get to come to their places.
const MOMENT: u64 = 2_000_000;
/// How long is too long.
const PATIENCE: u64 = 3_000_000_000;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, stall, seed)])
}

/// Has B, and computes until A was had.
fn owner_of_b(_: usize) -> usize {
    B.with(|_| {
        B_IS_TAKEN.store(1, Ordering::Relaxed);
        let begun = now_ns();
        while A_WAS_HAD.load(Ordering::Relaxed) == 0 {
            step();
            check!(
                now_ns() - begun < PATIENCE,
                "an LWP sleeps for a token that is free, until another one is"
            );
        }
    });
    0
}

/// Wants A while it holds B.
fn wants_both(_: usize) -> usize {
    B.with(|_| A.with(|_| step()));
    0
}

fn wants_a(_: usize) -> usize {
    A.with(|_| A_WAS_HAD.store(1, Ordering::Relaxed));
    0
}

fn stall(_: &Arguments<'_>) -> i32 {
    B_IS_TAKEN.store(0, Ordering::Relaxed);
    A_WAS_HAD.store(0, Ordering::Relaxed);
    let usual = LwpAttributes::default();
    let lwps = A.with(|_| {
        let both = lwp(wants_both, 0, &usual);
        compute(MOMENT);
        let only_a = lwp(wants_a, 0, &usual);
        compute(MOMENT);
        let other = lwp(owner_of_b, 0, &usual);
        while B_IS_TAKEN.load(Ordering::Relaxed) == 0 {
            step();
        }
        [both, only_a, other]
    });
    for lwp in lwps {
        check!(lwp.join() == Ok(Some(0)), "an LWP with a token has not returned");
    }
    i32::from(DONE)
}
