//! The command line of `sdcard`.

use std::path::PathBuf;

use clap::Args;

use super::disk;
use crate::build::Choice;

/// Arguments of `sdcard`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The file to which the card is written, byte for byte
    #[arg(long, value_name = "FILE", required_unless_present = "write")]
    pub(crate) out: Option<PathBuf>,
    /// Write it to this card, after a question, and read it back
    #[arg(long, value_name = "DEVICE")]
    pub(crate) write: Option<PathBuf>,
    /// Answer the question with yes
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
    /// The image that the card boots
    #[command(flatten)]
    pub(crate) choice: Choice,
}

const HELP: &str = "\
The kernel on the card is the flat image that `image` writes and the tests run. Firmware comes from packages that are
unpacked, not installed; what is not available is left out, and the command prints what to copy where.

--write takes a whole device (/dev/sdX, /dev/mmcblkN) that is removable, or a loop device (/dev/loopN),
has at most 256 GB, and is neither mounted nor otherwise in use.";

/// Parses the size of a card in MiB.
fn card_size(text: &str) -> Result<u64, String> {
    let size: u64 = text.parse().map_err(|_| "it is no number".to_string())?;
    let sizes = disk::MIN_MIB..=disk::MAX_MIB;
    if size.is_power_of_two() && sizes.contains(&size) {
        Ok(size)
    } else {
        Err(format!("it is no power of two from {} to {}", sizes.start(), sizes.end()))
    }
}

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
