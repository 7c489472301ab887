//! The world: every record, every CPU, the clock, and what an omniscient observer knows.
//!
//! One thread of the host runs it all, so records are made of cells. Each record has, beside what the kernel's record
//! has, a part called `seen`: what really happened to it, kept by the places where it happens and used by
//! [`crate::invariants`] alone.

pub(crate) mod cpu;
pub(crate) mod lock;
pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod stacks;
pub(crate) mod thread;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use asphodel_core::proc::hooks::Registry;
use asphodel_core::proc::kill_walk::KillWalks;
use asphodel_core::proc::usage::Usage;

use crate::actors::HOOKS;
use crate::config::{Bug, Config};
use crate::event::{Log, What};
use crate::glue::reaper::SubtreeKill;
use crate::rng::Rng;
use cpu::Cpu;
use process::{Process, Processes};
use queue::{Queue, QueueId};
use stacks::Stacks;
use thread::{Thread, Threads};

/// A CPU is held up for up to two to this power of steps: seldom long, but then long enough for a whole life.
const HOLD_UP: u32 = 12;

/// An invariant, by its number in the specification, and how it is violated.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// Something to wait for that is not the kernel's: a count, and its waiters.
#[derive(Debug, Default)]
pub(crate) struct Semaphore {
    pub(crate) count: Cell<u32>,
    pub(crate) queue: Queue,
}

/// What has come about so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) lives: Cell<u64>,
    pub(crate) lwps: Cell<u64>,
    pub(crate) reports: Cell<u64>,
    pub(crate) checks: Cell<u64>,
    pub(crate) calms: Cell<u64>,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) threads: Threads,
    pub(crate) processes: Processes,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) stacks: Stacks,
    pub(crate) semaphores: Vec<Semaphore>,
    /// What `extexit` stores at.
    pub(crate) words: Vec<Cell<u32>>,
    /// Kills of subtrees that are under way, and how many.
    pub(crate) subtree_kills: KillWalks,
    pub(crate) active_subtree_kills: RefCell<Vec<SubtreeKill>>,
    /// The at_exit hooks that are registered, by number.
    pub(crate) hooks: RefCell<Registry<u32, { HOOKS as usize }>>,
    /// The CPU whose step it is.
    pub(crate) this: Cell<u32>,
    /// The counter.
    pub(crate) now: Cell<u64>,
    /// Steps so far.
    pub(crate) steps: Cell<u64>,
    /// Nobody begins anything new: the world comes to rest, to be looked at.
    pub(crate) calm: Cell<bool>,
    /// Process 1 has seen the last of its children in a calm.
    pub(crate) settled: Cell<bool>,
    /// CPUs are often held up right after a step of this kind.
    pub(crate) grudge: Cell<u32>,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) log: RefCell<Log>,
    pub(crate) counts: Counts,
    /// All that was ever charged to anybody, by cell for the four figures.
    pub(crate) charged: Cell<Usage>,
    violation: RefCell<Option<Violation>>,
    touched_threads: RefCell<Vec<u32>>,
    touched_processes: RefCell<Vec<u32>>,
}

impl World {
    /// A world with its CPUs, where nothing runs yet.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            // One idle thread for each CPU, and slot 0 that nobody has.
            threads: Threads::new(config.lwps + config.cpus + 1),
            processes: Processes::new(config.processes + 1),
            cpus: (0..config.cpus).map(Cpu::new).collect(),
            stacks: Stacks::new(config.lwps + config.cpus),
            semaphores: (0..3).map(|_| Semaphore::default()).collect(),
            words: (0..4).map(|_| Cell::new(0)).collect(),
            subtree_kills: KillWalks::new(),
            active_subtree_kills: RefCell::new(Vec::new()),
            hooks: RefCell::new(Registry::new()),
            this: Cell::new(0),
            now: Cell::new(0),
            steps: Cell::new(0),
            calm: Cell::new(false),
            settled: Cell::new(false),
            grudge: Cell::new(0),
            rng: RefCell::new(Rng::new(config.seed)),
            log: RefCell::new(Log::new()),
            counts: Counts::default(),
            charged: Cell::new(Usage::default()),
            violation: RefCell::new(None),
            touched_threads: RefCell::new(Vec::new()),
            touched_processes: RefCell::new(Vec::new()),
        }
    }

    /// The point before an atomic step: whoever is next may do theirs first.
    pub(crate) async fn at(&self, what: What, about: u32) {
        Interleave(false).await;
        self.note(what, about);
        if what as u32 == self.grudge.get() && self.one_in(4) {
            self.cpu().held_up_until.set(self.steps.get() + (1 << self.below(HOLD_UP)));
        }
    }

    /// Tells of a step.
    pub(crate) fn note(&self, what: What, about: u32) {
        let cpu = self.cpu();
        let thread = self.peek_thread(cpu.current.get());
        let pid = match thread.process.get() {
            0 => 0,
            slot => self.peek_process(slot).pid().raw(),
        };
        let who = (thread.index, pid, thread.list_entry.tid());
        self.log.borrow_mut().note(self.steps.get(), cpu.index, who, what, about);
    }

    /// The CPU whose step it is.
    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpus[self.this.get() as usize]
    }

    /// The running thread.
    pub(crate) fn me(&self) -> &Thread {
        self.thread(self.cpu().current.get())
    }

    /// The running thread's process.
    pub(crate) fn my_process(&self) -> &Process {
        self.process(self.me().process.get())
    }

    /// A thread; it is checked after the step.
    pub(crate) fn thread(&self, index: u32) -> &Thread {
        let thread = self.threads.get(index);
        if !thread.seen.touched.replace(true) {
            self.touched_threads.borrow_mut().push(index);
        }
        thread
    }

    /// A process; it is checked after the step.
    pub(crate) fn process(&self, slot: u32) -> &Process {
        let process = self.processes.get(slot);
        if !process.seen.touched.replace(true) {
            self.touched_processes.borrow_mut().push(slot);
        }
        process
    }

    /// A thread, for a look only.
    pub(crate) fn peek_thread(&self, index: u32) -> &Thread {
        self.threads.get(index)
    }

    /// A process, for a look only.
    pub(crate) fn peek_process(&self, slot: u32) -> &Process {
        self.processes.get(slot)
    }

    /// A queue by its name.
    pub(crate) fn queue(&self, id: QueueId) -> &Queue {
        match id {
            QueueId::Children(slot) => &self.process(slot).child_events,
            QueueId::SiblingsGone(slot) => &self.process(slot).siblings_gone,
            QueueId::Vfork(slot) => &self.process(slot).vfork_queue,
            QueueId::Signalled(slot) => &self.process(slot).signalled,
            QueueId::Joiners(thread) => &self.thread(thread).joiners,
            QueueId::Semaphore(number) => &self.semaphores[number as usize].queue,
        }
    }

    /// Takes the lists of what the step has touched.
    pub(crate) fn take_touched(&self, threads: &mut Vec<u32>, processes: &mut Vec<u32>) {
        threads.append(&mut self.touched_threads.borrow_mut());
        processes.append(&mut self.touched_processes.borrow_mut());
        for &index in threads.iter() {
            self.threads.get(index).seen.touched.set(false);
        }
        for &slot in processes.iter() {
            self.processes.get(slot).seen.touched.set(false);
        }
    }

    /// An invariant does not hold. The first violation counts.
    #[cold]
    pub(crate) fn violate(&self, invariant: &'static str, what: String) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            *violation = Some(Violation { invariant, what });
        }
    }

    /// Says that `what` violates `invariant` unless `holds`.
    pub(crate) fn expect(&self, holds: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.violate(invariant, what());
        }
    }

    /// The violation, if there was one.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    /// Whether there was a violation.
    pub(crate) fn is_violated(&self) -> bool {
        self.violation.borrow().is_some()
    }

    /// Whether `bug` is seeded.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.config.bug == Some(bug)
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: u32) -> u32 {
        self.rng.borrow_mut().below(limit)
    }

    /// True in one of `of` cases.
    pub(crate) fn one_in(&self, of: u32) -> bool {
        self.below(of) == 0
    }
}

/// Gives way once.
struct Interleave(bool);

impl Future for Interleave {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}

/// Waits until the context that awaits it is polled again: its CPU has come back to it.
pub(crate) fn come_back() -> impl Future<Output = ()> {
    Interleave(false)
}

/// Never goes on.
pub(crate) async fn never() -> ! {
    loop {
        std::future::pending::<()>().await;
    }
}

/// A counter that a look needs.
pub(crate) fn add(cell: &Cell<u32>, by: i32) -> bool {
    match cell.get().checked_add_signed(by) {
        Some(value) => {
            cell.set(value);
            true
        }
        None => false,
    }
}
