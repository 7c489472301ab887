//! What the kernel cannot read from a device tree, board by board.
//!
//! Each module registers one board in the kernel's list (`asphodel::testing::board::BOARDS`); an image gets them
//! all by `use asphodel_platform as _;`. A board answers questions at boot and is not asked again; all
//! of it runs on the boot CPU before the first thread. Files that belong on a board's boot medium lie in
//! the board's directory.
#![no_std]

mod qemu_virt;
mod rpi4;
