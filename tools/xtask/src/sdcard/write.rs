//! Writing a card's bytes to a real card: after a question and a check, then read back.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::device::{Device, Places};
use crate::progress::{Bytes, note};

/// Bytes that are written or compared at a time: a card's erase block or some of them.
const PIECE: usize = 4 << 20;

/// Writes the image to the device at `path` and reads it back; `yes` answers the question beforehand.
///
/// # Errors
/// Fails when the device may not be written to, the answer is no, writing fails, or the card does not keep what was
/// written to it.
pub(crate) fn onto(image: &Path, path: &Path, yes: bool) -> anyhow::Result<()> {
    let what = || format!("nothing was written to {}", path.display());
    let real = fs::canonicalize(path).with_context(what)?;
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let length = fs::metadata(image)?.len();
    let device = Device::look(&Places::of_system(), &name, length).with_context(what)?;
    let question = format!(
        "{} is {} with {:.1} GB. What is on it will be lost. Write to it?",
        real.display(),
        device.model,
        device.bytes as f64 / 1e9
    );
    if !(yes || confirm(&question, &mut io::stdin().lock())?) {
        bail!(what());
    }
    let mut card = open(&real, &device).with_context(what)?;
    let progress = Bytes::new("writing", length);
    copy(&mut File::open(image)?, &mut card, &progress)
        .and_then(|()| card.sync_all())
        .with_context(|| format!("cannot write to {}", real.display()))?;
    drop(card);

    let mut card = File::open(&real)?;
    forget(&card);
    let progress = Bytes::new("reading back", length);
    compare(&mut File::open(image)?, &mut card, &progress)
        .with_context(|| format!("{} does not keep what is written to it", real.display()))?;
    note(&format!("{}: written and read back; it can be taken out", real.display()));
    Ok(())
}

/// Asks the question; only `y` and `yes` mean yes, an empty answer means no.
fn confirm(question: &str, input: &mut impl BufRead) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Opens the very device that was checked, exclusively.
#[cfg(target_os = "linux")]
fn open(path: &Path, device: &Device) -> anyhow::Result<File> {
    use std::os::linux::fs::MetadataExt as _;
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

    use rustix::fs::{OFlags, major, minor};

    // The kernel refuses an exclusive opening while anything of the device is mounted.
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let file = File::options().write(true).custom_flags(exclusive).open(path).with_context(|| {
        format!(
            "cannot open {}: it needs root, or the right to write to it, and must not be in use",
            path.display()
        )
    })?;
    let metadata = file.metadata()?;
    let number = format!("{}:{}", major(metadata.st_rdev()), minor(metadata.st_rdev()));
    ensure!(
        metadata.file_type().is_block_device() && number == device.number,
        "{} is not the device {} of the system",
        path.display(),
        device.name
    );
    Ok(file)
}

/// Elsewhere no device is known.
#[cfg(not(target_os = "linux"))]
fn open(_path: &Path, _device: &Device) -> anyhow::Result<File> {
    bail!("cards can be written on Linux only: copy the file that --out makes to the card")
}

/// Makes the system drop its cache of the card, so that what is read comes from the card.
#[cfg(target_os = "linux")]
fn forget(card: &File) {
    // What it does not drop is compared nevertheless.
    let _ = rustix::fs::fadvise(card, 0, None, rustix::fs::Advice::DontNeed);
}

/// Elsewhere nothing is written.
#[cfg(not(target_os = "linux"))]
fn forget(_card: &File) {}

/// Copies all of `from`.
fn copy(from: &mut impl Read, to: &mut impl Write, progress: &Bytes) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = fill(from, &mut piece)?;
        if length == 0 {
            return to.flush();
        }
        to.write_all(&piece[..length])?;
        progress.advance(length as u64);
    }
}

/// Reads all of `wanted`, and as much of `found`; fails at the first byte that differs.
fn compare(wanted: &mut impl Read, found: &mut impl Read, progress: &Bytes) -> anyhow::Result<()> {
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    let mut place = 0;
    loop {
        let length = fill(wanted, &mut one)?;
        if length == 0 {
            return Ok(());
        }
        let read = fill(found, &mut other[..length])?;
        let differs = one[..length].iter().zip(&other[..read]).position(|(one, other)| one != other);
        if let Some(at) = differs.or((read < length).then_some(read)) {
            bail!("byte {} differs", place + at);
        }
        place += length;
        progress.advance(length as u64);
    }
}

/// Reads until the buffer is full or there is no more; returns how much was read.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, means) in
            [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("n\n", false), ("yy\n", false)]
        {
            assert_eq!(confirm("Write?", &mut answer.as_bytes()).unwrap(), means, "{answer:?}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_from_a_larger_card() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card");
        let image: Vec<u8> = (0..PIECE + 12345).map(|index| (index % 251) as u8).collect();
        fs::write(&path, vec![0xff; image.len() + 1000]).unwrap();
        let progress = Bytes::new("test", image.len() as u64);

        let mut card = File::options().write(true).open(&path).unwrap();
        copy(&mut &image[..], &mut card, &progress).unwrap();
        card.sync_all().unwrap();
        let mut card = File::open(&path).unwrap();
        forget(&card);
        compare(&mut &image[..], &mut card, &progress).unwrap();
        assert_eq!(fs::read(&path).unwrap()[image.len()..], [0xff; 1000], "nothing behind it is touched");
    }

    #[test]
    fn a_card_that_keeps_something_else_is_found_out() {
        let image = vec![7; PIECE + 100];
        let progress = Bytes::new("test", 0);
        let mut bad = image.clone();
        bad[PIECE + 3] ^= 1;
        let error = compare(&mut &image[..], &mut &bad[..], &progress).unwrap_err();
        assert_eq!(error.to_string(), format!("byte {} differs", PIECE + 3));
        let error = compare(&mut &image[..], &mut &image[..PIECE + 50], &progress).unwrap_err();
        assert_eq!(error.to_string(), format!("byte {} differs", PIECE + 50), "it is shorter than it says");
    }

    #[test]
    fn a_file_is_no_card() {
        let directory = tempfile::tempdir().unwrap();
        let [image, target] = ["image", "target"].map(|name| directory.path().join(name));
        fs::write(&image, [1; 512]).unwrap();
        fs::write(&target, [2; 1024]).unwrap();
        let error = onto(&image, &target, true).unwrap_err();
        assert!(format!("{error:#}").contains("it is no block device"), "{error:#}");
        assert_eq!(fs::read(&target).unwrap(), [2; 1024]);
    }
}
