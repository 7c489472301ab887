//! The processor: everything that is aarch64 and nothing that is policy.
//!
//! Owns the boot assembly, the exception vectors, the page tables and the few instructions that
//! Rust has no words for. The layers above use the functions of these modules; only here and in the
//! drivers is there assembly or access to memory-mapped registers.

pub mod backtrace;
pub mod boot;
mod boot_tables;
pub mod cache;
pub mod counter;
pub mod cpu;
pub mod daif;
pub(crate) mod entry;
pub mod exception;
mod fault;
pub(crate) mod fp;
pub mod frame;
pub(crate) mod handover;
pub mod layout;
pub(crate) mod leaf;
pub mod lock;
pub mod mmu;
pub(crate) mod switch;
mod tables;
mod vectors;

pub use frame::TrapFrame;
