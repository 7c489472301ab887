//! The functions by their names.

use super::{entropy, files, futex, memory, net, process, threads, time};

/// A function that loaded programs may ask for.
pub(super) struct Symbol {
    /// Its name.
    name: &'static str,
    address: *const (),
}

// SAFETY: an address of code, which is the same for everybody.
unsafe impl Sync for Symbol {}

impl Symbol {
    /// The function at `address`, under `name`.
    pub(super) const fn new(name: &'static str, address: *const ()) -> Self {
        Self { name, address }
    }
}

/// What each file has.
static SYMBOLS: [&[Symbol]; 8] = [
    entropy::SYMBOLS,
    files::SYMBOLS,
    futex::SYMBOLS,
    memory::SYMBOLS,
    net::SYMBOLS,
    process::SYMBOLS,
    threads::SYMBOLS,
    time::SYMBOLS,
];

/// The address of the function with that name. Any context.
pub(crate) fn find(name: &str) -> Option<usize> {
    let all = SYMBOLS.into_iter().flatten();
    all.clone().find(|symbol| symbol.name == name).map(|symbol| symbol.address as usize)
}
