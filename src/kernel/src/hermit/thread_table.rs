//! The table of a loaded program's threads: which have not ended, and which stacks they have.
//!
//! A program never reports that a thread will not be joined, so nothing may be kept of one that has ended: the table
//! contains those that have not. Threads have numbers of their own, which are assigned before they run, so that one
//! that ends at once is not missed. A call of one thread may read or write the stack of another one, which is lent for as
//! long. Called in program code.

use asphodel_core::shim::atomic::{AtomicU32, Ordering};
use core::ops::Range;

use hashbrown::HashTable;

use crate::arch::layout::{PAGE_SIZE, StackSlot};
use crate::arch::lock::InterruptLock;
use crate::sync::channel;
use crate::sync::wait_queue::WaitResult;

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
    threads: &'static Threads,
    bottom: usize,
    /// Where the stack ends.
    pub(super) end: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.threads.give_back(self.bottom);
    }
}

impl Threads {
    /// Creates an empty table.
    pub(super) const fn new() -> Self {
        let tables = Tables { alive: HashTable::new(), stacks: HashTable::new() };
        Self { tables: InterruptLock::new(tables), last: AtomicU32::new(0) }
    }

    /// Returns a number for a new thread, 1 and up; `None` if there is no memory to store it.
    pub(super) fn begin(&self) -> Option<u32> {
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
    pub(super) fn end(&self, number: u32) {
        if let Ok(entry) = self.tables.lock().alive.find_entry(hash(&number), |other| *other == number) {
            entry.remove();
        }
        channel::wakeup(self.channel(number));
    }

    pub(super) fn is_alive(&self, number: u32) -> bool {
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
    pub(super) fn remove_stack(&self, bottom: usize) {
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
    pub(super) fn lend(&'static self, address: usize) -> Option<Loan> {
        let bottom = StackSlot::containing(address)?.stack_bottom();
        let stacks = &mut self.tables.lock().stacks;
        let lent = stacks.find_mut(hash_of_address(bottom), |lent| lent.stack.contains(&address))?;
        lent.loans += 1;
        Some(Loan { threads: self, bottom, end: lent.stack.end })
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
    pub(super) fn channel(&self, number: u32) -> usize {
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
