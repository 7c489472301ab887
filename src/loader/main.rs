//! The chain loader: an image that takes another one over the serial line and starts it in its own place.
//!
//! Nothing of it but the kernel's early boot: it branches off before there is a scheduler or a second CPU.
#![no_std]
#![no_main]

use asphodel_platform as _;

asphodel::chain_loader!();
