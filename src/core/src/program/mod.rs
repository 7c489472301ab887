//! Loadable programs: how an ELF must be loaded, checked once, before anything is mapped.
//!
//! A program is a position-independent executable without an interpreter. Its addresses begin at 0 and are moved as a
//! whole; it imports only functions of the kernel, by their names. Read-only contents lie in the file as they are
//! mapped, page by page; writable contents are copied for each process ([`Part`]), and only there the loader changes
//! anything ([`relocation`]). [`tls`] lays out what each LWP has for itself.
//!
//! ELF: the gABI, and "ELF for the Arm 64-bit Architecture" (IHI 0056).

pub mod relocation;
pub mod tls;

#[cfg(all(test, not(loom)))]
mod tests;

use core::ops::Range;

use elf::ElfBytes;
use elf::abi;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use heapless::Vec;

use relocation::Tables;
use tls::Template;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Most parts of a program: text, constants, constants after relocation, data.
const MAX_PARTS: usize = 8;

/// Most bytes of addresses that a program may have.
pub const MAX_SPAN: u64 = 1 << 27;

/// Why a file is not a loadable program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no ELF, or cut short.
    #[error("it is no ELF, or cut short")]
    NoElf,
    /// It is for another machine.
    #[error("it is not for this machine: little-endian AArch64 of 64 bits is")]
    OtherMachine,
    /// It is linked for fixed addresses, or is no executable.
    #[error("it is no position-independent executable")]
    NotRelocatable,
    /// Its entry is not in an executable segment.
    #[error("it has no entry: does the linker know `runtime_entry`?")]
    NoEntry,
    /// Its segments overlap, are too large or too many, or cannot be mapped from where they lie in the file.
    #[error("its segments cannot be mapped")]
    BadSegments,
    /// A segment can be written and executed.
    #[error("a segment is writable and executable")]
    WritableText,
    /// Its dynamic section, or a table named there, is missing.
    #[error("its dynamic section is damaged")]
    BadDynamic,
    /// It has a relocation of an unknown kind, or one outside its data.
    #[error("a relocation that a program cannot have, of type {0}")]
    BadRelocation(u32),
    /// It needs a shared library that is not the kernel, or an interpreter.
    #[error("it needs a shared library")]
    NeedsLibrary,
    /// The initial contents of its thread-local storage are missing, or are aligned beyond a page.
    #[error("its thread-local storage cannot be laid out")]
    BadTls,
}

impl From<elf::ParseError> for LoadError {
    fn from(_: elf::ParseError) -> Self {
        Self::NoElf
    }
}

/// The permissions of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and executed; the same for all processes.
    Text,
    /// Read; the same for all processes.
    Constant,
    /// Read and written; a copy for each process.
    Data,
}

/// A stretch of a program's addresses, in whole pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The permissions.
    pub access: Access,
    /// Its addresses, relative to the program's base.
    pub pages: Range<u64>,
    /// Offset in the file of the page of its first byte; unused for [`Access::Data`].
    pub file_page: u64,
    /// Offset of its contents in the file, ...
    pub contents: Range<usize>,
    /// ... and the addresses they are copied to. The data around them is zero.
    pub address: u64,
}

/// A description of how to load a program.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The file.
    pub file: &'a [u8],
    /// Its parts, by their addresses, which do not overlap.
    pub parts: Vec<Part, MAX_PARTS>,
    /// The size of its address range, from its base, in whole pages.
    pub span: u64,
    /// Its entry, relative to the base.
    pub entry: u64,
    /// The changes to its data.
    pub relocations: Tables<'a>,
    /// Its thread-local storage.
    pub tls: Template,
}

impl<'a> Plan<'a> {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn new(file: &'a [u8]) -> Result<Self, LoadError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|error| match error {
            elf::ParseError::UnsupportedElfEndianness(_) => LoadError::OtherMachine,
            _ => LoadError::NoElf,
        })?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != abi::EM_AARCH64 {
            return Err(LoadError::OtherMachine);
        }
        if elf.ehdr.e_type != abi::ET_DYN {
            return Err(LoadError::NotRelocatable);
        }
        let mut segments = Segments::default();
        for header in elf.segments().ok_or(LoadError::NoElf)?.iter() {
            segments.add(file, &header)?;
        }
        let Segments { parts, dynamic, tls } = segments;
        let span = parts.last().ok_or(LoadError::BadSegments)?.pages.end;
        let plan = Self { file, parts, span, entry: elf.ehdr.e_entry, relocations: Tables::default(), tls };
        if !plan.part_of(plan.entry).is_some_and(|part| part.access == Access::Text) {
            return Err(LoadError::NoEntry);
        }
        let Template { initial, initial_size, .. } = plan.tls;
        if initial_size != 0 && plan.bytes_at(initial, initial_size as u64).is_none() {
            return Err(LoadError::BadTls);
        }
        let relocations = Tables::read(&plan, dynamic)?;
        Ok(Self { relocations, ..plan })
    }

    /// Returns the part that contains `address`.
    fn part_of(&self, address: u64) -> Option<&Part> {
        self.parts.iter().find(|part| part.pages.contains(&address))
    }

    /// Returns whether all of `addresses` can be written.
    pub(crate) fn is_data(&self, addresses: &Range<u64>) -> bool {
        self.part_of(addresses.start)
            .is_some_and(|part| part.access == Access::Data && addresses.end <= part.pages.end)
    }

    /// Returns the bytes of the file that are loaded at `addresses`; `None` if not all of them come from the file.
    pub(crate) fn bytes_at(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        let part = self.part_of(address)?;
        let start =
            usize::try_from(address.checked_sub(part.address)?).ok()?.checked_add(part.contents.start)?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= part.contents.end).then(|| &self.file[start..end])
    }
}

/// Reads the program headers, one after the other.
#[derive(Default)]
struct Segments<'a> {
    parts: Vec<Part, MAX_PARTS>,
    dynamic: &'a [u8],
    tls: Template,
}

impl<'a> Segments<'a> {
    fn add(&mut self, file: &'a [u8], header: &ProgramHeader) -> Result<(), LoadError> {
        match header.p_type {
            abi::PT_LOAD => self.add_part(file, header),
            abi::PT_INTERP => Err(LoadError::NeedsLibrary),
            abi::PT_DYNAMIC => {
                self.dynamic = contents(file, header).ok_or(LoadError::BadDynamic)?;
                Ok(())
            }
            abi::PT_TLS => {
                let initial = contents(file, header).ok_or(LoadError::BadTls)?;
                self.tls = Template::new(initial, header.p_memsz, header.p_vaddr, header.p_align)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_part(&mut self, file: &'a [u8], header: &ProgramHeader) -> Result<(), LoadError> {
        if header.p_memsz == 0 {
            return Ok(());
        }
        let access = match header.p_flags & (abi::PF_W | abi::PF_X) {
            abi::PF_X => Access::Text,
            abi::PF_W => Access::Data,
            0 => Access::Constant,
            _ => return Err(LoadError::WritableText),
        };
        let bytes = contents(file, header).ok_or(LoadError::BadSegments)?;
        let end = header.p_vaddr.checked_add(header.p_memsz).filter(|end| *end <= MAX_SPAN);
        let pages = header.p_vaddr & !(PAGE - 1)..end.ok_or(LoadError::BadSegments)?.next_multiple_of(PAGE);
        // Pages are mapped as they lie in the file, so the bytes after a segment's end may be anything.
        let shared = access != Access::Data;
        let mappable =
            header.p_offset % PAGE == header.p_vaddr % PAGE && header.p_memsz == bytes.len() as u64;
        let follows = self.parts.last().is_none_or(|last| last.pages.end <= pages.start);
        if header.p_memsz < header.p_filesz || !follows || (shared && !mappable) {
            return Err(LoadError::BadSegments);
        }
        let start = header.p_offset as usize;
        let part = Part {
            access,
            pages,
            file_page: header.p_offset & !(PAGE - 1),
            contents: start..start + bytes.len(),
            address: header.p_vaddr,
        };
        self.parts.push(part).map_err(|_| LoadError::BadSegments)
    }
}

/// Returns the bytes that a program header names.
fn contents<'a>(file: &'a [u8], header: &ProgramHeader) -> Option<&'a [u8]> {
    let start = usize::try_from(header.p_offset).ok()?;
    let end = start.checked_add(usize::try_from(header.p_filesz).ok()?)?;
    file.get(start..end)
}
