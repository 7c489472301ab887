//! Stack walking by frame pointers, with which everything is compiled: the frame pointer points to a pair of the
//! caller's frame pointer and the return address.
//!
//! The walk touches only addresses that the machine says are readable, so it may be made from a corrupt state, and in
//! any context. Only raw addresses are printed, because the host has the symbols.

use core::fmt;

use super::machine::frame::{self, TrapFrame};
use super::machine::mmu;

/// The longest chain that is followed; a damaged chain may be a ring.
const MAX_FRAMES: usize = 32;

/// The start of a walk: printed as `backtrace:` and the addresses, innermost first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backtrace {
    pc: Option<u64>,
    /// Where the innermost function returns to, if that is in a register and may not have been stored yet.
    link: Option<u64>,
    frame_pointer: u64,
}

impl Backtrace {
    /// The callers of the calling function.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        Self { pc: None, link: None, frame_pointer: frame::frame_pointer() }
    }

    /// The context that an exception has interrupted.
    pub(crate) fn of_frame(frame: &TrapFrame) -> Self {
        Self { pc: Some(frame.pc()), link: frame.link(), frame_pointer: frame.frame_pointer() }
    }

    /// The return addresses on the stack, innermost first.
    fn return_addresses(&self) -> impl Iterator<Item = u64> {
        let mut frame_pointer = self.frame_pointer;
        core::iter::from_fn(move || {
            let [next, address] = read_record(frame_pointer)?;
            frame_pointer = next;
            (address != 0).then_some(address)
        })
        .take(MAX_FRAMES)
    }
}

/// The pair at `address`; `None` where there is none to be read.
fn read_record(address: u64) -> Option<[u64; 2]> {
    let address = usize::try_from(address).ok()?;
    if address == 0 || !address.is_multiple_of(16) || !mmu::is_readable(address) {
        return None;
    }
    // SAFETY: (1) readable as memory, as the machine has just said; (2) 16-byte aligned, so within one page; (3)
    // volatile, because another CPU may be writing there.
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
        // In a leaf function, or before a function has made its frame, the caller is in the register alone. Where that
        // is the innermost stored address as well, it says nothing new.
        if let Some(link) = self.link
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
