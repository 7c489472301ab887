//! Reads a flattened device tree into a `BoardInfo`.
//!
//! Called once at boot, before there is an allocator; hardware-free, so that the host tests it. The
//! tree is walked once, depth first, and only into nodes that translate addresses (buses): device
//! trees are some hundred nodes, and boot time counts. Rules are those of the Devicetree
//! Specification v0.4 and of the bindings under each node's `compatible`.

mod facts;

use core::ptr;

use dtoolkit::error::{FdtParseError, PropertyError, StandardError};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};
use heapless::{String, Vec};

use self::facts::{
    Bus, Device, Outline, as_text, first_address, integer, interrupt, is_enabled, lists, psci_conduit,
    release_word, text,
};
use crate::boot::board::{self, BoardInfo, CpuInfo, GicInfo, PowerInfo, Region, StartMethod, UartInfo};
use crate::boot::left_out::LeftOut;
use crate::boot::region_list::{add_memory, add_reserved};

/// Deepest nesting of buses that is followed. Real boards have two or three; the limit keeps a broken tree from
/// overflowing the boot stack.
const MAX_BUS_DEPTH: usize = 6;

/// Size of a device tree's header in bytes (Specification 5.2).
pub const HEADER_SIZE: usize = 40;
/// First word of a device tree, big-endian like all others.
const MAGIC: u32 = 0xd00d_feed;

/// Why a tree cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DeviceTreeError {
    /// The blob is no device tree, or a damaged one.
    #[error("damaged device tree: {0}")]
    Damaged(#[from] FdtParseError),
    /// A property does not have the form its binding gives it.
    #[error("device tree property: {0}")]
    Property(#[from] PropertyError),
    /// A standard node does not have the form the specification gives it.
    #[error("device tree node: {0}")]
    Standard(#[from] StandardError),
    /// A property or node that no machine can do without is missing.
    #[error("the device tree has no {0}")]
    Missing(&'static str),
}

/// A UART that could be the console, with the name of its node as its identity.
struct UartCandidate<'tree> {
    name: &'tree str,
    uart: UartInfo,
}

/// The result of the walk so far.
#[derive(Default)]
struct Findings<'tree> {
    cpus: Vec<CpuInfo, { board::MAX_CPUS }>,
    memory: Vec<Region, { board::MAX_MEMORY_REGIONS }>,
    reserved: Vec<Region, { board::MAX_RESERVED_REGIONS }>,
    gic: Option<GicInfo>,
    uarts: Vec<UartCandidate<'tree>, 8>,
    psci: Option<PowerInfo>,
    watchdog: Option<u64>,
    rtc: Option<u64>,
    counter_hz: Option<u64>,
    left_out: LeftOut,
    cpus_node: Option<FdtNode<'tree>>,
    chosen: Option<FdtNode<'tree>>,
    aliases: Option<FdtNode<'tree>>,
}

/// Describes the machine of the device tree `blob`. `boot_mpidr` are the affinity fields of the CPU
/// that boots: it becomes CPU 0, the others follow in the tree's order. What of the tree cannot be used is left out, and
/// counted, if the machine can do without it.
///
/// The blob itself is not among the reserved regions, because only the caller knows where it lies.
///
/// # Errors
///
/// If the tree is damaged, or lacks something that the kernel needs: CPUs, RAM, a GIC, a PL011.
pub fn describe(blob: &[u8], boot_mpidr: u64) -> Result<BoardInfo, DeviceTreeError> {
    let tree = Fdt::new(blob)?;
    let root = tree.root();
    let mut found = Findings::default();
    for reservation in tree.memory_reservations() {
        found.reserve(Region { base: reservation.address(), size: reservation.size() });
    }
    found.walk(&Bus { node: root, parent: None, depth: 0 })?;

    let cpus_node = found.cpus_node.ok_or(DeviceTreeError::Missing("/cpus node"))?;
    found.read_cpus(cpus_node, boot_mpidr);
    let uart = found.console(tree)?;
    let (mut bootargs, mut entropy) = (String::new(), Vec::new());
    if let Some(chosen) = found.chosen {
        found.reserve_ram_disk(chosen);
        for seed in ["rng-seed", "kaslr-seed"].into_iter().filter_map(|name| chosen.property(name)) {
            entropy.extend(seed.value().iter().copied().take(board::MAX_ENTROPY - entropy.len()));
        }
        if let Some(text) = text(chosen, "bootargs") {
            found.left_out.boot_arguments = board::add_bootargs(&mut bootargs, text);
        }
    }
    if found.memory.is_empty() {
        return Err(DeviceTreeError::Missing("memory"));
    }
    let watchdog = found.watchdog.map(|base| PowerInfo::BcmWatchdog { base });
    Ok(BoardInfo {
        model: shorten(text(root, "model").unwrap_or("unnamed board")),
        cpus: found.cpus,
        memory: found.memory,
        reserved: found.reserved,
        gic: found.gic.ok_or(DeviceTreeError::Missing("interrupt controller that is a GICv2 or GICv3"))?,
        uart,
        power: found.psci.or(watchdog).unwrap_or(PowerInfo::Unknown),
        counter_hz: found.counter_hz,
        rtc: found.rtc,
        entropy,
        bootargs,
        left_out: found.left_out,
    })
}

/// Returns whether the root node of the device tree `blob` is compatible with one of `names`.
///
/// # Panics
///
/// If the blob is one that [`describe`] refuses.
#[must_use]
pub fn is_compatible(blob: &[u8], names: &[&str]) -> bool {
    let compatible = Fdt::new_unchecked(blob).root().property("compatible");
    compatible.is_some_and(|compatible| lists(compatible, names))
}

/// Returns the length in bytes of the device tree that begins with `header`, of [`HEADER_SIZE`] bytes or more; `None`
/// if that is no device tree's header.
#[must_use]
pub fn total_size(header: &[u8]) -> Option<usize> {
    let word =
        |index: usize| Some(u32::from_be_bytes(header.get(index * 4..index * 4 + 4)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    usize::try_from(word(1)?).ok().filter(|size| *size >= HEADER_SIZE)
}

impl<'tree> Findings<'tree> {
    /// Reads every child of `bus` and walks those that are buses themselves.
    fn walk(&mut self, bus: &Bus<'tree, '_>) -> Result<(), DeviceTreeError> {
        for node in bus.node.children() {
            let top = bus.depth == 0;
            match node.name_without_address() {
                "cpus" if top => self.cpus_node = Some(node),
                "chosen" if top => self.chosen = Some(node),
                "aliases" if top => self.aliases = Some(node),
                "memory" if top => self.add_memory(bus, node),
                "reserved-memory" if top => self.add_reserved_memory(bus, node)?,
                _ => self.visit(bus, node)?,
            }
        }
        Ok(())
    }

    /// Reads the device `node` on `bus`, or walks it if it is a bus.
    fn visit(&mut self, bus: &Bus<'tree, '_>, node: FdtNode<'tree>) -> Result<(), DeviceTreeError> {
        let outline = Outline::of(node);
        if !outline.is_enabled {
            return Ok(());
        }
        match outline.device {
            Some(Device::GicV2) => self.add_gic_v2(bus, node)?,
            Some(Device::GicV3) => self.add_gic_v3(bus, node)?,
            Some(Device::Uart) => self.add_uart(bus, node),
            Some(Device::Rtc) => self.rtc = bus.base(node),
            Some(Device::Timer) => {
                let rate = node.property("clock-frequency").and_then(integer);
                self.counter_hz = rate.filter(|rate| *rate != 0);
            }
            Some(Device::Psci) => self.psci = psci_conduit(node),
            Some(Device::BcmWatchdog) => self.watchdog = bus.base(node),
            None if outline.is_bus && bus.depth < MAX_BUS_DEPTH => {
                self.walk(&Bus { node, parent: Some(bus), depth: bus.depth + 1 })?;
            }
            None => {}
        }
        Ok(())
    }

    fn add_memory(&mut self, bus: &Bus<'tree, '_>, node: FdtNode<'tree>) {
        if !is_enabled(node) {
            return;
        }
        let Ok(regions) = bus.regions(node) else {
            self.left_out.memory_nodes += 1;
            return;
        };
        for region in regions.filter(|region| region.size != 0) {
            self.left_out.memory_regions += add_memory(&mut self.memory, region);
        }
    }

    fn reserve(&mut self, region: Region) {
        self.left_out.between_reserved += add_reserved(&mut self.reserved, region);
    }

    /// A reservation that cannot be read is an error, because the memory that it is about would be used.
    fn add_reserved_memory(
        &mut self,
        bus: &Bus<'tree, '_>,
        node: FdtNode<'tree>,
    ) -> Result<(), DeviceTreeError> {
        let inside = Bus { node, parent: Some(bus), depth: bus.depth + 1 };
        for area in node.children().filter(|area| is_enabled(*area)) {
            // An area without `reg` only requests a dynamic allocation, which the kernel does not provide.
            if area.property("reg").is_some() {
                for region in inside.regions(area)? {
                    self.reserve(region);
                }
            }
        }
        Ok(())
    }

    /// Binding arm,gic: the distributor first, then the CPU interface.
    fn add_gic_v2(&mut self, bus: &Bus<'tree, '_>, node: FdtNode<'tree>) -> Result<(), DeviceTreeError> {
        let mut regions = bus.regions(node)?;
        let (Some(distributor), Some(interface)) = (regions.next(), regions.next()) else {
            return Err(DeviceTreeError::Missing("complete reg property of the GICv2"));
        };
        self.gic = Some(GicInfo::V2 { distributor: distributor.base, cpu_interface: interface.base });
        Ok(())
    }

    /// Binding arm,gic-v3: the distributor first, then `#redistributor-regions` (1 by default).
    fn add_gic_v3(&mut self, bus: &Bus<'tree, '_>, node: FdtNode<'tree>) -> Result<(), DeviceTreeError> {
        let count = match node.property("#redistributor-regions") {
            Some(property) => property.value_as::<u32>()? as usize,
            None => 1,
        };
        let mut regions = bus.regions(node)?;
        let distributor = regions.next().ok_or(DeviceTreeError::Missing("GICv3 distributor"))?;
        let mut redistributors = Vec::new();
        for region in regions.take(count) {
            if redistributors.push(region).is_err() {
                self.left_out.redistributors_beyond += 1;
            }
        }
        if redistributors.is_empty() {
            return Err(DeviceTreeError::Missing("GICv3 redistributor"));
        }
        self.gic = Some(GicInfo::V3 { distributor: distributor.base, redistributors });
        Ok(())
    }

    /// A UART without an address is skipped, because another one may do. One without an interrupt may still print.
    fn add_uart(&mut self, bus: &Bus<'tree, '_>, node: FdtNode<'tree>) {
        if let Some(base) = bus.base(node) {
            let uart = UartInfo { base, irq: interrupt(node).unwrap_or(0), clock_hz: None };
            if self.uarts.push(UartCandidate { name: node.name(), uart }).is_err() {
                self.left_out.uarts_beyond += 1;
            }
        }
    }

    /// Finds the enabled CPUs. The node of one names its start method, or `/cpus` does for all.
    fn read_cpus(&mut self, cpus: FdtNode<'tree>, boot_mpidr: u64) {
        let boot = CpuInfo { mpidr: boot_mpidr, start: StartMethod::Boot };
        let _room = self.cpus.push(boot);
        let psci = match self.psci {
            Some(PowerInfo::PsciHvc) => StartMethod::PsciHvc,
            Some(PowerInfo::PsciSmc) => StartMethod::PsciSmc,
            _ => StartMethod::Unknown,
        };
        let mut boot_seen = false;
        for node in cpus.children().filter(|node| node.name_without_address() == "cpu") {
            let Some(mpidr) = first_address(node) else {
                self.left_out.cpus_without_number += 1;
                continue;
            };
            if mpidr == boot_mpidr && !boot_seen {
                boot_seen = true;
                continue;
            }
            let start = match text(node, "enable-method").or_else(|| text(cpus, "enable-method")) {
                Some("psci") => psci,
                Some("spin-table") => release_word(node).map_or(StartMethod::Unknown, StartMethod::SpinTable),
                _ => StartMethod::Unknown,
            };
            // Specification 3.8.1: "disabled" with an enable-method means not started yet.
            let usable = is_enabled(node) || text(node, "status") == Some("disabled");
            if !usable {
                continue;
            }
            if self.cpus.iter().any(|known| known.mpidr == mpidr) {
                self.left_out.cpus_twice += 1;
            } else if self.cpus.push(CpuInfo { mpidr, start }).is_err() {
                self.left_out.cpus_beyond += 1;
            }
        }
    }

    /// Returns the UART that `/chosen` names; if it is none of the PL011s, the first that has a serial alias; else the
    /// first that has an interrupt, or the first at all.
    fn console(&self, tree: Fdt<'tree>) -> Result<UartInfo, DeviceTreeError> {
        let stdout = self.chosen.and_then(|chosen| text(chosen, "stdout-path"));
        let stdout = stdout.map(|path| path.split_once(':').map_or(path, |(path, _)| path));
        let aliased = self.aliases.into_iter().flat_map(|aliases| aliases.properties());
        let serials = aliased.filter(|alias| alias.name().starts_with("serial")).filter_map(as_text);
        let mut all = self.uarts.iter().map(|candidate| candidate.uart);
        let first = all.clone().find(|uart| uart.irq != 0).or_else(|| all.next());
        stdout
            .into_iter()
            .chain(serials)
            .find_map(|path| self.candidate(tree, path))
            .or(first)
            .ok_or(DeviceTreeError::Missing("PL011 UART"))
    }

    /// Returns the candidate at `path`, which may be an alias. Candidates are recognised by where their name lies in
    /// the blob, because equal names may occur on two buses.
    fn candidate(&self, tree: Fdt<'tree>, path: &str) -> Option<UartInfo> {
        let path = if path.starts_with('/') { path } else { text(self.aliases?, path)? };
        let name = tree.find_node(path)?.name();
        self.uarts.iter().find(|candidate| ptr::eq(candidate.name, name)).map(|candidate| candidate.uart)
    }

    /// Reserves the initial RAM disk from `/chosen`: it is not used, but must not be overwritten either.
    fn reserve_ram_disk(&mut self, chosen: FdtNode<'tree>) {
        let bound = |name| chosen.property(name).and_then(integer);
        if let (Some(base), Some(end)) = (bound("linux,initrd-start"), bound("linux,initrd-end")) {
            self.reserve(Region { base, size: end.saturating_sub(base) });
        }
    }
}

fn shorten(text: &str) -> String<64> {
    text.chars().take(64).filter(char::is_ascii).collect()
}
