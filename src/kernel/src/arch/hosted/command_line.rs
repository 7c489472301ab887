//! The words of the command line, which are the boot arguments.

use heapless::String;

use super::host::refuse;

/// Longest line of words in bytes: the limit of a board's boot arguments.
pub(super) const LINE: usize = asphodel_core::boot::board::MAX_BOOT_ARGUMENTS;

/// The words, as one line.
static WORDS: spin::Once<String<LINE>> = spin::Once::new();

/// Stores the words. Called once, before the kernel is entered.
pub(super) fn set(line: String<LINE>) {
    WORDS.call_once(|| line);
}

/// Returns the words of the command line.
pub(crate) fn words() -> &'static str {
    WORDS.get().map_or("", |line| line.as_str())
}

/// Returns the value of the word `key=value` among those before the words of a program.
pub(super) fn value(key: &str) -> Option<&'static str> {
    let words = words().split_ascii_whitespace().take_while(|word| *word != "--");
    words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Returns the number after `key=`, or `default` without that word.
pub(super) fn number(key: &str, default: u64) -> u64 {
    match value(key).map(str::parse) {
        None => default,
        Some(Ok(number)) => number,
        Some(Err(_)) => refuse(format_args!("{key}= takes a number")),
    }
}
