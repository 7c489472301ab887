//! Reading a guest's serial line: bytes to lines, and the lines that every kind of image prints.
//!
//! A guest's programs can print anything. So the host draws a [`Word`] for each boot and passes it as a boot argument;
//! the lines that the system itself prints begin with it, and only those are believed. Where a guest gets no word, all
//! its lines are believed.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};

use asphodel_core::boot::bootargs::{self, CONSOLE_WORD};

/// The beginning of the last line of every guest.
const POWER_OFF: &str = "asphodel: power off, status ";

/// The same if the guest restarts its machine.
const RESTART: &str = "asphodel: restart, status ";

/// The beginning of the line of a system panic.
const PANIC: &str = "asphodel: PANIC";

/// The line that the system prints when it starts its first process.
const INIT: &str = "init: pid 1";

/// The line that the system prints when its first process has ended.
const END: &str = "asphodel: init ";

/// The word that the system's lines begin with in one boot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word(String);

impl Word {
    /// Draws one that no program of the guest can know.
    pub(crate) fn draw() -> Self {
        // Keyed with random bits of the operating system.
        Self(format!("{:016x}", RandomState::new().build_hasher().finish()))
    }

    /// Returns the word that boot arguments pass, if they do.
    pub(crate) fn in_arguments(line: &str) -> Option<Self> {
        bootargs::value(line, CONSOLE_WORD).map(|word| Self(word.to_string()))
    }

    /// Returns the boot argument that passes it.
    pub(crate) fn argument(&self) -> String {
        format!("{CONSOLE_WORD}={}", self.0)
    }

    /// Returns what the system's lines begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{} ", self.0)
    }
}

/// A line of a guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// `true` if the system printed it, `false` if a program did.
    is_system: bool,
    /// Its text, without the boot's word.
    text: String,
}

impl Line {
    /// Returns a line of the system.
    pub(crate) fn system(text: impl Into<String>) -> Self {
        Self { is_system: true, text: text.into() }
    }

    /// Returns a line of a program.
    pub(crate) fn program(text: impl Into<String>) -> Self {
        Self { is_system: false, text: text.into() }
    }

    /// Returns a line with these bytes, of a guest that got this word.
    fn new(bytes: &[u8], word: Option<&Word>) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        match word.map(|Word(word)| text.strip_prefix(word.as_str()).and_then(|rest| rest.strip_prefix(' ')))
        {
            None => Self::system(text),
            Some(Some(rest)) => Self::system(rest),
            Some(None) => Self::program(text),
        }
    }

    /// Returns its text if the system printed it.
    pub(crate) fn said(&self) -> Option<&str> {
        self.is_system.then_some(&self.text)
    }

    /// Returns its text, whatever printed it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// As it is shown: with control characters made visible.
impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&visible(&self.text))
    }
}

/// Returns a text with everything made visible that a terminal or an XML parser would not take for text: control
/// characters except the tab, those that change the direction of text, and what is no character.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\t' && (letter.is_control() || is_format(letter) || is_no_character(letter)) {
            shown.extend(letter.escape_debug());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Returns whether a character changes how the text around it is shown.
fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns whether Unicode guarantees that it is never a character.
fn is_no_character(letter: char) -> bool {
    matches!(letter, '\u{fdd0}'..='\u{fdef}') || u32::from(letter) & 0xfffe == 0xfffe
}

/// Assembles lines from bytes that arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    word: Option<Word>,
}

impl Lines {
    /// Returns the reader of a guest that got this word.
    pub(crate) fn new(word: Option<&Word>) -> Self {
        Self { partial: Vec::new(), word: word.cloned() }
    }

    /// Takes the next piece and returns the lines that it completes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(Line::new(&self.partial, self.word.as_ref()));
                self.partial.clear();
            } else {
                self.partial.push(*byte);
            }
        }
        lines
    }

    /// Returns what came after the last end of a line.
    pub(crate) fn rest(self) -> Option<Line> {
        (!self.partial.is_empty()).then(|| Line::new(&self.partial, self.word.as_ref()))
    }
}

/// Returns the status with which the guest powers off, if the line says so.
pub(crate) fn power_off_status(line: &Line) -> Option<u8> {
    status_behind(POWER_OFF, line)
}

/// Returns the status with which the guest powers off or restarts, if the line says so.
pub(crate) fn end_status(line: &Line) -> Option<u8> {
    power_off_status(line).or_else(|| status_behind(RESTART, line))
}

fn status_behind(what: &str, line: &Line) -> Option<u8> {
    line.said()?.strip_prefix(what)?.trim().parse().ok()
}

/// Returns whether the line says only that the system ends.
pub(crate) fn is_end(line: &Line) -> bool {
    begins(line, END) || end_status(line).is_some()
}

/// Returns whether the line is that of a system panic.
pub(crate) fn is_panic(line: &Line) -> bool {
    begins(line, PANIC)
}

/// Returns whether the line says that the first process runs, so that its console reads input.
pub(crate) fn is_init(line: &Line) -> bool {
    begins(line, INIT)
}

fn begins(line: &Line, text: &str) -> bool {
    line.said().is_some_and(|said| said.starts_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert!(lines.feed(b"one").is_empty());
        assert_eq!(lines.feed(b" two\r\nthree\nfo"), [Line::system("one two"), Line::system("three")]);
        assert_eq!(lines.rest(), Some(Line::system("fo")));
    }

    #[test]
    fn only_lines_behind_the_word_are_the_systems() {
        let word = Word::draw();
        let mut lines = Lines::new(Some(&word));
        let said = format!("{0}ok 1 a\r\nok 2 b\n {0}ok 3 c\n{1}ok 4 d\n", word.prefix(), word.0);
        let lines = lines.feed(said.as_bytes());
        assert_eq!(lines[..2], [Line::system("ok 1 a"), Line::program("ok 2 b")]);
        assert!(lines[2..].iter().all(|line| line.said().is_none()), "{lines:?}");
    }

    #[test]
    fn words_differ_and_are_passed_as_boot_arguments() {
        let [one, other] = [Word::draw(), Word::draw()];
        assert_ne!(one, other);
        assert_eq!(Word::in_arguments(&format!("a=1 {} -- b", one.argument())), Some(one));
        assert_eq!(Word::in_arguments("a=1 -- console-word=x"), None);
    }

    #[test]
    fn the_status_is_in_the_last_line() {
        let status = |text: &str| power_off_status(&Line::system(text));
        assert_eq!(status("asphodel: power off, status 0"), Some(0));
        assert_eq!(status("half a line asphodel: power off, status 137 "), None);
        assert_eq!(status("asphodel: power off, status x"), None);
        assert_eq!(power_off_status(&Line::program("asphodel: power off, status 0")), None);
        assert_eq!(end_status(&Line::system("asphodel: restart, status 3")), Some(3));
    }

    #[test]
    fn panics_and_the_first_process_are_known() {
        let said = Line::system;
        assert!(is_panic(&said("asphodel: PANIC on cpu 1: no")));
        assert!(!is_panic(&Line::program("asphodel: PANIC on cpu 1: no")));
        assert!(!is_panic(&said("asphodel: pid 3 tid 4 panicked")));
        assert!(is_init(&said("init: pid 1")) && !is_init(&Line::program("init: pid 1")));
        assert!(is_end(&said("asphodel: init exited with 0, the system ends")));
        assert!(!is_end(&said("asphodel: pid 3 ended")));
    }

    #[test]
    fn what_would_reach_the_terminal_is_made_visible() {
        assert_eq!(visible("a\tb \u{1b}[2J\r\u{7}"), "a\tb \\u{1b}[2J\\r\\u{7}");
        assert_eq!(visible("\u{fffe}\u{1ffff}\u{202e}"), "\\u{fffe}\\u{1ffff}\\u{202e}");
        assert_eq!(visible("é 中 🦀 \"'\\ e\u{301}"), "é 中 🦀 \"'\\ e\u{301}");
    }
}
