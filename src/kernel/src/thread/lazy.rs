//! Pages of lazy stacks: the source of their frames when one is touched.
//!
//! A touch of a page that is not mapped, by its LWP or one that borrows from it, by the program or the kernel, takes a
//! data abort, and the handler maps it (`proc::life::fault`). Where interrupts are unmasked no spin lock is held, so
//! the frame comes from the frame allocator, with some for pages around it. Where they are masked the interrupted code
//! may hold any lock: the frame comes from the CPU's own reserve, and an interrupt, taken as soon as they are unmasked,
//! refills that. In a service the reserve is used, too, when there is no memory, because no error can be returned.
//! Program code gets none of it.

use asphodel_core::thread::lazy_stack::Mapped;

use crate::cpu::Cpu;
use crate::mem::frames::{self, Frames};
use crate::mem::stack;
use crate::thread::stack::trim;

/// The code that touches the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toucher {
    /// Program code, interrupts unmasked.
    Program,
    /// A service of the kernel, interrupts unmasked: no spin lock is held.
    Service,
    /// The kernel, interrupts masked, perhaps with a spin lock.
    Masked,
}

/// The result of a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// The page is mapped.
    Mapped,
    /// There is no frame for it.
    OutOfMemory,
    /// It is no page of a live lazy stack.
    Elsewhere,
}

/// Maps the page around `address`, if it is one of a lazy stack. Called with interrupts masked, on `cpu`, in whatever
/// state the toucher was. The caller must have a reserve refilled that is short after a masked touch.
#[cold]
pub(crate) fn touch(cpu: &Cpu, address: usize, toucher: Toucher) -> Touch {
    if !stack::is_unmapped(address) {
        // Another CPU may have mapped it first.
        return if stack::is_mapped(address) { Touch::Mapped } else { Touch::Elsewhere };
    }
    let frame = match toucher {
        Toucher::Program => allocate(),
        Toucher::Service => allocate().or_else(|| cpu.reserve.take()),
        Toucher::Masked => cpu.reserve.take(),
    };
    let touch = match frame {
        Some(frame) => map(cpu, address, frame),
        None => Touch::OutOfMemory,
    };
    if toucher != Toucher::Masked && touch == Touch::Mapped {
        map_around(cpu, address);
        refill(cpu);
    }
    touch
}

/// Takes a frame from the allocator, or from a layer that keeps some. No spin lock is held.
fn allocate() -> Option<u64> {
    frames::allocate(1).or_else(|| trim().then(|| frames::allocate(1)).flatten())
}

/// Maps `frame` there; a frame that is not needed after all goes to the reserve, or else back.
fn map(cpu: &Cpu, address: usize, frame: u64) -> Touch {
    let mapped = stack::map_page(address, frame);
    if mapped != Mapped::Now
        && let Err(frame) = cpu.reserve.put(frame)
    {
        // Not out of the reserve, so from the allocator: no lock is held.
        frames::free(frame, 1);
    }
    if mapped == Mapped::Nowhere { Touch::Elsewhere } else { Touch::Mapped }
}

/// Maps pages around one that has just been mapped, as far as there are frames.
fn map_around(cpu: &Cpu, address: usize) {
    let (below, above) = stack::pages_around(address);
    map_all(cpu, below);
    map_all(cpu, above);
}

/// Maps pages up to the first that is mapped.
fn map_all(cpu: &Cpu, mut pages: impl Iterator<Item = usize>) {
    while let Some(page) = pages.next().filter(|page| stack::is_unmapped(*page)) {
        let Some(frame) = frames::allocate(1) else { return };
        map(cpu, page, frame);
    }
}

/// Fills the reserve of `cpu`, as far as there are frames. Called on that CPU, interrupts masked, no spin lock held.
#[inline]
pub(crate) fn refill(cpu: &Cpu) {
    if cpu.reserve.is_short() {
        fill(cpu);
    }
}

#[cold]
#[inline(never)]
fn fill(cpu: &Cpu) {
    while cpu.reserve.is_short() {
        let Some(frame) = frames::allocate(1) else { return };
        if let Err(frame) = cpu.reserve.put(frame) {
            frames::free(frame, 1);
        }
    }
}

/// Returns the number of frames, and of free ones: those in the reserves count as free. Any context.
pub(crate) fn frames() -> Frames {
    let reserved: usize = Cpu::all().map(|cpu| cpu.reserve.count()).sum();
    let frames = frames::stats();
    Frames { free: frames.free + reserved, ..frames }
}
