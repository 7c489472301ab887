//! The aarch64 machine: everything that is aarch64 and nothing that is policy.
//!
//! Owns the boot assembly, the exception vectors, the page tables and the few instructions that Rust cannot express.
//! The layers above reach the functions of these modules through `arch`, which lists them.

mod addresses;
mod attributes;
pub(super) mod boot;
mod boot_tables;
pub(super) mod cache;
pub(super) mod counter;
pub(super) mod cpu;
pub(super) mod daif;
pub(super) mod entry;
pub(super) mod exception;
mod fault;
pub(super) mod fp;
pub(super) mod frame;
pub(super) mod handover;
pub(super) mod leaf;
pub(super) mod mmu;
pub(super) mod observe;
pub(super) mod space;
pub(super) mod switch;
mod table_switch;
mod tables;
mod translate;
mod vectors;

pub(crate) use fault::Fault;
pub(super) use spin::mutex::{SpinMutex, SpinMutexGuard};
