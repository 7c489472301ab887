//! The host reports a system that hangs as a whole: every CPU computes for ever with interrupts masked, so that nothing
//! is left that could give a verdict.
//!
//! expect: no-verdict
//! deadline: 4
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{cpus_online, lwp_run};
use asphodel::testing::machine::mask_interrupts;
use asphodel_test::{on_cpu, test};

asphodel_test::image!();

static SILENT: AtomicU32 = AtomicU32::new(0);

fn fall_silent() {
    let _for_good = mask_interrupts();
    SILENT.fetch_add(1, Ordering::Relaxed);
    while black_box(true) {}
}

test!(falls_silent, {
    for cpu in 0..64 {
        if cpus_online().contains(cpu) {
            let _for_ever = lwp_run(fall_silent, &on_cpu(cpu)).expect("an LWP can be made");
        }
    }
    while black_box(true) {}
});
