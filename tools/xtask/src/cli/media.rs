//! The arguments of what takes images to boards and farms: files, cards, serial lines.

use std::path::PathBuf;

use clap::Args;

use super::Choice;
use crate::sdcard::disk;

/// Arguments of `image`.
#[derive(Args, Debug)]
#[command(after_help = IMAGE_HELP)]
pub(crate) struct Image {
    /// Where kernel8.img and the ELF are written
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Write all test images instead, with manifest.json
    #[arg(long, conflicts_with_all = ["package", "bin", "manifest_path"])]
    pub(crate) tests: bool,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", requires = "tests")]
    pub(crate) filter: Option<String>,
    /// Which image is written
    #[command(flatten)]
    pub(crate) choice: Choice,
}

const IMAGE_HELP: &str = "\
manifest.json is a list of {name, file, append, expect, deadline}: the flat image's file beside it, the boot arguments that
it needs, what is to come of it (the words of its `expect:` lines: `fail NAME`, `no-verdict`, ..; empty when all its tests
are to pass), and the seconds that it may take. Every image boots on every machine.";

/// Arguments of `sdcard`.
#[derive(Args, Debug)]
#[command(after_help = SDCARD_HELP)]
pub(crate) struct Sdcard {
    /// The file that becomes the card, byte for byte
    #[arg(long, value_name = "FILE", required_unless_present = "write")]
    pub(crate) out: Option<PathBuf>,
    /// Write it to this card, after a question, and read it back
    #[arg(long, value_name = "DEVICE")]
    pub(crate) write: Option<PathBuf>,
    /// Answer the question
    #[arg(long, requires = "write")]
    pub(crate) yes: bool,
    /// A directory with start4.elf, fixup4.dat and bcm2711-rpi-4-b.dtb [default: the distribution's packages]
    #[arg(long, value_name = "DIR")]
    pub(crate) firmware: Option<PathBuf>,
    /// Size in MiB, a power of two (the emulator takes no other card)
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = card_size)]
    pub(crate) size: u64,
    /// Boot arguments, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Which image the card boots
    #[command(flatten)]
    pub(crate) choice: Choice,
}

const SDCARD_HELP: &str = "\
The kernel on the card is the flat image that `image` writes and the tests run. Firmware comes from packages that are
unpacked, not installed; what cannot be had is left out, and the command says what to copy where.

--write takes a whole device (/dev/sdX, /dev/mmcblkN) that is removable, or a file that stands for one (/dev/loopN),
has at most 256 GB, and of which nothing is mounted or otherwise in use.";

/// The size of a card in MiB.
fn card_size(text: &str) -> Result<u64, String> {
    let size: u64 = text.parse().map_err(|_| "it is no number".to_string())?;
    let sizes = disk::MIN_MIB..=disk::MAX_MIB;
    if size.is_power_of_two() && sizes.contains(&size) {
        Ok(size)
    } else {
        Err(format!("it is no power of two from {} to {}", sizes.start(), sizes.end()))
    }
}

/// Arguments of `send`.
#[derive(Args, Debug)]
#[command(after_help = SEND_HELP)]
pub(crate) struct Send {
    /// The serial device, or a pseudo-terminal
    #[arg(long, value_name = "DEVICE")]
    pub(crate) serial: PathBuf,
    /// Speed of the line while the image is sent, in bits per second; it is 115200 otherwise
    #[arg(long, value_name = "N", default_value_t = 115_200)]
    pub(crate) baud: u32,
    /// Boot arguments that are written into the image, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Command that turns the board off and on: run once when no loader answers
    #[arg(long, value_name = "CMD")]
    pub(crate) power_cmd: Option<String>,
    /// Seconds that the loader may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) wait: u64,
    /// Seconds that the image may take once it is sent (more is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The flat image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

const SEND_HELP: &str = "\
What the image says goes to standard output, line by line, until it powers off or restarts the board; the exit status is
the one that it ends with. With `--append end=restart` the loader is back for the next image.";

/// Arguments of `lab`.
#[derive(Args, Debug, Default)]
#[command(after_help = LAB_HELP)]
pub(crate) struct Lab {
    /// The environment file of labgrid with the places [default: tools/lab/qemu.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,
    /// The coordinator of remote places, as HOST or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) coordinator: Option<String>,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", conflicts_with = "quick")]
    pub(crate) filter: Option<String>,
    /// A few quick images on each place
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the results are written as JUnit XML [default: junit.xml in target/lab]
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Words for pytest
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const LAB_HELP: &str = "\
Makes a Python environment in target/lab the first time, with what tools/lab/requirements.txt names; pip takes it from where
this machine's own configuration says. Each test of an image is one case, named `IMAGE on PLACE` and the test's name; a case
`test_image` stands for the report of the image as a whole. tools/lab/README.md tells more, also of boards and of LAVA.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_a_size_that_the_emulator_takes() {
        assert_eq!(card_size("256"), Ok(256));
        for refused in ["100", "32", "4096", "x"] {
            assert!(card_size(refused).is_err(), "{refused}");
        }
    }
}
