//! The console's line editor: whatever is typed, a line is text of limited length, and the terminal gets text.
#![no_main]

use asphodel_console_parts::line::{Editor, MAX_LINE, Outcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|typed: &[u8]| {
    let mut editor = Editor::new("> ");
    let mut shown = 0_usize;
    editor.start(&mut |text| shown += text.len());
    for byte in typed {
        let outcome = editor.feed(*byte, &mut |text| {
            assert!(text.is_ascii(), "{text:?}");
            shown += text.len();
        });
        let line = editor.line();
        assert!(line.len() <= MAX_LINE && !line.contains(|letter: char| letter.is_control()), "{line:?}");
        if outcome != Outcome::More {
            editor.start(&mut |text| shown += text.len());
        }
    }
    assert!(shown >= 2, "the prompt is shown");
});
