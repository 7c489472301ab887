//! A fault that must be found: no target, but the proof that targets find faults.
//!
//! It takes a word of six given letters, which blind chance would not hit in a year, and a search by coverage does within
//! seconds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let word = bytes.iter().zip(b"seeded").take_while(|(byte, letter)| byte == letter).count();
    assert!(word < 6, "the seeded fault");
});
