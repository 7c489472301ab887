//! A function of this folder that loaded programs may call. Each file has a list of its own; `symbols` has all of them.

/// A function that loaded programs may call.
pub(super) struct Symbol {
    /// Its name.
    pub(super) name: &'static str,
    /// Where its code begins.
    pub(super) address: *const (),
}

// SAFETY: an address of code, which is the same for all users.
unsafe impl Sync for Symbol {}

impl Symbol {
    /// Creates the entry of the function at `address`, under `name`.
    pub(super) const fn new(name: &'static str, address: *const ()) -> Self {
        Self { name, address }
    }
}
