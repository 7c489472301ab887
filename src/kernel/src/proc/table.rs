//! The process table: records, pids, and looking a process up.
//!
//! A record is held by its being in the table (until it is reaped), by each of its LWPs' records, by members of the
//! group it founded, by peers of the task group it leads, by processes whose outer reaper it is or was, and by whoever is
//! looking at it. When the last hold goes, the slot is free for the next generation: a pid is not reused while it names
//! a zombie or a group (T135).

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use alloc::boxed::Box;
use asphodel_core::id::{MAX_PROCESSES, Pid};
use asphodel_core::list::NIL;
use asphodel_core::proc::crew::Crew;
use asphodel_core::proc::domain::{Domain, Domains};
use asphodel_core::proc::family::{Brood, Kin, Kinship};
use asphodel_core::proc::gate::Gate;
use asphodel_core::proc::loan::Loan;
use asphodel_core::proc::peers::{PeerLinks, Peers};
use asphodel_core::proc::pending::Pending;
use asphodel_core::proc::quota::{Ledger, NOBODY, Resource};
use asphodel_core::proc::status::Status;
use asphodel_core::proc::tenure::{Tenure, Vacant};
use asphodel_core::proc::usage::Account;
use asphodel_core::shim::guarded::{Cell32, Cell64};
use asphodel_core::signal::Signal;
use asphodel_core::trace::{ExitTrace, Step};

use crate::arch::lock::InterruptLock;
use crate::arch::{counter, daif};
use crate::cpu::Cpu;
use crate::mem::slab::{Record, Slab};
use crate::proc::program::Program;
use crate::sync::wait_queue::WaitQueue;

/// Slot of process 1, which every chain of reapers ends with.
pub(crate) const INIT: u32 = Pid::INIT.slot();

/// A process's record.
#[repr(align(512))]
pub(crate) struct Process {
    /// Its slot in the table.
    pub(crate) slot: u32,
    /// Holds on the record, and the generation of its occupant; see the module's documentation.
    tenure: Tenure,

    // Protocols of their own.
    pub(crate) gate: Gate,
    pub(crate) kin: Kin,
    pub(crate) domain: Domain,
    /// Memory that its spawner waits for (vfork), and where that sleeps.
    pub(crate) loan: Loan,
    pub(crate) lender: WaitQueue,
    /// Its first LWP has been queued: look-ups may find it. Before that it is an embryo (D30).
    born: AtomicBool,
    /// Signal that is ending it, 0: none. The first one wins.
    pub(crate) fatal: AtomicU32,
    /// Signals that were recorded and not taken.
    pub(crate) pending: Pending,
    /// Threads that wait for a pending signal.
    pub(crate) signalled: WaitQueue,
    /// Signal by which it was killed with a subtree, 0: none; see `reaper`.
    pub(crate) culled: AtomicU32,
    /// The master, or the LWP becoming single, waits here for the others, and a leader's master for its peers.
    pub(crate) alone: WaitQueue,
    /// LWPs that wait for a child.
    pub(crate) child_events: WaitQueue,

    // Locked.
    pub(crate) brood: InterruptLock<Brood>,
    pub(crate) crew: InterruptLock<Crew>,
    /// Processes whose leader it is; see `task_group`.
    pub(crate) peers: InterruptLock<Peers>,
    /// It has had a peer.
    pub(crate) has_led: AtomicBool,
    /// Its links among the peers of its leader, under that one's lock.
    pub(crate) peer_links: PeerLinks,
    /// Slot of its leader, on which it has a hold; 0: it is nobody's peer. Written by its creator and its master.
    pub(crate) leader: Cell32,

    // Written by the master before the process is a zombie, read after.
    pub(crate) status: Cell32,
    /// When each step of its exit was done; see `proc::trace`.
    pub(crate) trace: ExitTrace,
    /// How often the watchdog has reported its exit; by the watchdog.
    pub(crate) watch_reports: Cell32,

    // Accounts.
    pub(crate) usage: Account,
    pub(crate) children_usage: Account,
    /// Bytes of heap, stacks and arena that it is charged with; see `proc::memory`.
    pub(crate) memory: AtomicU64,
    pub(crate) started_at: Cell64,
    /// The arena that its program's memory comes from, 0: none; see `proc::arena`.
    pub(crate) arena: Cell32,
    /// Its tenant, by the slot of the founder; see `proc::tenant`.
    pub(crate) tenant: Cell32,
    /// What the tenant has that it founded, if it did.
    pub(crate) ledger: Ledger,

    // Attributes.
    /// Signal its parent gets when it ends.
    pub(crate) exit_signal: AtomicU32,
    /// Its children need not be waited for (PS_NOCLDWAIT).
    pub(crate) auto_reap: AtomicBool,
    /// Signal it gets when its parent dies, 0: none.
    pub(crate) death_signal: AtomicU32,
    /// Slot of the process that founded its group, on which it has a hold.
    group_founder: Cell32,
    /// The last fatal signal that was sent to the group it founded, below a count of them; see `kill`.
    pub(crate) group_kill: AtomicU64,
    /// That word of its own group's founder, as far as it has not ended the process.
    pub(crate) group_heard: Cell64,
    /// Next in a list of vacant records; see [`Process::free`].
    next_vacant: Cell32,

    /// Dead LWPs whose stacks wait until no sibling can run, by thread index; see `undertaker`.
    pub(crate) corpses: AtomicU32,
    /// What it runs, and a number for it.
    program: UnsafeCell<Program>,
    pub(crate) number: Cell64,
    /// The words it was started with, joined by zero bytes.
    words: UnsafeCell<Option<Box<str>>>,
}

// SAFETY: `program` and `words` are written by the creator before anybody can reach the record, and by an LWP that has
// become the only one, which holds the crew's lock meanwhile. Others read `program` under that lock, its own LWPs
// without: there is none but the writer then. `words` are read by its LWPs and taken by the master. The rest is atomic
// or locked.
unsafe impl Sync for Process {}

/// The table of all processes.
pub(crate) struct Table(Slab<Process, 1>);

/// All processes.
pub(crate) static PROCESSES: Table = Table(Slab::new(1));

impl Record for Process {
    fn new(index: u32) -> Self {
        Self {
            slot: index,
            tenure: Tenure::new(),
            gate: Gate::new(),
            kin: Kin::new(),
            domain: Domain::new(),
            loan: Loan::new(),
            lender: WaitQueue::new(),
            born: AtomicBool::new(false),
            fatal: AtomicU32::new(0),
            pending: Pending::new(),
            signalled: WaitQueue::new(),
            culled: AtomicU32::new(0),
            alone: WaitQueue::new(),
            child_events: WaitQueue::new(),
            brood: InterruptLock::new(Brood::new()),
            crew: InterruptLock::new(Crew::new()),
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
            tenant: Cell32::new(NOBODY),
            ledger: Ledger::new(),
            exit_signal: AtomicU32::new(0),
            auto_reap: AtomicBool::new(false),
            death_signal: AtomicU32::new(0),
            group_founder: Cell32::new(0),
            group_kill: AtomicU64::new(0),
            group_heard: Cell64::new(0),
            next_vacant: Cell32::new(NIL),
            corpses: AtomicU32::new(NIL),
            program: UnsafeCell::new(Program::new("", |_| 0)),
            number: Cell64::new(0),
            words: UnsafeCell::new(None),
        }
    }
}

impl Kinship for Table {
    #[inline(always)]
    fn kin(&self, slot: u32) -> Option<&Kin> {
        self.0.find(slot).map(|process| &process.kin)
    }

    #[inline(always)]
    fn listed(&self, slot: u32) -> &Kin {
        &self.get(slot).kin
    }
}

impl Domains for Table {
    #[inline(always)]
    fn domain(&self, slot: u32) -> &Domain {
        &self.get(slot).domain
    }
}

/// A hold on a process record: it stays what it is while this lives.
#[derive(Debug)]
pub(crate) struct Hold(&'static Process);

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Process({}, {:?})", self.pid(), self.gate)
    }
}

impl core::ops::Deref for Hold {
    type Target = Process;

    #[inline(always)]
    fn deref(&self) -> &Process {
        self.0
    }
}

impl Hold {
    /// The record itself, for the holder's own purposes.
    #[inline(always)]
    pub(crate) fn record(&self) -> &'static Process {
        self.0
    }

    /// Goes on without this value; whoever takes the hold over calls [`Process::release`].
    #[inline(always)]
    pub(crate) fn keep(self) -> &'static Process {
        let process = self.0;
        core::mem::forget(self);
        process
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Table {
    /// The record in `slot`, which has been handed out; it may have another occupant by now.
    #[inline(always)]
    pub(crate) fn get(&self, slot: u32) -> &'static Process {
        self.0.get(slot)
    }

    /// A hold on the process that `pid` names, zombies included; `None` once it has been reaped. Any context.
    #[inline]
    pub(crate) fn find(&self, pid: Pid) -> Option<Hold> {
        if !pid.is_valid() {
            return None;
        }
        let hold = self.hold_slot(pid.slot())?;
        (hold.pid() == pid && hold.is_born() && !hold.gate.view().claimed).then_some(hold)
    }

    /// A hold on whatever process is in `slot`.
    #[inline]
    pub(crate) fn hold_slot(&self, slot: u32) -> Option<Hold> {
        let process = self.0.find(slot)?;
        // Lazily: a hold that was made and dropped would give back one that nobody took.
        process.tenure.try_hold().then(|| Hold(process))
    }

    /// Takes a free slot for a new process: its first hold is that of its being in the table. Thread context.
    pub(crate) fn allocate(&self) -> Option<Hold> {
        let interrupts = daif::mask();
        // SAFETY: this CPU, interrupts masked, no other borrow.
        let slot = unsafe { Cpu::this().with_private(|private| self.0.take(&mut private.processes)) };
        daif::restore(interrupts);
        let process = self.0.get(slot.filter(|slot| *slot < MAX_PROCESSES)?);
        process.reset();
        process.tenure.begin();
        Some(Hold(process))
    }

    /// Every process there is, with a hold on each in turn. Not a snapshot. Thread context.
    pub(crate) fn all(&self) -> impl Iterator<Item = Hold> + '_ {
        (1..self.0.len()).filter_map(|slot| self.hold_slot(slot)).filter(|process| process.is_born())
    }
}

impl Process {
    /// Makes the record that of a new process. Nobody can reach it.
    fn reset(&self) {
        self.born.store(false, Ordering::Relaxed);
        self.gate.reset();
        for word in [&self.fatal, &self.culled, &self.death_signal] {
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
        self.corpses.store(NIL, Ordering::Relaxed);
        self.crew.lock().reset();
        if self.has_led.load(Ordering::Relaxed) {
            self.has_led.store(false, Ordering::Relaxed);
            self.peers.lock().reset();
        }
        // Nothing is held that would have to be given back.
        self.domain.enter(INIT, Pid::INIT);
    }

    /// Look-ups may find it from here on.
    pub(crate) fn set_born(&self) {
        // Release: everything the creator wrote comes before anybody's look.
        self.born.store(true, Ordering::Release);
    }

    fn is_born(&self) -> bool {
        self.born.load(Ordering::Acquire)
    }

    /// Whether it founded a group that has members.
    pub(crate) fn leads_a_group(&self) -> bool {
        self.group_founder.get() == self.slot
    }

    /// Its pid.
    #[inline(always)]
    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.slot, self.tenure.generation())
    }

    /// The status its master has set.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        Status::from_word(self.status.get() as u16)
    }

    /// `step` of its exit is done, now. The one who does it; any context.
    ///
    /// The counter is read without a barrier: a stamp that is a few instructions early tells no lie that anybody could
    /// see, and on one CPU stamps stay in order.
    #[inline(always)]
    pub(crate) fn mark(&self, step: Step) {
        self.trace.mark(step, counter::now());
    }

    /// Sets what it runs. The creator, before anybody can reach the record, or the only LWP there is, which holds the
    /// crew's lock.
    pub(crate) fn set_program(&self, program: Program, words: Option<Box<str>>, number: usize) {
        // SAFETY: see `unsafe impl Sync`.
        let _old_words = unsafe {
            *self.program.get() = program;
            core::mem::replace(&mut *self.words.get(), words)
        };
        self.number.set(number as u64);
    }

    /// What it runs. For its own LWPs.
    pub(crate) fn program(&self) -> Program {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { *self.program.get() }
    }

    /// The name of what it runs, for whoever holds the lock of its `crew`.
    pub(crate) fn name(&self, _crew: &Crew) -> &'static str {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { (*self.program.get()).name }
    }

    /// The words it was started with. For its own LWPs.
    pub(crate) fn words(&self) -> &str {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { (*self.words.get()).as_deref().unwrap_or("") }
    }

    /// The words are not needed any more. The reaper, or the creator that gave up.
    pub(crate) fn drop_words(&self) {
        // SAFETY: see `unsafe impl Sync`.
        let words = unsafe { (*self.words.get()).take() };
        drop(words);
    }

    /// The signal its parent gets when it ends.
    pub(crate) fn exit_signal(&self) -> Signal {
        Signal::new(self.exit_signal.load(Ordering::Relaxed) as i32).unwrap_or(Signal::CHLD)
    }

    /// Puts it into the group founded by `founder` (itself, perhaps), with what it has `heard` of the signals sent to
    /// that. The creator, before anybody knows it.
    pub(crate) fn found_group(&self, founder: Hold, heard: u64) {
        self.group_heard.set(heard);
        self.group_founder.set(founder.keep().slot);
    }

    /// The last fatal signal its group was sent, below a count of them.
    pub(crate) fn group_word(&self) -> u64 {
        PROCESSES.get(self.group_founder.get()).group_kill.load(Ordering::SeqCst)
    }

    /// A hold on the founder of its group.
    pub(crate) fn group_founder(&self) -> Option<Hold> {
        PROCESSES.hold_slot(self.group_founder.get())
    }

    /// It leaves its group. Once, by the reaper.
    pub(crate) fn leave_group(&self) {
        PROCESSES.get(self.group_founder.get()).release();
    }

    /// One more hold; the caller has one.
    #[inline]
    pub(crate) fn hold(&'static self) -> Hold {
        self.tenure.hold();
        Hold(self)
    }

    /// The reaper on whose record this one has a hold. Process 1's is not counted: it is there for good.
    fn held_reaper(&self) -> u32 {
        let outer = self.domain.outer();
        if outer == INIT { NOBODY } else { outer }
    }

    /// Puts it into a reaper's domain, and takes a hold on that one's record; the caller knows it to be held. The
    /// creator, before anybody can reach the record.
    pub(crate) fn enter_domain(&self, outer: u32, branch: Pid) {
        self.domain.enter(outer, branch);
        if outer != INIT {
            PROCESSES.get(outer).hold().keep();
        }
    }

    /// Gives a hold back. Any context; never blocks.
    #[inline]
    pub(crate) fn release(&self) {
        if let Some(vacant) = self.tenure.release() {
            self.free(vacant);
        }
    }

    /// Frees the record, and those on which nobody else has a hold any more: its outer reaper's, its tenant's founder's,
    /// and so on. In a loop over a list through the vacant records, for the chains may be long.
    fn free(&self, vacant: Vacant) {
        let mut vacated = NIL;
        self.put_aside(vacant, &mut vacated);
        while vacated != NIL {
            let process = PROCESSES.get(vacated);
            vacated = process.next_vacant.get();
            // What it has left behind is nobody's from here on.
            process.unreserve(Resource::Memory, process.memory.load(Ordering::Relaxed));
            for held in [process.held_tenant(), process.held_reaper()] {
                if held != NOBODY
                    && let Some(vacant) = PROCESSES.get(held).tenure.release()
                {
                    PROCESSES.get(held).put_aside(vacant, &mut vacated);
                }
            }
            let interrupts = daif::mask();
            // SAFETY: this CPU, interrupts masked, no other borrow.
            unsafe {
                Cpu::this().with_private(|private| PROCESSES.0.give(&mut private.processes, process.slot));
            };
            daif::restore(interrupts);
        }
    }

    /// Lists the vacant record for [`Process::free`].
    fn put_aside(&self, _vacant: Vacant, vacated: &mut u32) {
        self.next_vacant.set(*vacated);
        *vacated = self.slot;
    }
}
