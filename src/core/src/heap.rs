//! A heap whose memory may be overwritten by those who use it.
//!
//! Two-level segregated fit (TLSF): free blocks are listed by size, 16 classes to a power of two; a block is found, split,
//! freed and joined with its neighbours in constant time. Of each small size one block that was freed is kept as it is, so
//! that the next of that size is there at once.
//!
//! All that the heap knows lies in its [`Memory`]: its lists at the start, and the words of each block before and in it.
//! Blocks are named by numbers, and each is reached through the memory, which refuses what does not lie in it. So whatever
//! has been written there, no operation touches anything else, or takes longer: it fails with [`Broken`], or returns a
//! block that overlaps another one of the same memory.
//!
//! The memory consists of granules of 16 bytes, numbered from its start. A block consists of granules and is named by its
//! first; its header is before that, in the granule before, so 8 bytes of its last granule are the header of the block
//! after it. What is lent begins at a granule. The last block is of size 0 and always in use.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Bytes of a granule, to which all blocks are aligned.
pub const GRANULE: usize = 16;
/// Bytes at the start of the memory that the heap's own lists take.
pub const LISTS_SIZE: usize = size_of::<Lists>();

/// Powers of two whose blocks are listed together, and the parts of each; all bits of a map.
const CLASSES: usize = 32;
const PARTS: usize = 16;
const PART_BITS: u32 = PARTS.ilog2();
/// Most granules of a block that is requested: so many that sums fit.
const MOST: usize = 1 << 26;

/// The lowest bit of a block's state, above which is its size in granules.
const USED: u32 = 1;
/// No block.
const NONE: u32 = 0;

/// The heap's lists. Zeros are a heap without a free block.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct Lists {
    /// The classes that have free blocks, one bit each.
    classes: AtomicU32,
    /// For each class, its parts that have some.
    parts: [AtomicU32; CLASSES],
    /// The first free block of each part.
    first: [[AtomicU32; PARTS]; CLASSES],
    /// For each size below 16 granules, a block that is free, but is not listed and looks as if it were in use.
    kept: [AtomicU32; PARTS],
}

/// The words of a block: of its header, and those that a free block has besides.
#[derive(Debug, Default)]
#[repr(C, align(8))]
pub struct Words {
    /// Size, and whether it is in use.
    state: AtomicU32,
    /// The block before it, or none.
    before: AtomicU32,
    /// The next one on its list.
    next: AtomicU32,
    /// The one before it on its list.
    previous: AtomicU32,
}

/// The memory of a heap. Its words may change at any time.
pub trait Memory {
    /// Returns the number of granules, more than the lists take.
    fn granules(&self) -> u32;

    /// Returns the lists, which are at the start.
    fn lists(&self) -> &Lists;

    /// Returns the words of a block, which are 8 bytes before its granule and 8 bytes in it.
    ///
    /// # Errors
    /// [`Broken`]: there is no such granule, or it is the first.
    fn block(&self, number: u32) -> Result<&Words, Broken>;
}

/// The heap's lists are not what the heap has made of them, or what was freed is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A heap in some memory. It has no state of its own. One operation at a time.
#[derive(Debug)]
pub struct Heap<M>(pub M);

/// A list of free blocks.
#[derive(Clone, Copy, Debug)]
struct List {
    class: usize,
    part: usize,
}

impl List {
    /// Returns the list in which a block of `size` granules is.
    #[inline(always)]
    fn of(size: u32) -> Self {
        if size < PARTS as u32 {
            return Self { class: 0, part: size as usize };
        }
        let power = size.ilog2();
        let part = size >> (power - PART_BITS);
        Self { class: (power + 1 - PART_BITS) as usize, part: part as usize % PARTS }
    }

    /// Returns the first list all of whose blocks have at least `size` granules.
    #[inline(always)]
    fn for_request(size: u32) -> Self {
        if size < PARTS as u32 {
            return Self { class: 0, part: size as usize };
        }
        Self::of(size + (1 << (size.ilog2() - PART_BITS)) - 1)
    }
}

impl Words {
    /// Returns all of them.
    pub fn words(&self) -> impl Iterator<Item = &AtomicU32> {
        [&self.state, &self.before, &self.next, &self.previous].into_iter()
    }
}

impl Lists {
    /// Returns all words of the lists.
    pub fn words(&self) -> impl Iterator<Item = &AtomicU32> {
        let lists = self.parts.iter().chain(self.first.as_flattened()).chain(&self.kept);
        core::iter::once(&self.classes).chain(lists)
    }

    /// Returns the word that names the first block of a list.
    #[inline(always)]
    fn first(&self, list: List) -> &AtomicU32 {
        &self.first[list.class % CLASSES][list.part % PARTS]
    }

    /// Returns a list that has a block of at least `size` granules.
    #[inline(always)]
    fn find(&self, size: u32) -> Option<List> {
        let List { class, part } = List::for_request(size);
        let parts = self.parts[class % CLASSES].load(Relaxed) & (u32::MAX << part);
        if parts != 0 {
            return Some(List { class, part: parts.trailing_zeros() as usize });
        }
        let classes = self.classes.load(Relaxed) & (u32::MAX << 1 << class);
        if classes == 0 {
            return None;
        }
        let class = classes.trailing_zeros() as usize;
        // If there is none, the block that it stands for is no free one.
        Some(List { class, part: self.parts[class % CLASSES].load(Relaxed).trailing_zeros() as usize })
    }

    /// The list has got its first block.
    #[inline(always)]
    fn mark(&self, list: List) {
        let parts = &self.parts[list.class % CLASSES];
        let before = parts.load(Relaxed);
        parts.store(before | 1 << (list.part % PARTS), Relaxed);
        if before == 0 {
            self.classes.store(self.classes.load(Relaxed) | 1 << (list.class % CLASSES), Relaxed);
        }
    }

    /// The list has lost its last block.
    #[inline(always)]
    fn clear(&self, list: List) {
        let parts = &self.parts[list.class % CLASSES];
        let left = parts.load(Relaxed) & !(1 << (list.part % PARTS));
        parts.store(left, Relaxed);
        if left == 0 {
            self.classes.store(self.classes.load(Relaxed) & !(1 << (list.class % CLASSES)), Relaxed);
        }
    }
}

/// Returns the bytes that a heap must have more for a block of that size and alignment to be found, at most; `None`:
/// there is no such block.
#[must_use]
pub fn bytes_for(size: usize, align: usize) -> Option<usize> {
    let granules = granules_for(size, align)?;
    let rounded = granules.checked_add(granules >> PART_BITS)?;
    // The block that is found, and what the memory's first granule and the last block take.
    Some((rounded as usize + 4) * GRANULE)
}

/// Returns the granules of a block in which `size` bytes can be aligned.
#[inline(always)]
fn granules_for(size: usize, align: usize) -> Option<u32> {
    let padding = if align > GRANULE { align } else { 0 };
    // Half a granule of the last one is the next header.
    let granules = size.checked_add(padding)?.checked_add(GRANULE + 7)? / GRANULE;
    (granules <= MOST).then_some(granules as u32)
}

impl<M: Memory> Heap<M> {
    /// Makes the memory a heap, whatever was in it.
    ///
    /// # Errors
    /// [`Broken`]: there is too little memory.
    pub fn init(&self) -> Result<(), Broken> {
        self.0.lists().words().for_each(|word| word.store(0, Relaxed));
        let start = (LISTS_SIZE / GRANULE) as u32 + 1;
        self.0.block(start)?.before.store(NONE, Relaxed);
        self.add(start)
    }

    /// The memory had `granules` granules; the others are new.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn grow(&self, granules: u32) -> Result<(), Broken> {
        // The last block becomes one in use, of what is new, which is then freed.
        self.add(granules.checked_sub(1).ok_or(Broken)?)
    }

    /// Adds what is from the block `start` on, which has its word about the block before it.
    fn add(&self, start: u32) -> Result<(), Broken> {
        let end = self.0.granules() - 1;
        let size = end.checked_sub(start).filter(|size| *size != 0).ok_or(Broken)?;
        self.0.block(start)?.state.store(size << 1 | USED, Relaxed);
        let last = self.0.block(end)?;
        last.state.store(USED, Relaxed);
        last.before.store(start, Relaxed);
        self.free_block(start)
    }

    /// Allocates a block of `size` bytes, aligned to `align`, a power of two; returns where it begins, in bytes from the
    /// start of the memory. `None`: there is none that is large enough.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline(always)]
    pub fn allocate(&self, size: usize, align: usize) -> Result<Option<usize>, Broken> {
        let Some(wanted) = granules_for(size, align) else { return Ok(None) };
        if (wanted as usize) < PARTS && align <= GRANULE {
            let kept = &self.0.lists().kept[wanted as usize];
            let block = kept.load(Relaxed);
            if block != NONE {
                kept.store(NONE, Relaxed);
                if self.0.block(block)?.state.load(Relaxed) != wanted << 1 | USED {
                    return Err(Broken);
                }
                return Ok(Some(block as usize * GRANULE));
            }
        }
        let block = self.allocate_listed(wanted, size, align)?;
        if block.is_none() && self.free_kept()? {
            return self.allocate_listed(wanted, size, align);
        }
        Ok(block)
    }

    /// Allocates a block from a list.
    fn allocate_listed(&self, wanted: u32, size: usize, align: usize) -> Result<Option<usize>, Broken> {
        let lists = self.0.lists();
        let Some(list) = lists.find(wanted) else { return Ok(None) };
        let block = lists.first(list).load(Relaxed);
        let words = self.0.block(block)?;
        let state = words.state.load(Relaxed);
        let found = state >> 1;
        if state & USED != 0 || found < wanted || found >= self.0.granules() - block {
            return Err(Broken);
        }
        self.take_first(list, words.next.load(Relaxed))?;
        if align > GRANULE {
            return self.align(block, found, size, align).map(Some);
        }
        self.split(block, words, found, wanted)?;
        Ok(Some(block as usize * GRANULE))
    }

    /// Frees the blocks that are kept. Returns whether there are any.
    #[cold]
    fn free_kept(&self) -> Result<bool, Broken> {
        let mut any = false;
        for kept in &self.0.lists().kept {
            let block = kept.load(Relaxed);
            if block != NONE {
                kept.store(NONE, Relaxed);
                self.free_block(block)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Frees the block that begins `offset` bytes from the start of the memory.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline(always)]
    pub fn free(&self, offset: usize) -> Result<(), Broken> {
        let mut block = (offset / GRANULE) as u32;
        let state = self.0.block(block)?.state.load(Relaxed);
        if !offset.is_multiple_of(GRANULE) || offset / GRANULE != block as usize || state & USED == 0 {
            return Err(Broken);
        }
        let size = (state >> 1) as usize;
        if size != 0 && size < PARTS {
            let kept = &self.0.lists().kept[size];
            let before = kept.load(Relaxed);
            if before == block {
                return Err(Broken);
            }
            kept.store(block, Relaxed);
            if before == NONE {
                return Ok(());
            }
            block = before;
        }
        self.free_block(block)
    }

    /// Takes the first block off a list, whose next one is `next`.
    #[inline(always)]
    fn take_first(&self, list: List, next: u32) -> Result<(), Broken> {
        let lists = self.0.lists();
        lists.first(list).store(next, Relaxed);
        if next == NONE {
            lists.clear(list);
        } else {
            self.0.block(next)?.previous.store(NONE, Relaxed);
        }
        Ok(())
    }

    /// Takes a free block of `size` granules off its list.
    #[inline(always)]
    fn unlink(&self, words: &Words, size: u32) -> Result<(), Broken> {
        let (next, previous) = (words.next.load(Relaxed), words.previous.load(Relaxed));
        if previous == NONE {
            return self.take_first(List::of(size), next);
        }
        self.0.block(previous)?.next.store(next, Relaxed);
        if next != NONE {
            self.0.block(next)?.previous.store(previous, Relaxed);
        }
        Ok(())
    }

    /// Puts a block of `size` granules, whose word about the block before it is right, first on its list.
    #[inline(always)]
    fn link(&self, block: u32, words: &Words, size: u32) -> Result<(), Broken> {
        let (lists, list) = (self.0.lists(), List::of(size));
        let first = lists.first(list);
        let next = first.load(Relaxed);
        words.state.store(size << 1, Relaxed);
        words.next.store(next, Relaxed);
        words.previous.store(NONE, Relaxed);
        first.store(block, Relaxed);
        if next == NONE {
            lists.mark(list);
        } else {
            self.0.block(next)?.previous.store(block, Relaxed);
        }
        Ok(())
    }

    /// Makes the first `wanted` granules of a block of `size`, which is on no list, a block in use; the rest is free.
    #[inline(always)]
    fn split(&self, block: u32, words: &Words, size: u32, wanted: u32) -> Result<(), Broken> {
        words.state.store(wanted << 1 | USED, Relaxed);
        if size != wanted {
            let rest = block + wanted;
            let words = self.0.block(rest)?;
            words.before.store(block, Relaxed);
            self.0.block(block + size)?.before.store(rest, Relaxed);
            self.link(rest, words, size - wanted)?;
        }
        Ok(())
    }

    /// Makes a part of a block of `found` granules, which is on no list, a block in use for `size` bytes that are aligned;
    /// what is before and after it is free.
    #[cold]
    fn align(&self, block: u32, found: u32, size: usize, align: usize) -> Result<usize, Broken> {
        let start = (block as usize * GRANULE).next_multiple_of(align);
        let aligned = (start / GRANULE) as u32;
        let wanted = granules_for(size, GRANULE).ok_or(Broken)?;
        if aligned != block {
            self.0.block(aligned)?.before.store(block, Relaxed);
            self.0.block(block + found)?.before.store(aligned, Relaxed);
            self.link(block, self.0.block(block)?, aligned - block)?;
        }
        self.split(aligned, self.0.block(aligned)?, block + found - aligned, wanted)?;
        Ok(start)
    }

    /// Frees a block that looks as if it were in use, and joins it with the free ones around it.
    fn free_block(&self, block: u32) -> Result<(), Broken> {
        let words = self.0.block(block)?;
        let (state, before) = (words.state.load(Relaxed), words.before.load(Relaxed));
        let granules = self.0.granules();
        if state & USED == 0 || state >> 1 == 0 || state >> 1 >= granules - block {
            return Err(Broken);
        }
        let (mut start, mut first, mut end) = (block, words, block + (state >> 1));
        let mut after = self.0.block(end)?;
        let of_next = after.state.load(Relaxed);
        if of_next & USED == 0 {
            if of_next >> 1 >= granules - end {
                return Err(Broken);
            }
            self.unlink(after, of_next >> 1)?;
            end += of_next >> 1;
            after = self.0.block(end)?;
        }
        if before != NONE {
            let words_before = self.0.block(before)?;
            let of_previous = words_before.state.load(Relaxed);
            if of_previous & USED == 0 {
                if before >= block || of_previous >> 1 != block - before {
                    return Err(Broken);
                }
                self.unlink(words_before, of_previous >> 1)?;
                // So that it is not taken for a block once more.
                words.state.store(0, Relaxed);
                (start, first) = (before, words_before);
            }
        }
        after.before.store(start, Relaxed);
        self.link(start, first, end - start)
    }
}
