//! The store buffers of the virtual CPUs: stores that other CPUs do not see yet, the oldest first.
//!
//! All virtual CPUs run on one host thread, so nothing here is a race; a virtual CPU changes only inside a point. A
//! buffer holds addresses, so memory must not be unmapped before all buffers are empty ([`flush_all`]), as a processor
//! completes its stores before a translation is invalidated.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Stores that one buffer holds.
const DEPTH: usize = 8;
/// Virtual CPUs that have a buffer.
pub const MAX_CPUS: usize = 64;

/// A store that is not visible yet.
#[derive(Clone, Copy)]
struct Store {
    address: usize,
    bits: u64,
    size: usize,
}

impl Store {
    /// Makes the store visible.
    fn complete(self) {
        // SAFETY: the address is that of an atomic of this size, which existed when it was stored to; its memory is not
        // unmapped before the buffers are empty. Volatile, because other virtual CPUs read it by atomic operations of
        // this same thread.
        unsafe {
            match self.size {
                1 => (self.address as *mut u8).write_volatile(self.bits as u8),
                4 => (self.address as *mut u32).write_volatile(self.bits as u32),
                _ => (self.address as *mut u64).write_volatile(self.bits),
            }
        }
    }
}

struct Buffer {
    stores: [Cell<Store>; DEPTH],
    length: Cell<usize>,
}

impl Buffer {
    const fn empty() -> Self {
        Self {
            stores: [const { Cell::new(Store { address: 0, bits: 0, size: 0 }) }; DEPTH],
            length: Cell::new(0),
        }
    }

    fn push(&self, store: Store) {
        if self.length.get() == DEPTH {
            self.drain_one();
        }
        self.stores[self.length.get()].set(store);
        self.length.set(self.length.get() + 1);
    }

    fn drain_one(&self) {
        let length = self.length.get();
        if length == 0 {
            return;
        }
        self.stores[0].get().complete();
        for index in 1..length {
            self.stores[index - 1].set(self.stores[index].get());
        }
        self.length.set(length - 1);
    }

    fn flush(&self) {
        for store in &self.stores[..self.length.get()] {
            store.get().complete();
        }
        self.length.set(0);
    }

    fn newest(&self, address: usize) -> Option<u64> {
        let stores = &self.stores[..self.length.get()];
        stores.iter().rev().map(Cell::get).find(|store| store.address == address).map(|store| store.bits)
    }
}

/// The buffers, and the running virtual CPU.
struct Buffers {
    of: [Buffer; MAX_CPUS],
    current: Cell<usize>,
}

// SAFETY: used only while `ON`, which an explorer turns on that runs all virtual CPUs on one host thread.
unsafe impl Sync for Buffers {}

static BUFFERS: Buffers = Buffers { of: [const { Buffer::empty() }; MAX_CPUS], current: Cell::new(0) };
static ON: AtomicBool = AtomicBool::new(false);

#[inline(always)]
fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Turns the buffers on. Only for a process in which a single host thread uses the atomics of this crate.
pub fn enable() {
    ON.store(true, Ordering::Relaxed);
}

/// Records which virtual CPU runs from now on.
#[inline]
pub fn set_current(cpu: usize) {
    if is_on() {
        BUFFERS.current.set(cpu);
    }
}

/// Makes the oldest store of `cpu` visible, if there is one.
pub fn drain_one(cpu: usize) {
    if is_on() {
        BUFFERS.of[cpu].drain_one();
    }
}

/// Makes all stores of the running virtual CPU visible.
#[inline(always)]
pub fn flush_current() {
    if is_on() {
        BUFFERS.of[BUFFERS.current.get()].flush();
    }
}

/// Makes all stores visible.
pub fn flush_all() {
    if is_on() {
        BUFFERS.of.iter().for_each(Buffer::flush);
    }
}

/// Buffers a store of the running virtual CPU. Returns `false` if the buffers are off and the caller must store.
#[inline(always)]
pub(crate) fn push(address: usize, bits: u64, size: usize) -> bool {
    if !is_on() {
        return false;
    }
    BUFFERS.of[BUFFERS.current.get()].push(Store { address, bits, size });
    true
}

/// Returns what the running virtual CPU has stored to `address` last and other CPUs do not see yet.
#[inline(always)]
pub(crate) fn own_store(address: usize) -> Option<u64> {
    if !is_on() {
        return None;
    }
    BUFFERS.of[BUFFERS.current.get()].newest(address)
}
