//! The line editor, seen through a terminal that executes the escape sequences.

use asphodel_console_parts::line::{Editor, MAX_HISTORY, MAX_LINE, Outcome};

const PROMPT: &str = "> ";

/// One screen line of a terminal.
#[derive(Default)]
struct Screen {
    cells: Vec<char>,
    column: usize,
    bells: usize,
    pending: String,
}

impl Screen {
    fn show(&mut self, text: &str) {
        for character in text.chars() {
            self.pending.push(character);
            match self.pending.as_str() {
                "\x1b" | "\x1b[" | "\x1b[2" => continue,
                "\x1b[K" => self.cells.truncate(self.column),
                "\x1b[H" => self.column = 0,
                "\x1b[2J" => self.cells.clear(),
                "\x07" => self.bells += 1,
                "\x08" => self.column = self.column.checked_sub(1).expect("never left of the first column"),
                "\r" => self.column = 0,
                "\n" => {
                    self.cells.clear();
                    self.column = 0;
                }
                _ => {
                    assert!(!character.is_control(), "unknown sequence {:?}", self.pending);
                    if self.column == self.cells.len() {
                        self.cells.push(character);
                    } else {
                        self.cells[self.column] = character;
                    }
                    self.column += 1;
                }
            }
            self.pending.clear();
        }
    }

    /// Returns the text, with a bar where the cursor is.
    fn text(&self) -> String {
        let mut cells = self.cells.clone();
        cells.insert(self.column, '|');
        cells.into_iter().collect()
    }
}

struct Session {
    editor: Editor,
    screen: Screen,
}

impl Session {
    fn new() -> Self {
        let mut session = Self { editor: Editor::new(PROMPT), screen: Screen::default() };
        session.start();
        session
    }

    fn start(&mut self) {
        let screen = &mut self.screen;
        self.editor.start(&mut |text| screen.show(text));
    }

    /// Types bytes of which only the last may end the line.
    fn keys(&mut self, keys: &str) -> Outcome {
        let screen = &mut self.screen;
        let mut outcome = Outcome::More;
        for byte in keys.bytes() {
            assert_eq!(outcome, Outcome::More, "the line had ended");
            outcome = self.editor.feed(byte, &mut |text| screen.show(text));
        }
        outcome
    }

    /// Types, and checks the terminal's content.
    #[track_caller]
    fn shows(&mut self, keys: &str, text: &str) {
        assert_eq!(self.keys(keys), Outcome::More);
        assert_eq!(self.screen.text(), format!("{PROMPT}{text}"));
        assert_eq!(self.editor.line(), text.replace('|', ""));
    }

    #[track_caller]
    fn enters(&mut self, keys: &str, line: &str) {
        assert_eq!(self.keys(keys), Outcome::Line);
        assert_eq!(self.editor.line(), line);
        self.start();
    }
}

#[test]
fn what_is_typed_is_echoed_and_entered() {
    let mut session = Session::new();
    session.shows("", "|");
    session.shows("storm 10", "storm 10|");
    session.enters("\n", "storm 10");
    session.shows("", "|");
}

#[test]
fn both_line_ends_and_their_pair_end_one_line() {
    let mut session = Session::new();
    session.enters("a\r", "a");
    session.enters("\nb\n", "b");
    session.enters("\n", "");
    session.enters("c\r", "c");
    session.enters("\r", "");
}

#[test]
fn insertion_and_deletion_in_the_middle() {
    let mut session = Session::new();
    session.shows("held", "held|");
    session.shows("\x1b[D", "hel|d");
    session.shows("\x02", "he|ld");
    session.shows("lX", "helX|ld");
    session.shows("\x7f", "hel|ld");
    session.shows("\x06\x06", "helld|");
    session.shows("\x08", "hell|");
    session.shows("\x1b[H\x1b[3~", "|ell");
    session.shows("\x04", "|ll");
    session.shows("\x1bOF\x1bOD", "l|l");
}

#[test]
fn home_and_end_by_every_name() {
    let mut session = Session::new();
    session.keys("abc");
    for (home, end) in [
        ("\x01", "\x05"),
        ("\x1b[H", "\x1b[F"),
        ("\x1bOH", "\x1bOF"),
        ("\x1b[1~", "\x1b[4~"),
        ("\x1b[7~", "\x1b[8~"),
    ] {
        session.shows(home, "|abc");
        session.shows(end, "abc|");
    }
}

#[test]
fn killing_parts() {
    let mut session = Session::new();
    session.shows("spawn burn 2", "spawn burn 2|");
    session.shows("\x17", "spawn burn |");
    session.shows("\x17", "spawn |");
    session.shows("sleeper\x01\x06\x06\x0b", "sp|");
    session.shows("s\x02\x15", "|s");
    session.shows("\x05  \x17", "|");
}

#[test]
fn history_keeps_the_draft() {
    let mut session = Session::new();
    session.enters("ps\n", "ps");
    session.enters("  cpus \n", "  cpus ");
    session.enters("cpus\n", "cpus");
    session.enters("   \n", "   ");
    session.shows("fre", "fre|");
    session.shows("\x1b[A", "cpus|");
    session.shows("\x10", "ps|");
    let bells = session.screen.bells;
    session.shows("\x1b[A", "ps|");
    assert_eq!(session.screen.bells, bells + 1);
    session.shows("\x0e", "cpus|");
    session.shows("\x1b[B", "fre|");
    session.shows("\x1bOB", "fre|");
    assert_eq!(session.screen.bells, bells + 2);
    session.shows("\x1b[A\x7fX", "cpuX|");
    session.enters("\n", "cpuX");
}

#[test]
fn history_forgets_the_oldest() {
    let mut session = Session::new();
    for number in 0..MAX_HISTORY + 5 {
        session.enters(&format!("line {number}\n"), &format!("line {number}"));
    }
    session.shows(&"\x10".repeat(MAX_HISTORY), "line 5|");
    session.shows("\x10", "line 5|");
}

#[test]
fn control_c_gives_the_line_up() {
    let mut session = Session::new();
    session.keys("kill 1");
    assert_eq!(session.keys("\x03"), Outcome::Interrupted);
    session.start();
    session.shows("", "|");
    session.enters("ps\n", "ps");
}

#[test]
fn control_d_ends_only_an_empty_line() {
    let mut session = Session::new();
    session.shows("a\x04", "a|");
    session.shows("\x7f", "|");
    assert_eq!(session.keys("\x04"), Outcome::End);
}

#[test]
fn two_control_d_behind_a_text_enter_it() {
    let mut session = Session::new();
    session.enters("poweroff 7\x04\x04", "poweroff 7");
    session.shows("a\x04b\x04", "ab|");
    session.shows("\x01\x04\x04", "|");
    assert_eq!(session.keys("\x04"), Outcome::End);
}

#[test]
fn a_line_that_does_not_fit_is_not_cut_silently() {
    let mut session = Session::new();
    let longest = "x".repeat(MAX_LINE);
    session.shows(&longest, &format!("{longest}|"));
    session.enters("\n", &longest);
    session.keys(&longest);
    assert_eq!(session.keys("y\n"), Outcome::TooLong);
    session.start();
    session.keys(&longest);
    session.shows("y\x7f", &format!("{}|", &longest[1..]));
    session.enters("\n", &longest[1..]);
}

#[test]
fn unknown_keys_ring_and_change_nothing() {
    let mut session = Session::new();
    session.keys("ab");
    let bells = session.screen.bells;
    session.shows("\t\x1b[5~\x1bOP\x1b[15;2~\u{e4}", "ab|");
    assert_eq!(session.screen.bells, bells + 6);
    // Modifiers do not hide an arrow key; a broken sequence does not consume what follows it.
    session.shows("\x1b[1;5D", "a|b");
    session.shows("\x1b\x1b[C", "ab|");
    session.shows("\x1bc", "abc|");
}

#[test]
fn the_screen_can_be_cleared() {
    let mut session = Session::new();
    session.shows("abc\x02\x0c", "ab|c");
}

/// The terminal contains the line and its cursor, whatever was typed.
#[test]
fn random_keys_leave_screen_and_line_equal() {
    const KEYS: [&str; 16] = [
        "a", "b", " ", "\x7f", "\x04", "\x01", "\x05", "\x02", "\x06", "\x15", "\x0b", "\x17", "\x1b[A",
        "\x1b[B", "\x1b[3~", "c\n",
    ];
    let mut random = 1_u64;
    let mut session = Session::new();
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match session.keys(KEYS[(random >> 33) as usize % KEYS.len()]) {
            Outcome::More => {
                let shown: String = session.screen.cells.iter().collect();
                assert_eq!(shown, format!("{PROMPT}{}", session.editor.line()));
            }
            Outcome::Line | Outcome::End => session.start(),
            outcome => panic!("{outcome:?}"),
        }
    }
}
