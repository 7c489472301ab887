//! Handles across processes: LWPs leave their handles to other processes, which join, pin and drop them while the
//! process of those LWPs ends. T85.

use asphodel::api::{
    Arguments, LwpAttributes, LwpHandle, Mutex, Program, SpawnAttributes, exec, lwp_spawn, sleep,
};

use crate::common::{DONE, Dice, Roots, child, reap, root, steps};

/// Handles that were left, for any process. Holders of these locks are not killed.
static LEFT: [Mutex<Option<LwpHandle>>; 6] = [const { Mutex::new(None) }; 6];

/// Starts a round.
pub(crate) fn start(dice: &mut Dice) -> Roots {
    let seed = dice.seed();
    Roots::from_iter([root(dice, crossing, seed)])
}

/// Drops all handles.
pub(crate) fn settle() {
    for place in &LEFT {
        drop(place.lock().take());
    }
}

/// Leaves a handle to others, which may replace another one.
pub(crate) fn leave(dice: &mut Dice, handle: LwpHandle) {
    let place = &LEFT[dice.index(LEFT.len())];
    let former = place.lock().replace(handle);
    drop(former);
}

/// Takes a handle that was left.
pub(crate) fn take(dice: &mut Dice) -> Option<LwpHandle> {
    LEFT[dice.index(LEFT.len())].lock().take()
}

/// An LWP that ends soon.
pub(crate) fn short(number: usize) -> usize {
    steps(number as u64 % 5);
    number ^ 0x55
}

/// An LWP that replaces the program: to all who have its handle, it has ended.
fn replacer(number: usize) -> usize {
    steps(number as u64 * 20);
    let _error = exec(&Program::new("leaf", leaf), &[], 0);
    number ^ 0x55
}

/// Lives on, so that nothing but the replacement ends the waits of others.
fn leaf(_: &Arguments<'_>) -> i32 {
    let _ = sleep(400_000);
    i32::from(DONE)
}

fn giver(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..1 + dice.below(4) {
        let entry = if dice.one_in(6) { replacer } else { short };
        if let Ok(handle) = lwp_spawn(entry, dice.index(5), &LwpAttributes::default()) {
            leave(&mut dice, handle);
        }
        steps(dice.below(30));
    }
    steps(dice.below(300));
    i32::from(DONE)
}

fn taker(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    for _ in 0..60 {
        if let Some(handle) = take(&mut dice) {
            use_once(&mut dice, handle);
        }
        steps(dice.below(40));
    }
    i32::from(DONE)
}

fn use_once(dice: &mut Dice, handle: LwpHandle) {
    match dice.below(5) {
        0 => drop(handle.wait_timeout(1 + dice.below(3_000))),
        1 => {
            for _ in 0..1 + dice.below(3) {
                let pin = handle.pin_stack();
                steps(dice.below(20));
                drop(pin);
            }
        }
        2 => {
            let _result = handle.join();
            return;
        }
        _ => {}
    }
    if dice.one_in(2) { leave(dice, handle) } else { drop(handle) }
}

fn crossing(arguments: &Arguments<'_>) -> i32 {
    let mut dice = Dice::new(arguments.number() as u64);
    let mut children = heapless::Vec::<_, 6>::new();
    for index in 0..6 {
        let entry = if index % 3 == 2 { taker } else { giver };
        let _room = children.push(child(entry, dice.seed(), &SpawnAttributes::default()));
        steps(dice.below(200));
    }
    for pid in children {
        let _code = reap(pid);
    }
    i32::from(DONE)
}
