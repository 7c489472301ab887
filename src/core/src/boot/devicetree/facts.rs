//! Single values of nodes: addresses, texts, numbers, interrupts.
//!
//! Used by the parent module only. Keeps no state and walks no further than to the root.

use dtoolkit::fdt::{FdtNode, FdtProperty};
use dtoolkit::{FdtStringListIterator, Node as _, Property as _};

use super::DeviceTreeError;
use crate::boot::board::{PowerInfo, Region};

/// A bus on the way from a node to the root, by which addresses are translated.
pub(super) struct Bus<'tree, 'parent> {
    pub(super) node: FdtNode<'tree>,
    pub(super) parent: Option<&'parent Bus<'tree, 'parent>>,
    pub(super) depth: usize,
}

impl Bus<'_, '_> {
    /// Returns the CPU's view of `address` on this bus, or `None` if a bus on the way does not pass it on.
    fn translate(&self, address: u64) -> Option<u64> {
        let Some(parent) = self.parent else {
            return Some(address);
        };
        let mut ranges = self.node.ranges().ok()??.peekable();
        // An empty `ranges` is the identity; without one no address is passed on.
        if ranges.peek().is_none() {
            return parent.translate(address);
        }
        ranges.find_map(|range| {
            let offset = address.checked_sub(range.child_bus_address::<u64>().ok()?)?;
            let upper = range.parent_bus_address::<u64>().ok()?;
            if offset < range.length::<u64>().ok()? {
                parent.translate(upper.checked_add(offset)?)
            } else {
                None
            }
        })
    }

    /// Returns the translated regions of `node`, which is on this bus.
    pub(super) fn regions<'node, 'tree: 'node>(
        &'node self,
        node: FdtNode<'tree>,
    ) -> Result<impl Iterator<Item = Region> + 'node, DeviceTreeError> {
        let registers = node.reg()?.ok_or(DeviceTreeError::Missing("reg property of a device"))?;
        Ok(registers.filter_map(|reg| {
            Some(Region { base: self.translate(reg.address().ok()?)?, size: reg.size().ok()? })
        }))
    }

    /// Returns the base address of the first region of `node`.
    pub(super) fn base(&self, node: FdtNode<'_>) -> Option<u64> {
        self.translate(first_address(node)?)
    }
}

/// A device that the kernel knows.
#[derive(Clone, Copy)]
pub(super) enum Device {
    GicV2,
    GicV3,
    Uart,
    Rtc,
    Timer,
    Psci,
    /// A power management block whose watchdog can halt the machine.
    BcmWatchdog,
}

impl Device {
    /// Returns the first one that `compatible` names: the most specific is its first.
    fn of(compatible: FdtProperty<'_>) -> Option<Self> {
        let mut names = compatible.value_as::<FdtStringListIterator<'_>>().ok()?;
        names.find_map(|name| match name {
            "arm,cortex-a15-gic" | "arm,gic-400" | "arm,cortex-a9-gic" | "arm,cortex-a7-gic" => {
                Some(Self::GicV2)
            }
            "arm,gic-v3" => Some(Self::GicV3),
            "arm,pl011" => Some(Self::Uart),
            "arm,pl031" => Some(Self::Rtc),
            "arm,armv8-timer" | "arm,armv7-timer" => Some(Self::Timer),
            "arm,psci-1.0" | "arm,psci-0.2" | "arm,psci" => Some(Self::Psci),
            "brcm,bcm2835-pm-wdt" | "brcm,bcm2711-pm" => Some(Self::BcmWatchdog),
            _ => None,
        })
    }
}

/// What is to be known of each node, found in one pass over its properties, because trees have hundreds of nodes.
pub(super) struct Outline {
    pub(super) is_enabled: bool,
    pub(super) device: Option<Device>,
    /// It translates addresses.
    pub(super) is_bus: bool,
}

impl Outline {
    pub(super) fn of(node: FdtNode<'_>) -> Self {
        let mut outline = Self { is_enabled: true, device: None, is_bus: false };
        for property in node.properties() {
            match property.name() {
                "status" => outline.is_enabled = as_text(property).is_none_or(is_okay),
                "compatible" => outline.device = Device::of(property),
                "ranges" => outline.is_bus = true,
                _ => {}
            }
        }
        outline
    }
}

/// Returns the first address in the `reg` of `node`, as it stands there.
pub(super) fn first_address(node: FdtNode<'_>) -> Option<u64> {
    node.reg().ok()??.next()?.address().ok()
}

/// Returns whether `node` can be used.
pub(super) fn is_enabled(node: FdtNode<'_>) -> bool {
    text(node, "status").is_none_or(is_okay)
}

/// Specification 2.3.4; "ok" is an old spelling that still occurs.
fn is_okay(status: &str) -> bool {
    matches!(status, "okay" | "ok")
}

pub(super) fn lists(compatible: FdtProperty<'_>, names: &[&str]) -> bool {
    compatible
        .value_as::<FdtStringListIterator<'_>>()
        .is_ok_and(|mut list| list.any(|name| names.contains(&name)))
}

pub(super) fn text<'tree>(node: FdtNode<'tree>, name: &str) -> Option<&'tree str> {
    node.properties().find(|property| property.name() == name).and_then(as_text)
}

pub(super) fn as_text(property: FdtProperty<'_>) -> Option<&str> {
    property.value_as::<FdtStringListIterator<'_>>().ok()?.next()
}

/// Reads a number of one or two cells.
pub(super) fn integer(property: FdtProperty<'_>) -> Option<u64> {
    property.value_as::<u64>().ok().or_else(|| property.value_as::<u32>().ok().map(u64::from))
}

/// Returns the spin table word of a CPU; binding arm,cpus: always 64 bits.
pub(super) fn release_word(node: FdtNode<'_>) -> Option<u64> {
    node.property("cpu-release-addr").and_then(integer)
}

/// Binding arm,psci.
pub(super) fn psci_conduit(node: FdtNode<'_>) -> Option<PowerInfo> {
    match text(node, "method")? {
        "hvc" => Some(PowerInfo::PsciHvc),
        "smc" => Some(PowerInfo::PsciSmc),
        _ => None,
    }
}

/// Returns the first interrupt of a device whose interrupt parent is the GIC, which may not have it. Binding arm,gic: three cells, of which
/// the first distinguishes shared (0) from private (1) and the second counts from their start.
pub(super) fn interrupt(node: FdtNode<'_>) -> Option<u32> {
    let property = node.property("interrupts")?;
    let mut words = property.value().chunks_exact(4).map(|word| word.try_into().map(u32::from_be_bytes));
    let (kind, number) = (words.next()?.ok()?, words.next()?.ok()?);
    match kind {
        0 => number.checked_add(32),
        1 => number.checked_add(16),
        _ => None,
    }
}
