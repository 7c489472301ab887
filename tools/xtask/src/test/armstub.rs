//! Test images on the emulated board as its firmware leaves it: entered at EL2 from a stub at EL3, with the GIC's
//! security extensions, the board's counter frequency, CPUs that come up late, and a device tree with the board's two
//! regions of memory, or an odd one.
//!
//! QEMU's own way to start an image has none of that. The stub is `tests/armstub`; this module writes what the firmware
//! writes into it and into the device tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use asphodel_core::boot::bootargs;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeProperty};

use super::images;
use super::odd_trees::{ODD_TREES, OddTree};
use super::report::{Case, Suite};
use super::runner::{self, Job};
use crate::build::{self, Profile};
use crate::console::Word;
use crate::machine::{Boot, Configuration, Firmware, Machine};
use crate::pool;
use crate::sdcard::firmware::DEVICE_TREE;
use crate::setup::Environment;
use crate::setup::packages;
use crate::workspace::Workspace;

/// The name of the suites.
pub(super) const NAME: &str = "armstub";

/// The machine.
pub(super) const MACHINE: Machine = Machine::Raspi4b;

/// Images of what depends on how the kernel is entered: board, CPUs, interrupts of every kind, time, and exits on many
/// CPUs.
const IMAGES: [&str; 7] = [
    "boot_banner",
    "board_readings",
    "smp_online",
    "idle_no_tick",
    "sched_preempt",
    "exit_kills_siblings",
    "exit_versus_spawn",
];

/// The one that boots with every odd tree.
const BANNER: usize = 0;

/// How long each may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Position of the addresses of device tree and kernel in the stub, four bytes each.
const ADDRESSES: usize = 0xf8;

/// The memory that the firmware finds on a board with 2 GiB, of which the VideoCore has 76 MiB: address (two cells),
/// size.
const MEMORY: [u32; 6] = [0, 0, 0x3b40_0000, 0, 0x4000_0000, 0x4000_0000];

/// Runs the images, without a device tree and with one, and the first of them with odd ones.
///
/// # Errors
/// Fails when something does not build or the emulator cannot be started.
pub(super) fn run(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Vec<Suite>> {
    let own = images::own_tests(workspace)?;
    let find = |name: &&str| own.iter().find(|image| image.name == **name).cloned();
    let images: Option<Vec<_>> = IMAGES.iter().map(find).collect();
    let images = images.context("an image is not there")?;
    let programs = runner::build(workspace, environment, &images, Profile::Images)?;
    let stub = stub(workspace, environment)?;
    let directory = workspace.state().join(NAME);
    fs::create_dir_all(&directory)?;

    let (mut jobs, mut suites) = (Vec::new(), Vec::new());
    // Each boot has a word of its own, so an image of its own.
    let mut boots = 0_u32..;
    let mut job = |index: usize, tree: Option<PathBuf>| {
        let patched = directory.join(if tree.is_some() { "stub-with-tree.bin" } else { "stub.bin" });
        fs::write(&patched, with_addresses(&stub, tree.is_some())?)?;
        let (image, program) = (&images[index], &programs[index]);
        let mut boot = Boot::new(Configuration::new(MACHINE, 4)?, &program.image);
        boot.kernel = directory.join(format!("{}-{}.img", image.name, boots.next().unwrap_or_default()));
        fs::write(&boot.kernel, with_word(&program.image, boot.word.as_ref())?)?;
        boot.firmware = Some(Firmware { stub: patched, tree });
        anyhow::Ok(Job { image, program, boot, deadline: DEADLINE, filtered: false })
    };
    for index in 0..images.len() {
        jobs.push((job(index, None)?, None));
    }
    match trees(workspace, &directory) {
        Ok((own, odd)) => {
            for index in 0..images.len() {
                jobs.push((job(index, Some(own.clone()))?, None));
            }
            for (tree, path) in odd {
                jobs.push((job(BANNER, Some(path))?, Some(tree)));
            }
        }
        Err(error) => {
            let case = Case::skipped("with_a_device_tree", format!("{error:#}"));
            suites.push(Suite { name: NAME.into(), cases: vec![case], ..Suite::default() });
        }
    }
    suites.extend(pool::run(NAME, jobs, pool::width(None), |(job, odd), progress| {
        let mut suite = runner::run_one(workspace, environment, job, progress, &mut |_| ())?;
        if let Some(odd) = odd {
            suite.name = format!("{} ({})", suite.name, odd.name);
            suite.cases.push(odd.judge(&suite.console));
        } else if job.image.name == IMAGES[BANNER] {
            let has_tree = job.boot.firmware.as_ref().is_some_and(|firmware| firmware.tree.is_some());
            suite.cases.push(came_from(&suite.console, has_tree));
        }
        progress.say(&suite.summary());
        Ok(suite)
    })?);
    Ok(suites)
}

/// Returns an image with the word among its own boot arguments, because nothing passes it any.
fn with_word(image: &Path, word: Option<&Word>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    bootargs::embed(&mut bytes, &word.map(Word::argument).unwrap_or_default())?;
    Ok(bytes)
}

/// Returns the stub, as it is built.
fn stub(workspace: &Workspace, environment: &Environment) -> anyhow::Result<Vec<u8>> {
    let stub = build::own(workspace, &environment.toolchain, "asphodel-armstub", Profile::Images)?;
    Ok(fs::read(&stub.image)?)
}

/// Returns the stub with the addresses that the firmware puts there.
fn with_addresses(stub: &[u8], has_tree: bool) -> anyhow::Result<Vec<u8>> {
    let mut stub = stub.to_vec();
    let tree = if has_tree { Firmware::TREE } else { 0 };
    for (index, address) in [tree, Firmware::KERNEL].into_iter().enumerate() {
        let at = ADDRESSES + index * 4;
        let word = stub.get_mut(at..at + 4).context("the stub is too short")?;
        ensure!(word == [0; 4], "the stub has something else at {at:#x}");
        word.copy_from_slice(&address.to_le_bytes());
    }
    Ok(stub)
}

/// The odd trees, each in a file.
type OddTrees = Vec<(OddTree, PathBuf)>;

/// Writes the distribution's device tree with what the firmware writes into it, and the odd ones.
fn trees(workspace: &Workspace, directory: &Path) -> anyhow::Result<(PathBuf, OddTrees)> {
    let blob = fs::read(packages::unpacked(workspace, &packages::DEVICE_TREE)?.join(DEVICE_TREE))?;
    let tree = with_memory(&blob)?;
    let path = directory.join("tree.dtb");
    fs::write(&path, tree.to_dtb())?;
    let odd = ODD_TREES.into_iter().map(|odd| Ok((odd, odd.write(&tree, directory)?)));
    Ok((path, odd.collect::<anyhow::Result<_>>()?))
}

fn with_memory(blob: &[u8]) -> anyhow::Result<DeviceTree> {
    let mut tree = DeviceTree::from_fdt(&Fdt::new(blob)?);
    let memory = tree.find_node_mut("/memory@0").context("the device tree has no memory")?;
    memory.add_property(DeviceTreeProperty::new("reg", MEMORY)?);
    Ok(tree)
}

/// Checks that the kernel reports that it came from EL2, and by the device tree if there was one.
fn came_from(console: &str, has_tree: bool) -> Case {
    const NAME: &str = "the_banner_says_what_it_found";
    // Without a tree, the memory of every board: the first gibibyte except for the VideoCore's 64 MiB.
    let (model, memory) =
        if has_tree { ("Raspberry Pi 4 Model B", 948 + 1024) } else { ("Raspberry Pi 4", 960) };
    let banner = format!(" on {model}, 4 CPUs, {memory} MiB, entered at EL2");
    match console.lines().any(|line| line.starts_with("asphodel ") && line.ends_with(&banner)) {
        true => Case::passed(NAME),
        false => Case::failed(NAME, format!("there is no line that ends with `{banner}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_gets_its_addresses_once() {
        let stub = vec![0; 0x200];
        let patched = with_addresses(&stub, true).unwrap();
        assert_eq!(patched[ADDRESSES..ADDRESSES + 8], [0, 0, 0x60, 2, 0, 0, 8, 0]);
        assert!(with_addresses(&patched, true).is_err());
        assert!(with_addresses(&stub[..0xfa], false).is_err());
        assert_eq!(with_addresses(&stub, false).unwrap()[ADDRESSES..ADDRESSES + 4], [0; 4]);
    }

    #[test]
    fn a_tree_without_memory_is_refused() {
        assert!(with_memory(&DeviceTree::new().to_dtb()).is_err());
    }

    #[test]
    fn the_banner_tells_a_tree_from_none() {
        let with = "asphodel 0.1.0 on Raspberry Pi 4 Model B, 4 CPUs, 1972 MiB, entered at EL2\n";
        let without = "asphodel 0.1.0 on Raspberry Pi 4, 4 CPUs, 960 MiB, entered at EL2\n";
        for (console, has_tree) in [(with, true), (without, false)] {
            assert_eq!(came_from(console, has_tree), Case::passed("the_banner_says_what_it_found"));
            assert_ne!(came_from(console, !has_tree), Case::passed("the_banner_says_what_it_found"));
        }
    }
}
