//! The only file that names atomics: the real ones, loom's under `cfg(loom)`, or with the feature `interleave` those of
//! the hosted kernel, each of whose operations is a point of interleaving.
//!
//! Everything whose ordering matters uses the types of [`atomic`], so that the models in `tests/loom_*.rs` explore
//! the very code the kernel runs. Fields that a lock guards, and that are atomic only because safe Rust asks for
//! interior mutability, use [`guarded`]: loom need not branch on them.

/// Atomics whose ordering is part of a protocol.
pub mod atomic {
    #[cfg(all(feature = "interleave", not(loom)))]
    pub use asphodel_interleave::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        compiler_fence, fence,
    };
    #[cfg(not(any(feature = "interleave", loom)))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        compiler_fence, fence,
    };
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

    #[cfg(all(feature = "interleave", not(loom)))]
    pub use asphodel_interleave::of_program;

    /// The word of a program, which has the atomics of the language, as one of these.
    #[cfg(not(any(feature = "interleave", loom)))]
    #[inline(always)]
    #[must_use]
    pub const fn of_program(word: &AtomicU32) -> &AtomicU32 {
        word
    }
}

/// Cells that a lock elsewhere guards: always accessed relaxed, never a protocol of their own.
pub mod guarded {
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    /// A 32-bit field guarded by a lock that the containing structure's documentation names.
    #[derive(Debug)]
    pub struct Cell32(AtomicU32);

    impl Cell32 {
        /// A cell that contains `value`.
        #[must_use]
        pub const fn new(value: u32) -> Self {
            Self(AtomicU32::new(value))
        }

        /// Reads the field; the caller holds the guarding lock, or accepts a value that may be out of date.
        #[inline(always)]
        pub fn get(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }

        /// Writes the field; the caller holds the guarding lock.
        #[inline(always)]
        pub fn set(&self, value: u32) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// A 64-bit field guarded by a lock that the containing structure's documentation names.
    #[derive(Debug)]
    pub struct Cell64(AtomicU64);

    impl Cell64 {
        /// A cell that contains `value`.
        #[must_use]
        pub const fn new(value: u64) -> Self {
            Self(AtomicU64::new(value))
        }

        /// Reads the field; the caller holds the guarding lock, or accepts a value that may be out of date.
        #[inline(always)]
        pub fn get(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        /// Writes the field; the caller holds the guarding lock.
        #[inline(always)]
        pub fn set(&self, value: u64) {
            self.0.store(value, Ordering::Relaxed);
        }
    }
}

/// Declares a constructor that is `const` except under loom, whose atomics cannot be made in constants.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[cfg(not(loom))]
        #[must_use]
        pub const fn $name($($arg: $ty),*) -> $ret $body
        $(#[$meta])*
        #[cfg(loom)]
        #[must_use]
        pub fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;
