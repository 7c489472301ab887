//! Frames mapped side by side: what stacks and arenas are made of.
//!
//! One block of frames where there is one, smaller ones where memory is fragmented; all or nothing. May be used in any
//! context that may take a spin lock. Lock order: page tables -> frames.

use super::frames;
use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// Maps `pages` pages, a power of two, at `address`, where nothing is mapped. `false` if memory is short.
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

/// The reverse of [`map`], in as large blocks as the frames allow.
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
