//! Boxes whose allocation may fail: a substitute for `Box::try_new` until that is stable.

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;

/// Returns a box with `value` in it; drops the value and returns `None` if there is no memory.
#[expect(clippy::disallowed_methods, reason = "of no bytes")]
pub(crate) fn boxed<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        // Nothing is allocated.
        return Some(Box::new(value));
    }
    // SAFETY: the layout is not empty.
    let place = unsafe { alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: just allocated for a `T`, by the allocator and with the layout that a box frees it with.
    unsafe {
        place.write(value);
        Some(Box::from_raw(place))
    }
}
