//! The exit of a process around the gate, on the real `Gate`, `LwpList`, `Children` and `Account`.
//!
//! The kernel's code around the gate has an order of its own, which is modelled here: the killer's walk, the exit
//! owner's teardown, the fold of the usage. Memory is loom cells, so that an unordered access is found.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R9 victim leaves during the walk | `r09_walk_meets_departure` | a list is copied and walked without the lock; the walk ends where its next victim has left |
//! | R30 teardown before the election | `r30_torn_down_after_the_election` | torn down before the election |
//! | R31 spawn during exit | `r31_spawn_meets_exit` | children given away before the siblings are gone |
//! | R50 process 1 exits | `r50_the_end_of_init_is_told_first` | torn down before it is reported |
//! | R45 usage against adders | `r45_usage_is_folded_once` | folded after the LWP is counted off its CPU; the exit owner's folded at its exit, too |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

use asphodel_core::id::Pid;
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable};
use asphodel_core::proc::gate::{ExitRole, Gate, OffCpu};
use asphodel_core::proc::lwp_list::{LwpEntries, LwpEntry, LwpList};
use asphodel_core::proc::usage::{Account, LwpUsage, Usage};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;
use models::{Bell, catches, check};

/// The LWPs of a process, as a killer finds them.
struct Roster {
    lwps: Mutex<LwpList>,
    members: Vec<LwpEntry>,
    /// The LWPs' records: the killer that marks them reads them, and freeing writes them.
    records: Vec<UnsafeCell<u32>>,
    kill_pending: Vec<AtomicBool>,
    bells: Vec<Bell>,
}

impl LwpEntries for Roster {
    fn list_entry(&self, index: u32) -> &LwpEntry {
        &self.members[index as usize]
    }
}

impl Roster {
    fn new(count: u32) -> Arc<Self> {
        let roster = Self {
            lwps: Mutex::new(LwpList::new()),
            members: (0..count).map(|_| LwpEntry::new()).collect(),
            records: (0..count).map(|_| UnsafeCell::new(0)).collect(),
            kill_pending: (0..count).map(|_| AtomicBool::new(false)).collect(),
            bells: (0..count).map(|_| Bell::new()).collect(),
        };
        roster.with_lwps(|lwps| (0..count).for_each(|index| lwps.insert(&roster, index)));
        Arc::new(roster)
    }

    fn with_lwps<R>(&self, f: impl FnOnce(&mut LwpList) -> R) -> R {
        f(&mut self.lwps.lock().expect("no model panics with the LWP list locked"))
    }

    fn post_kill(&self, index: u32) {
        // SAFETY: loom checks that no thread frees the record meanwhile; the pointer is valid inside the closure.
        self.records[index as usize].with(|record| unsafe { *record });
        self.kill_pending[index as usize].store(true, Relaxed);
        self.bells[index as usize].ring();
    }

    /// One LWP leaves, and its record is freed.
    fn leave(&self, index: u32) {
        self.with_lwps(|lwps| lwps.remove(self, index, false));
        // SAFETY: loom checks that no other thread uses the record; the pointer is valid inside the closure.
        self.records[index as usize].with_mut(|record| unsafe { *record += 1 });
    }

    /// One LWP computes until it is killed.
    fn endless_program(&self, index: u32) {
        while !self.kill_pending[index as usize].load(Relaxed) {
            self.bells[index as usize].wait();
        }
        self.leave(index);
    }
}

/// LWP 0 leaves by itself and LWP 1 computes for ever, while a killer walks them.
fn walk_meets_departure(walk: fn(&Roster)) {
    let roster = Roster::new(2);
    let (leaver, computer) = (roster.clone(), roster.clone());
    let leaving = thread::spawn(move || leaver.leave(0));
    let computing = thread::spawn(move || computer.endless_program(1));
    walk(&roster);
    leaving.join().expect("the LWP leaves");
    computing.join().expect("the LWP dies");
    assert!(roster.with_lwps(|lwps| lwps.is_empty()));
}

/// T42: the lock is dropped after each.
#[test]
fn r09_walk_meets_departure() {
    check(3, || {
        walk_meets_departure(|roster| {
            let next = || {
                roster.with_lwps(|lwps| {
                    lwps.mark_next_killed(roster, None).map(|index| roster.post_kill(index))
                })
            };
            while next().is_some() {}
        });
    });
}

#[test]
fn r09_seeded_a_copy_walked_without_the_lock() {
    catches("Causality violation", || {
        walk_meets_departure(|roster| {
            let all: Vec<u32> = roster.with_lwps(|lwps| lwps.iter(roster).collect());
            all.into_iter().for_each(|index| roster.post_kill(index));
        });
    });
}

#[test]
fn r09_seeded_the_walk_ends_where_a_victim_has_left() {
    catches("deadlock", || {
        walk_meets_departure(|roster| {
            let mut next = roster.with_lwps(|lwps| lwps.iter(roster).next());
            while let Some(index) = next {
                next = roster.with_lwps(|lwps| {
                    let mut rest = lwps.iter(roster).skip_while(|&other| other != index);
                    // It has left, and so has its successor in the list.
                    roster.post_kill(rest.next()?);
                    rest.next()
                });
            }
        });
    });
}

/// A process of two LWPs that exit, with the exit owner's work between its election and its end.
struct Process {
    gate: Gate,
    /// The exit owner sleeps here.
    last: Bell,
    zombie: Bell,
    /// The data that all its LWPs use and its exit owner tears down: words, environment.
    words: UnsafeCell<u32>,
    usage: Account,
}

impl Process {
    fn new() -> Arc<Self> {
        let gate = Gate::new();
        gate.create().expect("a new process accepts LWPs");
        Arc::new(Self {
            gate,
            last: Bell::new(),
            zombie: Bell::new(),
            words: UnsafeCell::new(0),
            usage: Account::new(),
        })
    }

    fn use_words(&self) {
        // SAFETY: loom checks that no thread tears the words down meanwhile; the pointer is valid inside the closure.
        self.words.with(|words| unsafe { *words });
    }

    fn tear_down(&self) {
        // SAFETY: loom checks that no other thread uses the words; the pointer is valid inside the closure.
        self.words.with_mut(|words| unsafe { *words += 1 });
    }

    /// The exit owner waits until it is the only LWP.
    fn wait_alone(&self) {
        while !self.gate.is_last_present() {
            self.last.wait();
        }
    }

    fn after_switch(&self) {
        match self.gate.off_cpu() {
            OffCpu::Nothing => {}
            OffCpu::WakeLast => self.last.ring(),
            OffCpu::Publish => self.zombie.ring(),
        }
    }
}

/// Two LWPs of a process exit at the same time, each by `exit`.
fn two_exit(exit: fn(&Process)) {
    let process = Process::new();
    let sibling = process.clone();
    let exiting = thread::spawn(move || exit(&sibling));
    exit(&process);
    exiting.join().expect("the sibling ends");
}

/// T30.
#[test]
fn r30_torn_down_after_the_election() {
    check(3, || {
        two_exit(|process| {
            process.use_words();
            if let ExitRole::Process(_) = process.gate.exit() {
                process.wait_alone();
                process.tear_down();
            }
            process.after_switch();
        });
    });
}

#[test]
fn r30_seeded_torn_down_before_the_election() {
    catches("Causality violation", || {
        two_exit(|process| {
            process.use_words();
            process.tear_down();
            if let ExitRole::Process(_) = process.gate.exit() {
                process.wait_alone();
            }
            process.after_switch();
        });
    });
}

const INIT: u32 = 1;
const PARENT: u32 = 2;
const CHILD: u32 = 3;

/// The parent that exits, process 1, and the child that one of the parent's LWPs spawns.
struct Family {
    parent: Arc<Process>,
    links: [FamilyLinks; 4],
    children: Mutex<Children>,
    inits: Mutex<Children>,
}

impl FamilyTable for Family {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.links.get(slot as usize)
    }
}

impl Family {
    fn spawn(&self) {
        self.links[CHILD as usize].init(Pid::new(CHILD, 0), Pid::new(CHILD, 0), false);
        self.children.lock().expect("no model panics with the child list locked").add(self, PARENT, CHILD);
    }

    fn disown(&self) {
        let mut children = self.children.lock().expect("no model panics with the child list locked");
        let mut inits = self.inits.lock().expect("no model panics with the child list locked");
        let _told = children.give_away(self, &mut inits, INIT, 8, |_| {});
    }
}

/// An LWP is in the middle of a spawn, which no election ends, when its sibling exits by `exit_owner`.
fn spawn_meets_exit(exit_owner: fn(&Family)) {
    let family = Arc::new(Family {
        parent: Process::new(),
        links: std::array::from_fn(|_| FamilyLinks::new()),
        children: Mutex::new(Children::new()),
        inits: Mutex::new(Children::new()),
    });
    let spawner = family.clone();
    let spawning = thread::spawn(move || {
        spawner.spawn();
        let _told_to_die = spawner.parent.gate.thread_exit();
        spawner.parent.after_switch();
    });
    if let ExitRole::Process(_) = family.parent.gate.exit() {
        exit_owner(&family);
        family.parent.after_switch();
        spawning.join().expect("the spawner leaves");
        assert!(
            family.children.lock().expect("no other thread has it").is_empty(),
            "I10: a child of a dead parent"
        );
        assert_eq!(family.inits.lock().expect("no other thread has it").len(), 1);
    }
}

/// T47: the child of an LWP with a kill pending is adopted.
#[test]
fn r31_spawn_meets_exit() {
    check(3, || {
        spawn_meets_exit(|family| {
            family.parent.wait_alone();
            family.disown();
        });
    });
}

#[test]
fn r31_seeded_given_away_before_the_siblings_are_gone() {
    catches("I10", || {
        spawn_meets_exit(|family| {
            family.disown();
            family.parent.wait_alone();
        });
    });
}

/// Ticks that each LWP has used.
const TICKS: u64 = 7;

fn fold(process: &Process) {
    let lwp = LwpUsage::new();
    lwp.charge(TICKS, true);
    process.usage.add(Usage { lwps: 1, ..lwp.read() });
}

/// Both LWPs end, each with the next context's `retire`; a waiter reads the sum. `exits`: the exit owner's action at
/// its exit.
fn usage_is_folded(exits: fn(&Process), retire: fn(&Process)) {
    let process = Process::new();
    let (leaver, waiter) = (process.clone(), process.clone());
    let leaving = thread::spawn(move || {
        let _thread_exit = leaver.gate.thread_exit();
        retire(&leaver);
    });
    let waiting = thread::spawn(move || {
        waiter.zombie.wait();
        let _claim = waiter.gate.claim().expect("a published zombie can be claimed");
        assert_eq!(waiter.usage.read().cpu_ticks, 2 * TICKS, "I11: not what was used");
    });
    if let ExitRole::Process(_) = process.gate.exit() {
        exits(&process);
        process.wait_alone();
    }
    retire(&process);
    leaving.join().expect("the sibling leaves");
    waiting.join().expect("the waiter reaps");
}

fn folded_then_counted(process: &Process) {
    fold(process);
    process.after_switch();
}

/// T93, T94, T95.
#[test]
fn r45_usage_is_folded_once() {
    check(2, || usage_is_folded(|_| {}, folded_then_counted));
}

#[test]
fn r45_seeded_folded_after_the_lwp_is_counted_off() {
    catches("I11", || {
        usage_is_folded(
            |_| {},
            |process| {
                process.after_switch();
                fold(process);
            },
        );
    });
}

#[test]
fn r45_seeded_the_exit_owners_folded_at_its_exit_too() {
    catches("I11", || usage_is_folded(fold, folded_then_counted));
}

/// Process 1 with two LWPs, one of which exits while the other leaves. Its end is reported, as a whole, by the LWP that
/// would end it, which powers the system off and continues no further.
struct Init {
    process: Arc<Process>,
    notified: Tally,
}

impl Init {
    fn tell(&self) {
        self.process.use_words();
        self.notified.fetch_add(1, Untracked);
    }

    /// Its LWP ends the process: reported before the election.
    fn exit(&self) {
        self.process.use_words();
        self.tell();
    }

    /// Its LWP leaves, and ends the process if it is the last one: reported before the exit owner's work.
    fn leave(&self) {
        self.process.use_words();
        match self.process.gate.thread_exit() {
            ExitRole::Process(_) => self.tell(),
            ExitRole::Thread(_) => self.process.after_switch(),
        }
    }
}

fn init_ends(first: fn(&Init), second: fn(&Init)) {
    let init = Arc::new(Init { process: Process::new(), notified: Tally::new(0) });
    let other = init.clone();
    let ending = thread::spawn(move || second(&other));
    first(&init);
    ending.join().expect("the other LWP gets as far as it gets");
    assert!(init.notified.load(Untracked) > 0, "the end of process 1 is not reported");
    assert!(!init.process.gate.view().zombie, "process 1 is a zombie");
}

/// T19.
#[test]
fn r50_the_end_of_init_is_told_first() {
    check(3, || init_ends(Init::exit, Init::leave));
    check(3, || init_ends(Init::leave, Init::leave));
    check(3, || init_ends(Init::exit, Init::exit));
}

#[test]
fn r50_seeded_torn_down_before_it_is_told() {
    const BUG: fn(&Init) = |init| {
        if let ExitRole::Process(_) = init.process.gate.exit() {
            init.process.tear_down();
            init.tell();
        }
    };
    catches("Causality violation", || init_ends(BUG, Init::exit));
}
