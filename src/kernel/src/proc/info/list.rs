//! Lists that reports return.
//!
//! Such a list is its caller's own memory. So it grows outside of the section in which it is filled: it comes from the
//! caller's arena, if it has one, and if it is refused, which ends the caller, no reference is held that would be lost.
//! Used by `proc::info`.

use alloc::vec::Vec;

use crate::sync::service::KernelSection;

/// A list with room for some entries, which does not grow.
pub(super) struct Room<T>(Vec<T>);

/// There is no room for one more entry.
#[derive(Debug)]
pub(super) struct Full;

impl<T> Room<T> {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`Full`].
    #[expect(clippy::disallowed_methods, reason = "there is room")]
    pub(super) fn push(&mut self, entry: T) -> Result<(), Full> {
        if self.0.len() == self.0.capacity() {
            return Err(Full);
        }
        self.0.push(entry);
        Ok(())
    }
}

/// Returns the list that `fill` makes inside a section. It gets an empty list, with room for `usual` entries, and once
/// more with more room as long as it returns [`Full`]. Thread context; allocates, in no section of its own.
#[expect(clippy::disallowed_methods, reason = "a refusal ends the caller, with nothing held")]
pub(super) fn filled<T>(usual: usize, fill: impl Fn(&mut Room<T>) -> Result<(), Full>) -> Vec<T> {
    let mut room = Room(Vec::with_capacity(usual));
    while fill_in_section(&mut room, &fill).is_err() {
        room.0.clear();
        room.0.reserve(2 * room.0.capacity() + 1);
    }
    room.0
}

fn fill_in_section<T>(
    room: &mut Room<T>,
    fill: impl Fn(&mut Room<T>) -> Result<(), Full>,
) -> Result<(), Full> {
    let _section = KernelSection::enter();
    fill(room)
}
