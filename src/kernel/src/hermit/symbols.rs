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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_is_found_by_its_name() {
        for symbol in SYMBOLS.into_iter().flatten() {
            assert_eq!(find(symbol.name), Some(symbol.address as usize), "{}", symbol.name);
            let same = SYMBOLS.into_iter().flatten().filter(|other| other.name == symbol.name);
            assert_eq!(same.count(), 1, "{}", symbol.name);
        }
    }

    #[test]
    fn a_name_is_found_as_a_whole() {
        assert!(find("sys_exit").is_some());
        assert_eq!(find("sys_exi"), None);
        assert_eq!(find(""), None);
    }
}
