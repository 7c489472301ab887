//! Device trees: whatever blob a loader passes, it is described or refused, and a description can be used.
#![no_main]

use asphodel_core::boot::devicetree;
use asphodel_core::boot::regions::Regions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|blob: &[u8]| {
    let _length = devicetree::total_size(blob);
    let Ok(mut board) = devicetree::describe(blob, 0) else { return };
    let _known = devicetree::is_compatible(blob, &["linux,dummy-virt", "brcm,bcm2711"]);
    board.limit_memory(1 << 37);
    assert!(!board.cpus.is_empty() && board.memory.iter().all(|region| region.end() <= 1 << 37));
    board.left_out.each(|line| assert!(line.to_string().starts_with(|first: char| first.is_ascii_digit())));
    let mut free = Regions::new(board.memory.iter().map(|region| region.base..region.end()));
    for region in &board.reserved {
        free.remove(region.base..region.end());
    }
    let reserved =
        |frame: u64| board.reserved.iter().any(|region| region.base <= frame && frame < region.end());
    assert!(!free.iter().any(|range| reserved(range.start) || reserved(range.end - 1)));
});
