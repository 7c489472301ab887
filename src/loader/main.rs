//! The chain loader: an image that receives another one over the serial line and starts it in place of itself.
//!
//! Of the kernel it uses only early boot, because it branches off before there is a scheduler or a second CPU.
#![no_std]
#![no_main]

use asphodel_platform as _;

asphodel::chain_loader!();
