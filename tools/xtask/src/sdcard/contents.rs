//! The contents of a boot card: names, bytes, and the purpose of each.
//!
//! Pure: the caller has read the kernel and the firmware already.

use sha2::{Digest as _, Sha256};

use super::firmware::{DEVICE_TREE, Firmware};

/// The settings of the board's firmware, each with its reason.
const CONFIG: &str = include_str!("../../../../platform/rpi4/config.txt");

/// The licence of this project.
const LICENCE: &str = include_str!("../../../../LICENSE");

/// The name of the kernel in `config.txt`.
pub(crate) const KERNEL: &str = "kernel8.img";

/// The list of all files' checksums, as `sha256sum --check` reads it.
pub(crate) const CHECKSUMS: &str = "SHA256SUMS";

/// A file on the card.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Content {
    /// Its path; directories are created.
    pub(crate) name: String,
    /// Its contents.
    pub(crate) bytes: Vec<u8>,
}

impl Content {
    /// Creates a file of that name.
    pub(crate) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// Returns all files of a card that boots `kernel` with the boot arguments `append`.
pub(crate) fn of_card(kernel: Vec<u8>, append: &str, firmware: &Firmware) -> Vec<Content> {
    let has_device_tree = firmware.files.iter().any(|file| file.name == DEVICE_TREE);
    let mut contents = vec![
        Content::new("config.txt", CONFIG),
        // The firmware puts it into the device tree, which the kernel reads.
        Content::new("cmdline.txt", format!("{append}\n")),
        Content::new(KERNEL, kernel),
        Content::new("extlinux/extlinux.conf", boot_loader_entry(append, has_device_tree)),
        Content::new("licences/asphodel.txt", LICENCE),
    ];
    contents.extend(firmware.files.iter().cloned());
    contents.push(Content::new(CHECKSUMS, checksums(&contents)));
    contents
}

/// Returns the entry that U-Boot starts, if it stands between the firmware and the kernel.
fn boot_loader_entry(append: &str, has_device_tree: bool) -> String {
    let mut text = format!(
        "# For U-Boot, where it is started instead of the kernel: the board's own firmware reads config.txt.\n\
         DEFAULT asphodel\nLABEL asphodel\n  KERNEL /{KERNEL}\n"
    );
    if has_device_tree {
        text.push_str(&format!("  FDT /{DEVICE_TREE}\n"));
    }
    if !append.is_empty() {
        text.push_str(&format!("  APPEND {append}\n"));
    }
    text
}

/// Returns a line for each file: its checksum and its name.
fn checksums(contents: &[Content]) -> String {
    contents.iter().map(|content| format!("{}  {}\n", sha256(&content.bytes), content.name)).collect()
}

/// Returns the SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(contents: &'a [Content], name: &str) -> &'a str {
        let content = contents.iter().find(|content| content.name == name).expect("it is on the card");
        std::str::from_utf8(&content.bytes).unwrap()
    }

    #[test]
    fn each_setting_has_its_reason_before_it() {
        let mut reason = false;
        for line in CONFIG.lines() {
            match line.split_once('=') {
                _ if line.starts_with('#') => reason = true,
                Some((key, value)) => {
                    assert!(reason, "{line} has no reason");
                    assert!(!key.contains(' ') && !value.contains(' '), "{line}");
                }
                None => {
                    assert!(line.is_empty(), "{line} is no setting");
                    reason = false;
                }
            }
            // The firmware reads no longer lines than this.
            assert!(line.len() < 98, "{line}");
        }
        assert!(CONFIG.contains(&format!("\nkernel={KERNEL}\n")));
    }

    #[test]
    fn every_file_but_the_list_itself_has_a_checksum() {
        let firmware = Firmware::of(vec![Content::new("start4.elf", *b"abc")]);
        let contents = of_card(b"kernel".to_vec(), "", &firmware);
        let list = text(&contents, CHECKSUMS);
        assert_eq!(list.lines().count(), contents.len() - 1);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  start4.elf\n";
        assert!(list.contains(abc), "{list}");
    }

    #[test]
    fn boot_arguments_reach_firmware_and_boot_loader() {
        let contents = of_card(Vec::new(), "seed=3 -- x", &Firmware::of(Vec::new()));
        assert_eq!(text(&contents, "cmdline.txt"), "seed=3 -- x\n");
        let entry = text(&contents, "extlinux/extlinux.conf");
        assert!(entry.ends_with("  KERNEL /kernel8.img\n  APPEND seed=3 -- x\n"), "{entry}");

        let firmware = Firmware::of(vec![Content::new(DEVICE_TREE, *b"tree")]);
        let contents = of_card(Vec::new(), "", &firmware);
        let entry = text(&contents, "extlinux/extlinux.conf");
        assert!(entry.ends_with("  KERNEL /kernel8.img\n  FDT /bcm2711-rpi-4-b.dtb\n"), "{entry}");
    }
}
