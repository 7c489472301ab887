//! Threads of loaded programs: LWPs with thread-local storage.
//!
//! A program never reports that a thread will not be joined, so nothing may be kept of one that has ended: the table
//! contains those that have not. Threads have numbers of their own, which are assigned before they run, so that one
//! that ends at once is not missed.

use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use core::ffi::c_void;
use core::ops::Range;

use alloc::boxed::Box;
use asphodel_core::errno::Errno;
use asphodel_core::sched::place::CpuMask;
use hashbrown::HashTable;

use super::process::Process;
use super::symbol::Symbol;
use super::tls::{self, Block};
use super::{entered, failure, own};
use crate::arch::layout::{PAGE_SIZE, StackSlot};
use crate::arch::lock::InterruptLock;
use crate::cpu::{MAX_CPUS, mask};
use crate::mem::fallible;
use crate::proc::life::lwp::{self, LwpAttributes};
use crate::sched::switch;
use crate::sync::channel;
use crate::sync::program_code;
use crate::sync::service::KernelSection;
use crate::sync::wait_queue::WaitResult;
use crate::thread::Thread;
use crate::time::sleep;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_spawn2", spawn2 as *const ()),
    Symbol::new("sys_join", join as *const ()),
    Symbol::new("sys_usleep", usleep as *const ()),
    Symbol::new("sys_yield", yield_now as *const ()),
    Symbol::new("sys_available_parallelism", available_parallelism as *const ()),
];

/// Minimum size of a thread's stack in bytes, whatever is requested: room for a probe of the stack, and as much again.
const LEAST_STACK: usize = 64 * 1024;

/// The stack of a thread that has not ended.
#[derive(Debug)]
struct Lent {
    stack: Range<usize>,
    /// Calls of other threads that read or write it.
    loans: usize,
}

/// What is kept of the threads.
#[derive(Debug)]
struct Tables {
    /// The numbers of those that have not ended, except the first one, which has none.
    alive: HashTable<u32>,
    /// The stacks of those that run, by their lowest addresses.
    stacks: HashTable<Lent>,
}

/// Threads that have not ended.
#[derive(Debug)]
pub(super) struct Threads {
    tables: InterruptLock<Tables>,
    last: AtomicU32,
}

/// Keeps the stack of another thread of the program from ending meanwhile.
#[derive(Debug)]
pub(super) struct Loan {
    bottom: usize,
    /// Where the stack ends.
    pub(super) end: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        tls::process().threads.give_back(self.bottom);
    }
}

impl Threads {
    /// Creates an empty table.
    pub(super) const fn new() -> Self {
        let tables = Tables { alive: HashTable::new(), stacks: HashTable::new() };
        Self { tables: InterruptLock::new(tables), last: AtomicU32::new(0) }
    }

    /// Returns a number for a new thread, 1 and up; `None` if there is no memory to store it.
    fn begin(&self) -> Option<u32> {
        loop {
            let number = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let Tables { alive, stacks } = &mut *self.tables.lock();
            alive.try_reserve(1, hash).ok()?;
            // Each of them has a stack, or will have one; so has the first thread.
            stacks.try_reserve((alive.len() + 2).saturating_sub(stacks.len()), hash_of_stack).ok()?;
            // After 2^32 threads some may still exist.
            if number != 0 && alive.find(hash(&number), |other| *other == number).is_none() {
                alive.insert_unique(hash(&number), number, hash);
                return Some(number);
            }
        }
    }

    /// Removes a thread that has ended, and wakes those that join it.
    fn end(&self, number: u32) {
        if let Ok(entry) = self.tables.lock().alive.find_entry(hash(&number), |other| *other == number) {
            entry.remove();
        }
        channel::wakeup(self.channel(number));
    }

    fn is_alive(&self, number: u32) -> bool {
        self.tables.lock().alive.find(hash(&number), |other| *other == number).is_some()
    }

    /// The running thread, the first one or one that [`Threads::begin`] has made room for, has this stack.
    pub(super) fn add_stack(&self, stack: Range<usize>) -> Option<()> {
        let stacks = &mut self.tables.lock().stacks;
        stacks.try_reserve(1, hash_of_stack).ok()?;
        let lent = Lent { stack, loans: 0 };
        stacks.insert_unique(hash_of_stack(&lent), lent, hash_of_stack);
        Some(())
    }

    /// The running thread ends: waits until no other thread's call uses its stack any more. Killable; blocks.
    fn remove_stack(&self, bottom: usize) {
        while !self.try_remove_stack(bottom) {
            let registration = channel::register(bottom);
            if self.try_remove_stack(bottom) || registration.sleep(None) == WaitResult::Killed {
                break;
            }
        }
    }

    /// Returns `false` if it is used.
    fn try_remove_stack(&self, bottom: usize) -> bool {
        let stacks = &mut self.tables.lock().stacks;
        match stacks.find_entry(hash_of_address(bottom), |lent| lent.stack.start == bottom) {
            Ok(entry) if entry.get().loans > 0 => false,
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => true,
        }
    }

    /// Keeps the stack around `address` from ending, if it is that of a thread that has not ended.
    pub(super) fn lend(&self, address: usize) -> Option<Loan> {
        let bottom = StackSlot::containing(address)?.stack_bottom();
        let stacks = &mut self.tables.lock().stacks;
        let lent = stacks.find_mut(hash_of_address(bottom), |lent| lent.stack.contains(&address))?;
        lent.loans += 1;
        Some(Loan { bottom, end: lent.stack.end })
    }

    fn give_back(&self, bottom: usize) {
        let is_last = {
            let stacks = &mut self.tables.lock().stacks;
            let lent = stacks.find_mut(hash_of_address(bottom), |lent| lent.stack.start == bottom);
            lent.is_some_and(|lent| {
                lent.loans -= 1;
                lent.loans == 0
            })
        };
        if is_last {
            channel::wakeup(bottom);
        }
    }

    /// Returns the channel of a join, which is only a key.
    fn channel(&self, number: u32) -> usize {
        (core::ptr::from_ref(self) as usize).wrapping_add(number as usize)
    }
}

/// Multiplicative hashing: consecutive numbers go to different places, and every bit counts.
fn hash(number: &u32) -> u64 {
    u64::from(*number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of_address(address: usize) -> u64 {
    // The hash of a multiple of the page size would have zeros in its lowest bits.
    hash(&((address / PAGE_SIZE) as u32))
}

fn hash_of_stack(lent: &Lent) -> u64 {
    hash_of_address(lent.stack.start)
}

/// The arguments of a new thread.
struct Start {
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    process: &'static Process,
    block: Block,
    number: u32,
}

/// Creates a thread that calls `function(argument)`, on a stack of at least `stack` bytes, and on CPU `core` only
/// unless that is negative. Its priority is its creator's, whatever is requested. Returns its number, for `join`; 0: it
/// cannot be created, or `function` is not the program's.
extern "C" fn spawn2(
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    _priority: u8,
    stack: usize,
    core: isize,
) -> u32 {
    entered();
    if !own::is_code(function as usize) {
        return refused(Errno::EFAULT);
    }
    let cpu = match u32::try_from(core) {
        Ok(core) if core as usize >= MAX_CPUS => return refused(Errno::EINVAL),
        Ok(core) => Some(core),
        Err(_) => None,
    };
    let process = tls::process();
    let maker = Thread::current();
    let attributes = LwpAttributes {
        priority: maker.priority(),
        affinity: cpu.map_or(maker.affinity(), CpuMask::one),
        stack_size: stack.max(LEAST_STACK),
        lazy_stack: true,
    };
    let Some(block) = Block::new(process) else { return refused(Errno::ENOMEM) };
    let Some(number) = process.threads.begin() else { return refused(Errno::ENOMEM) };
    let start = Start { function, argument, process, block, number };
    let started = fallible::boxed(start).ok_or(Errno::ENOMEM).and_then(|start| {
        let start = Box::into_raw(start);
        lwp::spawn_lwp(run, start as usize, &attributes).inspect_err(|_| {
            // SAFETY: made above, and passed to no other owner.
            drop(unsafe { Box::from_raw(start) });
        })
    });
    match started {
        // The program keeps no handle of it.
        Ok(handle) => {
            handle.detach();
            number
        }
        Err(error) => {
            process.threads.end(number);
            refused(error)
        }
    }
}

#[cold]
fn refused(error: Errno) -> u32 {
    let _number = failure(error);
    0
}

/// Entry of a thread's LWP.
fn run(start: usize) -> usize {
    // SAFETY: made by `spawn2` for this LWP alone.
    let start = unsafe { Box::from_raw(start as *mut Start) };
    let Start { function, argument, process, block, number } = *start;
    block.enter();
    let stack = Thread::current().present_stack();
    let bottom = stack.start;
    // Without memory for it, calls of other threads cannot use its stack.
    let _known = process.threads.add_stack(stack);
    program_code::call(|| function(argument));
    process.threads.remove_stack(bottom);
    drop(block);
    process.threads.end(number);
    0
}

/// Waits for the end of a thread; returns at once if it has ended. Killable; blocks.
extern "C" fn join(number: u32) -> i32 {
    entered();
    let threads = &tls::process().threads;
    while threads.is_alive(number) {
        let registration = channel::register(threads.channel(number));
        if !threads.is_alive(number) || registration.sleep(None) == WaitResult::Killed {
            break;
        }
    }
    0
}

/// Sleeps for at least that many microseconds. Killable; blocks.
extern "C" fn usleep(microseconds: u64) {
    entered();
    // TIMED: the program asked for a sleep of this length.
    let _killed_or_slept = sleep::sleep(microseconds.saturating_mul(1000));
}

/// Lets other threads run.
extern "C" fn yield_now() {
    entered();
    let _section = KernelSection::enter();
    switch::yield_now();
}

/// Returns the number of CPUs that the running thread may run on; at least 1.
extern "C" fn available_parallelism() -> usize {
    entered();
    let mine = Thread::current().affinity().and(mask::online());
    (mine.count() as usize).max(1)
}
