//! What the user sees of a guest's console: its bytes without the boot's word, as they are or with control characters
//! made visible.

use crate::console::{self, Word};

/// The console of a guest on its way to standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    /// What the system's lines begin with; empty if the guest got no word.
    prefix: Vec<u8>,
    /// The beginning of a line that may be the word's.
    held: Vec<u8>,
    /// `true` at the beginning of a line.
    at_start: bool,
    /// `true` if control characters are made visible.
    is_visible: bool,
    /// The beginning of a character, or of a line end, that is to be made visible.
    partial: Vec<u8>,
}

impl Screen {
    /// Returns the screen of a guest that got this word; `is_visible` if control characters are made visible.
    pub(crate) fn new(word: Option<&Word>, is_visible: bool) -> Self {
        let prefix = word.map(|word| word.prefix().into_bytes()).unwrap_or_default();
        Self { prefix, held: Vec::new(), at_start: true, is_visible, partial: Vec::new() }
    }

    /// Takes the next bytes of the guest, and returns what is shown.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if self.at_start && !self.prefix.is_empty() {
                self.held.push(*byte);
                if self.held == self.prefix {
                    self.held.clear();
                    self.at_start = false;
                } else if !self.prefix.starts_with(&self.held) {
                    shown.append(&mut self.held);
                    self.at_start = *byte == b'\n';
                }
            } else {
                shown.push(*byte);
                self.at_start = *byte == b'\n';
            }
        }
        self.show(shown)
    }

    /// Returns what was held back. Called when the guest prints nothing more for now.
    pub(crate) fn idle(&mut self) -> Vec<u8> {
        if !self.held.is_empty() {
            self.at_start = false;
        }
        let held = std::mem::take(&mut self.held);
        let mut shown = self.show(held);
        let partial = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned();
        shown.extend(console::visible(&partial).into_bytes());
        shown
    }

    /// Makes control characters visible, if that is wanted.
    fn show(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.is_visible {
            return bytes;
        }
        self.partial.extend(bytes);
        let cut = self.partial.len() - incomplete(&self.partial);
        let rest = self.partial.split_off(cut);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole);
        let lines: Vec<String> =
            text.split('\n').map(|line| console::visible(line.strip_suffix('\r').unwrap_or(line))).collect();
        lines.join("\n").into_bytes()
    }
}

/// Returns how many bytes at the end may be the beginning of a longer character, or of a line end of two bytes.
fn incomplete(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    match bytes.utf8_chunks().last() {
        Some(last) if !last.invalid().is_empty() => {
            let is_cut = std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none());
            if is_cut { last.invalid().len() } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Word {
        Word::in_arguments("console-word=abc").unwrap()
    }

    /// Returns what is shown of a text that arrives byte by byte.
    fn shown(screen: &mut Screen, text: &str) -> String {
        let mut shown: Vec<u8> = text.bytes().flat_map(|byte| screen.feed(&[byte])).collect();
        shown.extend(screen.idle());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn the_word_is_not_shown_at_the_beginning_of_a_line() {
        let text = "abc one\r\nabcd\r\n abc two\nab\n\nabc three\nabc abc x";
        let right = "one\r\nabcd\r\n abc two\nab\n\nthree\nabc x";
        assert_eq!(shown(&mut Screen::new(Some(&word()), false), text), right);
        let mut whole = Screen::new(Some(&word()), false);
        assert_eq!(whole.feed(text.as_bytes()), right.as_bytes());
        assert_eq!(shown(&mut Screen::new(None, false), text), text);
    }

    #[test]
    fn a_prompt_is_shown_though_the_word_begins_like_it() {
        let mut screen = Screen::new(Some(&word()), false);
        assert_eq!(screen.feed(b"\nab"), b"\n");
        assert_eq!(screen.idle(), b"ab");
        assert_eq!(screen.feed(b"c d\n"), b"c d\n");
        assert!(screen.idle().is_empty());
    }

    #[test]
    fn control_characters_are_visible_where_nobody_types() {
        let mut screen = Screen::new(Some(&word()), true);
        assert_eq!(shown(&mut screen, "abc a\r\nb\u{1b}[2J é\rc\r"), "a\nb\\u{1b}[2J é\\rc\\r");
        assert_eq!(shown(&mut Screen::new(None, false), "\u{1b}[2J"), "\u{1b}[2J");
        let mut broken = Screen::new(None, true);
        assert_eq!(broken.feed(b"\xff\xc3"), "\u{fffd}".as_bytes());
        assert_eq!(broken.feed(b"\xa9"), "é".as_bytes());
    }
}
