//! Stack walking by frame pointers, with which everything is compiled.
//!
//! The walk touches only addresses that are known to be readable, so it may be made from a corrupt state. Only raw
//! addresses are printed; the symbols are in the executable, which is linked at a fixed address.

use core::arch::asm;
use core::fmt;

use super::frame::TrapFrame;
use super::mmu;

/// The longest chain that is followed; a damaged chain may be a ring.
const MAX_FRAMES: usize = 32;

/// The start of a walk: printed as `backtrace:` and the addresses, innermost first.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    pc: Option<u64>,
    frame_pointer: u64,
}

impl Backtrace {
    /// Returns the callers of the calling function.
    #[inline(always)]
    pub fn here() -> Self {
        let frame_pointer: u64;
        // SAFETY: copies a register.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {}, rbp", out(reg) frame_pointer, options(nomem, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("mov {}, x29", out(reg) frame_pointer, options(nomem, nostack, preserves_flags));
        }
        Self { pc: None, frame_pointer }
    }

    /// Returns the backtrace of the context that an exception has interrupted.
    pub fn of_frame(frame: &TrapFrame) -> Self {
        Self { pc: Some(frame.pc()), frame_pointer: frame.frame_pointer() }
    }

    /// Returns the backtrace of a context that is not running, from its program counter and frame pointer.
    pub fn of_context(pc: u64, frame_pointer: u64) -> Self {
        Self { pc: Some(pc), frame_pointer }
    }

    /// Returns the return addresses on the stack, innermost first.
    pub fn return_addresses(&self) -> impl Iterator<Item = u64> {
        let mut frame_pointer = self.frame_pointer;
        core::iter::from_fn(move || {
            let [next, address] = read_record(frame_pointer)?;
            frame_pointer = next;
            (address != 0).then_some(address)
        })
        .take(MAX_FRAMES)
    }
}

/// Returns the pair at `address`; `None` if it cannot be read.
fn read_record(address: u64) -> Option<[u64; 2]> {
    let address = usize::try_from(address).ok()?;
    if address == 0 || !address.is_multiple_of(16) || !mmu::is_readable(address) {
        return None;
    }
    // SAFETY: the address is readable, as was just checked, and 16-byte aligned, so the pair lies within one page; the
    // read is volatile, because another CPU may be writing there.
    Some(unsafe { (address as *const [u64; 2]).read_volatile() })
}

/// `backtrace: 0x... 0x...`
impl fmt::Display for Backtrace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "backtrace:")?;
        if let Some(pc) = self.pc {
            write!(out, " {pc:#x}")?;
        }
        for address in self.return_addresses() {
            write!(out, " {address:#x}")?;
        }
        Ok(())
    }
}
