//! A process's group.

use asphodel_core::shim::guarded::Cell32;

/// The part of a process's record for its group.
pub(crate) struct Group {
    /// Slot of the process that founded its group, to which it has a reference.
    pub(super) founder: Cell32,
}

impl Group {
    /// A record that is used again keeps what it has, until its creator sets the group.
    pub(super) const fn new() -> Self {
        Self { founder: Cell32::new(0) }
    }
}
