//! The data that the LWPs of a loaded program share: made by `start`, found through the thread pointer (`tls`).

use asphodel_core::shim::atomic::{AtomicUsize, Ordering};

use spin::Once;

use super::thread_table::Threads;
use crate::mem::arena::{self, Number};
use crate::mem::program::Image;
use crate::random;

/// The data that the LWPs of a loaded program share, as long as the process lasts: it lies in the process's arena.
#[derive(Debug)]
pub(super) struct Process {
    /// Its program.
    pub(super) image: &'static Image,
    /// The base of the program.
    pub(super) base: usize,
    /// What the seals of its heap's blocks are made with; a copy, for fast access.
    pub(super) secret: Secret,
    /// Its arena.
    pub(super) arena: Number,
    /// What is known of its heap.
    pub(super) heap: KnownHeap,
    /// Its threads that have not ended.
    pub(super) threads: Threads,
}

/// Numbers that no program has by chance, the same ones for all until the system ends; the second one is odd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) u64, pub(super) u64);

impl Secret {
    /// Returns them; the first caller draws them.
    fn get() -> Self {
        static SECRET: Once<Secret> = Once::new();
        *SECRET.call_once(|| {
            let mut numbers = [[0; 8]; 2];
            random::fill(numbers.as_flattened_mut());
            let [first, second] = numbers.map(u64::from_le_bytes);
            Self(first, second | 1)
        })
    }
}

/// The part of a process's heap that is known to be mapped. The heap only grows as long as code of the program runs, so
/// what lies in this part needs no lock to be found.
#[derive(Debug)]
pub(super) struct KnownHeap {
    start: usize,
    length: AtomicUsize,
}

impl KnownHeap {
    /// Returns whether `length` bytes from `address` on lie in it.
    #[inline(always)]
    pub(super) fn contains(&self, address: usize, length: usize) -> bool {
        let offset = address.wrapping_sub(self.start);
        // Relaxed: what was mapped was mapped for all CPUs before it was noted here.
        let known = self.length.load(Ordering::Relaxed);
        offset < known && length <= known - offset
    }

    /// Returns whether `word` is aligned, and lies in it.
    #[inline(always)]
    pub(super) fn contains_word(&self, word: *const u32) -> bool {
        let offset = (word as usize).wrapping_sub(self.start);
        // Relaxed: as above.
        let known = self.length.load(Ordering::Relaxed);
        // Both ends are aligned; if the word is not, the rotated offset is larger than any heap.
        offset.rotate_right(size_of::<u32>().ilog2()) < known / size_of::<u32>()
    }

    /// The heap has been found to reach up to `end`.
    pub(super) fn reaches(&self, end: usize) {
        // Relaxed: as above. If an older, smaller value is stored last, that is true, too.
        self.length.store(end - self.start, Ordering::Relaxed);
    }
}

impl Process {
    /// Makes the data of a process that runs `image`, mapped at `base` in `arena`.
    pub(super) fn new(image: &'static Image, base: usize, arena: Number) -> Self {
        let heap = KnownHeap { start: arena::heap_start(arena), length: AtomicUsize::new(0) };
        Self { image, base, secret: Secret::get(), arena, heap, threads: Threads::new() }
    }
}
