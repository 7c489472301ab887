//! What describes machines, from the boot loader's words to the memory that is free.
//!
//! | module | what it decides |
//! |---|---|
//! | [`board`], [`devicetree`], [`atags`], [`bootargs`] | what the boot loader says about the machine |
//! | [`property`] | what the firmware of a Raspberry Pi is asked |
//! | [`transfer`] | how an image comes over a serial line |
//! | [`regions`] | which memory is free |

pub mod atags;
pub mod board;
pub mod bootargs;
pub mod devicetree;
pub mod property;
pub mod regions;
pub mod transfer;
