//! Device trees of which the kernel cannot use everything: it boots with the rest, and prints a line about what it left
//! out.
//!
//! Each is the board's own tree with one change. QEMU rewrites the memory of a tree that it passes on; the stub of
//! `armstub` passes it as it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use super::report::Case;

/// A tree, and what the kernel prints about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OddTree {
    /// Its name, also that of its file.
    pub(super) name: &'static str,
    /// Changes the board's tree.
    change: fn(&mut DeviceTree) -> anyhow::Result<()>,
    /// Parts of lines that must be on the console.
    says: &'static [&'static str],
}

/// Memory that the board in the emulator has, and the kernel needs: address (two cells), size.
const BEGINNING: [u32; 3] = [0, 0, 0x1000_0000];

/// All of them.
pub(super) const ODD_TREES: [OddTree; 7] = [
    OddTree {
        name: "an-interrupt-that-does-not-exist",
        change: |tree| set(tree, "/soc/serial@7e201000", "interrupts", &[0, 5000, 4]),
        says: &["asphodel: the console has no input: there is no interrupt 5032"],
    },
    OddTree {
        name: "memory-in-many-pieces",
        // Every second MiB of 30, above the beginning.
        change: |tree| {
            let pieces = (0..30_u32).flat_map(|piece| [0, 0x1010_0000 + piece * 0x20_0000, 0x10_0000]);
            set(tree, "/memory@0", "reg", &BEGINNING.into_iter().chain(pieces).collect::<Vec<_>>())
        },
        says: &[
            ", 271 MiB, ",
            "asphodel: 15 MiB of memory are not used: there are too many separate regions",
        ],
    },
    OddTree {
        name: "memory-listed-twice",
        change: |tree| {
            let more = [0, 0x1000_0000, 0x1000_0000, 0, 0x800_0000, 0x1000_0000];
            set(
                tree,
                "/memory@0",
                "reg",
                &[BEGINNING, BEGINNING].concat().into_iter().chain(more).collect::<Vec<_>>(),
            )
        },
        says: &[", 512 MiB, "],
    },
    OddTree {
        name: "memory-beyond-reach",
        // 2 GiB around the limit of 128 GiB do not exist at all: a byte that was used there would be an abort.
        change: |tree| set(tree, "/memory@0", "reg", &[BEGINNING, [0x20, 0, 0x8000_0000]].concat()),
        says: &[
            ", 256 MiB, ",
            "asphodel: 2048 MiB of memory are not used: they lie beyond what can be reached",
        ],
    },
    OddTree {
        name: "many-reservations",
        change: |tree| {
            let areas = (0..40).map(|area| MemoryReservation::new(0x1800_0000 + area * 0x20_0000, 0x10_0000));
            tree.memory_reservations.extend(areas);
            Ok(())
        },
        says: &["MiB are not used: they lie between too many reserved regions"],
    },
    OddTree {
        name: "a-cpu-without-a-number",
        change: |tree| {
            node(tree, "/cpus/cpu@3")?.remove_property("reg");
            Ok(())
        },
        says: &[", 3 CPUs, ", "asphodel: 1 CPU nodes are not used: no number can be read"],
    },
    OddTree {
        name: "a-rate-of-the-counter",
        change: |tree| set(tree, "/timer", "clock-frequency", &[27_000_000]),
        says: &[
            "asphodel: the counter runs at 27000000 Hz by the device tree, at 54000000 Hz by its register",
        ],
    },
];

impl OddTree {
    /// Writes the changed tree to a file in `directory`, and returns its path.
    ///
    /// # Errors
    /// Fails when the board's tree lacks what is changed.
    pub(super) fn write(&self, tree: &DeviceTree, directory: &Path) -> anyhow::Result<PathBuf> {
        let mut tree = tree.clone();
        (self.change)(&mut tree).with_context(|| format!("the device tree {}", self.name))?;
        let path = directory.join(format!("{}.dtb", self.name));
        fs::write(&path, tree.to_dtb())?;
        Ok(path)
    }

    /// Checks that the kernel has said what it left out.
    pub(super) fn judge(&self, console: &str) -> Case {
        let name = "what_is_left_out_is_said";
        match self.says.iter().find(|part| !console.lines().any(|line| line.contains(**part))) {
            None => Case::passed(name),
            Some(part) => Case::failed(name, format!("no line has `{part}`")),
        }
    }
}

fn node<'tree>(tree: &'tree mut DeviceTree, path: &str) -> anyhow::Result<&'tree mut DeviceTreeNode> {
    tree.find_node_mut(path).with_context(|| format!("there is no {path}"))
}

/// Sets a property that consists of cells.
fn set(tree: &mut DeviceTree, path: &str, name: &str, cells: &[u32]) -> anyhow::Result<()> {
    node(tree, path)?.add_property(DeviceTreeProperty::new(name, cells)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_must_be_there() {
        let tree = ODD_TREES[1];
        let banner = "asphodel 0.1.0 on a board, 4 CPUs, 271 MiB, entered at EL2\n";
        let both = format!("{banner}{}\n", tree.says[1]);
        assert_eq!(tree.judge(&both), Case::passed("what_is_left_out_is_said"));
        assert_ne!(tree.judge(banner), Case::passed("what_is_left_out_is_said"));
    }

    #[test]
    fn a_tree_of_another_board_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for odd in ODD_TREES {
            let written = odd.write(&DeviceTree::new(), directory.path());
            assert_eq!(written.is_ok(), odd.name == "many-reservations", "{}", odd.name);
        }
    }
}
