//! Pools: LWPs of one process produce units of something and wait for them. Without kills every unit must arrive; with
//! kills the units that were produced for killed LWPs must reach the others.
//!
//! | number | what is waited for |
//! |---|---|
//! | 0 | a semaphore |
//! | 1 | a wait queue |
//! | 2 | a bounded buffer of a mutex and two condition variables |
//! | 3 | a futex |
//! | 4 | a channel, by registration |
//! | 5 | tokens: exclusion instead of units |

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, Condvar, LwpHandle, Mutex, Semaphore, Token, WaitQueue, WaitResult, futex_wait, futex_wake,
    kill_lwp, preempt_disable, register, sleep, wakeup_one, yield_now,
};

use crate::common::{DONE, Dice, Roots, check, eventually, lwp, root, step, steps, sure_attributes};

/// Number of kinds.
const KINDS: u64 = 6;
/// The kind that uses tokens.
const TOKENS: usize = 5;
/// Units that are produced of each kind.
const UNITS: u32 = 12;
/// The channel of kind 4.
const CHANNEL: usize = 0x77;
/// Most units in the buffer.
const ROOM: u32 = 2;

static MADE: [AtomicU32; KINDS as usize] = [const { AtomicU32::new(0) }; KINDS as usize];
static TAKEN: [AtomicU32; KINDS as usize] = [const { AtomicU32::new(0) }; KINDS as usize];

static SEMAPHORE: Semaphore = Semaphore::new(0);
static QUEUE: WaitQueue = WaitQueue::new();
static QUEUED: AtomicU32 = AtomicU32::new(0);
static BUFFER: Mutex<u32> = Mutex::new(0);
static NOT_EMPTY: Condvar = Condvar::new();
static NOT_FULL: Condvar = Condvar::new();
static FUTEX: AtomicU32 = AtomicU32::new(0);
static REGISTERED: AtomicU32 = AtomicU32::new(0);
static TOKEN: [Token<u32>; 3] = [const { Token::new(0) }; 3];
static INSIDE: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// Starts a round with one kind.
pub(crate) fn one(dice: &mut Dice) -> Roots {
    let kind = dice.below(KINDS);
    Roots::from_iter([pool_root(dice, kind)])
}

/// Starts a round with two kinds.
pub(crate) fn two(dice: &mut Dice) -> Roots {
    let first = dice.below(KINDS);
    let second = (first + 1 + dice.below(KINDS - 1)) % KINDS;
    Roots::from_iter([pool_root(dice, first), pool_root(dice, second)])
}

fn pool_root(dice: &mut Dice, kind: u64) -> asphodel::api::Pid {
    let seed = seed_of(dice, kind as usize);
    root(dice, pool, seed)
}

/// Starts a round in which consumers are killed.
pub(crate) fn killed_consumers(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, consumers_with_victims, seed)])
}

/// Resets the counts of units. No LWP waits.
pub(crate) fn settle() {
    for counter in MADE.iter().chain(&TAKEN).chain(&INSIDE).chain([&QUEUED, &FUTEX, &REGISTERED]) {
        counter.store(0, Ordering::SeqCst);
    }
    while SEMAPHORE.try_wait() {}
    *BUFFER.lock() = 0;
    check!(QUEUE.is_empty(), "a waiter is left in a queue");
}

/// Returns a seed whose low bits are the kind.
fn seed_of(dice: &mut Dice, kind: usize) -> usize {
    dice.seed() & !7 | kind
}

/// Takes one of `units`, if there is one.
fn take(units: &AtomicU32) -> bool {
    step();
    units.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

fn taken(kind: usize) {
    TAKEN[kind].fetch_add(1, Ordering::Relaxed);
}

/// Returns a time limit, in half of the cases.
fn limit(dice: &mut Dice) -> Option<u64> {
    dice.one_in(2).then(|| 1 + dice.below(6_000))
}

/// Takes one unit of `kind`. Blocks until there is one.
fn consume(kind: usize, dice: &mut Dice) {
    match kind {
        0 => {
            while limit(dice).map_or_else(|| SEMAPHORE.wait(), |limit| SEMAPHORE.wait_timeout(limit))
                != WaitResult::Ready
            {}
            taken(0);
        }
        1 if dice.one_in(2) => take_after_wait(),
        1 => take_in_wait(dice),
        2 => take_from_buffer(dice),
        3 => {
            while !take(&FUTEX) {
                let _ = futex_wait(&FUTEX, 0, limit(dice));
            }
            taken(3);
        }
        4 => loop {
            let registration = register(CHANNEL);
            if take(&REGISTERED) {
                return taken(4);
            }
            let _ = registration.sleep(limit(dice));
        },
        _ => with_two_tokens(dice),
    }
}

/// Takes a queued unit after the wait for one. An LWP that is killed in between takes its wake-up with it.
fn take_after_wait() {
    while !take(&QUEUED) {
        let _ = QUEUE.wait(|| QUEUED.load(Ordering::SeqCst) != 0);
    }
    taken(1);
}

/// Takes a queued unit while the wait looks for one.
fn take_in_wait(dice: &mut Dice) {
    let mut had = false;
    while !had {
        let look = || {
            // A kill must not come between the unit and its count.
            let _whole = preempt_disable();
            had = take(&QUEUED);
            if had {
                taken(1);
            }
            had
        };
        let _ = match limit(dice) {
            None => QUEUE.wait(look),
            Some(limit) => QUEUE.wait_timeout(limit, look),
        };
    }
}

fn take_from_buffer(dice: &mut Dice) {
    let mut units = BUFFER.lock();
    while *units == 0 {
        units = match limit(dice) {
            None => NOT_EMPTY.wait(units),
            Some(limit) => NOT_EMPTY.wait_timeout(units, limit).0,
        };
    }
    *units -= 1;
    taken(2);
    NOT_FULL.notify_one();
}

fn with_two_tokens(dice: &mut Dice) {
    let (first, second) = (dice.index(3), dice.index(3));
    TOKEN[first].with(|held| {
        held.access(|value| alone(first, value));
        if dice.one_in(2) {
            yield_now();
        }
        if dice.one_in(3) {
            let _ = sleep(dice.below(3_000));
        }
        TOKEN[second].with(|held| held.access(|value| alone(second, value)));
    });
}

/// A section in which no other LWP may be.
fn alone(index: usize, value: &mut u32) {
    check!(INSIDE[index].fetch_add(1, Ordering::Relaxed) == 0, "two own token {index}");
    steps(u64::from(*value % 5));
    *value = value.wrapping_add(1);
    INSIDE[index].fetch_sub(1, Ordering::Relaxed);
}

/// Produces one unit of `kind`, and wakes one LWP.
fn produce(kind: usize) {
    step();
    match kind {
        0 => SEMAPHORE.post(),
        1 => {
            QUEUED.fetch_add(1, Ordering::SeqCst);
            QUEUE.wake_one();
        }
        2 => {
            let mut units = BUFFER.lock();
            while *units >= ROOM {
                units = NOT_FULL.wait(units);
            }
            *units += 1;
            NOT_EMPTY.notify_one();
        }
        3 => {
            FUTEX.fetch_add(1, Ordering::SeqCst);
            futex_wake(FUTEX.as_ptr() as usize, 1);
        }
        4 => {
            REGISTERED.fetch_add(1, Ordering::SeqCst);
            wakeup_one(CHANNEL);
        }
        _ => {}
    }
    MADE[kind].fetch_add(1, Ordering::Relaxed);
}

fn consumer(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    for _ in 0..UNITS / 3 {
        consume(number & 7, &mut dice);
        steps(dice.below(6));
    }
    number ^ 0x55
}

fn producer(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    for _ in 0..UNITS {
        produce(number & 7);
        steps(dice.below(6));
        if dice.one_in(4) {
            let _ = sleep(dice.below(4_000));
        }
    }
    number ^ 0x55
}

/// Three consumers, one producer, no kills: all units must arrive.
fn pool(arguments: &Arguments<'_>) -> i32 {
    let kind = arguments.number() & 7;
    let mut dice = Dice::new(arguments.number() as u64);
    let lwps = [consumer, consumer, consumer, producer].map(|entry| {
        let seed = seed_of(&mut dice, kind);
        (lwp(entry, seed, &sure_attributes(&mut dice)), seed ^ 0x55)
    });
    for (handle, result) in lwps {
        let joined = handle.join();
        check!(joined == Ok(Some(result)), "pool {kind}: a join gave {joined:?} for {result}");
    }
    let (made, taken) = (MADE[kind].load(Ordering::Relaxed), TAKEN[kind].load(Ordering::Relaxed));
    check!(kind == TOKENS || made == UNITS && taken == UNITS, "pool {kind}: {made} made, {taken} taken");
    i32::from(DONE)
}

/// Takes units until it is killed.
fn greedy(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    loop {
        match number & 7 {
            1 => take_in_wait(&mut dice),
            kind => consume(kind, &mut dice),
        }
        steps(dice.below(6));
    }
}

/// As [`greedy`], but takes after its waits. It may only be killed while it sleeps: then its wait gives the wake-up to
/// another LWP.
fn greedy_after_wait(number: usize) -> usize {
    let mut dice = Dice::new(number as u64);
    loop {
        take_after_wait();
        steps(dice.below(6));
    }
}

fn all_taken(kind: usize) -> bool {
    TAKEN[kind].load(Ordering::Relaxed) >= UNITS
}

/// Takes units until all have been taken, and never checks for one without being woken.
fn survivor(number: usize) -> usize {
    let kind = number & 7;
    while !all_taken(kind) {
        if kind == 1 {
            let _ = QUEUE.wait(|| {
                let had = !all_taken(1) && take(&QUEUED);
                if had {
                    taken(1);
                }
                had || all_taken(1)
            });
            continue;
        }
        let mut units = BUFFER.lock();
        while *units == 0 && !all_taken(2) {
            units = NOT_EMPTY.wait(units);
        }
        if *units > 0 {
            *units -= 1;
            taken(2);
            NOT_FULL.notify_one();
        }
    }
    1
}

fn join_all(killed: &mut heapless::Vec<LwpHandle, 2>) {
    while let Some(handle) = killed.pop() {
        let _ = handle.join();
    }
}

/// Three consumers, of which one or two are killed while units arrive. Each unit wakes one; the others must get all
/// that the killed ones have not taken, without any other wake-up.
fn consumers_with_victims(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let kind = 1 + dice.index(2);
    let only_asleep = kind == 1 && dice.one_in(2);
    let victim = if only_asleep { greedy_after_wait } else { greedy };
    let begin = |entry, dice: &mut Dice| lwp(entry, seed_of(dice, kind), &sure_attributes(dice));
    let mut living = heapless::Vec::<LwpHandle, 2>::new();
    let mut dying = heapless::Vec::<LwpHandle, 2>::new();
    let mut killed = heapless::Vec::<LwpHandle, 2>::new();
    let _ = living.push(begin(survivor, &mut dice));
    let _ = dying.push(begin(victim, &mut dice));
    if dice.one_in(2) {
        let _ = dying.push(begin(victim, &mut dice));
    } else {
        let _ = living.push(begin(survivor, &mut dice));
    }
    let mut kill_one = |dying: &mut heapless::Vec<LwpHandle, 2>| {
        let Some(handle) = dying.pop() else { return false };
        if only_asleep {
            join_all(&mut killed);
            eventually(|| all_taken(kind) || QUEUE.len() == living.len() + dying.len() + 1);
        }
        let _ = kill_lwp(handle.tid());
        let _ = killed.push(handle);
        true
    };
    for _ in 0..UNITS {
        if dice.one_in(4) {
            kill_one(&mut dying);
        }
        produce(kind);
        steps(dice.below(6));
        if dice.one_in(6) {
            let _ = sleep(dice.below(3_000));
        }
    }
    while kill_one(&mut dying) {}
    join_all(&mut killed);
    eventually(|| all_taken(kind));
    let taken = TAKEN[kind].load(Ordering::Relaxed);
    check!(
        taken == UNITS,
        "consumers {kind}: {taken} of {UNITS} taken, the others sleep: a wake-up was lost with a killed one"
    );
    QUEUE.wake_all();
    {
        let _units = BUFFER.lock();
        NOT_EMPTY.notify_all();
    }
    for handle in living {
        check!(handle.join() == Ok(Some(1)), "consumers {kind}: a survivor has not returned");
    }
    i32::from(DONE)
}
