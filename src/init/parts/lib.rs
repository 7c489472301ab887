//! The parts of the console that need no machine, so that they are tested on the host: line editing, and figures.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod histogram;
pub mod line;
