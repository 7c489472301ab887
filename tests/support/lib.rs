//! Test support.
#![no_std]
