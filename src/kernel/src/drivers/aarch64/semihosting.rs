//! Semihosting (Arm, "Semihosting for AArch32 and AArch64"): asking the debugger or emulator that runs this machine.
//!
//! Only for an image under test, whose host has said that semihosting is on: elsewhere the call is an undefined
//! instruction, or halts the machine. Thread context; the machine stands still meanwhile.

use core::ffi::CStr;

use semihosting::fs::File;
use semihosting::io::Read as _;

/// Fills `bytes` from the beginning of a file of the host. `None`: there is no such file, or it is shorter.
pub fn read_file(path: &CStr, bytes: &mut [u8]) -> Option<()> {
    File::open(path).ok()?.read_exact(bytes).ok()
}
