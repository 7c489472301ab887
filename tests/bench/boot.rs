//! Bench: from reset to the first line of process 1.
//!
//! The counter starts at 0 with the first instruction, so its value when process 1 has printed its line is the row. It
//! is measured once, because another boot would need another run, and all of them are equal.
#![no_std]
#![no_main]

use asphodel_test::bench::report_boot;
use asphodel_test::bench_image;

bench_image!(report_boot);
