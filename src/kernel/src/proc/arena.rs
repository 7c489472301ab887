//! Who uses which arena, and when it goes (DESIGN, decision 10; T71 to T73).
//!
//! An isolated process has an arena of its own (`mem::arena`); one that is started with its parent's shares that. The
//! arena is emptied by the master of the last user's exit, when no program code of any of them runs any more and before
//! the process is a zombie; its slot of addresses is free when the last one has been reaped, so what still points there
//! meets no other arena. The decision is that of `asphodel_core::proc::sharers`. The process that it was made for pays
//! for it, and its record is kept as long. A loaded program lies in an arena, too, so a process that runs one always has
//! one of its own.
//!
//! Nothing that outlives the process may lie in an arena: what services allocate comes from the kernel heap, and what
//! is handed to the kernel for longer (a program's name, a call-out, a task) is refused if it lies there.

use asphodel_core::errno::Errno;
use asphodel_core::proc::sharers::Sharers;
use asphodel_core::shim::guarded::Cell32;

use crate::arch::layout::ARENA_COUNT;
use crate::mem::arena::{self, Number};
use crate::proc::program::Program;
use crate::proc::table::{PROCESSES, Process};

/// Where a process's program gets its memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryChoice {
    /// From the heap that all share. What it still owns when it is killed stays allocated.
    #[default]
    System,
    /// From an arena of its own, which is given back whole when it ends. It must not give others references to its
    /// memory that outlive it.
    Isolated,
    /// From its spawner's arena, which is given back when all that share it have ended; from the shared heap if the
    /// spawner has none.
    SameAsParent,
}

/// What is known of the arena in a slot.
struct Lease {
    sharers: Sharers,
    /// Slot of the process that pays for it, on which there is a hold while there are users.
    payer: Cell32,
}

static LEASES: [Lease; ARENA_COUNT] =
    [const { Lease { sharers: Sharers::new(), payer: Cell32::new(0) } }; ARENA_COUNT];

fn lease(number: Number) -> &'static Lease {
    &LEASES[number as usize - 1]
}

/// Gives a new process the memory that is chosen for it, with `program` in it if that is loaded. The creator, before
/// anybody can reach the record.
///
/// # Errors
/// `ENOMEM`: all arenas are in use, or there is no memory for the program.
pub(super) fn choose(
    process: &'static Process,
    program: &Program,
    choice: MemoryChoice,
    spawner: &Process,
) -> Result<(), Errno> {
    let number = match choice {
        MemoryChoice::SameAsParent if !program.is_loadable() => {
            let number = spawner.arena.get();
            if number != 0 {
                lease(number).sharers.join();
            }
            number
        }
        MemoryChoice::System if !program.is_loadable() => 0,
        _ => Fresh::open(process, program)?.keep(),
    };
    process.arena.set(number);
    Ok(())
}

/// `process` will run no program code any more: the arena goes if it was the last that did. Its master, in thread
/// context, or the creator that gave up; never blocks.
#[inline]
pub(super) fn retire(process: &Process) {
    let number = process.arena.get();
    if number != 0 {
        retire_user(number);
    }
}

/// `process`, which has retired, is reaped. Once; any context.
#[inline]
pub(super) fn bury(process: &Process) {
    let number = process.arena.get();
    if number != 0 {
        process.arena.set(0);
        bury_corpse(number);
    }
}

#[cold]
#[inline(never)]
fn retire_user(number: Number) {
    let lease = lease(number);
    if let Some(_duty) = lease.sharers.retire() {
        let payer = PROCESSES.get(lease.payer.get());
        payer.give_memory(arena::empty(number) as u64);
        payer.release();
    }
}

#[cold]
#[inline(never)]
fn bury_corpse(number: Number) {
    if let Some(_duty) = lease(number).sharers.bury() {
        arena::close(number);
    }
}

/// A new arena, for a new process or one that is about to replace its program; none if it needs none. Dropped, it is given
/// back.
#[derive(Debug)]
#[must_use = "the old program's memory is to be left"]
pub(crate) struct Fresh(Number);

impl Fresh {
    /// An arena with one user, for `payer`; `program` is in it if it is loaded.
    ///
    /// # Errors
    /// `ENOMEM`: all arenas are in use, or there is no memory for the program.
    fn open(payer: &'static Process, program: &Program) -> Result<Self, Errno> {
        let number = arena::open(payer.pid().raw() as u32).ok_or(Errno::ENOMEM)?;
        lease(number).payer.set(payer.hold().keep().slot);
        lease(number).sharers.begin();
        let fresh = Self(number);
        match program.image() {
            Some(image) if arena::load(number, image).is_none() => Err(Errno::ENOMEM),
            _ => Ok(fresh),
        }
    }

    /// It stays, and is given back by its users.
    fn keep(mut self) -> Number {
        core::mem::take(&mut self.0)
    }

    /// Gets what `process`, the caller's, will need to run `program`: here it can still fail.
    ///
    /// # Errors
    /// `ENOMEM`: all arenas are in use, or there is no memory for the program.
    pub(crate) fn prepare(process: &'static Process, program: &Program) -> Result<Self, Errno> {
        if process.arena.get() == 0 && !program.is_loadable() {
            Ok(Self(0))
        } else {
            Self::open(process, program)
        }
    }

    /// Leaves the old program's arena, which goes unless others share it. The caller is the only LWP of `process`, and
    /// will touch nothing of the old program any more. Thread context; never blocks.
    pub(crate) fn replace_old(self, process: &Process) {
        let old = process.arena.get();
        process.arena.set(self.keep());
        if old != 0 {
            retire_user(old);
            bury_corpse(old);
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.0 != 0 {
            retire_user(self.0);
            bury_corpse(self.0);
        }
    }
}
