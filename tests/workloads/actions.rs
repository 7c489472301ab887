//! The actions of actors: each is one of the services of the kernel, at random.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use asphodel::api::files::{self, OpenFlags};
use asphodel::api::{
    self, Condvar, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, Mutex, P_PID, Pid, ProcCtl, Program,
    ReaperScope, Semaphore, Signal, SpawnAttributes, Status, Token, WLINUXCLONE, WNOHANG, WaitQueue,
    WaitResult,
};

use crate::actors::{ACTOR, Actor, DEEPEST, join, lwp};
use crate::bombs::forever;
use crate::common::{Dice, attributes, check, may_spawn, priority, recent, remember, some_cpus, step, steps};
use crate::{deferred, handles};

/// A kind of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Action {
    Spawn,
    Wait,
    Lwp,
    Handle,
    ForeignHandle,
    Kill,
    KillGroup,
    KillLwp,
    Exec,
    Exit,
    Sleep,
    SleepOn,
    Reaper,
    AutoReap,
    Affinity,
    Priority,
    ParkCpu,
    Semaphore,
    Queue,
    Mutex,
    Condvar,
    Token,
    Channel,
    Futex,
    SigWait,
    Deferred,
    Hook,
    File,
    Look,
    Memory,
}

/// All of them, the usual ones more than once.
const ACTIONS: [Action; 37] = {
    use Action::*;
    [
        Spawn,
        Spawn,
        Spawn,
        Wait,
        Wait,
        Lwp,
        Lwp,
        Lwp,
        Handle,
        Handle,
        Handle,
        ForeignHandle,
        Kill,
        KillGroup,
        KillLwp,
        Exec,
        Exit,
        Sleep,
        SleepOn,
        Reaper,
        AutoReap,
        Affinity,
        Priority,
        ParkCpu,
        Semaphore,
        Queue,
        Mutex,
        Condvar,
        Token,
        Channel,
        Futex,
        SigWait,
        Deferred,
        Hook,
        File,
        Look,
        Memory,
    ]
};
/// Number of kinds.
const KINDS: u64 = Action::Memory as u64 + 1;

/// The kinds that are allowed in this round, a bit each.
static ALLOWED: AtomicU64 = AtomicU64::new(0);

const fn bit(action: Action) -> u64 {
    1 << action as u8
}

fn is_allowed(action: Action) -> bool {
    ALLOWED.load(Ordering::Relaxed) & bit(action) != 0
}

/// `true` if reports are made at all.
static REPORTS: AtomicBool = AtomicBool::new(true);

/// Stops the reports from here on, because they are vectors, which belong to the program, and stay when it is killed.
pub fn leave_no_heap() {
    REPORTS.store(false, Ordering::Relaxed);
}

fn allow(bits: u64) {
    let bits = if REPORTS.load(Ordering::Relaxed) { bits } else { bits & !bit(Action::Look) };
    HOOKS_LEFT.store(6, Ordering::Relaxed);
    ALLOWED.store(bits, Ordering::Relaxed);
}

/// Allows everything except handles in other processes, which prevent exec; and either reports or narrow quotas.
pub(crate) fn allow_all(dice: &mut Dice) {
    let looks = if dice.one_in(2) { 0 } else { bit(Action::Look) };
    allow(!bit(Action::ForeignHandle) & !looks);
}

/// Returns whether quotas may be so narrow that a program's own allocations fail, because reports need memory.
pub(crate) fn may_be_poor() -> bool {
    !is_allowed(Action::Look)
}

/// Allows only these.
pub(crate) fn allow_only(actions: &[Action]) {
    allow(actions.iter().fold(0, |bits, action| bits | bit(*action)));
}

/// Allows spawning, LWPs, and some others by chance.
pub(crate) fn allow_some(dice: &mut Dice) {
    let mut bits = bit(Action::Spawn) | bit(Action::Lwp);
    for _ in 0..3 + dice.below(6) {
        bits |= 1 << dice.below(KINDS);
    }
    for usual in [Action::Handle, Action::KillLwp, Action::Kill] {
        if dice.one_in(2) {
            bits |= bit(usual);
        }
    }
    if dice.one_in(2) {
        bits = bits & !bit(Action::ForeignHandle) | bit(Action::Exec);
    } else if bits & bit(Action::ForeignHandle) != 0 {
        bits &= !bit(Action::Exec);
    }
    allow(bits);
}

static SEMAPHORE: Semaphore = Semaphore::new(0);
static QUEUE: WaitQueue = WaitQueue::new();
static LOCKS: [Mutex<u32>; 2] = [const { Mutex::new(0) }; 2];
static CONDITION: Condvar = Condvar::new();
static TOKENS: [Token<u32>; 3] = [const { Token::new(0) }; 3];
static WORDS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
/// LWPs inside each exclusive section: two of mutexes, three of tokens.
static INSIDE: [AtomicU32; 5] = [const { AtomicU32::new(0) }; 5];
/// Processes that exit hooks may still spawn in this round.
static HOOKS_LEFT: AtomicU32 = AtomicU32::new(0);

const KILL: i32 = Signal::KILL.number() as i32;
const TERM: i32 = Signal::TERM.number() as i32;
const CHLD: i32 = Signal::CHLD.number() as i32;

/// Checks, when the round is over, that everything is empty.
pub(crate) fn settle() {
    for hook in [hook_sleeps as api::Hook, hook_spawns, hook_yields] {
        api::rm_at_exit(hook);
    }
    for argument in 0..3 {
        api::off_process_exit(handler, argument);
    }
    handles::settle();
    deferred::settle();
    while SEMAPHORE.try_wait() {}
    for (index, lock) in LOCKS.iter().enumerate() {
        check!(lock.try_lock().is_some(), "mutex {index} is still held");
        check!(INSIDE[index].load(Ordering::Relaxed) == 0, "an LWP ended inside mutex {index}");
    }
    INSIDE.iter().for_each(|inside| inside.store(0, Ordering::Relaxed));
    check!(QUEUE.is_empty(), "a waiter is left in a queue");
    for name in 0..FILES {
        let _was_there = files::unlink(path(name));
    }
}

/// Performs one action.
pub(crate) fn do_one(actor: &mut Actor) {
    steps(actor.dice.below(6));
    let action = actor.dice.pick(&ACTIONS);
    if !is_allowed(action) {
        return;
    }
    let dice = &mut actor.dice;
    match action {
        Action::Spawn => spawn(actor),
        Action::Wait => wait(dice),
        Action::Lwp => spawn_lwp(actor),
        Action::Handle => use_handle(actor),
        Action::ForeignHandle => {
            if let Some(handle) = handles::take(dice) {
                let _ended = handle.wait_timeout(2_000);
            }
        }
        Action::Kill => {
            let signal = dice.pick(&[KILL, TERM, i32::from(Signal::STOP.number()), CHLD, 0, 6, KILL]);
            let _result = api::kill(recent(dice), signal);
        }
        Action::KillGroup => kill_group(dice),
        Action::KillLwp => drop(api::kill_lwp(1 + dice.below(5) as u32)),
        Action::Exec => exec(actor),
        Action::Exit => exit(dice),
        Action::Sleep => sleep(dice),
        Action::SleepOn => {
            if dice.one_in(3) {
                api::sleep_uninterruptible(dice.below(8_000));
            }
        }
        Action::Reaper => reaper(dice),
        Action::AutoReap => api::set_auto_reap(dice.one_in(2)),
        Action::Affinity => affinity(dice),
        Action::Priority if actor.is_first => api::set_priority(priority(dice)),
        Action::Priority | Action::Memory => memory(dice),
        Action::ParkCpu => park(dice),
        other => synchronise(other, dice),
    }
}

/// Uses what LWPs synchronize by.
fn synchronise(action: Action, dice: &mut Dice) {
    match action {
        Action::Semaphore => match dice.below(4) {
            0 => SEMAPHORE.post(),
            1 => drop(SEMAPHORE.wait_timeout(dice.below(10_000))),
            2 => drop(SEMAPHORE.try_wait()),
            _ => drop(QUEUE.wait_timeout(dice.below(9_000), || false)),
        },
        Action::Queue => {
            QUEUE.wake_all();
            QUEUE.wake_one();
        }
        Action::Mutex => {
            let mut value = LOCKS[0].lock();
            section(dice, 0, true);
            *value = value.wrapping_add(1);
        }
        Action::Condvar => {
            let value = LOCKS[1].lock();
            let (value, _late) = CONDITION.wait_timeout(value, 1 + dice.below(9_000));
            section(dice, 1, true);
            drop(value);
            CONDITION.notify_one();
        }
        Action::Token => tokens(dice),
        Action::Channel => channel(dice),
        Action::Futex => futex(dice),
        Action::SigWait => {
            let set = 1 << Signal::CHLD.number() | 1 << Signal::USR1.number();
            let _signal = api::sigwait(set, Some(dice.below(9_000)));
        }
        Action::Deferred => deferred::anything(dice),
        Action::Hook => hook(dice),
        Action::File => file(dice),
        _ => look(dice),
    }
}

fn spawn(actor: &mut Actor) {
    if actor.depth >= DEEPEST || !may_spawn() {
        return;
    }
    let attributes = actor.child_attributes();
    let dice = &mut actor.dice;
    let Ok(pid) = api::spawn(&ACTOR, &[], &attributes) else { return };
    remember(dice, pid);
    if dice.one_in(2) && !attributes.no_wait {
        let options = if dice.one_in(2) { WNOHANG } else { 0 };
        let _ended = api::wait4(pid.raw(), options | WLINUXCLONE);
    }
}

fn wait(dice: &mut Dice) {
    let selector = match dice.below(6) {
        0 | 1 => -1,
        2 => 0,
        3 => -recent(dice).raw(),
        _ => recent(dice).raw(),
    };
    let mut options = if dice.one_in(2) { WNOHANG } else { 0 };
    if dice.one_in(2) {
        options |= WLINUXCLONE;
    }
    let _ended = api::wait4(selector, options);
}

fn spawn_lwp(actor: &mut Actor) {
    let number = actor.seed(actor.depth + 1);
    let dice = &mut actor.dice;
    let entry = if dice.one_in(5) {
        forever
    } else if actor.is_first && dice.one_in(2) {
        lwp
    } else {
        handles::short
    };
    let Ok(handle) = api::lwp_spawn(entry, number, &attributes(dice)) else { return };
    match dice.below(5) {
        0 => core::mem::forget(handle),
        1 => handle.detach(),
        2 if is_allowed(Action::ForeignHandle) => handles::leave(dice, handle),
        _ => drop(actor.mine.push((handle, number ^ 0x55))),
    }
}

fn use_handle(actor: &mut Actor) {
    let Some((handle, result)) = actor.mine.pop() else { return };
    let dice = &mut actor.dice;
    match dice.below(5) {
        0 => drop(handle.wait_timeout(dice.below(5_000))),
        1 => {
            let pin = handle.pin_stack();
            steps(dice.below(6));
            drop(pin);
        }
        2 => {
            let _ended = handle.has_ended();
            let waited = handle.wait();
            check!(waited.is_err() || handle.has_ended(), "waited for an LWP that has not ended");
        }
        _ => return join(handle, result),
    }
    let _room = actor.mine.push((handle, result));
}

fn kill_group(dice: &mut Dice) {
    if api::getpgrp() == Pid::INIT {
        return;
    }
    let _result = if dice.one_in(4) {
        api::kill(Pid::NONE, TERM)
    } else {
        api::killpg(recent(dice), dice.pick(&[KILL, CHLD]))
    };
}

fn exec(actor: &mut Actor) {
    if actor.dice.one_in(2) {
        let number = actor.seed(actor.depth + 1);
        let words: &[&str] = if actor.dice.one_in(2) { &["a", "bc"] } else { &[] };
        let _error = api::exec(&ACTOR, words, number);
    }
}

fn exit(dice: &mut Dice) {
    if !dice.one_in(3) {
        return;
    }
    let _error = match dice.below(3) {
        0 => api::exit(dice.below(256) as i32),
        1 => {
            let word = WORDS[dice.index(WORDS.len())].as_ptr().cast();
            let action = if dice.one_in(2) { EXTEXIT_SETINT } else { 0 };
            // SAFETY: the word is a static.
            unsafe { api::extexit_at(EXTEXIT_LWP | action, dice.below(2) as i32, word) }
        }
        _ => api::extexit(EXTEXIT_PROC, 3, None),
    };
}

fn sleep(dice: &mut Dice) {
    let (nanoseconds, begun) = (dice.below(30_000), api::now_ns());
    if api::sleep(nanoseconds) == WaitResult::TimedOut {
        let slept = api::now_ns() - begun;
        check!(slept >= nanoseconds, "a sleep of {nanoseconds} ns took {slept} ns");
    }
}

fn reaper(dice: &mut Dice) {
    match dice.below(7) {
        0 | 1 => drop(api::reaper_acquire()),
        2 => drop(api::reaper_release()),
        3 => {
            let scope = if dice.one_in(2) { ReaperScope::All } else { ReaperScope::Children };
            let _killed = api::reaper_kill(KILL, scope);
        }
        4 => {
            let scope = ReaperScope::Subtree(recent(dice));
            let _killed = api::reaper_kill(dice.pick(&[KILL, CHLD]), scope);
        }
        5 => drop(api::reaper_status()),
        _ => drop(api::procctl(P_PID, 0, ProcCtl::DeathSignal(dice.pick(&[0, KILL, CHLD])))),
    }
}

fn affinity(dice: &mut Dice) {
    let allowed = some_cpus(dice);
    // LWPs that may run there only stay on a CPU that is deactivated.
    if api::set_affinity(allowed).is_ok() && !is_allowed(Action::ParkCpu) {
        for _ in 0..3 {
            step();
            let cpu = api::cpu_index();
            check!(allowed.contains(cpu), "it runs on cpu {cpu} and may run on {:#x}", allowed.bits());
        }
    }
}

fn park(dice: &mut Dice) {
    let cpu = dice.below(4) as u32;
    let _result = if dice.one_in(2) { api::cpu_deactivate(cpu) } else { api::cpu_activate(cpu) };
}

/// Reads what the kernel reports about the caller and its tenant.
fn memory(dice: &mut Dice) {
    let _figures = api::getrusage(api::RUSAGE_SELF);
    steps(dice.below(3));
    let _tenant = api::tenant(api::getpid());
}

/// A section that one LWP at a time may enter.
fn section(dice: &mut Dice, index: usize, may_sleep: bool) {
    check!(INSIDE[index].fetch_add(1, Ordering::Relaxed) == 0, "two are inside {index}");
    steps(dice.below(6));
    if may_sleep && dice.one_in(3) {
        let _ = api::sleep(dice.below(20_000));
    }
    if may_sleep && dice.one_in(3) {
        api::yield_now();
    }
    INSIDE[index].fetch_sub(1, Ordering::Relaxed);
}

fn tokens(dice: &mut Dice) {
    let (first, second) = (dice.index(3), dice.index(3));
    TOKENS[first].with(|held| {
        held.access(|value| {
            section(dice, 2 + first, false);
            *value = value.wrapping_add(1);
        });
        if dice.one_in(2) {
            let _ = api::sleep(dice.below(5_000));
        }
        if dice.one_in(15) {
            api::exit(9);
        }
        TOKENS[second].with(|_| {
            step();
            if dice.one_in(3) {
                let _ = api::sleep(dice.below(3_000));
            }
        });
    });
}

fn channel(dice: &mut Dice) {
    let channel = 0x1000 + dice.index(3) * 8;
    match dice.below(4) {
        0 => drop(api::tsleep(channel, Some(dice.below(9_000)))),
        1 => drop(api::wakeup(channel)),
        2 => drop(api::wakeup_one(channel)),
        _ => {
            let registration = api::register(channel);
            if dice.one_in(6) {
                api::exit(9);
            }
            if dice.one_in(2) {
                let _ = registration.sleep(Some(dice.below(8_000)));
            }
        }
    }
}

fn futex(dice: &mut Dice) {
    let word = &WORDS[dice.index(WORDS.len())];
    match dice.below(3) {
        0 => drop(api::futex_wait(word, dice.below(2) as u32, Some(dice.below(9_000)))),
        1 => drop(api::futex_wake(word.as_ptr() as usize, 1 + dice.below(2) as u32)),
        _ => word.store(dice.below(2) as u32, Ordering::SeqCst),
    }
}

fn hook_sleeps(_: Pid, _: Status) {
    let _ = api::sleep(3_000);
    step();
}

fn hook_yields(_: Pid, _: Status) {
    api::yield_now();
    step();
}

fn hook_spawns(_: Pid, _: Status) {
    let left = HOOKS_LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if left.is_ok()
        && let Ok(pid) = api::spawn(&Program::new("hooked", |_| 7), &[], &SpawnAttributes::default())
    {
        let _ended = api::wait4(pid.raw(), 0);
    }
}

fn handler(argument: usize, _: Pid, _: Status) {
    steps(argument as u64);
}

fn hook(dice: &mut Dice) {
    match dice.below(6) {
        0 => drop(api::at_exit(hook_sleeps)),
        1 => drop(api::at_exit(hook_spawns)),
        2 => drop(api::at_exit(hook_yields)),
        3 => {
            api::rm_at_exit(hook_sleeps);
            api::rm_at_exit(hook_spawns);
        }
        4 => drop(api::on_process_exit(handler, dice.index(3), dice.below(3) as i32)),
        _ => drop(api::off_process_exit(handler, dice.index(3))),
    }
}

/// Number of files.
const FILES: usize = 3;

fn path(index: usize) -> &'static str {
    ["/a", "/b", "/c"][index]
}

/// Opens a file and does something with it; the descriptors may stay open until the end of the process.
fn file(dice: &mut Dice) {
    let name = path(dice.index(FILES));
    let flags = OpenFlags {
        read: true,
        write: true,
        append: dice.one_in(2),
        create: dice.one_in(2),
        exclusive: dice.one_in(8),
        truncate: dice.one_in(4),
        directory: false,
    };
    let Ok(descriptor) = files::open(name, flags) else { return };
    for _ in 0..dice.below(4) {
        match dice.below(5) {
            0 => drop(files::write(descriptor, b"lethe")),
            1 => drop(files::read(descriptor, &mut [0; 16])),
            2 => drop(files::duplicate(descriptor)),
            3 => drop(files::unlink(name)),
            _ => steps(3),
        }
    }
    if dice.one_in(2) {
        // Another LWP of the process, or a peer, may have closed it.
        let _closed = files::close(descriptor);
    }
}

/// Reads a report of other processes, which may be gone a moment later.
fn look(dice: &mut Dice) {
    match dice.below(5) {
        0 => {
            let guard = api::preempt_disable();
            steps(dice.below(6));
            drop(guard);
        }
        1 => drop(api::processes()),
        2 => drop(api::lwps(api::getpid())),
        3 => api::yield_now(),
        _ => memory(dice),
    }
}
