//! Frames mapped side by side: what stacks, arenas and the data of loaded programs are made of.
//!
//! One block of frames where there is one, smaller ones where memory is fragmented; all or nothing. May be used in any
//! context that may take a spin lock. Lock order: page tables -> frames.

use super::frames;
use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// Maps `pages` pages, a power of two, at `address`, where nothing is mapped. Returns `false` if memory is short.
pub(super) fn map(address: usize, pages: usize) -> bool {
    if let Some(physical) = frames::allocate(pages) {
        if mmu::map_pages(address, physical, pages * PAGE_SIZE).is_ok() {
            return true;
        }
        frames::free(physical, pages);
        return false;
    }
    if pages == 1 {
        return false;
    }
    let half = pages / 2;
    if !map(address, half) {
        return false;
    }
    if !map(address + half * PAGE_SIZE, half) {
        unmap(address, half);
        return false;
    }
    true
}

/// Undoes [`map`], in as large blocks as the frames allow.
pub(super) fn unmap(address: usize, pages: usize) {
    let physical = mmu::translate(address).expect("these pages are mapped");
    let consecutive = (1..pages)
        .all(|page| mmu::translate(address + page * PAGE_SIZE) == Some(physical + (page * PAGE_SIZE) as u64));
    if consecutive && physical.is_multiple_of((pages * PAGE_SIZE) as u64) {
        mmu::unmap_pages(address, pages * PAGE_SIZE).expect("they lie in a window for mappings");
        frames::free(physical, pages);
    } else {
        let half = pages / 2;
        unmap(address, half);
        unmap(address + half * PAGE_SIZE, half);
    }
}

/// Most pages of a block of [`map_all`]; also what is unmapped at once.
pub(super) const BLOCK: usize = 16;

/// As [`map`], for any number of pages. If frames run out, higher layers are asked to free some. All or nothing.
pub(super) fn map_all(address: usize, pages: usize) -> bool {
    for (first, count) in blocks(pages) {
        while !map(address + first * PAGE_SIZE, count) {
            if !frames::ask_for_some() {
                unmap_all(address, first);
                return false;
            }
        }
    }
    true
}

/// Undoes [`map_all`].
pub(super) fn unmap_all(address: usize, pages: usize) {
    for (first, count) in blocks(pages) {
        unmap(address + first * PAGE_SIZE, count);
    }
}

/// Returns the first page and the number of pages of the blocks that make up `pages`: powers of two, the largest first.
fn blocks(pages: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    core::iter::from_fn(move || {
        let count = BLOCK.min(1 << (pages - first).checked_ilog2()?);
        first += count;
        Some((first - count, count))
    })
}
