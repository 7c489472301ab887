//! What describes machines, from the boot loader's words to the memory that is free.
//!
//! | module | what it decides |
//! |---|---|
//! | [`board`], [`devicetree`], [`atags`], [`bootargs`] | what the boot loader says about the machine |
//! | [`region_list`], [`left_out`] | what has a place in a description, and what is not used |
//! | [`property`] | what the firmware of a Raspberry Pi is asked |
//! | [`transfer`] | how an image comes over a serial line |
//! | [`regions`] | which memory is free |

pub mod atags;
pub mod board;
pub mod bootargs;
pub mod devicetree;
pub mod left_out;
pub mod property;
pub mod region_list;
pub mod regions;
pub mod transfer;
