//! Overdue: LWPs with a guard that they never drop take others, again and again, until a kill that their guard delays
//! ends them, wherever they are: in the queue of a mutex or a token, or about to wake those who wait. Others take and
//! drop the same ones, and must go on.

use core::mem::forget;

use asphodel::api::{
    Arguments, Condvar, LwpAttributes, Mutex, Signal, SpawnAttributes, Token, kill, sleep, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, child, let_loose, lwp, reap, root, steps};

/// What all take.
static TOKENS: [Token<u32>; 2] = [const { Token::new(0) }; 2];
static MUTEX: Mutex<u32> = Mutex::new(0);
static CONDITION: Condvar = Condvar::new();

/// What a victim keeps.
static KEPT_TOKENS: [Token<u32>; 4] = [const { Token::new(0) }; 4];
static KEPT_MUTEXES: [Mutex<u32>; 4] = [const { Mutex::new(0) }; 4];

/// Takings of an LWP that is not killed.
const TURNS: u32 = 300;

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, kill_keepers, seed)])
}

/// Nothing is kept by an LWP that has ended.
pub(crate) fn settle() {
    for mutex in KEPT_MUTEXES.iter().chain([&MUTEX]) {
        check!(mutex.try_lock().is_some(), "a mutex has a holder that has ended");
        mutex.clear_poison();
    }
    for token in TOKENS.iter().chain(&KEPT_TOKENS) {
        token.with(|guard| guard.access(|value| *value = value.wrapping_add(1)));
    }
}

/// Takes something that others take, too.
fn take(dice: &mut Dice, pause: fn(&mut Dice)) {
    let token = &TOKENS[dice.index(2)];
    match dice.below(6) {
        0 | 1 => token.with(|guard| {
            pause(dice);
            // Fails if another one has it, too.
            guard.access(|value| {
                *value = value.wrapping_add(1);
                steps(2);
            });
        }),
        2 => TOKENS[0].with(|_| TOKENS[1].with(|_| pause(dice))),
        3 => token.with(|_| drop(MUTEX.lock())),
        4 => {
            let guard = MUTEX.lock();
            pause(dice);
            drop(guard);
        }
        _ => {
            // For a moment: that it is notified is not certain.
            drop(CONDITION.wait_timeout(MUTEX.lock(), 1_000 * dice.below(40)));
        }
    }
    CONDITION.notify_one();
}

/// Runs, or lets others run, while it keeps what it has.
fn pause(dice: &mut Dice) {
    match dice.below(8) {
        0 => yield_now(),
        1 => drop(sleep(dice.below(40_000))),
        _ => steps(dice.below(12)),
    }
}

/// Never drops its guard, and never ends by itself.
fn keep(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    let mine = dice.index(4);
    if dice.one_in(2) {
        forget(KEPT_MUTEXES[mine].lock());
        go_on(&mut dice)
    } else {
        KEPT_TOKENS[mine].with(|_| go_on(&mut dice))
    }
}

fn go_on(dice: &mut Dice) -> ! {
    loop {
        take(dice, pause);
        // Such a kill is looked at every 50 ms, twenty times.
        if dice.one_in(4) {
            let _killed = sleep(dice.below(20_000_000));
        }
    }
}

fn keeper(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..dice.below(3) {
        let_loose(keep, dice.seed());
    }
    keep(dice.seed()) as i32
}

/// Takes and drops, and ends.
fn take_turns(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    for _ in 0..TURNS {
        take(&mut dice, pause);
        if dice.one_in(8) {
            let _slept = sleep(dice.below(8_000_000));
        }
    }
    0
}

fn kill_keepers(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let lwps = [(); 2].map(|()| lwp(take_turns, dice.seed(), &LwpAttributes::default()));
    let victims = [(); 2].map(|()| child(keeper, dice.seed(), &SpawnAttributes::default()));
    let _slept = sleep(dice.below(300_000));
    for pid in victims {
        let killed = kill(pid, i32::from(Signal::KILL.number()));
        check!(killed.is_ok(), "a keeper has gone: {killed:?}");
    }
    for pid in victims {
        check!(reap(pid) == 128 + Signal::KILL.number(), "a keeper has ended by itself");
    }
    for lwp in lwps {
        check!(lwp.join() == Ok(Some(0)), "an LWP that always drops its guards has not returned");
    }
    i32::from(DONE)
}
