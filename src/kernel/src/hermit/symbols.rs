//! The functions that loaded programs may call, by their names.

use super::symbol::Symbol;
use super::{entropy, files, futex, memory, net, process, threads, time};

/// The lists of the files.
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

/// Returns the address of the function with that name. Any context.
pub(crate) fn find(name: &str) -> Option<usize> {
    let all = SYMBOLS.into_iter().flatten();
    all.clone().find(|symbol| symbol.name == name).map(|symbol| symbol.address as usize)
}
