//! Which processes use an arena, and when it is freed (DESIGN, decision 10; T71 to T73).
//!
//! An isolated process has an arena of its own (`mem::arena`); one that is started with its parent's shares that. The
//! exit owner of the last user's exit empties the arena, when no program code of any of them runs any more and before
//! the process is a zombie; its slot of addresses is freed when the last one has been reaped, so a stale pointer meets
//! no other arena. The decision is that of `asphodel_core::proc::sharers`. The process that it was made for pays for
//! it, and its record is kept as long. A loaded program lies in an arena, too, so a process that runs one always has
//! one of its own.
//!
//! Nothing that outlives the process may lie in an arena: system calls allocate from the kernel heap, and memory that
//! is handed to the kernel for longer (a program's name) is refused if it lies there.

use asphodel_core::errno::Errno;
use asphodel_core::proc::sharers::Sharers;
use asphodel_core::shim::guarded::Cell32;

use crate::arch::layout::ARENA_COUNT;
use crate::mem::arena::{self, Number};
use crate::proc::state::program::Program;
use crate::proc::state::table::{PROCESSES, Process};

/// The source of a process's program memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryChoice {
    /// The shared heap. Blocks that a killed process still owns stay allocated.
    #[default]
    System,
    /// An arena of its own, which is freed as a whole when it ends: [`MemoryChoice::isolated`].
    Isolated(OwnMemory),
    /// Its spawner's arena, which is freed when all that share it have ended; the shared heap if the spawner has none.
    SameAsParent,
}

impl MemoryChoice {
    /// An arena of its own for the process, which is freed as a whole when it ends.
    ///
    /// # Safety
    /// What the program, and those that share the arena, allocate there is not used by other processes after the last
    /// of them has begun to end. A value that owns memory may not be moved to others either, by a static or in any other
    /// way, because it would be used, or dropped, where its memory is gone. Rust does not check this: everything is in one
    /// address space, and a static can be used by every process.
    #[must_use]
    pub const unsafe fn isolated() -> Self {
        Self::Isolated(OwnMemory(()))
    }
}

/// The promise of [`MemoryChoice::isolated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMemory(());

/// The arena in a slot.
struct Lease {
    sharers: Sharers,
    /// Slot of the process that pays for it, to which there is a reference while there are users.
    payer: Cell32,
}

static LEASES: [Lease; ARENA_COUNT] =
    [const { Lease { sharers: Sharers::new(), payer: Cell32::new(0) } }; ARENA_COUNT];

fn lease(number: Number) -> &'static Lease {
    &LEASES[number as usize - 1]
}

/// `process` will run no program code any more: empties the arena if it was the last user. Called by its exit owner, in
/// thread context; never blocks.
#[inline]
pub(in crate::proc) fn retire(process: &Process) {
    let number = process.resources.arena.get();
    if number != 0 {
        retire_user(number);
    }
}

/// Called once, when `process`, which has retired, is reaped; any context.
#[inline]
pub(in crate::proc) fn reap(process: &Process) {
    let number = process.resources.arena.get();
    if number != 0 {
        process.resources.arena.set(0);
        reap_exited_user(number);
    }
}

#[cold]
#[inline(never)]
fn retire_user(number: Number) {
    let lease = lease(number);
    if let Some(_duty) = lease.sharers.retire() {
        let payer = PROCESSES.get(lease.payer.get());
        payer.give_memory(arena::empty(number) as u64);
        payer.put();
    }
}

#[cold]
#[inline(never)]
fn reap_exited_user(number: Number) {
    if let Some(_duty) = lease(number).sharers.reap() {
        arena::close(number);
    }
}

/// A use of an arena, for a new process or one that is about to replace its program; or of none. Dropping it ends the
/// use.
#[derive(Debug)]
#[must_use = "the use of the arena ends when this is dropped"]
pub(crate) struct ArenaUse(Number);

impl ArenaUse {
    /// No arena: the program's memory comes from the shared heap.
    pub(crate) const fn none() -> Self {
        Self(0)
    }

    /// Begins the use that is chosen for `process`, a new one, with `program` in the arena if that is loaded. Called by
    /// the creator, before the record is reachable.
    ///
    /// # Errors
    /// `ENOMEM`: all arenas are in use, or there is no memory for the program.
    #[inline(always)]
    pub(crate) fn choose(
        process: &'static Process,
        program: &Program,
        choice: MemoryChoice,
        spawner: &Process,
    ) -> Result<Self, Errno> {
        match choice {
            MemoryChoice::SameAsParent if !program.is_loadable() => {
                let number = spawner.resources.arena.get();
                if number != 0 {
                    lease(number).sharers.join();
                }
                Ok(Self(number))
            }
            MemoryChoice::System if !program.is_loadable() => Ok(Self::none()),
            _ => Self::open(process, program),
        }
    }

    /// Makes it that of `process`, which has none.
    #[inline(always)]
    pub(crate) fn give_to(self, process: &Process) {
        process.resources.arena.set(self.keep());
    }

    /// An arena with one user, for `payer`; `program` is in it if it is loaded.
    ///
    /// # Errors
    /// `ENOMEM`: all arenas are in use, or there is no memory for the program.
    fn open(payer: &'static Process, program: &Program) -> Result<Self, Errno> {
        let number = arena::open(payer.pid().raw() as u32).ok_or(Errno::ENOMEM)?;
        lease(number).payer.set(payer.get_ref().into_raw().slot);
        lease(number).sharers.begin();
        let fresh = Self(number);
        match program.image() {
            Some(image) if arena::load(number, image).is_none() => Err(Errno::ENOMEM),
            _ => Ok(fresh),
        }
    }

    /// Leaves the use to a process.
    fn keep(self) -> Number {
        let number = self.0;
        core::mem::forget(self);
        number
    }

    /// Allocates what `process`, the caller's, will need to run `program`; this is where it can still fail.
    ///
    /// # Errors
    /// `ENOMEM`: all arenas are in use, or there is no memory for the program.
    pub(crate) fn prepare(process: &'static Process, program: &Program) -> Result<Self, Errno> {
        if process.resources.arena.get() == 0 && !program.is_loadable() {
            Ok(Self::none())
        } else {
            Self::open(process, program)
        }
    }

    /// Leaves the old program's arena, which is freed unless others share it. The caller is the only LWP of `process`,
    /// and must not use the old program's memory any more. Thread context; never blocks.
    pub(crate) fn replace_old(self, process: &Process) {
        let old = process.resources.arena.get();
        process.resources.arena.set(self.keep());
        if old != 0 {
            retire_user(old);
            reap_exited_user(old);
        }
    }
}

impl Drop for ArenaUse {
    #[inline(always)]
    fn drop(&mut self) {
        if self.0 != 0 {
            retire_user(self.0);
            reap_exited_user(self.0);
        }
    }
}
