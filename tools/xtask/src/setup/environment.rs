//! What the set-up finds, and everything else works with.

use std::path::PathBuf;

use super::toolchain::Toolchain;

/// What building and running uses.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The emulator.
    pub(crate) qemu: PathBuf,
    /// The compiler, library source and linker of the images.
    pub(crate) toolchain: Toolchain,
}
