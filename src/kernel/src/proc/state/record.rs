//! The record of a process.
//!
//! Records are allocated and freed by the table (`table`); this file defines their fields, who may use them, and their
//! initial values. A record is never unmapped, so a stale reference finds a record, though perhaps another process's.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::cell::UnsafeCell;

use alloc::boxed::Box;
use asphodel_core::id::Pid;
use asphodel_core::list::NIL;
use asphodel_core::proc::domain::Domain;
use asphodel_core::proc::family::{Children, FamilyLinks};
use asphodel_core::proc::gate::Gate;
use asphodel_core::proc::lwp_list::LwpList;
use asphodel_core::proc::peers::{PeerLinks, Peers};
use asphodel_core::proc::pending::Pending;
use asphodel_core::proc::quota::{Ledger, NOBODY};
use asphodel_core::proc::slot_refs::SlotRefs;
use asphodel_core::proc::status::Status;
use asphodel_core::proc::usage::Account;
use asphodel_core::proc::vfork::VforkWait;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::signal::Signal;
use asphodel_core::trace::{ExitTrace, Step};

use crate::arch::counter;
use crate::arch::lock::InterruptLock;
use crate::mem::slab::Record;
use crate::proc::state::program::Program;
use crate::proc::state::table::INIT;
use crate::sync::wait_queue::WaitQueue;

/// A process's record.
#[repr(align(512))]
pub(crate) struct Process {
    /// Its slot in the table.
    pub(crate) slot: u32,
    /// References to the record, and the generation of its occupant; see the module's documentation.
    pub(in crate::proc) refs: SlotRefs,

    // Protocols of their own.
    pub(crate) gate: Gate,
    pub(crate) family: FamilyLinks,
    pub(crate) domain: Domain,
    /// A vfork: whether the spawner still waits, and the queue it sleeps in.
    pub(crate) vfork_wait: VforkWait,
    pub(crate) vfork_queue: WaitQueue,
    /// Its first LWP has been queued: look-ups may find it. Before that it is an embryo (D30).
    born: AtomicBool,
    /// Signal that is ending it, 0: none. The first one wins.
    pub(crate) fatal: AtomicU32,
    /// Signals that were recorded and not taken.
    pub(crate) pending: Pending,
    /// Threads that wait for a pending signal.
    pub(crate) signalled: WaitQueue,
    /// Signal by which it was killed with a subtree, 0: none; see `reaper`.
    pub(crate) subtree_signal: AtomicU32,
    /// The exit owner, or the LWP that single-threads the process, waits here for the others, and a leader's exit owner
    /// for its peers.
    pub(crate) siblings_gone: WaitQueue,
    /// LWPs that wait for a child.
    pub(crate) child_events: WaitQueue,

    // Locked.
    pub(crate) children: InterruptLock<Children>,
    pub(crate) lwps: InterruptLock<LwpList>,
    /// Processes whose leader it is; see `task_group`.
    pub(crate) peers: InterruptLock<Peers>,
    /// It has had a peer.
    pub(crate) has_led: AtomicBool,
    /// Its links among the peers of its leader, guarded by the leader's lock.
    pub(crate) peer_links: PeerLinks,
    /// Slot of its leader, to which it has a reference; 0: it is not a peer. Written by its creator and its exit owner.
    pub(crate) leader: Cell32,

    // Written by the exit owner before the process is a zombie, read after.
    pub(crate) status: Cell32,
    /// The time of each step of its exit; see `proc::info::trace`.
    pub(crate) trace: ExitTrace,
    /// The number of reports of its exit by the watchdog, which alone writes it.
    pub(crate) watch_reports: Cell32,

    // Accounts.
    pub(crate) usage: Account,
    pub(crate) children_usage: Account,
    /// Bytes of heap, stacks and arena that it is charged with; see `proc::state::memory`.
    pub(crate) memory: AtomicU64,
    pub(crate) started_at: Cell64,
    /// The arena that its program's memory comes from, 0: none; see `proc::state::arena`.
    pub(crate) arena: Cell32,
    /// Its table of descriptors, 0: none yet. Guarded by the lock of all files; its exit owner takes it, too. See
    /// `proc::state::files`.
    pub(crate) descriptors: Cell32,
    /// Its tenant, by the slot of the founder; see `proc::state::tenant`.
    pub(crate) tenant: Cell32,
    /// The usage of the tenant that it founded, if it did.
    pub(crate) ledger: Ledger,

    // Attributes.
    /// Signal its parent gets when it ends.
    pub(crate) exit_signal: AtomicU32,
    /// Its children need not be waited for (PS_NOCLDWAIT).
    pub(crate) auto_reap: AtomicBool,
    /// Signal it gets when its parent exits, 0: none.
    pub(crate) death_signal: AtomicU32,
    /// Slot of the process that founded its group, to which it has a reference.
    pub(in crate::proc) group_founder: Cell32,
    /// The last fatal signal that was sent to the group it founded, below a count of them; see `kill`.
    pub(crate) group_kill: AtomicU64,
    /// The value of its group's `group_kill` that this process has already acted on.
    pub(crate) group_signal_seen: Cell64,
    /// Next in a list of vacant records; see `table`.
    pub(in crate::proc) next_vacant: Cell32,

    /// Dead LWPs whose stacks wait until no sibling can run, by thread index; see `dead_thread`.
    pub(crate) dead_lwps: AtomicU32,
    /// Its program, and a number for it.
    program: UnsafeCell<Program>,
    pub(crate) number: Cell64,
    /// The words it was started with, joined by zero bytes.
    words: UnsafeCell<Option<Box<str>>>,
}

// SAFETY: `program` and `words` are written by the creator before the record is reachable, and by an LWP that has
// become the only one, which holds the LWP list's lock meanwhile. Others read `program` under that lock; its own LWPs
// read it without, because only the writer exists then. `words` are read by its LWPs and taken by the exit owner. The
// rest is atomic or locked.
unsafe impl Sync for Process {}

impl Record for Process {
    fn new(index: u32) -> Self {
        Self {
            slot: index,
            refs: SlotRefs::new(),
            gate: Gate::new(),
            family: FamilyLinks::new(),
            domain: Domain::new(),
            vfork_wait: VforkWait::new(),
            vfork_queue: WaitQueue::new(),
            born: AtomicBool::new(false),
            fatal: AtomicU32::new(0),
            pending: Pending::new(),
            signalled: WaitQueue::new(),
            subtree_signal: AtomicU32::new(0),
            siblings_gone: WaitQueue::new(),
            child_events: WaitQueue::new(),
            children: InterruptLock::new(Children::new()),
            lwps: InterruptLock::new(LwpList::new()),
            peers: InterruptLock::new(Peers::new()),
            has_led: AtomicBool::new(false),
            peer_links: PeerLinks::new(),
            leader: Cell32::new(0),
            status: Cell32::new(0),
            trace: ExitTrace::new(),
            watch_reports: Cell32::new(0),
            usage: Account::new(),
            children_usage: Account::new(),
            memory: AtomicU64::new(0),
            started_at: Cell64::new(0),
            arena: Cell32::new(0),
            descriptors: Cell32::new(0),
            tenant: Cell32::new(NOBODY),
            ledger: Ledger::new(),
            exit_signal: AtomicU32::new(0),
            auto_reap: AtomicBool::new(false),
            death_signal: AtomicU32::new(0),
            group_founder: Cell32::new(0),
            group_kill: AtomicU64::new(0),
            group_signal_seen: Cell64::new(0),
            next_vacant: Cell32::new(NIL),
            dead_lwps: AtomicU32::new(NIL),
            program: UnsafeCell::new(Program::new("", |_| 0)),
            number: Cell64::new(0),
            words: UnsafeCell::new(None),
        }
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Process({}, {:?})", self.pid(), self.gate)
    }
}

impl Process {
    /// Initializes the record for a new process. It must not be reachable.
    pub(in crate::proc) fn reset(&self) {
        self.born.store(false, Ordering::Relaxed);
        self.gate.reset();
        for word in [&self.fatal, &self.subtree_signal, &self.death_signal] {
            word.store(0, Ordering::Relaxed);
        }
        self.pending.clear();
        self.status.set(0);
        self.trace.reset();
        self.watch_reports.set(0);
        self.usage.reset();
        self.children_usage.reset();
        self.memory.store(0, Ordering::Relaxed);
        self.tenant.set(NOBODY);
        self.auto_reap.store(false, Ordering::Relaxed);
        self.dead_lwps.store(NIL, Ordering::Relaxed);
        self.lwps.lock().reset();
        if self.has_led.load(Ordering::Relaxed) {
            self.has_led.store(false, Ordering::Relaxed);
            self.peers.lock().reset();
        }
        // No reference is held that would have to be dropped.
        self.domain.enter(INIT, Pid::INIT);
    }

    /// Makes it findable.
    pub(crate) fn set_born(&self) {
        // Release: everything the creator wrote precedes any look-up.
        self.born.store(true, Ordering::Release);
    }

    pub(in crate::proc) fn is_born(&self) -> bool {
        self.born.load(Ordering::Acquire)
    }

    /// Returns whether it founded a group that has members.
    pub(crate) fn leads_a_group(&self) -> bool {
        self.group_founder.get() == self.slot
    }

    /// Returns its pid.
    #[inline(always)]
    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.slot, self.refs.generation())
    }

    /// Returns the status that its exit owner has set.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        Status::from_word(self.status.get() as u16)
    }

    /// Records that `step` of its exit is done now. Called by the LWP or context that does it; any context.
    ///
    /// The counter is read without a barrier: a stamp may be a few instructions early, which is not observable, and on
    /// one CPU stamps stay in order.
    #[inline(always)]
    pub(crate) fn mark(&self, step: Step) {
        self.trace.mark(step, counter::now());
    }

    /// Sets its program. Called by the creator, before the record is reachable, or by the only LWP, which holds the LWP
    /// list's lock.
    pub(crate) fn set_program(&self, program: Program, words: Option<Box<str>>, number: usize) {
        // SAFETY: see `unsafe impl Sync`.
        let _old_words = unsafe {
            *self.program.get() = program;
            core::mem::replace(&mut *self.words.get(), words)
        };
        self.number.set(number as u64);
    }

    /// Returns its program. Called by its own LWPs.
    pub(crate) fn program(&self) -> Program {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { *self.program.get() }
    }

    /// Returns the name of its program. The caller holds the lock of its `lwps`.
    pub(crate) fn name(&self, _lwps: &LwpList) -> &'static str {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { (*self.program.get()).name }
    }

    /// Returns the words it was started with, joined by zero bytes, if there are any. Called by its own LWPs.
    pub(crate) fn words(&self) -> Option<&str> {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { (*self.words.get()).as_deref() }
    }

    /// Frees the words. Called by the exit owner, or by the creator that gave up.
    pub(crate) fn drop_words(&self) {
        // SAFETY: see `unsafe impl Sync`.
        let words = unsafe { (*self.words.get()).take() };
        drop(words);
    }

    /// Returns the signal its parent gets when it ends.
    pub(crate) fn exit_signal(&self) -> Signal {
        Signal::new(self.exit_signal.load(Ordering::Relaxed) as i32).unwrap_or(Signal::CHLD)
    }
}
