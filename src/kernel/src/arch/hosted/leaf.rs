//! Pages of lazy stacks, one at a time and without the lock of the address space. The decisions are those of
//! `asphodel_core::thread::lazy_stack`.

use asphodel_core::thread::lazy_stack::{self, Entry, Mapped};

use super::memory::{self, VALID};
use crate::arch::layout::PAGE_SIZE;

/// Returns what the entry for `address` holds. Any context; takes no lock.
pub(crate) fn look(address: usize) -> Entry {
    memory::entry(address).map_or(Entry::Nothing, lazy_stack::look)
}

/// Maps the page at `address` to `frame`, which belongs to the stack if the result is `Now`. Any context; takes no
/// lock.
pub(crate) fn map(address: usize, frame: u64) -> Mapped {
    let Some(entry) = memory::entry(address) else { return Mapped::Nowhere };
    let mapped = lazy_stack::map(entry, frame | VALID);
    // Another CPU that sees the entry before the page is mapped faults again until it is.
    if mapped == Mapped::Now && !memory::map(address & !(PAGE_SIZE - 1), frame, PAGE_SIZE) {
        panic!("the host has no memory for a page of a stack");
    }
    mapped
}

/// Takes `pages` pages of a lazy stack, at `address`, out of use, and passes the frames of those that were mapped to
/// `free`. When `free` is called, no CPU can reach any of them by these addresses. The stack must not be in use. Any
/// context.
pub(crate) fn unmap(address: usize, pages: usize, mut free: impl FnMut(u64)) {
    let entries = || (0..pages).filter_map(|page| memory::entry(address + page * PAGE_SIZE));
    let revoked = entries().filter(|entry| lazy_stack::revoke(entry)).count();
    if revoked != 0 {
        memory::unmap(address, pages * PAGE_SIZE);
    }
    for entry in entries() {
        if let Some(frame) = lazy_stack::collect(entry) {
            free(frame);
        }
    }
}
