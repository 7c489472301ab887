//! From an ELF to the flat image that loaders take: the bytes of its sections, laid out by load address.
//!
//! What is not in the file (zeroed data) is left out, because the boot code clears it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use object::elf::{FileHeader64, PF_X, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};

use crate::source_tree;

/// Position and value of the arm64 boot protocol's magic number in the header of an image.
const MAGIC: (usize, &[u8]) = (0x38, b"ARM\x64");

/// No image of this project comes near this size: more means sections scattered by a broken link.
const LIMIT: u64 = 256 << 20;

/// Makes the flat image of an ELF.
///
/// # Errors
/// Fails when the ELF is not an image of this project, or the result cannot be written.
pub(crate) fn write(elf: &Path, flat: &Path) -> anyhow::Result<()> {
    let data = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let image = flat_of_elf(&data).with_context(|| format!("{} is no image", elf.display()))?;
    source_tree::replace(flat, &image)
}

/// Returns the flat image of an ELF's bytes.
fn flat_of_elf(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let image = flatten(&chunks(data)?)?;
    let (offset, magic) = MAGIC;
    if image.get(offset..offset + magic.len()) != Some(magic) {
        bail!("it does not begin with the header of the arm64 boot protocol: is it linked with kernel.ld?");
    }
    Ok(image)
}

/// Bytes and the physical address to which they are loaded.
#[derive(Clone, Copy, Debug)]
struct Chunk<'a> {
    address: u64,
    bytes: &'a [u8],
}

/// Returns the loaded sections of an ELF. Sections, not segments, because a segment may also hold the ELF's own
/// headers.
fn chunks(data: &[u8]) -> anyhow::Result<Vec<Chunk<'_>>> {
    let file = ElfFile64::<object::Endianness>::parse(data)?;
    let endian = file.endian();
    let segments: Vec<_> = file
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == object::elf::PT_LOAD)
        .collect();
    if !segments.iter().any(|segment| segment.p_flags(endian).0 & PF_X.0 != 0) {
        bail!("nothing in it is executable");
    }
    let header: &FileHeader64<_> = file.elf_header();
    let mut chunks = Vec::new();
    for section in header.section_headers(endian, data)? {
        let allocated = section.sh_flags(endian).0 & SHF_ALLOC.0 != 0;
        if !allocated || section.sh_type(endian) == SHT_NOBITS || section.sh_size(endian) == 0 {
            continue;
        }
        let address = section.sh_addr(endian);
        let holder = segments.iter().find(|segment| {
            let start = segment.p_vaddr(endian);
            (start..start + segment.p_memsz(endian)).contains(&address)
        });
        let holder = holder.with_context(|| format!("the section at {address:#x} is in no segment"))?;
        let load_address = holder.p_paddr(endian) + (address - holder.p_vaddr(endian));
        let bytes = section.data(endian, data)?;
        chunks.push(Chunk { address: load_address, bytes });
    }
    Ok(chunks)
}

/// Lays chunks out by address, from the lowest; gaps are zero.
fn flatten(chunks: &[Chunk<'_>]) -> anyhow::Result<Vec<u8>> {
    let base = chunks.iter().map(|chunk| chunk.address).min().context("it has no content")?;
    let mut image = Vec::new();
    for chunk in chunks {
        let start = chunk.address - base;
        let end = start + chunk.bytes.len() as u64;
        if end > LIMIT {
            bail!("its content is scattered: {:#x} is {start:#x} bytes above its start", chunk.address);
        }
        let (start, end) = (usize::try_from(start)?, usize::try_from(end)?);
        if image.len() < end {
            image.resize(end, 0);
        }
        image[start..end].copy_from_slice(chunk.bytes);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use object::elf;
    use object::write::StreamingBuffer;
    use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Writer};

    use super::*;

    const BASE: u64 = 0xffff_ffff_8008_0000;

    #[test]
    fn gaps_are_zero_and_order_does_not_matter() {
        let chunks = [Chunk { address: 0x1004, bytes: b"cd" }, Chunk { address: 0x1000, bytes: b"ab" }];
        assert_eq!(flatten(&chunks).unwrap(), b"ab\0\0cd");
    }

    #[test]
    fn nothing_and_scattered_content_are_refused() {
        assert!(flatten(&[]).is_err());
        let far = [Chunk { address: 0, bytes: b"a" }, Chunk { address: LIMIT, bytes: b"b" }];
        assert!(flatten(&far).is_err());
    }

    #[test]
    fn an_elf_gives_its_loaded_sections_only() {
        let mut text = vec![0xaa; 0x40];
        text[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
        let image = flat_of_elf(&small_elf(&text)).unwrap();
        assert_eq!(image, text, "no headers before, no zeroed data behind");
    }

    #[test]
    fn an_elf_without_the_boot_header_is_refused() {
        let error = flat_of_elf(&small_elf(&[0xaa; 0x40])).unwrap_err();
        assert!(error.to_string().contains("arm64 boot protocol"), "{error}");
    }

    /// Returns an executable with `.text`, a `.bss` behind it, and one segment that also holds the ELF's headers.
    fn small_elf(text: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        let mut stream = StreamingBuffer::new(&mut buffer);
        let mut writer = Writer::new(object::Endianness::Little, true, &mut stream);
        writer.reserve_null_section_index();
        writer.reserve_section_index();
        writer.reserve_section_index();
        writer.reserve_shstrtab_section_index();
        writer.reserve_file_header();
        writer.reserve_program_headers(1);
        let offset = writer.reserve(text.len() as u64, 16);
        writer.reserve_shstrtab().unwrap();
        writer.reserve_section_headers();
        let length = text.len() as u64;

        writer
            .write_file_header(&FileHeader {
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                e_type: elf::ET_EXEC,
                e_machine: elf::EM_AARCH64,
                e_entry: BASE,
                e_flags: elf::FileFlags(0),
            })
            .unwrap();
        writer.write_align_program_headers();
        writer.write_program_header(&ProgramHeader {
            p_type: elf::PT_LOAD,
            p_flags: elf::PF_R | PF_X,
            p_offset: 0,
            p_vaddr: BASE - offset,
            p_paddr: BASE - offset,
            p_filesz: offset + length,
            p_memsz: offset + length + 0x1000,
            p_align: 16,
        });
        writer.write_align(16);
        writer.write(text);
        writer.write_shstrtab();
        writer.write_null_section_header();
        let section = |kind, address, offset, size| SectionHeader {
            sh_name: 0,
            sh_type: kind,
            sh_flags: SHF_ALLOC,
            sh_addr: address,
            sh_offset: offset,
            sh_size: size,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 16,
            sh_entsize: 0,
        };
        writer.write_section_header(&section(elf::SHT_PROGBITS, BASE, offset, length));
        writer.write_section_header(&section(SHT_NOBITS, BASE + length, offset + length, 0x1000));
        writer.write_shstrtab_section_header();
        drop(writer);
        buffer
    }
}
