//! Workloads: ordinary programs of `asphodel::api` that provoke, by chance, races of creation and exit of processes,
//! and check the kernel's guarantees.
//!
//! The same programs are explored on a host (`tools/explore`), where an observer checks every invariant, and run as
//! storms by test images, where the runner checks what they leave behind. A workload is run in rounds ([`round`]); what
//! is done in a round is determined by the [`Dice`] that it gets, and by the order of events.
//!
//! | file | what it does |
//! |---|---|
//! | `actors`, `actions` | trees of processes that do everything at random, then are killed |
//! | `pools` | strict accounting of what LWPs wait for, without and with kills |
//! | `deferred` | call-outs and tasks |
//! | `tokens` | a free token is passed to the LWP that waits for it |
//! | `registration` | a wake-up for one reaches one that sleeps |
//! | `promises` | vfork, peers, the word of extexit, exit hooks, exec against kill |
//! | `parents` | SIGCHLD, waits, reapers, automatic reaping |
//! | `bombs` | members that never end, killed once |
//! | `kills` | kill(-1), and pids of processes that were reaped |
//! | `turns` | LWPs that compute side by side, while CPUs are deactivated |
//! | `starved` | victims that get no CPU when they are killed |
//! | `urgent` | victims of the highest priority that compute when they are killed |
//! | `creators` | LWPs that create LWPs while their process ends |
//! | `handles` | handles of LWPs in other processes |
//! | `holders` | mutexes whose holders end |
//! | `overdue` | kills that guards delay, and that end their LWPs in the middle of other guards |
//! | `rings` | LWPs that join each other in a ring |
//! | `common` | dice, checks, attributes |
#![no_std]

extern crate alloc;

mod actions;
mod actors;
mod bombs;
mod common;
mod creators;
mod deferred;
mod handles;
mod holders;
mod kills;
mod overdue;
mod parents;
mod pools;
mod promises;
mod registration;
mod rings;
mod starved;
mod tokens;
mod turns;
mod urgent;

use asphodel::api::{Errno, ReaperScope, Signal, WNOHANG, cpu_activate, cpus_online, reaper_kill, wait4};

pub use actions::leave_no_heap;
pub use common::{Dice, Roots, failures, step};

use common::{DONE, check, recall};

/// The checks of a workload when nothing else is running any more.
type Settle = fn();

/// One workload.
#[derive(Clone, Copy)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// A line that describes it.
    pub summary: &'static str,
    /// How many of some hundred rounds of a mix are its rounds.
    weight: u64,
    /// Starts the processes of a round.
    start: fn(&mut Dice) -> Roots,
    /// `true` if they end by themselves, each with [`DONE`]; otherwise they are killed.
    ends: bool,
    settle: Settle,
}

impl core::fmt::Debug for Workload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

/// Creates a workload whose roots end by themselves.
const fn ending(
    name: &'static str,
    summary: &'static str,
    weight: u64,
    start: fn(&mut Dice) -> Roots,
    settle: Settle,
) -> Workload {
    Workload { name, summary, weight, start, ends: true, settle }
}

/// All of them.
pub static ALL: [Workload; 22] = [
    Workload {
        name: "actors",
        summary: "trees of processes that do everything",
        weight: 10,
        start: actors::everything,
        ends: false,
        settle: actions::settle,
    },
    Workload {
        name: "swarm",
        summary: "trees of processes that do a few things, others in each round",
        weight: 20,
        start: actors::a_few_things,
        ends: false,
        settle: actions::settle,
    },
    ending("pool", "one thing that LWPs wait for, counted strictly", 6, pools::one, pools::settle),
    ending("pools", "two such things at a time", 6, pools::two, pools::settle),
    ending(
        "killed-consumers",
        "consumers are killed, and the others get the rest",
        6,
        pools::killed_consumers,
        pools::settle,
    ),
    ending("deferred", "call-outs and tasks, counted strictly", 5, deferred::start, deferred::settle),
    ending("token", "a token that is free, and one that waits for it", 3, tokens::start, || ()),
    ending(
        "registration",
        "a wake-up for one, and a thread that does not sleep",
        3,
        registration::start,
        || (),
    ),
    ending("promises", "what single calls promise", 6, promises::start, || ()),
    ending("parents", "what parents and reapers are promised", 6, parents::start, || ()),
    ending(
        "bomb",
        "members that never end, killed once by group, domain or with all",
        14,
        bombs::start,
        || (),
    ),
    ending("kill-all", "kill(-1), and pids of processes that were reaped", 5, kills::start, || ()),
    ending("turns", "LWPs that compute side by side, each where it may run", 3, turns::start, || ()),
    ending("parking", "LWPs that compute while CPUs are deactivated", 3, turns::parking, || ()),
    ending("starved", "processes that get no CPU are killed", 5, starved::start, || ()),
    ending("urgent", "processes of the highest priority compute and are killed", 3, urgent::start, || ()),
    ending("creators", "LWPs that create LWPs while their process ends", 10, creators::start, || ()),
    ending(
        "handles",
        "handles across processes, against the end of the LWP's",
        10,
        handles::start,
        handles::settle,
    ),
    ending("holders", "mutexes whose holders end", 6, holders::start, holders::settle),
    ending("overdue", "guards that are never dropped delay kills", 3, overdue::start, overdue::settle),
    ending("rings", "LWPs that join each other in a ring", 5, rings::start, rings::settle),
    Workload {
        name: "files",
        summary: "descriptors and files, against the end of their process",
        weight: 5,
        start: actors::files,
        ends: false,
        settle: actions::settle,
    },
];

/// Returns the workload with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// Returns one of all, by chance.
pub fn any(dice: &mut Dice) -> &'static Workload {
    let mut number = dice.below(ALL.iter().map(|workload| workload.weight).sum());
    for workload in &ALL {
        match number.checked_sub(workload.weight) {
            Some(rest) => number = rest,
            None => return workload,
        }
    }
    &ALL[0]
}

/// Runs one round of `workload`, and returns when nothing of it is left except what is freed a moment later. The
/// calling process must be process 1 or a reaper, and must have no other children. Thread context; blocks.
///
/// # Panics
/// If a guarantee is broken.
pub fn round(workload: &Workload, dice: &mut Dice) {
    common::reset();
    let roots = (workload.start)(dice);
    if !workload.ends {
        // There may be no process left to be killed.
        let _killed = reaper_kill(i32::from(Signal::KILL.number()), ReaperScope::All);
    }
    loop {
        match wait4(-1, 0) {
            Ok(Some(ended)) if workload.ends && roots.contains(&ended.pid) => {
                check!(ended.status.shell_code() == DONE, "{} ended with {}", workload.name, ended.status);
            }
            Ok(Some(_)) => {}
            Err(Errno::ECHILD) => break,
            other => check!(false, "wait4 of a reaper: {other:?}"),
        }
    }
    recall();
    for cpu in 0..cpus_online().bits().ilog2() + 1 {
        let _was_parked = cpu_activate(cpu);
    }
    (workload.settle)();
    while let Ok(Some(_)) = wait4(-1, WNOHANG) {}
    check!(failures() == 0, "{} checks have failed", failures());
}
