//! Boot arguments: words `key=value` on one line, as a boot loader passes them.
//!
//! Hardware-free; may be read from any context. A word without `=` is a flag and has an empty value. If a key occurs
//! twice, the last one counts, so that a loader's script can append an override.
//!
//! An image has a place for arguments of its own, which take precedence over the loader's and are never cut: for tools that start an
//! image by a loader whose arguments they cannot choose. It lies after the arm64 header: eight bytes of mark, and the
//! text up to a zero.

use core::ops::Range;

use thiserror::Error;

/// The word behind which those for the first process stand.
pub const SEPARATOR: &str = "--";

/// The mark that the place in an image begins with.
const MARK: &[u8; 8] = b"bootargs";

/// Key of the word that the system's own lines on the console begin with, which no program sees.
pub const CONSOLE_WORD: &str = "console-word";

/// Most bytes of text in an image.
pub const MAX_EMBEDDED: usize = 504;

/// Offset of the place in an image, in bytes.
pub const PLACE: Range<usize> = 0x40..0x40 + MARK.len() + MAX_EMBEDDED;

/// Why an image does not get arguments.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EmbedError {
    /// It is not an image of this kernel, or one of a version without a place.
    #[error("the image has no place for boot arguments")]
    NoPlace,
    /// They are longer than the place.
    #[error("an image has room for {MAX_EMBEDDED} bytes of boot arguments")]
    TooLong,
    /// They contain a zero byte.
    #[error("boot arguments cannot have a NUL")]
    Nul,
}

/// Returns the arguments in an image, of which `image` is the beginning; empty if it has none, or no place.
#[must_use]
pub fn embedded(image: &[u8]) -> &str {
    let place = image.get(PLACE).and_then(|place| place.strip_prefix(MARK)).unwrap_or_default();
    let end = place.iter().position(|byte| *byte == 0).unwrap_or(place.len());
    core::str::from_utf8(&place[..end]).unwrap_or_default()
}

/// Replaces the arguments in an image by `line`.
///
/// # Errors
/// As named; the image is unchanged.
pub fn embed(image: &mut [u8], line: &str) -> Result<(), EmbedError> {
    let place = image.get_mut(PLACE).ok_or(EmbedError::NoPlace)?;
    let (_, place) =
        place.split_at_mut_checked(MARK.len()).filter(|(mark, _)| mark == MARK).ok_or(EmbedError::NoPlace)?;
    if line.contains('\0') {
        return Err(EmbedError::Nul);
    }
    let (text, rest) = place.split_at_mut_checked(line.len()).ok_or(EmbedError::TooLong)?;
    text.copy_from_slice(line.as_bytes());
    rest.fill(0);
    Ok(())
}

/// Splits off what is for the system from what is, after the first word `--`, for the first process.
#[must_use]
pub fn split(line: &str) -> (&str, &str) {
    for (at, _) in line.match_indices(SEPARATOR) {
        let (before, rest) = (&line[..at], &line[at + SEPARATOR.len()..]);
        let blank = |letter: char| letter.is_ascii_whitespace();
        let begins = before.is_empty() || before.ends_with(blank);
        if begins && (rest.is_empty() || rest.starts_with(blank)) {
            return (before.trim_ascii(), rest.trim_ascii());
        }
    }
    (line.trim_ascii(), "")
}

/// Returns the words of `line` that are for the system, as pairs of key and value, in order.
pub fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    split(line).0.split_ascii_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

/// Returns the words of `line` without those for `key`, in order.
pub fn without<'line>(line: &'line str, key: &str) -> impl Iterator<Item = &'line str> {
    line.split_ascii_whitespace()
        .filter(move |word| word.split_once('=').map_or(*word, |(name, _)| name) != key)
}

/// Returns the value of `key`, if it occurs. Empty for a flag.
#[must_use]
pub fn value<'line>(line: &'line str, key: &str) -> Option<&'line str> {
    pairs(line).filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

/// Returns the value of `key` as a number, decimal or with `0x` in hexadecimal; `None` if the key does not occur or its
/// value is not a number.
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
    fn an_image_keeps_its_own() {
        let mut image = vec![7; 0x400];
        assert_eq!(embed(&mut image, "a"), Err(EmbedError::NoPlace));
        assert_eq!(embedded(&image), "");
        image[PLACE.start..][..MARK.len()].copy_from_slice(MARK);
        image[PLACE][MARK.len()..].fill(0);
        assert_eq!(embedded(&image), "");

        let full = "x".repeat(MAX_EMBEDDED);
        for line in [full.as_str(), "end=restart seed=3", ""] {
            embed(&mut image, line).expect("it fits");
            assert_eq!(embedded(&image), line);
        }
        assert!(image[..PLACE.start].iter().chain(&image[PLACE.end..]).all(|byte| *byte == 7));
        embed(&mut image, "kept").expect("it fits");
        assert_eq!(embed(&mut image, &"x".repeat(MAX_EMBEDDED + 1)), Err(EmbedError::TooLong));
        assert_eq!(embed(&mut image, "a\0b"), Err(EmbedError::Nul));
        assert_eq!(embed(&mut image[..PLACE.end - 1], "a"), Err(EmbedError::NoPlace));
        assert_eq!(embedded(&image), "kept");
    }

    #[test]
    fn words_become_pairs_in_order() {
        let all: Vec<_> = pairs(LINE).collect();
        assert_eq!(all[0], ("console", "ttyAMA0,115200"));
        assert_eq!(all[2], ("verbose", ""));
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn what_is_behind_two_dashes_is_the_first_processs() {
        assert_eq!(split("seed=1 x -- storm  -- 5 "), ("seed=1 x", "storm  -- 5"));
        assert_eq!(split("-- storm"), ("", "storm"));
        assert_eq!(split("a --"), ("a", ""));
        assert_eq!(split("a --b c--d --"), ("a --b c--d", ""));
        assert_eq!(split(""), ("", ""));
        assert_eq!(number("seed=1 -- seed=2", "seed"), Some(1));
    }

    #[test]
    fn words_for_a_key_are_left_out() {
        let left = |key| without("a=1 b a=2  a ab=3", key).collect::<Vec<_>>();
        assert_eq!(left("a"), ["b", "ab=3"]);
        assert_eq!(left("b"), ["a=1", "a=2", "a", "ab=3"]);
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
