//! Atomics for the hosted kernel: every operation is a point of interleaving, and stores may wait in a store buffer.
//!
//! `asphodel_core::shim` uses these types instead of the real ones where the kernel runs on a host. As long as no hook
//! is registered each operation is that of `core::sync::atomic`, after one test of a pointer. An explorer that runs all
//! virtual CPUs on one host thread registers a hook ([`set_point`]), which may switch to another virtual CPU, and may
//! turn the store buffers on ([`buffer::enable`]): then relaxed and release stores become visible to other virtual CPUs
//! late, in order, as under total store order. Sequentially consistent stores, read-modify-write operations and
//! sequentially consistent fences wait until the buffer is empty. So a missing fence between a store and a load can be
//! detected; the weaker reorderings of Arm are the subject of the loom models.
#![no_std]

pub mod buffer;

use core::ptr::null_mut;
use core::sync::atomic as real;

pub use core::sync::atomic::{Ordering, compiler_fence};

/// The hook: a function of type `fn()`, or null.
static POINT: real::AtomicPtr<()> = real::AtomicPtr::new(null_mut());

/// Registers the function that is called before each atomic operation. Called once, before a second virtual CPU exists.
pub fn set_point(hook: fn()) {
    POINT.store(hook as *mut (), Ordering::Relaxed);
}

/// A point of interleaving. It may return much later, after other virtual CPUs have run; any context.
#[inline(always)]
pub fn point() {
    let hook = POINT.load(Ordering::Relaxed);
    if !hook.is_null() {
        // SAFETY: not null, so `set_point` made it from a `fn()`.
        let hook: fn() = unsafe { core::mem::transmute(hook) };
        hook();
    }
}

/// A memory fence; a point of interleaving.
#[inline]
pub fn fence(order: Ordering) {
    point();
    if order == Ordering::SeqCst {
        buffer::flush_current();
    }
    real::fence(order);
}

/// The operations that all atomics have.
macro_rules! atomic {
    ($name:ident $(<$parameter:ident>)?, $value:ty, $to:expr, $from:expr) => {
        #[doc = concat!("As `core::sync::atomic::", stringify!($name), "`, each operation a point of interleaving.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? (real::$name $(<$parameter>)?);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            /// Creates an atomic that holds `value`.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(real::$name::new(value))
            }

            /// Reads the value; if what this CPU has stored last is still in its buffer, returns that.
            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                point();
                if order == Ordering::SeqCst {
                    buffer::flush_current();
                }
                match buffer::own_store(self.0.as_ptr() as usize) {
                    Some(bits) => $from(bits),
                    None => self.0.load(order),
                }
            }

            /// Writes the value; other CPUs may see it later, unless the order is `SeqCst`.
            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                point();
                let size = size_of::<$value>();
                if order == Ordering::SeqCst || !buffer::push(self.0.as_ptr() as usize, $to(value), size) {
                    buffer::flush_current();
                    self.0.store(value, order);
                }
            }

            /// Writes the value and returns the one before.
            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                buffer::flush_current();
                self.0.swap(value, order)
            }

            /// Writes `new` if the value is `current`; returns the value before in both cases.
            ///
            /// # Errors
            /// The value, which is not `current`.
            #[inline]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                buffer::flush_current();
                self.0.compare_exchange(current, new, success, failure)
            }

            /// Same as [`Self::compare_exchange`]; never fails spuriously here.
            ///
            /// # Errors
            /// As there.
            #[inline]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// Changes the value by `change` until no other CPU interferes; returns the value before.
            ///
            /// # Errors
            /// The value for which `change` returned `None`.
            #[inline]
            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut before = self.load(fetch);
                while let Some(next) = change(before) {
                    match self.compare_exchange_weak(before, next, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(found) => before = found,
                    }
                }
                Err(before)
            }

            /// Returns the address of the value.
            #[inline]
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            /// Returns a reference to the value, which has no other user.
            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                buffer::flush_current();
                self.0.get_mut()
            }

            /// Returns the value of an atomic that is consumed.
            #[inline]
            pub fn into_inner(self) -> $value {
                buffer::flush_current();
                self.0.into_inner()
            }
        }
    };
}

/// The operations that change a number.
macro_rules! arithmetic {
    ($name:ident, $value:ty: $($operation:ident),*) => {
        impl $name {
            $(
                /// Same as the operation of this name of `core::sync::atomic`; returns the value before.
                #[inline]
                pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                    point();
                    buffer::flush_current();
                    self.0.$operation(value, order)
                }
            )*
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value, |value: $value| value as u64, |bits: u64| bits as $value);
        arithmetic!($name, $value: fetch_add, fetch_sub, fetch_or, fetch_and, fetch_xor, fetch_max, fetch_min);

        impl From<$value> for $name {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }
    };
}

number!(AtomicU8, u8);
number!(AtomicU32, u32);
number!(AtomicU64, u64);
number!(AtomicUsize, usize);
number!(AtomicI32, i32);
atomic!(AtomicBool, bool, u64::from, |bits: u64| bits != 0);
arithmetic!(AtomicBool, bool: fetch_or, fetch_and, fetch_xor);
atomic!(AtomicPtr<T>, *mut T, |value: *mut T| value as usize as u64, |bits: u64| bits as usize as *mut T);

/// Returns the word of a program, which has the atomics of the language, as one of these.
#[inline]
#[must_use]
pub fn of_program(word: &real::AtomicU32) -> &AtomicU32 {
    // SAFETY: `AtomicU32` is a transparent wrapper of the real one.
    unsafe { &*core::ptr::from_ref(word).cast() }
}
