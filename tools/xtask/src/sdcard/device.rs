//! The check whether a block device may be overwritten: what the system reports about it, and the reasons to refuse it.
//!
//! It only reads sysfs and procfs, which a test can replace.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger devices are refused, in bytes: larger cards exist, but a larger device is more often a disk.
const LIMIT: u64 = 256_000_000_000;

/// The file that names the file behind a device, if there is one.
const BACKING_FILE: &str = "loop/backing_file";

/// Where the system lists its devices.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// A directory for each block device.
    pub(crate) block: PathBuf,
    /// What is mounted.
    pub(crate) mounts: PathBuf,
    /// The devices for swapping.
    pub(crate) swaps: PathBuf,
}

impl Places {
    /// Returns those of this machine.
    pub(crate) fn of_system() -> Self {
        Self {
            block: "/sys/class/block".into(),
            mounts: "/proc/self/mountinfo".into(),
            swaps: "/proc/swaps".into(),
        }
    }
}

/// Why a device is not written to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The system has no block device of this name.
    #[error("it is no block device")]
    NotABlockDevice,
    /// It is a part of a device; the card begins with a partition table.
    #[error("it is a partition: name the whole device")]
    Partition,
    /// A card reader without a card.
    #[error("there is no card in it")]
    Empty,
    /// It cannot be written, for example because of the slide on the card's side.
    #[error("it is write-protected")]
    WriteProtected,
    /// It, or a part of it, is mounted there.
    #[error("{name} is mounted on {point}: unmount it first, if it is the card")]
    Mounted {
        /// The device or the part.
        name: String,
        /// Where it is mounted.
        point: String,
    },
    /// The system swaps to it.
    #[error("the system swaps to {0}")]
    Swap(String),
    /// Something is built on it: a mapped or encrypted device, an array.
    #[error("{holder} is made of {name}")]
    Held {
        /// The device or the part.
        name: String,
        /// What is built on it.
        holder: String,
    },
    /// It is built into the machine.
    #[error("it is not removable")]
    NotRemovable,
    /// It is larger than any card that is likely.
    #[error("it has {} GB, more than the {} GB that a card may have here", .0 / 1_000_000_000, LIMIT / 1_000_000_000)]
    TooLarge(u64),
    /// The image is larger.
    #[error("it has {0} bytes only")]
    TooSmall(u64),
}

/// A device that may be written to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Device {
    /// Its name in sysfs.
    pub(crate) name: String,
    /// Its own description.
    pub(crate) model: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its number, `MAJOR:MINOR`.
    pub(crate) number: String,
}

impl Device {
    /// Checks the device of this name, and whether an image of `needed` bytes may be written to it.
    ///
    /// # Errors
    /// The first reason against it. A device that is in use is reported before one that is unlikely.
    pub(crate) fn look(places: &Places, name: &str, needed: u64) -> Result<Self, Refusal> {
        let directory = places.block.join(name);
        let number = text(&directory.join("dev")).ok_or(Refusal::NotABlockDevice)?;
        if directory.join("partition").exists() {
            return Err(Refusal::Partition);
        }
        let sectors: u64 = text(&directory.join("size")).and_then(|size| size.parse().ok()).unwrap_or(0);
        let bytes = sectors * 512;
        if bytes == 0 {
            return Err(Refusal::Empty);
        }
        not_in_use(places, name, &directory)?;
        if !is_removable(&directory) {
            return Err(Refusal::NotRemovable);
        }
        if is(&directory.join("ro"), "1") {
            return Err(Refusal::WriteProtected);
        }
        if bytes > LIMIT {
            return Err(Refusal::TooLarge(bytes));
        }
        if bytes < needed {
            return Err(Refusal::TooSmall(bytes));
        }
        Ok(Self { name: name.into(), model: model(&directory), bytes, number })
    }
}

/// Fails when the device or a part of it is mounted, used for swapping, or held.
fn not_in_use(places: &Places, name: &str, directory: &Path) -> Result<(), Refusal> {
    let mounts = whole_text(&places.mounts);
    let swaps = whole_text(&places.swaps);
    for (name, directory) in parts(name, directory) {
        let number = text(&directory.join("dev")).unwrap_or_default();
        let path = format!("/dev/{name}");
        if let Some(point) = mount_point(&mounts, &number, &path) {
            return Err(Refusal::Mounted { name, point });
        }
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&*path)) {
            return Err(Refusal::Swap(name));
        }
        if let Some(holder) = names(&directory.join("holders")).pop() {
            return Err(Refusal::Held { name, holder });
        }
    }
    Ok(())
}

/// Returns the device and its partitions, each with its directory.
fn parts(name: &str, directory: &Path) -> Vec<(String, PathBuf)> {
    let mut parts = vec![(name.to_string(), directory.to_path_buf())];
    let partitions = names(directory).into_iter().map(|part| (part.clone(), directory.join(part)));
    parts.extend(partitions.filter(|(_, part)| part.join("partition").exists()));
    parts
}

/// Returns where a device is mounted: by its number, or by its path, because some file systems have numbers of their
/// own.
fn mount_point(mounts: &str, number: &str, path: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let separator = fields.iter().position(|field| *field == "-")?;
        let is_it = fields.get(2) == Some(&number) || fields.get(separator + 2) == Some(&path);
        is_it.then(|| fields.get(4).unwrap_or(&"?").to_string())
    })
}

/// Returns whether the device is removable: one that is marked so, a card in the slot of an SD controller, which is
/// not, and a file behind a device.
fn is_removable(directory: &Path) -> bool {
    is(&directory.join("removable"), "1")
        || is(&directory.join("device/type"), "SD")
        || directory.join(BACKING_FILE).exists()
}

/// Returns a device's own description.
fn model(directory: &Path) -> String {
    let words = ["device/vendor", "device/model", "device/name", BACKING_FILE]
        .map(|file| text(&directory.join(file)));
    let words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "a device without a name".into() } else { words.join(" ") }
}

/// Returns the names in a directory; none when it does not exist.
fn names(directory: &Path) -> Vec<String> {
    let entries: Vec<_> =
        fs::read_dir(directory).map(|entries| entries.flatten().collect()).unwrap_or_default();
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Returns whether a file has exactly these contents.
fn is(file: &Path, what: &str) -> bool {
    text(file).as_deref() == Some(what)
}

/// Returns the contents of a file, without surrounding blanks.
fn text(file: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(file).ok()?.read_to_string(&mut text).ok()?;
    Some(text.trim().into())
}

/// Returns all contents of a file; nothing when it does not exist.
fn whole_text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: u64 = 32_000_000_000;

    /// A replacement for sysfs and procfs.
    struct Fake {
        root: tempfile::TempDir,
        places: Places,
    }

    impl Fake {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let place = |name| root.path().join(name);
            let places = Places { block: place("block"), mounts: place("mountinfo"), swaps: place("swaps") };
            fs::write(&places.mounts, "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n").unwrap();
            fs::write(&places.swaps, "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
                .unwrap();
            let fake = Self { root, places };
            // The system's disk, in an odd machine that marks it as removable; a card in a reader; one in a slot.
            fake.disk("sda", "8:0", CARD, "1");
            fake.part("sda", "sda1", "8:1");
            fake.disk("sdb", "8:16", CARD, "1");
            fake.part("sdb", "sdb1", "8:17");
            fake.set("sdb/device/vendor", "Generic ");
            fake.set("sdb/device/model", "SD/MMC  ");
            fake.disk("mmcblk0", "179:0", CARD, "0");
            fake.set("mmcblk0/device/type", "SD");
            fake
        }

        fn set(&self, file: &str, text: &str) {
            let path = self.root.path().join("block").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }

        fn disk(&self, name: &str, number: &str, bytes: u64, removable: &str) {
            self.set(&format!("{name}/dev"), number);
            self.set(&format!("{name}/size"), &(bytes / 512).to_string());
            self.set(&format!("{name}/removable"), removable);
            self.set(&format!("{name}/ro"), "0");
            fs::create_dir_all(self.places.block.join(name).join("holders")).unwrap();
        }

        fn part(&self, disk: &str, name: &str, number: &str) {
            self.set(&format!("{disk}/{name}/partition"), "1");
            self.set(&format!("{disk}/{name}/dev"), number);
        }

        fn mount(&self, line: &str) {
            fs::write(&self.places.mounts, format!("{line}\n")).unwrap();
        }

        fn look(&self, name: &str) -> Result<Device, Refusal> {
            Device::look(&self.places, name, 128 << 20)
        }
    }

    #[test]
    fn cards_in_readers_and_in_slots_are_taken() {
        let fake = Fake::new();
        let card = fake.look("sdb").unwrap();
        assert_eq!((&*card.model, card.bytes, &*card.number), ("Generic SD/MMC", CARD, "8:16"));
        assert!(fake.look("mmcblk0").is_ok());
    }

    #[test]
    fn a_file_that_stands_for_a_device_is_taken() {
        let fake = Fake::new();
        fake.disk("loop0", "7:0", CARD, "0");
        assert_eq!(fake.look("loop0"), Err(Refusal::NotRemovable), "it stands for nothing yet");
        fake.set("loop0/loop/backing_file", "/images/card.img");
        assert_eq!(fake.look("loop0").unwrap().model, "/images/card.img");
        fake.mount("40 22 7:0 / /mnt rw - vfat /dev/loop0 rw");
        assert!(matches!(fake.look("loop0"), Err(Refusal::Mounted { .. })));
    }

    #[test]
    fn what_is_mounted_is_refused_by_number_and_by_path() {
        let fake = Fake::new();
        let root = Refusal::Mounted { name: "sda1".into(), point: "/".into() };
        assert_eq!(fake.look("sda"), Err(root));
        fake.mount("40 22 8:17 / /media/card rw shared:2 master:1 - vfat /dev/sdb1 rw");
        let card = Refusal::Mounted { name: "sdb1".into(), point: "/media/card".into() };
        assert_eq!(fake.look("sdb"), Err(card.clone()));
        fake.mount("40 22 0:52 / /media/card rw - btrfs /dev/sdb1 rw");
        assert_eq!(fake.look("sdb"), Err(card));
        fake.mount("40 22 8:16 / /media/whole rw - vfat /dev/sdb rw");
        assert!(matches!(fake.look("sdb"), Err(Refusal::Mounted { name, .. }) if name == "sdb"));
    }

    #[test]
    fn what_the_system_uses_otherwise_is_refused() {
        let fake = Fake::new();
        fake.part("sdb", "sdb2", "8:18");
        fake.set("sdb/sdb2/holders/dm-0", "");
        let held = Refusal::Held { name: "sdb2".into(), holder: "dm-0".into() };
        assert_eq!(fake.look("sdb"), Err(held));
        fake.part("sda", "sda2", "8:2");
        fake.mount("");
        assert_eq!(fake.look("sda"), Err(Refusal::Swap("sda2".into())));
    }

    #[test]
    fn built_in_devices_are_refused() {
        let fake = Fake::new();
        fake.disk("nvme0n1", "259:0", CARD, "0");
        assert_eq!(fake.look("nvme0n1"), Err(Refusal::NotRemovable));
        // Memory that is soldered to a board differs from a card only in its type.
        fake.set("mmcblk0/device/type", "MMC");
        assert_eq!(fake.look("mmcblk0"), Err(Refusal::NotRemovable));
    }

    #[test]
    fn sizes_are_limited_both_ways() {
        let fake = Fake::new();
        fake.disk("sdc", "8:32", LIMIT, "1");
        assert!(fake.look("sdc").is_ok());
        fake.disk("sdc", "8:32", LIMIT + 512, "1");
        assert_eq!(fake.look("sdc"), Err(Refusal::TooLarge(LIMIT + 512)));
        fake.disk("sdc", "8:32", 64 << 20, "1");
        assert_eq!(fake.look("sdc"), Err(Refusal::TooSmall(64 << 20)));
        fake.disk("sdc", "8:32", 0, "1");
        assert_eq!(fake.look("sdc"), Err(Refusal::Empty));
    }

    #[test]
    fn parts_protected_cards_and_other_files_are_refused() {
        let fake = Fake::new();
        fake.set("sdb1/dev", "8:17");
        fake.set("sdb1/partition", "1");
        assert_eq!(fake.look("sdb1"), Err(Refusal::Partition));
        fake.set("sdb/ro", "1");
        assert_eq!(fake.look("sdb"), Err(Refusal::WriteProtected));
        assert_eq!(fake.look("sd.img"), Err(Refusal::NotABlockDevice));
    }
}
