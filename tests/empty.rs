//! Nothing: the images of this package are its binaries.
#![no_std]
