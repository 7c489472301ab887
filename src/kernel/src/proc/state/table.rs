//! The process table: pids, looking a process up, and the references to its record (`record`).
//!
//! A record is referenced by the table (until it is reaped), by each of its LWPs' records, by members of the group it
//! founded, by peers of the task group it leads, by processes whose outer reaper it is or was, and by readers. When the
//! last reference is dropped, the slot is free for the next generation: a pid is not reused while it names a zombie or
//! a group (T135).

use asphodel_core::event::Event;
use asphodel_core::id::{MAX_PROCESSES, Pid};
use asphodel_core::list::NIL;
use asphodel_core::proc::domain::{Domain, Domains};
use asphodel_core::proc::family::{FamilyLinks, FamilyTable};
use asphodel_core::proc::quota::{NO_TENANT, Resource};
use asphodel_core::proc::slot_refs::Vacant;

use crate::arch::{daif, observe};
use crate::cpu::Cpu;
use crate::mem::inject;
use crate::mem::slab::Slab;
use crate::thread::Thread;

pub(crate) use crate::proc::state::record::Process;

/// Slot of process 1, which every chain of reapers ends with.
pub(crate) const INIT: u32 = Pid::INIT.slot();

/// The table of all processes.
pub(crate) struct Table(Slab<Process, 1>);

/// All processes.
pub(crate) static PROCESSES: Table = Table(Slab::new(1));

impl FamilyTable for Table {
    #[inline(always)]
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.0.find(slot).map(|process| &process.family.links)
    }

    #[inline(always)]
    fn listed(&self, slot: u32) -> &FamilyLinks {
        &self.get(slot).family.links
    }
}

impl Domains for Table {
    #[inline(always)]
    fn domain(&self, slot: u32) -> &Domain {
        &self.get(slot).family.domain
    }
}

/// A reference to a process record, which keeps the record valid.
#[derive(Debug)]
pub(crate) struct ProcessRef(&'static Process);

impl core::ops::Deref for ProcessRef {
    type Target = Process;

    #[inline(always)]
    fn deref(&self) -> &Process {
        self.0
    }
}

impl ProcessRef {
    /// Returns the record itself, for use while the reference is kept.
    #[inline(always)]
    pub(crate) fn record(&self) -> &'static Process {
        self.0
    }

    /// Turns it into a bare record; the new owner of the reference calls [`Process::put`].
    #[inline(always)]
    pub(crate) fn into_raw(self) -> &'static Process {
        let process = self.0;
        core::mem::forget(self);
        process
    }
}

impl Drop for ProcessRef {
    #[inline]
    fn drop(&mut self) {
        self.0.put();
    }
}

/// Returns the running LWP's process. Called by LWPs only.
#[inline(always)]
pub(crate) fn current_process() -> &'static Process {
    process_of(Thread::current())
}

impl Process {
    /// Returns the pid of its parent; 0 for process 1, and for a process that has been reaped. The caller has a
    /// reference, or is the process. Never blocks.
    pub(crate) fn parent_pid(&self) -> Pid {
        loop {
            let slot = self.family.parent();
            let parent = PROCESSES.find_slot(slot).map(|parent| parent.pid());
            match parent {
                // Another process may have been put into the slot, but not while it was the parent's.
                Some(pid) if self.family.parent() == slot => return pid,
                None if self.pid() == Pid::INIT || self.gate.view().claimed => return Pid::NONE,
                // It is just given to a reaper, by an LWP that holds a lock.
                _ => core::hint::spin_loop(),
            }
        }
    }
}

/// Returns the process of an LWP.
#[inline(always)]
pub(crate) fn process_of(lwp: &Thread) -> &'static Process {
    PROCESSES.get(lwp.lwp.process.get())
}

impl Table {
    /// Returns the record in `slot`, which has been handed out; it may have another occupant by now.
    #[inline(always)]
    pub(crate) fn get(&self, slot: u32) -> &'static Process {
        self.0.get(slot)
    }

    /// Returns a reference to the process that `pid` names, zombies included; `None` once it has been reaped. Any
    /// context.
    #[inline]
    pub(crate) fn find(&self, pid: Pid) -> Option<ProcessRef> {
        if !pid.is_valid() {
            return None;
        }
        let found = self.find_slot(pid.slot())?;
        (found.pid() == pid && found.table.is_born() && !found.gate.view().claimed).then_some(found)
    }

    /// Returns a reference to the process in `slot`, if there is one.
    #[inline]
    pub(crate) fn find_slot(&self, slot: u32) -> Option<ProcessRef> {
        let process = self.0.find(slot)?;
        // `then`, not `then_some`: dropping an eagerly built reference would release one that was never taken.
        process.table.refs.try_get().then(|| ProcessRef(process))
    }

    /// Takes a free slot for a new process; its first reference is the table's. Thread context.
    pub(crate) fn allocate(&self) -> Option<ProcessRef> {
        if inject::fails() {
            return None;
        }
        let slot = self.0.take_or_grow(|| {
            let interrupts = daif::mask();
            // SAFETY: this CPU, interrupts masked, no other borrow.
            let slot = unsafe { Cpu::this().with_private(|private| self.0.take(&mut private.processes)) };
            daif::restore(interrupts);
            slot
        });
        let process = self.0.get(slot.filter(|slot| *slot < MAX_PROCESSES)?);
        process.reset();
        process.table.refs.occupy();
        observe(|| Event::RecordTaken { pid: process.pid() });
        Some(ProcessRef(process))
    }

    /// Returns the number of records that have ever been used: their slots are from 1 on, below this.
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    /// Iterates over all processes, with a reference to each in turn. Not a snapshot. Thread context.
    pub(crate) fn all(&self) -> impl Iterator<Item = ProcessRef> + '_ {
        (1..self.0.len()).filter_map(|slot| self.find_slot(slot)).filter(|process| process.table.is_born())
    }
}

impl Process {
    /// Puts it into the group founded by `founder`, perhaps itself. Called by the creator, before the record is
    /// reachable.
    pub(crate) fn found_group(&self, founder: ProcessRef) {
        self.group.founder.set(founder.into_raw().slot);
    }

    /// Returns whether it founded a group that has members.
    pub(crate) fn leads_a_group(&self) -> bool {
        self.group.founder.get() == self.slot
    }

    /// Returns a reference to the founder of its group.
    pub(crate) fn group_founder(&self) -> Option<ProcessRef> {
        PROCESSES.find_slot(self.group.founder.get())
    }

    /// Leaves its group. Called once, by the reaper.
    pub(crate) fn leave_group(&self) {
        PROCESSES.get(self.group.founder.get()).put();
    }

    /// Makes it findable.
    pub(crate) fn set_born(&self) {
        self.table.set_born();
    }

    /// Takes one more reference; the caller has one.
    #[inline]
    pub(crate) fn get_ref(&'static self) -> ProcessRef {
        self.table.refs.get();
        ProcessRef(self)
    }

    /// Returns the slot of the reaper to whose record this one has a reference. Process 1's is not counted, because it
    /// is never freed.
    fn held_reaper(&self) -> u32 {
        let outer = self.family.domain.outer();
        if outer == INIT { NO_TENANT } else { outer }
    }

    /// Puts it into a reaper's domain, and takes a reference to that reaper's record, which the caller knows to be
    /// referenced. Called by the creator, before the record is reachable.
    pub(crate) fn enter_domain(&self, outer: u32, branch: Pid) {
        self.family.domain.enter(outer, branch);
        if outer != INIT {
            PROCESSES.get(outer).get_ref().into_raw();
        }
    }

    /// Drops a reference. Any context; never blocks.
    #[inline]
    pub(crate) fn put(&self) {
        if let Some(vacant) = self.table.refs.put() {
            self.free(vacant);
        }
    }

    /// Frees the record, and those whose last reference that drops: its outer reaper's, its tenant's founder's, and so
    /// on. A loop over a list through the vacant records, because the chains may be long.
    fn free(&self, vacant: Vacant) {
        let mut vacated = NIL;
        self.put_aside(vacant, &mut vacated);
        while vacated != NIL {
            let process = PROCESSES.get(vacated);
            vacated = process.table.next_vacant.get();
            observe(|| Event::RecordVacated { slot: process.slot });
            // Memory that it has left has no owner from here on.
            process.unreserve(Resource::Memory, process.resources.memory());
            observe(|| Event::RecordFreed { slot: process.slot });
            for held in [process.held_tenant(), process.held_reaper()] {
                if held != NO_TENANT
                    && let Some(vacant) = PROCESSES.get(held).table.refs.put()
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
        self.table.next_vacant.set(*vacated);
        *vacated = self.slot;
    }
}
