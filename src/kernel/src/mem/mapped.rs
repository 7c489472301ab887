//! Frames mapped side by side: what stacks, arenas and the data of loaded programs are made of.
//!
//! One block of frames where there is one, smaller ones where memory is fragmented; all or nothing. May be used in any
//! context that may take a spin lock. Lock order: page tables -> frames.

use super::frames;
use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// Maps `pages` pages, a power of two, at `address`, where nothing is mapped. Returns `false` if memory is short.
pub(super) fn map(address: usize, pages: usize) -> bool {
    let (mut mapped, mut block) = (0, pages);
    while mapped < pages {
        match frames::allocate(block) {
            Some(physical) => {
                if mmu::map_pages(address + mapped * PAGE_SIZE, physical, block * PAGE_SIZE).is_err() {
                    frames::free(physical, block);
                    unmap(address, mapped);
                    return false;
                }
                mapped += block;
            }
            // There was no block of that size, and so there is none for the rest.
            None if block > 1 => block /= 2,
            None => {
                unmap(address, mapped);
                return false;
            }
        }
    }
    true
}

/// Undoes [`map`] for any number of its pages, in as large blocks as the frames allow.
pub(super) fn unmap(address: usize, pages: usize) {
    let mut first = 0;
    while first < pages {
        let start = address + first * PAGE_SIZE;
        let physical = mmu::translate(start).expect("these pages are mapped");
        let block = block_at(start, physical, pages - first);
        mmu::unmap_pages(start, block * PAGE_SIZE).expect("they lie in a window for mappings");
        frames::free(physical, block);
        first += block;
    }
}

/// Returns how many of the `pages` pages at `start` are mapped to one block of frames, which begins at `physical`.
fn block_at(start: usize, physical: u64, pages: usize) -> usize {
    let aligned = 1 << (physical / PAGE_SIZE as u64).trailing_zeros();
    let mut block = (1 << pages.ilog2()).min(aligned);
    let is_mapped =
        |page: usize| mmu::translate(start + page * PAGE_SIZE) == Some(physical + (page * PAGE_SIZE) as u64);
    let consecutive = 1 + (1..block).take_while(|page| is_mapped(*page)).count();
    while block > consecutive {
        block /= 2;
    }
    block
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
