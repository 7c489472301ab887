//! Semihosting (Arm, "Semihosting for AArch32 and AArch64"): requests to the debugger or emulator that runs this
//! machine.
//!
//! It is only for an image under test, whose host has stated that semihosting is on: elsewhere the call is an undefined
//! instruction, or halts the machine. Thread context; the machine is stopped meanwhile.

use core::ffi::CStr;

use semihosting::fs::File;
use semihosting::io::Read as _;

/// Fills `bytes` from the beginning of a file of the host. Returns `None` if there is no such file, or it is shorter.
pub fn read_file(path: &CStr, bytes: &mut [u8]) -> Option<()> {
    File::open(path).ok()?.read_exact(bytes).ok()
}
