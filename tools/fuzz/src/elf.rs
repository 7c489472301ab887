//! Loadable programs: whatever file a payload has, it is planned or refused, and a plan stays inside of the file and of
//! the program's addresses.
#![no_main]

use asphodel_core::program::{MAX_SPAN, Plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(plan) = Plan::new(file) else { return };
    assert!(plan.span <= MAX_SPAN && plan.entry < plan.span);
    let mut end = 0;
    for part in &plan.parts {
        assert!(part.pages.start >= end && part.pages.start < part.pages.end && part.pages.end <= plan.span);
        end = part.pages.end;
        assert!(file.get(part.contents.clone()).is_some(), "contents lie in the file");
    }
    for change in plan.relocations.changes() {
        let inside = |part: &asphodel_core::program::Part| {
            part.pages.contains(&change.place) && part.pages.contains(&(change.place + 7))
        };
        assert!(plan.parts.iter().any(inside), "a relocation lies in a part");
    }
    for symbol in plan.relocations.foreign() {
        assert!(plan.relocations.name(symbol).is_some(), "what is imported has a name");
    }
});
