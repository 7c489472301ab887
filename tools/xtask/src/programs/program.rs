//! A linked program: the check that the kernel can load it, and the part of it that is loaded.
//!
//! The kernel checks the same again; here the errors are reported where they can be fixed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use object::elf;
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Object as _, ObjectSymbol as _, RelocationFlags};

use super::abi::{FUNCTIONS, KERNEL};

/// The fields of an ELF's header that describe its sections: where they are, how many, and which has their names.
const SECTIONS_AT: std::ops::Range<usize> = 0x28..0x30;
const SECTIONS: std::ops::Range<usize> = 0x3c..0x40;

/// The relocations that the kernel supports.
const RELOCATIONS: [elf::RelocationType; 4] =
    [elf::R_AARCH64_RELATIVE, elf::R_AARCH64_GLOB_DAT, elf::R_AARCH64_JUMP_SLOT, elf::R_AARCH64_ABS64];

/// A built program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The name of its target.
    pub(crate) name: String,
    /// The ELF.
    pub(crate) elf: PathBuf,
    /// The source of its first file, as cargo names it.
    pub(crate) source: PathBuf,
}

impl Program {
    /// Reads the part of the program that is loaded, after checking that it can be.
    ///
    /// # Errors
    /// Fails when it cannot be read or loaded.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<u8>> {
        loadable(&self.elf)
    }
}

/// Reads the part of an ELF that is loaded.
fn loadable(path: &Path) -> anyhow::Result<Vec<u8>> {
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    check(&data).with_context(|| format!("{} cannot be loaded", path.display()))?;
    strip(data).with_context(|| format!("{} is cut short", path.display()))
}

/// Checks that the kernel can load it.
fn check(data: &[u8]) -> anyhow::Result<()> {
    let file = ElfFile64::<object::LittleEndian>::parse(data).context("it is no ELF")?;
    let (header, endian) = (file.elf_header(), file.endian());
    ensure!(header.e_machine(endian) == elf::EM_AARCH64, "it is for another machine");
    ensure!(header.e_type(endian) == elf::ET_DYN, "it is not position-independent");
    let mut has_code = false;
    for segment in file.elf_program_headers() {
        let address = segment.p_vaddr(endian);
        let addresses = address..address + segment.p_memsz(endian);
        match segment.p_type(endian) {
            elf::PT_INTERP => bail!("it asks for an interpreter"),
            elf::PT_LOAD if segment.p_flags(endian).0 & elf::PF_X.0 != 0 => {
                has_code |= addresses.contains(&header.e_entry(endian));
            }
            elf::PT_DYNAMIC => check_dynamic(&file, segment.dynamic(endian, data)?)?,
            _ => {}
        }
    }
    ensure!(
        has_code,
        "it is empty: the linker did not get the entry `runtime_entry` (other linker arguments in the crate's \
         configuration?)"
    );
    let foreign: Vec<&str> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| !name.is_empty() && !FUNCTIONS.contains(name))
        .collect();
    ensure!(
        foreign.is_empty(),
        "it asks for functions that the kernel does not have: {}",
        foreign.join(", ")
    );
    for (address, relocation) in file.dynamic_relocations().into_iter().flatten() {
        let RelocationFlags::Elf { r_type, .. } = relocation.flags() else { continue };
        ensure!(
            RELOCATIONS.contains(&r_type),
            "the relocation at {address:#x} is of type {}, which the kernel does not know",
            r_type.0
        );
    }
    Ok(())
}

/// Checks the dynamic section.
fn check_dynamic(
    file: &ElfFile64<'_, object::LittleEndian>,
    entries: Option<&[elf::Dyn64<object::LittleEndian>]>,
) -> anyhow::Result<()> {
    let endian = file.endian();
    for entry in entries.into_iter().flatten() {
        ensure!(
            !matches!(entry.tag(endian), elf::DT_RELR | elf::DT_RELRSZ),
            "its relocations are packed, which the kernel does not know"
        );
    }
    let libraries = file.import_libraries().context("its dynamic section is damaged")?;
    for library in libraries {
        let name = String::from_utf8_lossy(library?.name());
        ensure!(name == KERNEL, "it needs the shared library {name}");
    }
    Ok(())
}

/// Removes what is behind the last segment: symbols and debugging information, which stay on the host.
fn strip(mut data: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let file = ElfFile64::<object::LittleEndian>::parse(&data[..])?;
    let endian = file.endian();
    let ends = file.elf_program_headers().iter().map(|segment| {
        let (offset, size) = segment.file_range(endian);
        offset + size
    });
    let end = usize::try_from(ends.max().unwrap_or_default())?;
    ensure!(end <= data.len());
    data.truncate(end);
    data[SECTIONS_AT].fill(0);
    data[SECTIONS].fill(0);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use object::write::StreamingBuffer;
    use object::write::elf::{FileHeader, ProgramHeader, Writer};

    use super::*;

    /// Returns the smallest file with one segment of code, and something behind it that is not loaded.
    fn file(machine: elf::Machine, kind: elf::FileType, entry: u64) -> Vec<u8> {
        let mut buffer = Vec::new();
        let mut stream = StreamingBuffer::new(&mut buffer);
        let mut writer = Writer::new(object::Endianness::Little, true, &mut stream);
        writer.reserve_file_header();
        writer.reserve_program_headers(1);
        let offset = writer.reserve(16, 16);
        writer
            .write_file_header(&FileHeader {
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                e_type: kind,
                e_machine: machine,
                e_entry: entry,
                e_flags: elf::FileFlags(0),
            })
            .unwrap();
        writer.write_align_program_headers();
        writer.write_program_header(&ProgramHeader {
            p_type: elf::PT_LOAD,
            p_flags: elf::PF_R | elf::PF_X,
            p_offset: offset,
            p_vaddr: 0x1000 + offset,
            p_paddr: 0x1000 + offset,
            p_filesz: 16,
            p_memsz: 16,
            p_align: 16,
        });
        writer.write_align(16);
        writer.write(&[0xaa; 16]);
        writer.write(b"symbols");
        drop(writer);
        buffer
    }

    fn complaint(data: &[u8]) -> String {
        check(data).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_loaded_is_named() {
        let entry = 0x1080;
        assert!(check(&file(elf::EM_AARCH64, elf::ET_DYN, entry)).is_ok());
        assert!(complaint(b"text").contains("no ELF"));
        assert!(complaint(&file(elf::EM_X86_64, elf::ET_DYN, entry)).contains("another machine"));
        assert!(complaint(&file(elf::EM_AARCH64, elf::ET_EXEC, entry)).contains("position-independent"));
        assert!(complaint(&file(elf::EM_AARCH64, elf::ET_DYN, 0)).contains("runtime_entry"));
    }

    #[test]
    fn what_is_behind_the_segments_stays_on_the_host() {
        let file = file(elf::EM_AARCH64, elf::ET_DYN, 0x1080);
        let stripped = strip(file.clone()).unwrap();
        assert_eq!(stripped, file[..file.len() - b"symbols".len()]);
        assert!(strip(file[..file.len() - 20].to_vec()).is_err(), "the segment is cut short");
    }
}
