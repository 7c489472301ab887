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

/// Bytes that one table of the last level maps.
pub(super) const LEAF_TABLE_SPAN: usize = 1 << (PAGE_BITS + LEVEL_BITS);
/// Bits of an address that one level translates.
const LEVEL_BITS: usize = 9;
/// Bits of an address below what the last level translates.
const PAGE_BITS: usize = 12;
/// The bits of a descriptor that mark a table.
const TABLE: u64 = 0b11;
/// A table descriptor's address.
const TABLE_ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// A table of the last level.
type LeafTable = [AtomicU64; 1 << LEVEL_BITS];

/// Returns the last level's table for `address`; `None` where there is none. It may be of the stacks window in any
/// context, and of another one under the tables' lock. Takes no lock.
fn leaf_table(address: usize) -> Option<&'static LeafTable> {
    let mut table = addresses::root_table();
    for level in [2, 1] {
        let descriptor = table_at(table)?[index(address, level)].load(Ordering::Relaxed);
        if descriptor & TABLE != TABLE {
            return None;
        }
        table = descriptor & TABLE_ADDRESS;
    }
    table_at(table)
}

/// Returns the table at a physical address; `None` for 0.
fn table_at(table: u64) -> Option<&'static LeafTable> {
    let base =
        core::ptr::NonNull::new(if table == 0 { core::ptr::null_mut() } else { addresses::table_at(table) })?;
    // SAFETY: a table has 512 entries and is never used for anything else; every change of an entry in use is a single
    // atomic access.
    Some(unsafe { base.cast::<LeafTable>().as_ref() })
}

/// Returns the number of the entry for `address` in a table, `level` levels above the last one.
fn index(address: usize, level: usize) -> usize {
    address >> (PAGE_BITS + level * LEVEL_BITS) & ((1 << LEVEL_BITS) - 1)
}

/// Returns the last level's entry for `address` of the stacks window; `None` elsewhere, and where there is no table.
/// Any context; takes no lock.
fn entry(address: usize) -> Option<&'static AtomicU64> {
    let table = if STACKS_WINDOW.contains(&address) { leaf_table(address) } else { None };
    table.map(|table| &table[index(address, 0)])
}

/// Returns the last level's entries for `pages` pages from `address` on: a slice of each table that there is, the
/// highest first, with the address of the slice's first page.
fn tables(address: usize, pages: usize) -> impl Iterator<Item = (usize, &'static [AtomicU64])> {
    let mut end = address + pages * PAGE_SIZE;
    let parts = core::iter::from_fn(move || {
        let start = address.max((end - 1) & !(LEAF_TABLE_SPAN - 1));
        let count = (end > address).then_some((end - start) / PAGE_SIZE)?;
        end = start;
        Some((start, count))
    });
    parts.filter_map(|(start, count)| Some((start, &leaf_table(start)?[index(start, 0)..][..count])))
}

/// Marks `pages` pages at `address`, whose entries are empty and have tables, and which belong to the caller, as to be
/// mapped when they are touched. Any context; takes no lock.
pub(super) fn mark(address: usize, pages: usize) {
    for (_, entries) in tables(address, pages) {
        entries.iter().for_each(|entry| entry.store(lazy_stack::UNMAPPED, Ordering::Relaxed));
    }
}

/// Returns whether there is a table of the last level for `address`; as [`leaf_table`].
pub(super) fn has_table(address: usize) -> bool {
    leaf_table(address).is_some()
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
/// context, but it takes some instructions for each page, so it is called with interrupts unmasked.
///
/// Stacks have their pages at the top: the walks that look for mapped ones begin there, and end with the last of them.
pub(crate) fn unmap(address: usize, pages: usize, free: impl FnMut(u64)) {
    let mut revoked = 0;
    for (_, entries) in tables(address, pages) {
        revoked += entries.iter().filter(|entry| lazy_stack::revoke(entry)).count();
    }
    if revoked == 0 {
        return;
    }
    forget(address, pages, revoked);
    let entries = tables(address, pages).flat_map(|(_, entries)| entries.iter().rev());
    entries.filter_map(lazy_stack::collect).take(revoked).for_each(free);
}

/// Makes all CPUs drop the translations of those `revoked` pages whose entries have been revoked.
fn forget(address: usize, pages: usize, revoked: usize) {
    if revoked > FORGET_ALL {
        return forget_all();
    }
    // SAFETY: a barrier: the descriptors are changed before CPUs are notified.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    let addressed = tables(address, pages).flat_map(|(start, entries)| {
        let addressed = entries.iter().enumerate();
        addressed.rev().map(move |(page, entry)| (start + page * PAGE_SIZE, entry))
    });
    for (address, _) in addressed.filter(|(_, entry)| lazy_stack::is_revoked(entry)).take(revoked) {
        let page = (address >> PAGE_BITS) & ((1 << 44) - 1);
        // SAFETY: makes CPUs drop a translation whose descriptor is changed.
        unsafe { asm!("tlbi vaale1is, {}", in(reg) page, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Makes all CPUs drop all translations. Any context.
pub(super) fn forget_all() {
    // SAFETY: makes CPUs drop translations, all of which they can look up again, after descriptors have been changed.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
