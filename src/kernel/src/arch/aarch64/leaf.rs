//! Entries of the page tables' last level, one page at a time and without the tables' lock, as lazy stacks need them.
//! The decisions are those of `asphodel_core::thread::lazy_stack`.
//!
//! A walk takes no lock, because a table of the last level is never removed once it is there (`mmu::unmap_pages`). Only
//! entries of lazy stacks in use hold the mark, so a frame may be put in its place.

use core::arch::asm;

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use asphodel_core::thread::lazy_stack::{self, Entry, Mapped};

use super::{addresses, attributes};
use crate::arch::layout::{PAGE_SIZE, STACKS_WINDOW};

/// Bits of an address that one level translates, and entries of a table.
const LEVEL_BITS: usize = 9;
/// Bits of an address below what the last level translates.
const PAGE_BITS: usize = 12;
/// The bits of a descriptor that mark a table.
const TABLE: u64 = 0b11;
/// A table descriptor's address.
const TABLE_ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Returns the last level's entry for `address` of the stacks window; `None` elsewhere, and where there is no table.
/// Any context; takes no lock.
fn entry(address: usize) -> Option<&'static AtomicU64> {
    if !STACKS_WINDOW.contains(&address) {
        return None;
    }
    let mut table = addresses::root_table();
    for level in [2, 1] {
        let descriptor = entry_of(table, address, level)?.load(Ordering::Relaxed);
        if descriptor & TABLE != TABLE {
            return None;
        }
        table = descriptor & TABLE_ADDRESS;
    }
    entry_of(table, address, 0)
}

/// Returns the entry for `address` in a table, `level` levels above the last one; `None` without a table.
fn entry_of(table: u64, address: usize, level: usize) -> Option<&'static AtomicU64> {
    let index = address >> (PAGE_BITS + level * LEVEL_BITS) & ((1 << LEVEL_BITS) - 1);
    let base =
        core::ptr::NonNull::new(if table == 0 { core::ptr::null_mut() } else { addresses::table_at(table) })?;
    // SAFETY: a table has 512 entries and is never used for anything else; every change of an entry in use is a single
    // atomic access.
    Some(unsafe { base.cast::<AtomicU64>().add(index).as_ref() })
}

/// Returns whether there is a table of the last level for `address`, in the stacks window. Any context.
pub(super) fn has_table(address: usize) -> bool {
    entry(address).is_some()
}

/// Returns what the entry for `address` holds. Any context; takes no lock.
pub(crate) fn look(address: usize) -> Entry {
    entry(address).map_or(Entry::Nothing, lazy_stack::look)
}

/// Maps the page at `address` to `frame`, which belongs to the stack if the result is `Now`. Every access through that
/// mapping sees the frame's contents. Any context; takes no lock.
pub(crate) fn map(address: usize, frame: u64) -> Mapped {
    let mapped = entry(address)
        .map_or(Mapped::Nowhere, |entry| lazy_stack::map(entry, frame | attributes::page_bits()));
    // Without this, the next walk might not see the new descriptor.
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    mapped
}

/// With more pages than that, the translations are not dropped one by one, because every CPU gets a message for each,
/// and looking all up again costs less.
const FORGET_ALL: usize = 64;

/// Takes `pages` pages of a lazy stack, at `address`, out of use, and passes the frames of those that were mapped to
/// `free`. When `free` is called, no CPU can reach any of them by these addresses. The stack must not be in use. Any
/// context.
pub(crate) fn unmap(address: usize, pages: usize, mut free: impl FnMut(u64)) {
    let entries = || {
        (0..pages).filter_map(|page| Some((address + page * PAGE_SIZE, entry(address + page * PAGE_SIZE)?)))
    };
    let mut revoked = 0;
    for (_, entry) in entries() {
        revoked += usize::from(lazy_stack::revoke(entry));
    }
    if revoked != 0 {
        // SAFETY: a barrier: the descriptors are changed before CPUs are notified.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
        if revoked > FORGET_ALL {
            // SAFETY: makes CPUs drop translations, all of which they can look up again.
            unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
        } else {
            for (address, _) in entries().filter(|(_, entry)| lazy_stack::is_revoked(entry)) {
                let page = (address >> PAGE_BITS) & ((1 << 44) - 1);
                // SAFETY: makes CPUs drop a translation whose descriptor is changed.
                unsafe { asm!("tlbi vaale1is, {}", in(reg) page, options(nostack, preserves_flags)) };
            }
        }
        // SAFETY: barriers.
        unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
    }
    for (_, entry) in entries() {
        if let Some(frame) = lazy_stack::collect(entry) {
            free(frame);
        }
    }
}
