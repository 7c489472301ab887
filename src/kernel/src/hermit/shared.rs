//! The data that the LWPs of a loaded program share: made by `start`, found through the thread pointer (`tls`).

use super::thread_table::Threads;
use crate::mem::program::Image;
use crate::random;

/// The data that the LWPs of a loaded program share, as long as the process lasts: it lies in the process's arena.
#[derive(Debug)]
pub(super) struct Process {
    /// Its program.
    pub(super) image: &'static Image,
    /// The base of the program.
    pub(super) base: usize,
    /// What the seals of its heap's blocks are made with.
    pub(super) secret: u64,
    /// Its threads that have not ended.
    pub(super) threads: Threads,
}

impl Process {
    /// Makes the data of a process that runs `image`, mapped at `base`.
    pub(super) fn new(image: &'static Image, base: usize) -> Self {
        let mut secret = [0; 8];
        random::fill(&mut secret);
        Self { image, base, secret: u64::from_le_bytes(secret), threads: Threads::new() }
    }
}
