//! What the kernel cannot read from a device tree, board by board.
//!
//! Each module registers one board in the kernel's list (`asphodel::board::BOARDS`); an image links all of them by `use
//! asphodel_platform as _;`. The functions of a board are called at boot, on the boot CPU before the first thread, and
//! not later, except for `readings`. Files that belong on a board's boot medium lie in the board's directory.
#![no_std]

mod qemu_virt;
mod rpi4;
