//! Loaded programs as memory: what all processes of one share, and what each has for itself.
//!
//! A program's file lies in the payload, behind the image, for good. Its text and its constants are mapped from there;
//! its data is copied, and changed to where it lies (`asphodel_core::program::relocation`). Where that is, and when it
//! goes, is decided by `mem::arena`. Data that is constant after relocation stays writable: to change that would cost
//! every process an invalidation on all CPUs for each page.

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;

use asphodel_core::program::relocation::Value;
use asphodel_core::program::tls::Template;
use asphodel_core::program::{Access, LoadError, Part, Plan};

use super::mapped;
use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// A program that can be mapped.
pub(crate) struct Image {
    plan: Plan<'static>,
    /// Addresses of the kernel's functions that it asks for, by the numbers of its symbols; 0 for all other symbols.
    functions: Box<[usize]>,
}

/// Why a file of the payload cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The file itself is not right.
    #[error(transparent)]
    File(#[from] LoadError),
    /// It does not begin on a page of memory.
    #[error("it does not lie on a page of its own: was the payload made by this version's tools?")]
    Unaligned,
    /// It asks for a function that the kernel does not have.
    #[error("it asks for {0}, which this kernel does not have")]
    NoFunction(&'static str),
    /// There is no memory for what has to be known of it.
    #[error("there is no memory for it")]
    OutOfMemory,
}

impl Image {
    /// Reads a file of the payload. `find` knows the kernel's functions.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) fn new(file: &'static [u8], find: impl Fn(&str) -> Option<usize>) -> Result<Self, Refusal> {
        if !(file.as_ptr() as usize).is_multiple_of(PAGE_SIZE) {
            return Err(Refusal::Unaligned);
        }
        let plan = Plan::new(file)?;
        let length = plan.relocations.foreign().max().map_or(0, |highest| highest as usize + 1);
        let mut functions = Vec::new();
        functions.try_reserve_exact(length).map_err(|_| Refusal::OutOfMemory)?;
        functions.resize(length, 0);
        for symbol in plan.relocations.foreign() {
            let name = plan.relocations.name(symbol).unwrap_or("");
            functions[symbol as usize] = find(name).ok_or(Refusal::NoFunction(name))?;
        }
        Ok(Self { plan, functions: functions.into_boxed_slice() })
    }

    /// Bytes of addresses that it takes.
    pub(crate) fn span(&self) -> usize {
        self.plan.span as usize
    }

    /// Its entry, relative to its base.
    pub(crate) fn entry(&self) -> usize {
        self.plan.entry as usize
    }

    /// Its thread-local storage.
    pub(crate) fn tls(&self) -> &Template<'static> {
        &self.plan.tls
    }

    /// Bytes that each process has for itself.
    pub(crate) fn private_bytes(&self) -> usize {
        self.parts(true).map(bytes_of).sum()
    }

    /// Its parts that each process has for itself, or those that are the same for all.
    fn parts(&self, private: bool) -> impl Iterator<Item = &Part> {
        self.plan.parts.iter().filter(move |part| (part.access == Access::Data) == private)
    }

    /// Maps it at `base`, and fills in its data. All or nothing: `false` if memory is short.
    pub(super) fn map(&self, base: usize) -> bool {
        for (done, part) in self.plan.parts.iter().enumerate() {
            if !self.map_part(base, part) {
                self.plan.parts[..done].iter().for_each(|part| unmap_part(base, part));
                return false;
            }
        }
        self.relocate(base);
        true
    }

    /// The reverse of [`Image::map`].
    pub(super) fn unmap(&self, base: usize) {
        self.plan.parts.iter().for_each(|part| unmap_part(base, part));
    }

    fn map_part(&self, base: usize, part: &Part) -> bool {
        let address = base + part.pages.start as usize;
        if part.access == Access::Data {
            let mapped = mapped::map_all(address, bytes_of(part) / PAGE_SIZE);
            if mapped {
                // SAFETY: just mapped, and nobody else knows these addresses.
                let memory = unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes_of(part)) };
                fill(memory, part, self.plan.file);
            }
            return mapped;
        }
        let file = mmu::physical_of_linear(self.plan.file.as_ptr());
        mmu::map_shared(address, file + part.file_page, bytes_of(part), part.access == Access::Text).is_ok()
    }

    /// Tells the program's data where it lies, and where the kernel's functions are.
    fn relocate(&self, base: usize) {
        for change in self.plan.relocations.changes() {
            let value = match change.value {
                Value::Own(offset) => (base as u64).wrapping_add(offset),
                Value::Foreign(symbol, addend) => {
                    (self.functions[symbol as usize] as u64).wrapping_add(addend)
                }
            };
            let place = (base + change.place as usize) as *mut u64;
            // SAFETY: all eight bytes lie in a data part, says the plan, which is mapped and nobody else's yet.
            unsafe { place.write_unaligned(value) };
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} bytes)", self.plan.span)
    }
}

fn bytes_of(part: &Part) -> usize {
    (part.pages.end - part.pages.start) as usize
}

fn unmap_part(base: usize, part: &Part) {
    let address = base + part.pages.start as usize;
    if part.access == Access::Data {
        mapped::unmap_all(address, bytes_of(part) / PAGE_SIZE);
    } else {
        mmu::unmap_pages(address, bytes_of(part)).expect("it lies in the window of the arenas");
    }
}

/// Copies a part's contents to where they belong in its pages; everything else becomes zero.
fn fill(memory: &mut [u8], part: &Part, file: &[u8]) {
    let start = (part.address - part.pages.start) as usize;
    let contents = &file[part.contents.clone()];
    let (before, rest) = memory.split_at_mut(start);
    let (place, behind) = rest.split_at_mut(contents.len());
    before.fill(0);
    place.copy_from_slice(contents);
    behind.fill(0);
}
