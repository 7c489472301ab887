//! Line editing: the input is keys, the output is a finished line and what the terminal must show.
//!
//! For a console without any other line discipline: bytes arrive one by one, and the output to the terminal (echo,
//! cursor movement) is passed to a sink in pieces. Lines are ASCII. The cursor moves by backspaces, so a line can be
//! edited freely as long as it fits the terminal's width.

use heapless::{Deque, String, Vec};

/// Most bytes of a line.
pub const MAX_LINE: usize = 255;
/// The number of lines in the history.
pub const MAX_HISTORY: usize = 32;

const BELL: &str = "\x07";
const LEFT: &str = "\x08";
const CLEAR_TO_END: &str = "\x1b[K";
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";

/// The result of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The line continues.
    More,
    /// The line is complete: see [`Editor::line`].
    Line,
    /// The line was ended, but some of it did not fit, so it must not be used.
    TooLong,
    /// It was cancelled (^C).
    Interrupted,
    /// End of input (^D on an empty line; two behind a text are its Enter, as in a terminal's canonical mode the first
    /// gives what was typed, and the second ends it).
    End,
}

/// The progress of an escape sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// ESC.
    Started,
    /// ESC O.
    Single,
    /// ESC [, with the first number so far, and whether more numbers follow it.
    Bracket {
        number: u8,
        further: bool,
    },
}

/// A key, independent of the bytes that encode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Insert(u8),
    Backspace,
    Delete,
    DeleteOrEnd,
    Left,
    Right,
    Home,
    End,
    Previous,
    Next,
    KillLine,
    KillToEnd,
    KillWord,
    Redraw,
    Enter,
    Interrupt,
    Unknown,
}

/// A line being edited, and the lines before it.
#[derive(Debug)]
pub struct Editor {
    prompt: &'static str,
    text: Vec<u8, MAX_LINE>,
    /// Where the next character goes: an index into `text`.
    cursor: usize,
    /// A character did not fit, and nothing was deleted since.
    overflowed: bool,
    escape: Escape,
    /// The last byte ended a line as a carriage return: a line feed right after it belongs to it.
    after_return: bool,
    /// The last key was a ^D at the end of a text.
    after_end: bool,
    /// Oldest first.
    history: Deque<String<MAX_LINE>, MAX_HISTORY>,
    /// The line of the history that is shown: 0 is none, 1 the newest.
    shown: usize,
    /// The text before the history was shown.
    draft: Vec<u8, MAX_LINE>,
}

impl Editor {
    /// Makes an editor without history, whose lines begin with `prompt`.
    #[must_use]
    pub const fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            text: Vec::new(),
            cursor: 0,
            overflowed: false,
            escape: Escape::None,
            after_return: false,
            after_end: false,
            history: Deque::new(),
            shown: 0,
            draft: Vec::new(),
        }
    }

    /// Begins an empty line: shows the prompt.
    pub fn start(&mut self, sink: &mut impl FnMut(&str)) {
        self.text.clear();
        self.cursor = 0;
        self.overflowed = false;
        self.shown = 0;
        sink(self.prompt);
    }

    /// Returns the line as it is.
    #[must_use]
    pub fn line(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or("")
    }

    /// Takes the next byte from the terminal. After anything but [`Outcome::More`] the cursor is on a new line, and
    /// [`Editor::start`] begins the next one. The sink's line feeds mean the beginning of the next line.
    pub fn feed(&mut self, byte: u8, sink: &mut impl FnMut(&str)) -> Outcome {
        let feed_after_return = self.after_return && byte == b'\n';
        self.after_return = byte == b'\r';
        if feed_after_return {
            return Outcome::More;
        }
        match self.decode(byte) {
            Some(key) => self.press(key, sink),
            None => Outcome::More,
        }
    }

    /// Returns the key that ends with `byte`; `None` in the middle of an escape sequence.
    fn decode(&mut self, byte: u8) -> Option<Key> {
        let escape = core::mem::replace(&mut self.escape, Escape::None);
        match (escape, byte) {
            (_, 0x1b) => self.escape = Escape::Started,
            (Escape::None, _) => return Some(plain(byte)),
            (Escape::Started, b'[') => self.escape = Escape::Bracket { number: 0, further: false },
            (Escape::Started, b'O') => self.escape = Escape::Single,
            (Escape::Single, _) => return Some(function(byte, 0)),
            (Escape::Bracket { number, further }, b'0'..=b'9') => {
                let longer = number.saturating_mul(10).saturating_add(byte - b'0');
                self.escape = Escape::Bracket { number: if further { number } else { longer }, further };
            }
            (Escape::Bracket { number, .. }, b' '..=b'?') => {
                self.escape = Escape::Bracket { number, further: true };
            }
            (Escape::Bracket { number, .. }, b'@'..=b'~') => return Some(function(byte, number)),
            // Not a sequence after all, so the byte is a key of its own.
            _ => return Some(plain(byte)),
        }
        None
    }

    fn press(&mut self, key: Key, sink: &mut impl FnMut(&str)) -> Outcome {
        let after_end = core::mem::take(&mut self.after_end);
        match key {
            Key::Insert(byte) => self.insert(byte, sink),
            Key::Backspace => self.delete(self.cursor.saturating_sub(1), self.cursor, sink),
            Key::DeleteOrEnd if self.text.is_empty() => {
                sink("\n");
                return Outcome::End;
            }
            Key::DeleteOrEnd if self.cursor == self.text.len() => {
                if after_end {
                    return self.enter(sink);
                }
                self.after_end = true;
                sink(BELL);
            }
            Key::Delete | Key::DeleteOrEnd => {
                self.delete(self.cursor, (self.cursor + 1).min(self.text.len()), sink);
            }
            Key::Left => self.move_to(self.cursor.saturating_sub(1), sink),
            Key::Right => self.move_to(self.cursor + 1, sink),
            Key::Home => self.move_to(0, sink),
            Key::End => self.move_to(self.text.len(), sink),
            Key::Previous => self.show(self.shown + 1, sink),
            Key::Next => match self.shown.checked_sub(1) {
                Some(newer) => self.show(newer, sink),
                None => sink(BELL),
            },
            Key::KillLine => self.delete(0, self.cursor, sink),
            Key::KillToEnd => self.delete(self.cursor, self.text.len(), sink),
            Key::KillWord => self.delete(self.word_start(), self.cursor, sink),
            Key::Redraw => {
                sink(CLEAR_SCREEN);
                self.redraw(sink);
            }
            Key::Enter => return self.enter(sink),
            Key::Interrupt => {
                sink("^C\n");
                self.text.clear();
                return Outcome::Interrupted;
            }
            Key::Unknown => sink(BELL),
        }
        Outcome::More
    }

    fn enter(&mut self, sink: &mut impl FnMut(&str)) -> Outcome {
        sink("\n");
        if self.overflowed {
            return Outcome::TooLong;
        }
        let mut line = String::new();
        let fits = line.push_str(self.line().trim());
        debug_assert!(fits.is_ok(), "a line of the history has room for any line");
        if !line.is_empty() && self.history.back() != Some(&line) {
            if self.history.is_full() {
                self.history.pop_front();
            }
            let stored = self.history.push_back(line);
            debug_assert!(stored.is_ok(), "there was room");
        }
        Outcome::Line
    }

    fn insert(&mut self, byte: u8, sink: &mut impl FnMut(&str)) {
        if self.text.insert(self.cursor, byte).is_err() {
            self.overflowed = true;
            sink(BELL);
            return;
        }
        self.cursor += 1;
        self.show_from(self.cursor - 1, sink);
    }

    /// Deletes the characters from `from` to before `to`, of which the cursor is at one end.
    fn delete(&mut self, from: usize, to: usize, sink: &mut impl FnMut(&str)) {
        if from >= to {
            sink(BELL);
            return;
        }
        self.move_to(from, sink);
        self.text.copy_within(to.., from);
        self.text.truncate(self.text.len() - (to - from));
        self.overflowed = false;
        self.show_from(from, sink);
    }

    /// Moves the cursor; rings the bell if there is nothing to move over.
    fn move_to(&mut self, target: usize, sink: &mut impl FnMut(&str)) {
        if target > self.text.len() || (target == self.cursor && target == 0 && self.text.is_empty()) {
            sink(BELL);
            return;
        }
        if target > self.cursor {
            sink(self.part(self.cursor, target));
        }
        for _ in target..self.cursor {
            sink(LEFT);
        }
        self.cursor = target;
    }

    /// Shows the text from `from`, where the terminal's cursor is, and moves that to its place.
    fn show_from(&self, from: usize, sink: &mut impl FnMut(&str)) {
        let end = self.text.len();
        sink(self.part(from, end));
        // Past the end there may be more of an older, longer line; not after a mere character at the end.
        if from + 1 != end || self.cursor != end {
            sink(CLEAR_TO_END);
        }
        for _ in self.cursor..end {
            sink(LEFT);
        }
    }

    /// Shows the whole line, from the terminal's first column.
    fn redraw(&self, sink: &mut impl FnMut(&str)) {
        sink("\r");
        sink(self.prompt);
        sink(self.line());
        sink(CLEAR_TO_END);
        for _ in self.cursor..self.text.len() {
            sink(LEFT);
        }
    }

    /// Shows the line that is `age` lines old; 0 is the text before the history was shown.
    fn show(&mut self, age: usize, sink: &mut impl FnMut(&str)) {
        if age > self.history.len() {
            sink(BELL);
            return;
        }
        if self.shown == 0 {
            self.draft.clone_from(&self.text);
        }
        self.shown = age;
        self.text.clear();
        let text = if age == 0 {
            self.draft.as_slice()
        } else {
            self.history.iter().rev().nth(age - 1).map_or(&[][..], |line| line.as_bytes())
        };
        let fits = self.text.extend_from_slice(text);
        debug_assert!(fits.is_ok(), "a line fits a line");
        self.cursor = self.text.len();
        self.overflowed = false;
        self.redraw(sink);
    }

    /// Returns where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = self.part(0, self.cursor).trim_end();
        before.rfind(' ').map_or(0, |blank| blank + 1)
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.line().get(from..to).unwrap_or("")
    }
}

/// Returns the key of a byte outside any escape sequence.
const fn plain(byte: u8) -> Key {
    match byte {
        b' '..=b'~' => Key::Insert(byte),
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::DeleteOrEnd,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | 0x7f => Key::Backspace,
        b'\n' | b'\r' => Key::Enter,
        0x0b => Key::KillToEnd,
        0x0c => Key::Redraw,
        0x0e => Key::Next,
        0x10 => Key::Previous,
        0x15 => Key::KillLine,
        0x17 => Key::KillWord,
        _ => Key::Unknown,
    }
}

/// Returns the key of an escape sequence that ends with `last` and whose first number is `number`.
const fn function(last: u8, number: u8) -> Key {
    match (last, number) {
        (b'A', _) => Key::Previous,
        (b'B', _) => Key::Next,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => Key::Unknown,
    }
}
