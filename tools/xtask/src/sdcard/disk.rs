//! The bytes of a boot card: a partition table and one FAT32 partition with the files.
//!
//! The same files give the same bytes: there is no time and nothing random in them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use hadris_fat::format::{FatFormatOptions, FatTypeSelection, FatVolumeFormatter};
use hadris_fat::time::EpochTimeProvider;
use hadris_fat::{FatVolumeBuilder, FatVolumeWriteExt as _};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};

use super::contents::{Content, sha256};

/// Bytes of a sector.
const SECTOR: u32 = 512;

/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;

/// The first sector of the partition: at a mebibyte, so that no erase block of the card is split.
pub(crate) const FIRST_SECTOR: u32 = 2048;

/// The partition's type: FAT32, addressed by sectors. The boot ROM looks for it.
const TYPE_FAT32: u8 = 0x0c;

/// The volume's label.
const LABEL: &str = "ASPHODEL";

/// Smallest card in MiB: FAT32 has at least 65525 clusters.
pub(crate) const MIN_MIB: u64 = 64;

/// Largest in MiB, because it is made in memory, and a boot partition needs no more.
pub(crate) const MAX_MIB: u64 = 2048;

/// Writes a card of `size_mib` MiB with these files. Blocks of zeros are left as holes.
///
/// # Errors
/// Fails when the files do not fit, or the file cannot be written.
pub(crate) fn write(path: &Path, size_mib: u64, contents: &[Content]) -> anyhow::Result<()> {
    let volume = volume(size_mib, contents)?;
    let identity = identity(contents);
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(size_mib * MIB)?;
    write_partition_table(&mut file, identity, u32::try_from(volume.len() as u64 / u64::from(SECTOR))?)?;
    let start = u64::from(FIRST_SECTOR) * u64::from(SECTOR);
    for (index, block) in volume.chunks(MIB as usize).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(start + index as u64 * MIB))?;
            file.write_all(block).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    file.sync_all().with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the number that distinguishes this card from others, computed from its contents.
fn identity(contents: &[Content]) -> u32 {
    let names_and_sums: String =
        contents.iter().map(|content| format!("{} {}\n", content.name, sha256(&content.bytes))).collect();
    u32::from_str_radix(&sha256(names_and_sums.as_bytes())[..8], 16).expect("eight hexadecimal digits")
}

/// Writes a table with the one partition.
fn write_partition_table(file: &mut File, identity: u32, sectors: u32) -> anyhow::Result<()> {
    let mut table = MBR::new_from(file, SECTOR, identity.to_le_bytes())?;
    // An address beyond the reach of cylinders, heads and sectors, or not expressed by them, is the last of them.
    let by_sectors = CHS::new(1023, 254, 63);
    table[1] = MBRPartitionEntry {
        boot: BOOT_ACTIVE,
        first_chs: by_sectors,
        sys: TYPE_FAT32,
        last_chs: by_sectors,
        starting_lba: FIRST_SECTOR,
        sectors,
    };
    table.write_into(file).context("cannot write the partition table")
}

/// Returns the partition's bytes.
fn volume(size_mib: u64, contents: &[Content]) -> anyhow::Result<Vec<u8>> {
    let bytes = size_mib * MIB - u64::from(FIRST_SECTOR) * u64::from(SECTOR);
    let needed: u64 = contents.iter().map(|content| content.bytes.len() as u64).sum();
    ensure!(needed < bytes / 16 * 15, "{} MiB of files need a larger card than {size_mib} MiB", needed / MIB);
    let mut volume = vec![0; usize::try_from(bytes)?];
    let options = FatFormatOptions::new(bytes)
        .fat_type(FatTypeSelection::Fat32)
        .hidden_sectors(FIRST_SECTOR)
        .volume_id(identity(contents))
        .volume_label(LABEL);
    FatVolumeFormatter::format(Cursor::new(&mut volume[..]), options)
        .context("cannot make the file system")?;
    date_label(&mut volume).context("the new file system has no label")?;
    fill(&mut volume, contents).context("cannot fill the file system")?;
    Ok(volume)
}

/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// Attribute of the entry that is the volume's label, behind the name of eleven bytes.
const IS_LABEL: u8 = 0x08;
/// The beginning of FAT's time: 1980-01-01.
const BEGINNING: [u8; 2] = 0x0021_u16.to_le_bytes();

/// Sets the label's time to that of all files, because the formatter takes it from the host's clock.
fn date_label(volume: &mut [u8]) -> Option<()> {
    let mut entries = volume.as_chunks_mut::<ENTRY>().0.iter_mut();
    let label = entries.find(|entry| entry.starts_with(LABEL.as_bytes()) && entry[11] == IS_LABEL)?;
    // Tenths, time and date of creation, date of access, ...
    label[13..16].fill(0);
    label[16..18].copy_from_slice(&BEGINNING);
    label[18..20].copy_from_slice(&BEGINNING);
    // ... time and date of the last change.
    label[22..24].fill(0);
    label[24..26].copy_from_slice(&BEGINNING);
    Some(())
}

/// Copies the files into a fresh file system.
fn fill(volume: &mut [u8], contents: &[Content]) -> hadris_fat::Result<()> {
    let volume = FatVolumeBuilder::new(Cursor::new(volume)).time_provider(&EpochTimeProvider).open()?;
    let directories: BTreeSet<&str> =
        contents.iter().filter_map(|content| Some(content.name.split_once('/')?.0)).collect();
    for directory in directories {
        volume.create_dir(&volume.root_dir(), directory)?;
    }
    for content in contents {
        let (directory, name) = match content.name.split_once('/') {
            Some((directory, name)) => (volume.open_dir_path(directory)?, name),
            None => (volume.root_dir(), &*content.name),
        };
        let entry = volume.create_file(&directory, name)?;
        let mut file = volume.write_file(&entry)?;
        let mut rest = &content.bytes[..];
        while !rest.is_empty() {
            rest = &rest[file.write(rest)?..];
        }
        file.finish()?;
    }
    volume.sync()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hadris_fat::{FatType, FatVolume};

    use super::*;

    fn files() -> Vec<Content> {
        vec![
            Content::new("kernel8.img", vec![7; 300_000]),
            Content::new("licences/a.txt", *b"free"),
            Content::new("SHA256SUMS", Vec::new()),
        ]
    }

    #[test]
    fn the_table_has_one_fat32_partition_that_fills_the_card() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sd.img");
        write(&path, 64, &files()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 64 * MIB);
        let table = MBR::read_from(&mut File::open(&path).unwrap(), SECTOR).unwrap();
        let used: Vec<_> = table.iter().filter(|(_, entry)| entry.is_used()).collect();
        let [(1, entry)] = used[..] else { panic!("{used:?}") };
        assert_eq!((entry.sys, entry.starting_lba, entry.is_active()), (TYPE_FAT32, FIRST_SECTOR, true));
        assert_eq!(entry.sectors + FIRST_SECTOR, 64 * 2048);
    }

    #[test]
    fn files_are_read_back_as_they_were() {
        let volume = volume(64, &files()).unwrap();
        let volume = FatVolume::open(Cursor::new(volume)).unwrap();
        assert_eq!((volume.fat_type(), volume.volume_info().volume_label()), (FatType::Fat32, LABEL));
        for content in files() {
            let bytes = volume.open_file_path(&content.name).unwrap().read_to_vec().unwrap();
            assert_eq!(bytes, content.bytes, "{}", content.name);
        }
    }

    #[test]
    fn the_same_files_give_the_same_card() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
        write(&one, 64, &files()).unwrap();
        // Longer than a step of FAT's clock, which is two seconds.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        write(&other, 64, &files()).unwrap();
        assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap());
        let mut changed = files();
        changed[1].bytes[0] = b'F';
        assert_ne!(identity(&changed), identity(&files()));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let large = [Content::new("kernel8.img", vec![1; 62 << 20])];
        let error = volume(64, &large).unwrap_err();
        assert!(error.to_string().contains("larger card"), "{error}");
    }

    #[test]
    fn the_volume_says_where_it_lies() {
        let volume = volume(64, &files()).unwrap();
        let boot_sector = &volume[..512];
        assert_eq!(boot_sector[0x1c..0x20], FIRST_SECTOR.to_le_bytes());
        assert_eq!(&volume[6 * 512..7 * 512], boot_sector, "the copy is one");
    }
}
