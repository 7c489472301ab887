//! The tests of the boot card: what other tools read on it, and that a boot loader starts the kernel from it.
//!
//! The emulated board has no VideoCore, so U-Boot replaces it: it finds the partition, reads kernel and device tree
//! from its file system and enters the kernel as the firmware does. `config.txt` and the firmware's own files are on
//! the card, but they are not interpreted there.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::expect;
use super::images::{self, TestImage};
use super::ktap;
use super::report::{Case, Suite};
use super::results::Origin;
use super::runner;
use crate::build::Profile;
use crate::console::Word;
use crate::machine::{Boot, Card, Configuration, Machine};
use crate::process;
use crate::qemu_run::{self, End, Ran};
use crate::sdcard::contents::{self, CHECKSUMS, Content, KERNEL};
use crate::sdcard::disk;
use crate::sdcard::firmware::{DEVICE_TREE, Firmware};
use crate::setup::packages::{self, BOOT_LOADER};
use crate::setup::{self, CardTools, Environment};
use crate::workspace::Workspace;

/// The name of the suite.
pub(super) const NAME: &str = "sdcard";

/// The machine that boots it.
pub(super) const MACHINE: Machine = Machine::Raspi4b;

/// The image on the card: one that prints which board it finds.
const IMAGE: &str = "boot_banner";

/// Size of the card.
const SIZE_MIB: u64 = 64;

/// How long the boot may take; it takes four seconds, two of which the boot loader waits for a key.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes a card and runs all its tests.
///
/// # Errors
/// Fails when the image does not build, the card cannot be written or the emulator cannot be started.
pub(super) fn run(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Vec<Suite>> {
    let images = images::own_tests(workspace)?;
    let image = images.into_iter().find(|image| image.name == IMAGE);
    let image = [image.with_context(|| format!("there is no image {IMAGE}"))?];
    let programs = runner::build(workspace, environment, &image, Profile::Release)?;
    let ([image], [program]) = (&image, &programs[..]) else { bail!("one image was built") };

    let directory = workspace.state().join("card");
    fs::create_dir_all(&directory)?;
    let firmware = Firmware::from_packages(workspace)?;
    // The boot loader, like the board's firmware, passes what is on the card.
    let word = Word::draw();
    let contents = contents::of_card(fs::read(&program.image)?, &word.argument(), &firmware);
    let card = directory.join("sd.img");
    disk::write(&card, SIZE_MIB, &contents)?;

    let read = read_by_others(workspace, &card, &contents);
    println!("{}", read.summary());
    let booted = boot(workspace, environment, image, &card, word)?;
    println!("{}", booted.summary());
    Ok(vec![read, booted])
}

/// Checks what fdisk, fsck and mtools find on the card.
fn read_by_others(workspace: &Workspace, card: &Path, contents: &[Content]) -> Suite {
    const NAMES: [&str; 3] = [
        "the_partition_table_is_what_fdisk_reads",
        "the_file_system_is_clean_for_fsck",
        "the_files_are_what_mtools_copies_out",
    ];
    let started = Instant::now();
    let cases = match setup::ensure_card_tools(workspace) {
        Ok(tools) => {
            let found =
                [partition_table(&tools, card), file_system(&tools, card), files(&tools, card, contents)];
            NAMES.into_iter().zip(found).map(|(name, found)| Case::of(name, found)).collect()
        }
        Err(error) => NAMES.map(|name| Case::skipped(name, format!("{error:#}"))).into(),
    };
    Suite { name: format!("{NAME}: tools"), cases, took: started.elapsed(), ..Suite::default() }
}

/// The output of `sfdisk --json`, as far as it is used.
#[derive(Debug, Deserialize)]
struct Dump {
    partitiontable: Table,
}

/// A partition table.
#[derive(Debug, Deserialize)]
struct Table {
    label: String,
    partitions: Vec<Partition>,
}

/// A partition; positions and sizes in sectors.
#[derive(Debug, Deserialize, Eq, PartialEq)]
struct Partition {
    start: u64,
    size: u64,
    r#type: String,
    bootable: bool,
}

/// Checks that one FAT32 partition fills the card.
fn partition_table(tools: &CardTools, card: &Path) -> anyhow::Result<()> {
    let output = process::output(Command::new(&tools.sfdisk).arg("--json").arg(card));
    let output: Dump = serde_json::from_str(&output.context("sfdisk cannot read the card")?)?;
    let start = u64::from(disk::FIRST_SECTOR);
    let whole = Partition { start, size: SIZE_MIB * 2048 - start, r#type: "c".into(), bootable: true };
    let Table { label, partitions } = output.partitiontable;
    ensure!(label == "dos" && partitions == [whole], "sfdisk reads: {label}, {partitions:?}");
    Ok(())
}

/// Checks that the file system has nothing to repair.
fn file_system(tools: &CardTools, card: &Path) -> anyhow::Result<()> {
    // The checker takes no offset, so the partition becomes a file of its own.
    let partition = card.with_extension("partition");
    let mut from = File::open(card)?;
    from.seek(SeekFrom::Start(u64::from(disk::FIRST_SECTOR) * 512))?;
    io::copy(&mut from, &mut File::create(&partition)?)?;
    let checked = Command::new(&tools.fsck).args(["-n", "-v"]).arg(&partition).output();
    fs::remove_file(&partition)?;
    let checked = checked.context("cannot start fsck.vfat")?;
    let said = String::from_utf8_lossy(&checked.stdout);
    ensure!(checked.status.success(), "{}:\n{}", checked.status, said.trim());
    Ok(())
}

/// Checks that the files are the expected ones, and that their checksums are right.
fn files(tools: &CardTools, card: &Path, contents: &[Content]) -> anyhow::Result<()> {
    let copies = tempfile::tempdir()?;
    let volume = format!("{}@@{}", card.display(), u64::from(disk::FIRST_SECTOR) * 512);
    let mut copy = Command::new(&tools.mcopy);
    copy.args(["-s", "-n", "-i", &volume, "::"]).arg(copies.path());
    let output = copy.output().context("cannot start mcopy")?;
    ensure!(output.status.success(), "mcopy: {}", String::from_utf8_lossy(&output.stderr).trim());
    for content in contents {
        let copied = fs::read(copies.path().join(&content.name));
        ensure!(copied.with_context(|| content.name.clone())? == content.bytes, "{} differs", content.name);
    }
    let mut check = Command::new("sha256sum");
    let output = process::output(check.args(["--check", CHECKSUMS]).current_dir(copies.path()));
    let right = output.context("a checksum on the card is wrong")?.lines().count();
    ensure!(right + 1 == contents.len(), "{right} checksums hold, of {} files", contents.len());
    Ok(())
}

/// Makes the boot loader start the kernel from the card, and judges it as on any machine.
fn boot(
    workspace: &Workspace,
    environment: &Environment,
    image: &TestImage,
    card: &Path,
    word: Word,
) -> anyhow::Result<Suite> {
    const CASE: &str = "the_boot_loader_starts_the_kernel_of_the_card";
    let mut suite = Suite { name: format!("{NAME}: {IMAGE} from a card"), ..Suite::default() };
    let (loader, tree) = match loader_and_tree(workspace) {
        Ok(found) => found,
        Err(error) => {
            suite.cases.push(Case::skipped(CASE, format!("{error:#}")));
            return Ok(suite);
        }
    };
    let log = card.with_extension("log");
    let mut boot = Boot::new(Configuration::new(MACHINE, 4)?, &loader);
    boot.dtb = Some(tree);
    boot.word = Some(word);
    boot.card = Some(Card { image: card.to_path_buf(), log: log.clone() });
    suite.machine = boot.place();
    suite.name = format!("{NAME}: {IMAGE} on {}", suite.machine);
    let ran = qemu_run::watch(environment, &boot, Some(DEADLINE), &mut |_| ())?;

    let said = fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    suite.cases.push(Case::of(CASE, started_from_card(&said, &ran)));
    suite.cases.extend(expect::cases(&image.declaration.expected, &ktap::read(&ran.lines), ran.end, false));
    suite.origin = Origin::File(image.source.clone());
    suite.console = format!("{said}\n{}", ran.console());
    suite.took = ran.took;
    runner::write_log(workspace, &suite.name, &suite.console)?;
    Ok(suite)
}

/// Returns the boot loader, and the device tree that it is started with: it passes the card's own one on.
fn loader_and_tree(workspace: &Workspace) -> anyhow::Result<(PathBuf, PathBuf)> {
    let loader = packages::unpacked(workspace, &BOOT_LOADER)?.join("u-boot.bin");
    let tree = packages::unpacked(workspace, &packages::DEVICE_TREE)?.join(DEVICE_TREE);
    Ok((loader, tree))
}

/// Checks that the kernel came from the card, found the board by the card's device tree, and ended properly.
fn started_from_card(loader: &str, ran: &Ran) -> anyhow::Result<()> {
    for name in [KERNEL, DEVICE_TREE] {
        let read = format!("Retrieving file: /{name}");
        ensure!(loader.contains(&read), "the boot loader did not read {name}");
    }
    let banner =
        |line: &str| line.starts_with("asphodel ") && line.contains("Raspberry Pi 4 Model B, 4 CPUs");
    ensure!(ran.lines.iter().any(|line| banner(line.text())), "there is no banner with the board's name");
    ensure!(ran.end == End::PoweredOff(0), "the end was {:?}", ran.end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Line;

    const LOADER: &str = "Retrieving file: /kernel8.img\nRetrieving file: /bcm2711-rpi-4-b.dtb\n";

    fn ran(lines: &[&str], end: End) -> Ran {
        let lines = lines.iter().map(|line| Line::system(*line)).collect();
        Ran { lines, end, took: Duration::ZERO, complaints: String::new() }
    }

    #[test]
    fn a_boot_from_the_card_has_the_loaders_words_the_banner_and_a_clean_end() {
        let banner = "asphodel 0.1.0 on Raspberry Pi 4 Model B, 4 CPUs";
        let good = ran(&[banner], End::PoweredOff(0));
        assert!(started_from_card(LOADER, &good).is_ok());
        assert!(started_from_card("Retrieving file: /kernel8.img\n", &good).is_err(), "no tree");
        assert!(started_from_card(LOADER, &ran(&[banner], End::EndedEarly)).is_err());
        assert!(started_from_card(LOADER, &ran(&[banner], End::PoweredOff(1))).is_err());
        let without_tree = "asphodel 0.1.0 on Raspberry Pi 4, 4 CPUs";
        assert!(started_from_card(LOADER, &ran(&[without_tree], End::PoweredOff(0))).is_err());
    }
}
