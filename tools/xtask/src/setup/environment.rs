//! The result of the set-up, which everything else uses.

use std::path::PathBuf;

use super::toolchain::Toolchain;

/// The programs for building and running.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The emulator.
    pub(crate) qemu: PathBuf,
    /// The compiler, library source and linker of the images.
    pub(crate) toolchain: Toolchain,
}
