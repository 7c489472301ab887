//! Closures as LWPs: what `spawn_lwp` is for functions with a number, for anything that can be called.
//!
//! All of this is program code, as it were: its memory is the caller's own, and comes from its arena if it has one.

use asphodel_core::shim::atomic::{AtomicBool, Ordering};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use alloc::boxed::Box;
use asphodel_core::errno::Errno;

use crate::mem::fallible;
use crate::proc::life::handle::LwpHandle;
use crate::proc::life::lwp::{LwpAttributes, spawn_lwp};
use crate::sync::program_code;

/// The result of a closure that runs in an LWP of its own.
#[derive(Debug)]
pub struct JoinHandle<T> {
    lwp: LwpHandle,
    result: Half<T>,
}

/// Where the closure's result goes: written by the LWP, read when that has ended.
struct Shared<T> {
    result: UnsafeCell<Option<T>>,
    /// One of the two that share it has let go of it.
    released: AtomicBool,
}

/// One of the two shares in a [`Shared`]; the one that is dropped last frees it. An `Arc` whose making can fail.
#[derive(Debug)]
struct Half<T>(NonNull<Shared<T>>);

// SAFETY: the LWP is the only one to touch the result before its end, the handle's holder the only one after.
unsafe impl<T: Send> Send for Half<T> {}
// SAFETY: as above; a shared reference to a half gives access to nothing.
unsafe impl<T: Send> Sync for Half<T> {}

impl<T> Half<T> {
    /// Both halves of a new one; `None`: there is no memory.
    fn both() -> Option<(Self, Self)> {
        let shared = Shared { result: UnsafeCell::new(None), released: AtomicBool::new(false) };
        let shared = NonNull::from(Box::leak(fallible::boxed(shared)?));
        Some((Self(shared), Self(shared)))
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: there until both halves are gone.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Half<T> {
    fn drop(&mut self) {
        // AcqRel: what the first has done with the result comes before its being dropped by the second.
        if self.shared().released.swap(true, Ordering::AcqRel) {
            // SAFETY: leaked by `both`; the other half is gone.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// What the LWP gets.
struct Work<F, T> {
    function: F,
    result: Half<T>,
}

/// Runs `function` in a new LWP of the calling process. Join it, or leave it alone: if the handle is dropped, so is the
/// result.
///
/// # Errors
/// As for `lwp_spawn`; `ENOMEM` also if there is no memory for the closure and its result. The closure is dropped then.
pub fn lwp_run<F, T>(function: F, attributes: &LwpAttributes) -> Result<JoinHandle<T>, Errno>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (mine, its) = Half::both().ok_or(Errno::ENOMEM)?;
    let work = fallible::boxed(Work { function, result: its }).ok_or(Errno::ENOMEM)?;
    let work = Box::into_raw(work);
    match spawn_lwp(run::<F, T>, work as usize, attributes) {
        Ok(lwp) => Ok(JoinHandle { lwp, result: mine }),
        Err(error) => {
            // SAFETY: made above, and passed to no other owner.
            drop(unsafe { Box::from_raw(work) });
            Err(error)
        }
    }
}

/// Entry of an LWP that runs a closure.
fn run<F: FnOnce() -> T, T>(work: usize) -> usize {
    // SAFETY: made by `lwp_run` for this LWP alone.
    let work = unsafe { Box::from_raw(work as *mut Work<F, T>) };
    let Work { function, result } = *work;
    let value = program_code::call(function);
    // SAFETY: see `Half`: the LWP has not ended.
    unsafe { *result.shared().result.get() = Some(value) };
    0
}

impl<T> JoinHandle<T> {
    /// Waits for the closure's result. `None`: the LWP ended without one. Killable; blocks.
    ///
    /// # Errors
    /// As [`LwpHandle::wait`].
    pub fn join(self) -> Result<Option<T>, Errno> {
        self.lwp.wait()?;
        // SAFETY: see `Half`; the LWP is off its CPU.
        Ok(unsafe { (*self.result.shared().result.get()).take() })
    }

    /// The LWP.
    #[must_use]
    pub fn lwp(&self) -> &LwpHandle {
        &self.lwp
    }
}
