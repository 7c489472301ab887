//! Boot arguments: whatever the loader and the image say, the line has its length, and the image's words are all there.
#![no_main]

use asphodel_core::boot::board::{MAX_BOOT_ARGUMENTS, join_bootargs};
use asphodel_core::boot::{atags, bootargs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &str, &str)| {
    let (tags, loaders, own) = input;
    let passed = atags::parse(tags).and_then(|tags| tags.command_line).unwrap_or(loaders);
    let end = (0..=own.len().min(bootargs::MAX_EMBEDDED)).rev().find(|end| own.is_char_boundary(*end));
    let own = &own[..end.unwrap_or(0)];
    let (line, left_out) = join_bootargs(passed, own);
    assert!(line.len() <= MAX_BOOT_ARGUMENTS && left_out <= passed.len());
    let words = |text: &str| text.split_ascii_whitespace().map(String::from).collect::<Vec<_>>();
    let ((first, rest), (system, program)) = (bootargs::split(&line), bootargs::split(own));
    assert!(words(first).ends_with(&words(system)), "{line:?}");
    assert!(words(rest).ends_with(&words(program)), "{line:?}");
    for (key, _) in bootargs::pairs(own) {
        assert_eq!(bootargs::value(&line, key), bootargs::value(own, key), "{key}");
        let _number = bootargs::number(&line, key);
    }
});
