//! The changes to a program's data before it runs: its own addresses, and those of the kernel's functions.
//!
//! Three kinds, which is all that the linker makes of a position-independent executable without libraries whose
//! thread-local storage is its own (IHI 0056, 5.7.16): `RELATIVE`, and for the kernel's functions `GLOB_DAT`,
//! `JUMP_SLOT` and `ABS64`.

use elf::abi;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::parse::ParsingTable;
use elf::relocation::Rela;
use elf::string_table::StringTable;
use elf::symbol::Symbol;

use super::{LoadError, Plan};

/// Bytes of an entry of a table of relocations, of a symbol, and of the dynamic section.
const RELA: u64 = 24;
const SYMBOL: u64 = 24;
const DYNAMIC: usize = 16;

/// The name by which a linker may know the kernel: as a shared library, which a program then requires.
pub const KERNEL: &str = "asphodel";

/// One change: eight bytes at `place` become `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, relative to the program's base.
    pub place: u64,
    /// The new value.
    pub value: Value,
}

/// The value of a relocated place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The program's base plus this.
    Own(u64),
    /// The address of the symbol with this number plus this.
    Foreign(u32, u64),
}

/// The tables of a program's relocations and symbols.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tables<'a> {
    relative: &'a [u8],
    calls: &'a [u8],
    symbols: &'a [u8],
    names: &'a [u8],
}

impl<'a> Tables<'a> {
    /// Finds the tables by the dynamic section, and checks every entry.
    pub(super) fn read(plan: &Plan<'a>, dynamic: &[u8]) -> Result<Self, LoadError> {
        let mut found = Dynamic::default();
        for entry in dynamic.as_chunks::<DYNAMIC>().0 {
            let [tag, value] =
                [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|byte| entry[at + byte])));
            if tag as i64 == abi::DT_NULL {
                break;
            }
            found.add(tag as i64, value)?;
        }
        let part = |address, length| match length {
            0 => Ok(&[][..]),
            _ => plan.bytes_at(address, length).ok_or(LoadError::BadDynamic),
        };
        let tables = Self {
            relative: part(found.relocations.0, found.relocations.1)?,
            calls: part(found.calls.0, found.calls.1)?,
            // The number of symbols is not recorded; the table of names follows them in every linker's layout, but it
            // suffices that the symbols which are named exist.
            symbols: plan.rest_at(found.symbols),
            names: part(found.names.0, found.names.1)?,
        };
        if let Some(library) = found.library
            && StringTable::new(tables.names).get(library as usize).ok() != Some(KERNEL)
        {
            return Err(LoadError::NeedsLibrary);
        }
        tables.check(plan)?;
        Ok(tables)
    }

    fn check(&self, plan: &Plan<'a>) -> Result<(), LoadError> {
        for entry in self.entries() {
            let change = change(&entry)?;
            let end = change.place.checked_add(8).ok_or(LoadError::BadDynamic)?;
            if !plan.is_data(&(change.place..end)) {
                return Err(LoadError::BadRelocation(entry.r_type));
            }
            if let Value::Foreign(symbol, _) = change.value {
                self.name(symbol).ok_or(LoadError::BadDynamic)?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = Rela> + use<'a> {
        let table = |bytes| ParsingTable::<LittleEndian, Rela>::new(LittleEndian, Class::ELF64, bytes).iter();
        table(self.relative).chain(table(self.calls))
    }

    /// Returns all changes. Every place lies in data.
    pub fn changes(&self) -> impl Iterator<Item = Change> + use<'a> {
        // Relocations of other kinds were refused.
        self.entries().filter_map(|entry| change(&entry).ok())
    }

    /// Returns the numbers of the imported symbols, each as often as it is used.
    pub fn foreign(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.changes().filter_map(|change| match change.value {
            Value::Foreign(symbol, _) => Some(symbol),
            Value::Own(_) => None,
        })
    }

    /// Returns the name of the symbol with this number, which the program does not define itself.
    #[must_use]
    pub fn name(&self, number: u32) -> Option<&'a str> {
        let table = ParsingTable::<LittleEndian, Symbol>::new(LittleEndian, Class::ELF64, self.symbols);
        let symbol = table.get(number as usize).ok().filter(Symbol::is_undefined)?;
        StringTable::new(self.names).get(symbol.st_name as usize).ok()
    }
}

/// Returns what an entry requires.
fn change(entry: &Rela) -> Result<Change, LoadError> {
    let addend = entry.r_addend as u64;
    let value = match entry.r_type {
        abi::R_AARCH64_RELATIVE => Value::Own(addend),
        abi::R_AARCH64_GLOB_DAT | abi::R_AARCH64_JUMP_SLOT | abi::R_AARCH64_ABS64 => {
            Value::Foreign(entry.r_sym, addend)
        }
        other => return Err(LoadError::BadRelocation(other)),
    };
    Ok(Change { place: entry.r_offset, value })
}

/// The contents of the dynamic section: addresses, and sizes in bytes.
#[derive(Default)]
struct Dynamic {
    relocations: (u64, u64),
    calls: (u64, u64),
    symbols: u64,
    names: (u64, u64),
    /// The required shared library, by its name's offset among the names.
    library: Option<u64>,
}

impl Dynamic {
    fn add(&mut self, tag: i64, value: u64) -> Result<(), LoadError> {
        match tag {
            abi::DT_NEEDED if self.library.is_some() => return Err(LoadError::NeedsLibrary),
            abi::DT_NEEDED => self.library = Some(value),
            abi::DT_RELA => self.relocations.0 = value,
            abi::DT_RELASZ => self.relocations.1 = value,
            abi::DT_JMPREL => self.calls.0 = value,
            abi::DT_PLTRELSZ => self.calls.1 = value,
            abi::DT_SYMTAB => self.symbols = value,
            abi::DT_STRTAB => self.names.0 = value,
            abi::DT_STRSZ => self.names.1 = value,
            // Entries of another size, or relocations that this file does not know: REL, and the compact RELR.
            abi::DT_RELAENT if value != RELA => return Err(LoadError::BadDynamic),
            abi::DT_SYMENT if value != SYMBOL => return Err(LoadError::BadDynamic),
            abi::DT_RELSZ | DT_RELRSZ if value != 0 => return Err(LoadError::BadDynamic),
            abi::DT_TEXTREL => return Err(LoadError::BadDynamic),
            _ => {}
        }
        Ok(())
    }
}

/// Bytes of the compact table of relative relocations (gABI; the crate does not name it).
const DT_RELRSZ: i64 = 35;

impl<'a> Plan<'a> {
    /// Returns the bytes of the file from `address` to the end of its part.
    fn rest_at(&self, address: u64) -> &'a [u8] {
        let length = |part: &super::Part| part.contents.len() as u64 - (address.saturating_sub(part.address));
        let part = self.parts.iter().find(|part| {
            let end = part.address + part.contents.len() as u64;
            (part.address..end).contains(&address)
        });
        part.and_then(|part| self.bytes_at(address, length(part))).unwrap_or(&[])
    }
}
