//! The record of a process.
//!
//! Records are allocated and freed by the table (`table`). A record consists of the parts that the files beside this
//! one define: each states who may use its fields, their initial values, and what a record that is used again needs. A
//! record is never unmapped, so a stale reference finds a record, though perhaps another process's.

use asphodel_core::id::Pid;
use asphodel_core::proc::gate::Gate;
use asphodel_core::shim::guarded::Cell32;

use crate::mem::slab::Record;
use crate::proc::state::accounts::Accounts;
use crate::proc::state::exit::Exit;
use crate::proc::state::family::Family;
use crate::proc::state::group::Group;
use crate::proc::state::lwps::Lwps;
use crate::proc::state::program::Executable;
use crate::proc::state::resources::Resources;
use crate::proc::state::signals::Signals;
use crate::proc::state::slot::Slot;
use crate::proc::state::task_group::TaskGroup;
use crate::proc::state::vfork::Vfork;
use crate::proc::state::work::Deferred;

/// A process's record.
#[repr(align(512))]
pub(crate) struct Process {
    /// Its slot in the table.
    pub(crate) slot: u32,
    /// Its part of the table: references and generation.
    pub(super) table: Slot,
    /// How it ends.
    pub(crate) gate: Gate,
    /// Its LWPs.
    pub(crate) lwps: Lwps,
    /// Its exit.
    pub(crate) exit: Exit,
    /// Its parent, its children, its reaper.
    pub(crate) family: Family,
    /// Its signals.
    pub(crate) signals: Signals,
    /// Its group.
    pub(crate) group: Group,
    /// Its task group.
    pub(crate) task_group: TaskGroup,
    /// The spawner that waits for it.
    pub(crate) vfork: Vfork,
    /// Its usage.
    pub(crate) accounts: Accounts,
    /// Its memory, its descriptors, its tenant.
    pub(crate) resources: Resources,
    /// Its deferred work; empty when it is reset.
    pub(crate) deferred: Deferred,
    /// Its program.
    pub(crate) executable: Executable,
}

impl Record for Process {
    fn new(index: u32) -> Self {
        Self {
            slot: index,
            table: Slot::new(),
            gate: Gate::new(),
            lwps: Lwps::new(),
            exit: Exit::new(),
            family: Family::new(),
            signals: Signals::new(),
            group: Group::new(),
            task_group: TaskGroup::new(),
            vfork: Vfork::new(),
            accounts: Accounts::new(),
            resources: Resources::new(),
            deferred: Deferred::new(),
            executable: Executable::new(),
        }
    }

    fn next_free(&self) -> &Cell32 {
        &self.table.next_vacant
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Process({}, {:?})", self.pid(), self.gate)
    }
}

impl Process {
    /// Initializes the record for a new process. It must not be reachable.
    pub(super) fn reset(&self) {
        self.table.reset();
        self.gate.reset();
        self.lwps.reset();
        self.exit.reset();
        self.family.reset();
        self.signals.reset();
        self.task_group.reset();
        self.accounts.reset();
        self.resources.reset();
    }

    /// Returns its pid.
    #[inline(always)]
    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.slot, self.table.refs.generation())
    }
}
