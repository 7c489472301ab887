//! Threads: the record of `src/kernel/src/thread/mod.rs`, as far as an end concerns it.

use std::cell::{Cell, RefCell};

use asphodel_core::list::{Links, Nodes};
use asphodel_core::mailbox::{Mail, MailLink};
use asphodel_core::proc::lwp_list::{LwpEntries, LwpEntry};
use asphodel_core::proc::usage::LwpUsage;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::thread::park::Park;
use asphodel_core::thread::refs::RecordRefs;
use asphodel_core::time::timers::{TimerLinks, Timers};
use asphodel_core::wait::queue::Sleepers;

use super::queue::{Queue, QueueId, Waiting};
use crate::actors::Role;

/// Where a thread is: in exactly one place at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its record is free, or it is dead.
    Nowhere,
    /// Somebody has made it runnable and is about to queue it.
    InHand,
    /// In the run queue of this CPU.
    Queued(u32),
    /// In the mailbox of this CPU.
    Mail(u32),
    /// On this CPU.
    Running(u32),
    /// Its CPU has left it; the next context has not finished that yet.
    Leaving,
    /// Asleep, its context saved.
    Parked,
}

/// How a context is to begin, where it does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The first run of a new thread.
    Start,
    /// The entry, from the top of the stack (exec).
    Entry,
    /// The end of an LWP with a kill pending that ran program code (kill point (c)).
    KillPoint,
}

/// What the observer knows.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) touched: Cell<bool>,
    /// The record is in use.
    pub(crate) in_use: Cell<bool>,
    pub(crate) place: Cell<Place>,
    /// References and pins there should be.
    pub(crate) refs: Cell<u32>,
    pub(crate) pins: Cell<u32>,
    /// What it waits for, from its enlisting to the end of its wait, and where.
    pub(crate) waiting: Cell<Option<(QueueId, Waiting)>>,
    /// A waker of this queue has taken it out, and it has not tested its condition since.
    pub(crate) taken: Cell<Option<QueueId>>,
    /// Killers that have marked it and not looked at its sleep yet.
    pub(crate) killers: Cell<u32>,
    /// It died because its process ends, or because a sibling became the only one.
    pub(crate) died_for_others: Cell<bool>,
    /// Its last switch is over.
    pub(crate) off_cpu: Cell<bool>,
    /// Its usage has been given to its process.
    pub(crate) folded: Cell<bool>,
    /// (seeded) Its reference to the process has been given back already.
    pub(crate) disowned: Cell<bool>,
}

/// A thread's record.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) index: u32,
    run_links: Links,
    wait_links: Links,
    mail: MailLink,
    pub(crate) timer: TimerLinks,
    pub(crate) timer_cpu: Cell<u32>,
    pub(crate) park: Park,
    pub(crate) refs: RecordRefs,
    pub(crate) kill_pending: Cell<bool>,
    pub(crate) cpu: Cell<u32>,
    pub(crate) priority: Cell<Priority>,
    pub(crate) affinity: Cell<CpuMask>,
    pub(crate) usage: LwpUsage,
    pub(crate) stack: Cell<u32>,
    pub(crate) service_depth: Cell<u32>,
    /// A context that is to begin instead of the one there is.
    pub(crate) begin: Cell<Option<Begin>>,
    // As an LWP.
    pub(crate) process: Cell<u32>,
    pub(crate) list_entry: LwpEntry,
    pub(crate) handle: Cell<u64>,
    pub(crate) joiners: Queue,
    pub(crate) returned: Cell<bool>,
    pub(crate) exit_owner: Cell<bool>,
    /// Number of the word to store, and the value; word 0: none.
    pub(crate) set_word: Cell<u32>,
    pub(crate) set_value: Cell<u32>,
    pub(crate) next_dead_lwp: Cell<u32>,
    pub(crate) role: Cell<Role>,
    pub(crate) seen: Seen,
}

impl Thread {
    fn new(index: u32) -> Self {
        Self {
            index,
            run_links: Links::new(),
            wait_links: Links::new(),
            mail: MailLink::new(),
            timer: TimerLinks::new(),
            timer_cpu: Cell::new(0),
            park: Park::new(),
            refs: RecordRefs::free(),
            kill_pending: Cell::new(false),
            cpu: Cell::new(0),
            priority: Cell::new(Priority::NORMAL),
            affinity: Cell::new(CpuMask::ALL),
            usage: LwpUsage::new(),
            stack: Cell::new(0),
            service_depth: Cell::new(0),
            begin: Cell::new(None),
            process: Cell::new(0),
            list_entry: LwpEntry::new(),
            handle: Cell::new(0),
            joiners: Queue::default(),
            returned: Cell::new(false),
            exit_owner: Cell::new(false),
            set_word: Cell::new(0),
            set_value: Cell::new(0),
            next_dead_lwp: Cell::new(0),
            role: Cell::new(Role::Worker),
            seen: Seen {
                touched: Cell::new(false),
                in_use: Cell::new(false),
                place: Cell::new(Place::Nowhere),
                refs: Cell::new(0),
                pins: Cell::new(0),
                waiting: Cell::new(None),
                taken: Cell::new(None),
                killers: Cell::new(0),
                died_for_others: Cell::new(false),
                off_cpu: Cell::new(false),
                folded: Cell::new(false),
                disowned: Cell::new(false),
            },
        }
    }

    /// Fills a free record, with `stack`, on `cpu`: `Thread::occupy`.
    pub(crate) fn occupy(&self, stack: u32, cpu: u32) {
        self.stack.set(stack);
        self.cpu.set(cpu);
        self.priority.set(Priority::NORMAL);
        self.affinity.set(CpuMask::ALL);
        self.usage.reset();
        // Its body is kernel code until it says otherwise.
        self.service_depth.set(1);
        self.kill_pending.set(false);
        self.returned.set(false);
        self.exit_owner.set(false);
        self.set_word.set(0);
        self.park.cancel();
        self.refs.occupy();
        self.begin.set(Some(Begin::Start));
        let seen = &self.seen;
        seen.in_use.set(true);
        seen.place.set(Place::InHand);
        seen.refs.set(1);
        seen.pins.set(1);
        seen.waiting.set(None);
        seen.taken.set(None);
        seen.died_for_others.set(false);
        seen.off_cpu.set(false);
        seen.folded.set(false);
        seen.disowned.set(false);
        self.joiners.due.set(0);
    }

    /// Whether it is enlisted in a wait queue.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait_links.is_linked()
    }

    /// Whether it is in a run queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.run_links.is_linked()
    }

    /// Whether it is an LWP.
    pub(crate) fn is_lwp(&self) -> bool {
        self.process.get() != 0
    }
}

/// All threads.
#[derive(Debug)]
pub(crate) struct Threads {
    all: Vec<Thread>,
    free: RefCell<Vec<u32>>,
}

impl Threads {
    /// `count` free records, of which slot 0 is never used.
    pub(crate) fn new(count: u32) -> Self {
        Self { all: (0..count).map(Thread::new).collect(), free: RefCell::new((1..count).rev().collect()) }
    }

    /// The record `index`.
    pub(crate) fn get(&self, index: u32) -> &Thread {
        &self.all[index as usize]
    }

    /// A free record.
    pub(crate) fn take(&self) -> Option<u32> {
        self.free.borrow_mut().pop()
    }

    /// Takes a record back.
    pub(crate) fn give(&self, index: u32) {
        self.free.borrow_mut().push(index);
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Thread> {
        self.all.iter().skip(1)
    }
}

impl Nodes for Threads {
    fn links(&self, index: u32) -> &Links {
        &self.get(index).run_links
    }
}

impl Mail for Threads {
    fn mail_link(&self, thread: u32) -> &MailLink {
        &self.get(thread).mail
    }
}

impl Sleepers for Threads {
    fn wait_links(&self, thread: u32) -> &Links {
        &self.get(thread).wait_links
    }

    fn park(&self, thread: u32) -> &Park {
        &self.get(thread).park
    }
}

impl Timers for Threads {
    fn timer(&self, index: u32) -> &TimerLinks {
        &self.get(index).timer
    }
}

impl LwpEntries for Threads {
    fn list_entry(&self, index: u32) -> &LwpEntry {
        &self.get(index).list_entry
    }
}
