//! Boot arguments: words `key=value` on one line, as a boot loader passes them.
//!
//! Hardware-free; may be read from any context. A word without `=` is a flag and has an empty value.
//! Where a key comes twice the last one holds, so that a loader's script can append an override.

/// The words of `line` as pairs of key and value, in order.
pub fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_ascii_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

/// The value of `key`, if it is there at all. Empty for a flag.
#[must_use]
pub fn value<'line>(line: &'line str, key: &str) -> Option<&'line str> {
    pairs(line).filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

/// The value of `key` as a number, decimal or with `0x` in hexadecimal. `None` if the key is not
/// there or its value is no number.
#[must_use]
pub fn number(line: &str, key: &str) -> Option<u64> {
    let text = value(line, key)?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "console=ttyAMA0,115200  filter=exit.* verbose seed=0x2a seed=7 empty= bad=x1";

    #[test]
    fn words_become_pairs_in_order() {
        let all: Vec<_> = pairs(LINE).collect();
        assert_eq!(all[0], ("console", "ttyAMA0,115200"));
        assert_eq!(all[2], ("verbose", ""));
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn the_last_of_equal_keys_holds() {
        assert_eq!(value(LINE, "seed"), Some("7"));
        assert_eq!(number("seed=0x2a", "seed"), Some(42));
    }

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(value(LINE, "verbose"), Some(""));
        assert_eq!(value(LINE, "empty"), Some(""));
        assert_eq!(value(LINE, "verb"), None);
        assert_eq!(value("", "verbose"), None);
    }

    #[test]
    fn only_the_first_equals_sign_separates() {
        assert_eq!(value("filter=a=b", "filter"), Some("a=b"));
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(number(LINE, "bad"), None);
        assert_eq!(number(LINE, "empty"), None);
        assert_eq!(number(LINE, "seed"), Some(7));
    }
}
