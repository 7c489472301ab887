//! A function of this folder, as loaded programs know it. Each file has a list of its own; `symbols` has all of them.

/// A function that loaded programs may ask for.
pub(super) struct Symbol {
    /// Its name.
    pub(super) name: &'static str,
    /// Where its code begins.
    pub(super) address: *const (),
}

// SAFETY: an address of code, which is the same for everybody.
unsafe impl Sync for Symbol {}

impl Symbol {
    /// The function at `address`, under `name`.
    pub(super) const fn new(name: &'static str, address: *const ()) -> Self {
        Self { name, address }
    }
}
