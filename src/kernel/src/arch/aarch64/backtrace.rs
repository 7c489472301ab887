//! Stack walking by frame pointers.
//!
//! Everything is compiled with frame pointers: x29 points to a pair of the caller's x29 and the return address. The
//! walk touches only addresses that the MMU confirms, so it may be made from a corrupt state, and in any context. Only
//! raw addresses are printed, because the host has the symbols.

use core::arch::asm;
use core::fmt;

use super::frame::TrapFrame;
use super::translate;
use crate::arch::layout::{DEVICE_WINDOW, LINEAR_BASE};

/// The longest chain that is followed; a damaged chain may be a ring.
const MAX_FRAMES: usize = 32;

/// The start of a walk: printed as `backtrace:` and the addresses, innermost first.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    pc: Option<u64>,
    /// The return address of the innermost function, in case it has not been stored yet.
    link: Option<u64>,
    frame_pointer: u64,
}

impl Backtrace {
    /// Returns the callers of the calling function.
    #[inline(always)]
    pub fn here() -> Self {
        let frame_pointer: u64;
        // SAFETY: copies a register.
        unsafe { asm!("mov {}, x29", out(reg) frame_pointer, options(nomem, nostack, preserves_flags)) };
        Self { pc: None, link: None, frame_pointer }
    }

    /// Returns the backtrace of the context that an exception has interrupted.
    pub fn of_frame(frame: &TrapFrame) -> Self {
        Self { pc: Some(frame.elr), link: Some(frame.x[30]), frame_pointer: frame.frame_pointer() }
    }

    /// Returns the backtrace of a context that is not running, from its program counter and frame pointer.
    pub fn of_context(pc: u64, frame_pointer: u64) -> Self {
        Self { pc: Some(pc), link: None, frame_pointer }
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
    let possible = address >= LINEAR_BASE && !DEVICE_WINDOW.contains(&address) && address.is_multiple_of(16);
    if !possible || !translate::is_readable(address) {
        return None;
    }
    // SAFETY: (1) the address is mapped as normal memory: the MMU has just confirmed it, and the device window is
    // excluded; (2) it is 16-byte aligned, so the pair lies within that page; (3) the read is volatile, because another
    // CPU may be writing there.
    Some(unsafe { (address as *const [u64; 2]).read_volatile() })
}

/// `backtrace: 0xffff... 0xffff...`
impl fmt::Display for Backtrace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "backtrace:")?;
        if let Some(pc) = self.pc {
            write!(out, " {pc:#x}")?;
        }
        let mut addresses = self.return_addresses().peekable();
        // In a leaf function, or before a function has made its frame, the caller is in x30 alone. If x30 is also the
        // innermost stored address, or is left over from an earlier call, it adds nothing.
        if let Some(link) = self.link
            && link >= crate::arch::layout::IMAGE_BASE as u64
            && addresses.peek() != Some(&link)
        {
            write!(out, " {link:#x}")?;
        }
        for address in addresses {
            write!(out, " {address:#x}")?;
        }
        Ok(())
    }
}
