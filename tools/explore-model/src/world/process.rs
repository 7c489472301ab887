//! Processes: the record of `src/kernel/src/proc/table.rs`, and looking one up.

use std::cell::{Cell, RefCell};

use asphodel_core::id::Pid;
use asphodel_core::list::NIL;
use asphodel_core::proc::domain::{Domain, Domains};
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable};
use asphodel_core::proc::gate::Gate;
use asphodel_core::proc::peers::{PeerLinks, Peering, Peers};
use asphodel_core::proc::status::Status;
use asphodel_core::proc::usage::Account;
use asphodel_core::proc::vfork::VforkWait;
use asphodel_core::signal::Signal;
use asphodel_core::thread::refs::RecordRefs;

use super::lock::LwpListLock;
use super::queue::Queue;

/// What the observer knows.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) touched: Cell<bool>,
    /// The record is in use.
    pub(crate) in_use: Cell<bool>,
    /// It has a parent: it was added to a child list and not taken out for good.
    pub(crate) has_parent: Cell<bool>,
    /// LWPs that were counted in and are not off their CPUs for good.
    pub(crate) present: Cell<u32>,
    /// LWPs that were elected, and when the first one was.
    pub(crate) exit_owners: Cell<u32>,
    pub(crate) elected_at: Cell<u64>,
    /// Since a killer has walked the LWP list: how many may be left untold besides the exit owner. The one that
    /// single-threads the process is, until an exit owner walks.
    pub(crate) untold: Cell<Option<usize>>,
    /// The status that the exit owner has set.
    pub(crate) status: Cell<Option<Status>>,
    /// How often its end was reported or made away with.
    pub(crate) reports: Cell<u32>,
    /// Its usage has been given to its parent.
    pub(crate) counted: Cell<bool>,
    // References there should be.
    pub(crate) in_table: Cell<bool>,
    pub(crate) records: Cell<u32>,
    pub(crate) members: Cell<u32>,
    pub(crate) lookers: Cell<u32>,
    pub(crate) peers: Cell<u32>,
    pub(crate) subjects: Cell<u32>,
    /// It has not been told yet of kills that were under way when it was born.
    pub(crate) fate_open: Cell<bool>,
}

/// A process's record.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) slot: u32,
    generation: Cell<u32>,
    pub(crate) refs: RecordRefs,
    pub(crate) gate: Gate,
    pub(crate) family: FamilyLinks,
    pub(crate) born: Cell<bool>,
    pub(crate) fatal: Cell<u32>,
    pub(crate) pending: Cell<u32>,
    pub(crate) signalled: Queue,
    pub(crate) siblings_gone: Queue,
    pub(crate) child_events: Queue,
    pub(crate) children: RefCell<Children>,
    pub(crate) domain: Domain,
    pub(crate) death_signal: Cell<u32>,
    pub(crate) subtree_signal: Cell<u32>,
    /// The last fatal signal that was sent to the group it founded, below a count of them, and what it has seen those
    /// sent to its own.
    pub(crate) group_kill: Cell<u64>,
    pub(crate) group_signal_seen: Cell<u64>,
    pub(crate) vfork_wait: VforkWait,
    pub(crate) vfork_queue: Queue,
    pub(crate) peers: RefCell<Peers>,
    pub(crate) has_led: Cell<bool>,
    peer_links: PeerLinks,
    pub(crate) leader: Cell<u32>,
    pub(crate) lwps: LwpListLock,
    pub(crate) status: Cell<Status>,
    pub(crate) usage: Account,
    pub(crate) children_usage: Account,
    pub(crate) exit_signal: Cell<Signal>,
    pub(crate) auto_reap: Cell<bool>,
    pub(crate) group_founder: Cell<u32>,
    pub(crate) dead_lwps: Cell<u32>,
    pub(crate) seen: Seen,
}

impl Process {
    fn new(slot: u32) -> Self {
        Self {
            slot,
            generation: Cell::new(0),
            refs: RecordRefs::free(),
            gate: Gate::new(),
            family: FamilyLinks::new(),
            born: Cell::new(false),
            fatal: Cell::new(0),
            pending: Cell::new(0),
            signalled: Queue::default(),
            siblings_gone: Queue::default(),
            child_events: Queue::default(),
            children: RefCell::new(Children::new()),
            domain: Domain::new(),
            death_signal: Cell::new(0),
            subtree_signal: Cell::new(0),
            group_kill: Cell::new(0),
            group_signal_seen: Cell::new(0),
            vfork_wait: VforkWait::new(),
            vfork_queue: Queue::default(),
            peers: RefCell::new(Peers::new()),
            has_led: Cell::new(false),
            peer_links: PeerLinks::new(),
            leader: Cell::new(0),
            lwps: LwpListLock::new(),
            status: Cell::new(Status::exited(0)),
            usage: Account::new(),
            children_usage: Account::new(),
            exit_signal: Cell::new(Signal::CHLD),
            auto_reap: Cell::new(false),
            group_founder: Cell::new(0),
            dead_lwps: Cell::new(NIL),
            seen: Seen {
                touched: Cell::new(false),
                in_use: Cell::new(false),
                has_parent: Cell::new(false),
                present: Cell::new(0),
                exit_owners: Cell::new(0),
                elected_at: Cell::new(0),
                untold: Cell::new(None),
                status: Cell::new(None),
                reports: Cell::new(0),
                counted: Cell::new(false),
                in_table: Cell::new(false),
                records: Cell::new(0),
                members: Cell::new(0),
                lookers: Cell::new(0),
                peers: Cell::new(0),
                subjects: Cell::new(0),
                fate_open: Cell::new(false),
            },
        }
    }

    /// Makes the record that of a new process: `Process::reset`.
    pub(crate) fn reset(&self) {
        self.born.set(false);
        self.gate.reset();
        self.fatal.set(0);
        self.pending.set(0);
        self.status.set(Status::exited(0));
        self.usage.reset();
        self.children_usage.reset();
        self.auto_reap.set(false);
        self.death_signal.set(0);
        self.subtree_signal.set(0);
        self.vfork_wait.set(false);
        if self.has_led.replace(false) {
            self.peers.borrow_mut().reset();
        }
        self.domain.enter(Pid::INIT.slot(), Pid::INIT);
        self.dead_lwps.set(NIL);
        self.lwps.lwps().reset();
        self.refs.occupy();
        let seen = &self.seen;
        seen.in_use.set(true);
        seen.has_parent.set(false);
        seen.present.set(1);
        seen.exit_owners.set(0);
        seen.elected_at.set(0);
        seen.untold.set(None);
        seen.status.set(None);
        seen.reports.set(0);
        seen.counted.set(false);
        seen.in_table.set(true);
        seen.fate_open.set(true);
    }

    /// The reaper to whose record this one has a reference. Process 1's is not counted.
    pub(crate) fn held_reaper(&self) -> Option<u32> {
        Some(self.domain.outer()).filter(|outer| *outer != Pid::INIT.slot())
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.slot, self.generation.get())
    }

    /// The slot's next occupant has another pid.
    pub(crate) fn next_generation(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
    }

    /// Whether it founded a group that has members.
    pub(crate) fn leads_a_group(&self) -> bool {
        self.group_founder.get() == self.slot
    }

    /// References there should be.
    pub(crate) fn refs_expected(&self) -> u32 {
        let seen = &self.seen;
        u32::from(seen.in_table.get())
            + seen.records.get()
            + seen.members.get()
            + seen.lookers.get()
            + seen.peers.get()
            + seen.subjects.get()
    }
}

/// All processes.
#[derive(Debug)]
pub(crate) struct Processes {
    all: Vec<Process>,
    free: RefCell<Vec<u32>>,
}

impl Processes {
    /// `count` free records, of which slot 0 is never used.
    pub(crate) fn new(count: u32) -> Self {
        Self { all: (0..count).map(Process::new).collect(), free: RefCell::new((1..count).rev().collect()) }
    }

    /// The record in `slot`.
    pub(crate) fn get(&self, slot: u32) -> &Process {
        &self.all[slot as usize]
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    /// A free slot.
    pub(crate) fn take(&self) -> Option<u32> {
        self.free.borrow_mut().pop()
    }

    /// Takes a slot back.
    pub(crate) fn give(&self, slot: u32) {
        self.free.borrow_mut().push(slot);
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.iter().skip(1)
    }
}

impl Domains for Processes {
    fn domain(&self, slot: u32) -> &Domain {
        &self.get(slot).domain
    }
}

impl Peering for Processes {
    fn peer_links(&self, slot: u32) -> &PeerLinks {
        &self.get(slot).peer_links
    }
}

impl FamilyTable for Processes {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.all.get(slot as usize).map(|process| &process.family)
    }
}
