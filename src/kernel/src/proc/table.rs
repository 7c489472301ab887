//! The process table: pids, looking a process up, and the holds on its record (`record`).
//!
//! A record is held by its being in the table (until it is reaped), by each of its LWPs' records, by members of the
//! group it founded, by peers of the task group it leads, by processes whose outer reaper it is or was, and by whoever is
//! looking at it. When the last hold goes, the slot is free for the next generation: a pid is not reused while it names
//! a zombie or a group (T135).

use asphodel_core::event::Event;
use asphodel_core::id::{MAX_PROCESSES, Pid};
use asphodel_core::list::NIL;
use asphodel_core::proc::domain::{Domain, Domains};
use asphodel_core::proc::family::{Kin, Kinship};
use asphodel_core::proc::quota::{NOBODY, Resource};
use asphodel_core::proc::tenure::Vacant;
use asphodel_core::shim::atomic::Ordering;

use crate::arch::{daif, observe};
use crate::cpu::Cpu;
use crate::mem::slab::Slab;

pub(crate) use crate::proc::record::Process;

/// Slot of process 1, which every chain of reapers ends with.
pub(crate) const INIT: u32 = Pid::INIT.slot();

/// The table of all processes.
pub(crate) struct Table(Slab<Process, 1>);

/// All processes.
pub(crate) static PROCESSES: Table = Table(Slab::new(1));

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
        observe(|| Event::RecordTaken { pid: process.pid() });
        Some(Hold(process))
    }

    /// How many records there have ever been: slots from 1 on, below this.
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    /// Every process there is, with a hold on each in turn. Not a snapshot. Thread context.
    pub(crate) fn all(&self) -> impl Iterator<Item = Hold> + '_ {
        (1..self.0.len()).filter_map(|slot| self.hold_slot(slot)).filter(|process| process.is_born())
    }
}

impl Process {
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
            observe(|| Event::RecordVacated { slot: process.slot });
            // What it has left behind is nobody's from here on.
            process.unreserve(Resource::Memory, process.memory.load(Ordering::Relaxed));
            observe(|| Event::RecordFreed { slot: process.slot });
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
