//! The payload: programs and files behind a flat image, as a tar archive on page boundaries.
//!
//! The image is padded to the `image_size` of its arm64 header (zeroed data too), the archive follows, and the header
//! then contains the size of both: every loader that takes the image takes the payload with it. The kernel's `payload`
//! reads it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::source_tree;

/// The alignment of programs, because the kernel maps them in place.
const PAGE: usize = 4096;

/// Bytes of a tar archive's blocks.
const BLOCK: usize = 512;

/// Position of the size of the image in the arm64 boot protocol's header: eight bytes, little-endian.
const IMAGE_SIZE: std::ops::Range<usize> = 16..24;

/// Most bytes of an image with its payload: it must fit below the memory that the smallest machine provides.
const LIMIT: usize = 512 << 20;

/// The prefix of the names of programs in the archive.
const PROGRAMS: &str = "bin/";

/// The member with the programs that process 1 runs instead of the console.
const AUTORUN: &str = "etc/autorun";

/// The member with the environment of every program.
const ENVIRONMENT: &str = "etc/environment";

/// What is appended to an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Payload {
    members: Vec<(String, Vec<u8>)>,
}

impl Payload {
    /// Adds a program, an ELF.
    pub(crate) fn add_program(&mut self, name: &str, elf: Vec<u8>) {
        self.members.push((format!("{PROGRAMS}{name}"), elf));
    }

    /// Adds a file; a leading `/` of its path is removed.
    ///
    /// # Errors
    /// Fails when the path is empty or leaves the archive.
    pub(crate) fn add_file(&mut self, path: &str, contents: Vec<u8>) -> anyhow::Result<()> {
        let inside = path.trim_start_matches('/');
        ensure!(
            !inside.is_empty() && inside.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "`{path}` is no path of a file"
        );
        self.members.push((inside.to_string(), contents));
        Ok(())
    }

    /// Makes process 1 run a program with these words, after those of earlier calls.
    ///
    /// # Errors
    /// Fails when a word cannot be written because it contains a NUL or an end of line.
    pub(crate) fn add_autorun(&mut self, words: &[&str]) -> anyhow::Result<()> {
        ensure!(
            words.iter().all(|word| !word.contains(['\n', '\r'])),
            "words with an end of line cannot be passed on"
        );
        let line = shlex::try_join(words.iter().copied()).context("a word cannot be passed on")?;
        self.add_line(AUTORUN, &line);
        Ok(())
    }

    /// Adds `NAME=VALUE` to the environment of every program.
    ///
    /// # Errors
    /// Fails when it is not of that form.
    pub(crate) fn add_variable(&mut self, variable: &str) -> anyhow::Result<()> {
        ensure!(
            variable.split_once('=').is_some_and(|(name, _)| !name.is_empty()) && !variable.contains('\n'),
            "`{variable}` is not of the form NAME=VALUE"
        );
        self.add_line(ENVIRONMENT, variable);
        Ok(())
    }

    /// Adds a line to a text, which must be the last member that was added.
    fn add_line(&mut self, name: &str, line: &str) {
        let index = self.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.members.push((name.to_string(), Vec::new()));
            self.members.len() - 1
        });
        let text = &mut self.members[index].1;
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }

    /// Writes `image` with this behind it to `to`.
    ///
    /// # Errors
    /// Fails when a file cannot be read or written, or as `append_to`.
    pub(crate) fn write(&self, image: &Path, to: &Path) -> anyhow::Result<()> {
        let image_bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let packed =
            self.append_to(image_bytes).with_context(|| format!("cannot append to {}", image.display()))?;
        source_tree::replace(to, &packed)
    }

    /// Returns a flat image with this behind it.
    ///
    /// # Errors
    /// Fails when it is not a flat image, has a payload already, a member cannot be written, or the result is too
    /// large.
    fn append_to(&self, mut image: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let field = image.get(IMAGE_SIZE).context("it is too short to be a flat image")?;
        let size = u64::from_le_bytes(field.try_into().expect("the field has eight bytes"));
        let size = usize::try_from(size)?;
        ensure!(size.is_multiple_of(PAGE) && size >= image.len(), "the size in its header is not its own");
        image.resize(size, 0);
        image.extend(self.archive()?);
        image.resize(image.len().next_multiple_of(PAGE), 0);
        if image.len() > LIMIT {
            bail!("image and payload have {} MiB, which is more than {} MiB", image.len() >> 20, LIMIT >> 20);
        }
        let size = image.len() as u64;
        image[IMAGE_SIZE].copy_from_slice(&size.to_le_bytes());
        Ok(image)
    }

    /// Returns the archive. It begins on a page.
    fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, contents) in &self.members {
            if name.starts_with(PROGRAMS) {
                let filler = filler(archive.get_ref().len());
                if filler != 0 {
                    add_filler(&mut archive, filler)?;
                }
            }
            let mut header = tar::Header::new_ustar();
            header.set_path(name).with_context(|| format!("`{name}` is too long for a path"))?;
            header.set_size(contents.len() as u64);
            header.set_mode(if name.starts_with(PROGRAMS) { 0o755 } else { 0o644 });
            header.set_cksum();
            archive.append(&header, &contents[..])?;
        }
        Ok(archive.into_inner()?)
    }
}

/// Returns the bytes to fill between `position`, where the last member ended, and the header before a program; 0, or at
/// least the two blocks that a filler has.
fn filler(position: usize) -> usize {
    let header_at = (position + BLOCK).next_multiple_of(PAGE) - BLOCK;
    match header_at - position {
        BLOCK => BLOCK + PAGE,
        filler => filler,
    }
}

/// Fills `length` bytes as the pax format allows: with a comment about the archive, which is not a file.
fn add_filler(archive: &mut tar::Builder<Vec<u8>>, length: usize) -> anyhow::Result<()> {
    let size = length - BLOCK;
    let mut record = format!("{size} comment=").into_bytes();
    record.resize(size - 1, b' ');
    record.push(b'\n');
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XGlobalHeader);
    header.set_path("filler")?;
    header.set_mode(0o644);
    header.set_size(size as u64);
    header.set_cksum();
    Ok(archive.append(&header, &record[..])?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const SIZE: usize = 0x5000;

    /// Returns a flat image whose zeroed data is not in the file.
    fn image() -> Vec<u8> {
        let mut image = vec![0xaa; 0x3210];
        image[IMAGE_SIZE].copy_from_slice(&(SIZE as u64).to_le_bytes());
        image
    }

    /// Returns the files of an image's archive: name, contents, where these begin in the image.
    fn files(packed: &[u8]) -> Vec<(String, Vec<u8>, usize)> {
        let mut archive = tar::Archive::new(&packed[SIZE..]);
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            files.push((name, contents, SIZE + entry.raw_file_position() as usize));
        }
        files
    }

    #[test]
    fn programs_begin_on_a_page_of_the_image_whatever_is_before_them() {
        // Every length of a file in blocks, so that the filler has every length, including none and one block.
        for blocks in 0..=PAGE / BLOCK {
            let mut payload = Payload::default();
            payload.add_file("/data", vec![7; blocks * BLOCK]).unwrap();
            payload.add_program("one", vec![1; 1000]);
            payload.add_program("two", vec![2; 5000]);
            let packed = payload.append_to(image()).unwrap();
            let files = files(&packed);
            let names: Vec<&str> = files.iter().map(|(name, ..)| name.as_str()).collect();
            assert_eq!(names, ["data", "bin/one", "bin/two"], "the filler is no file");
            for (name, contents, position) in &files {
                assert_eq!(&packed[*position..position + contents.len()], &contents[..]);
                assert!(
                    !name.starts_with("bin/") || position.is_multiple_of(PAGE),
                    "{name} at {position:#x}"
                );
            }
            assert_eq!(files[2].1, vec![2; 5000]);
        }
    }

    #[test]
    fn the_header_tells_of_the_payload_and_zeroed_data_is_zero() {
        let mut payload = Payload::default();
        payload.add_program("one", vec![1; 1000]);
        let packed = payload.append_to(image()).unwrap();
        assert!(packed.len().is_multiple_of(PAGE));
        assert_eq!(packed[IMAGE_SIZE], (packed.len() as u64).to_le_bytes());
        assert_eq!(packed[..16], image()[..16]);
        assert_eq!(packed[24..0x3210], image()[24..]);
        assert!(packed[0x3210..SIZE].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let payload = Payload::default();
        assert!(payload.append_to(vec![0; 20]).is_err());
        let mut short = image();
        short[IMAGE_SIZE].copy_from_slice(&0x1000_u64.to_le_bytes());
        assert!(payload.append_to(short).is_err());
        let mut odd = image();
        odd[IMAGE_SIZE].copy_from_slice(&0x5001_u64.to_le_bytes());
        assert!(payload.append_to(odd).is_err());
    }

    #[test]
    fn too_much_is_refused() {
        let mut payload = Payload::default();
        payload.add_file("large", vec![0; LIMIT]).unwrap();
        let error = payload.append_to(image()).unwrap_err();
        assert!(error.to_string().contains("more than 512 MiB"), "{error}");
    }

    #[test]
    fn words_are_quoted_and_lines_are_collected() {
        let mut payload = Payload::default();
        payload.add_autorun(&["hello", "two words", "it's", "", "#"]).unwrap();
        payload.add_autorun(&["other"]).unwrap();
        payload.add_variable("RUST_BACKTRACE=1").unwrap();
        let packed = payload.append_to(image()).unwrap();
        let files = files(&packed);
        assert_eq!(files[0].0, AUTORUN);
        let text = String::from_utf8(files[0].1.clone()).unwrap();
        let lines: Vec<_> = text.lines().map(|line| shlex::split(line).unwrap()).collect();
        assert_eq!(lines, [vec!["hello", "two words", "it's", "", "#"], vec!["other"]]);
        assert_eq!((files[1].0.as_str(), &files[1].1[..]), (ENVIRONMENT, &b"RUST_BACKTRACE=1\n"[..]));
        assert!(payload.add_autorun(&["a\nb"]).is_err());
        assert!(payload.add_variable("=1").is_err() && payload.add_variable("X").is_err());
    }

    #[test]
    fn paths_stay_inside() {
        let mut payload = Payload::default();
        for path in ["", "/", "../x", "a//b", "a/../b", "a/"] {
            assert!(payload.add_file(path, Vec::new()).is_err(), "{path}");
        }
        assert!(payload.add_file(&"x".repeat(300), Vec::new()).is_ok());
        assert!(payload.append_to(image()).is_err(), "no name of a member is that long");
    }
}
