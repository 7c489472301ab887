//! Device trees as boards and emulators have them, and malformed ones.
//!
//! The trees are built here, node by node, and converted to blobs: the test covers the way from the bytes that a loader
//! passes to the description that the kernel boots by.

use asphodel_core::boot::board::{BoardInfo, CpuInfo, GicInfo, PowerInfo, Region, StartMethod};
use asphodel_core::boot::devicetree::{self, DeviceTreeError};
use asphodel_core::boot::left_out::LeftOut;
use asphodel_core::boot::regions::Regions;
use dtoolkit::ToPropertyValue;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use proptest::prelude::*;

/// A node being built.
struct Node(DeviceTreeNode);

impl Node {
    fn new(name: &str) -> Self {
        Self(DeviceTreeNode::new_unchecked(name))
    }

    fn with(mut self, name: &str, value: impl ToPropertyValue) -> Self {
        self.0.add_property(DeviceTreeProperty::new(name, value).expect("a valid name"));
        self
    }

    fn child(mut self, child: Node) -> Self {
        self.0.add_child(child.0);
        self
    }
}

fn tree(root: Node) -> DeviceTree {
    let mut tree = DeviceTree::new();
    tree.root = root.0;
    tree
}

/// Sets a property of the node at `path`.
fn set(tree: &mut DeviceTree, path: &str, name: &str, value: impl ToPropertyValue) {
    let node = tree.find_node_mut(path).expect("the node is there");
    node.add_property(DeviceTreeProperty::new(name, value).expect("a valid name"));
}

fn remove(tree: &mut DeviceTree, parent: &str, name: &str) {
    tree.find_node_mut(parent).expect("the node is there").remove_child(name).expect("the child is there");
}

fn describe(tree: &DeviceTree) -> Result<BoardInfo, DeviceTreeError> {
    devicetree::describe(&tree.to_dtb(), 0)
}

fn cpu(index: u32) -> Node {
    Node::new(&format!("cpu@{index:x}")).with("reg", index).with("enable-method", "psci")
}

/// The shape of QEMU's `virt`: 64-bit addresses, no buses, PSCI.
fn virt(gic: Node) -> DeviceTree {
    let pl011 = Node::new("pl011@9000000")
        .with("compatible", ["arm,pl011", "arm,primecell"].as_slice())
        .with("reg", [0u32, 0x900_0000, 0, 0x1000])
        .with("interrupts", [0u32, 1, 4]);
    let cpus = Node::new("cpus").with("#address-cells", 1u32).with("#size-cells", 0u32);
    let root = Node::new("")
        .with("model", "a virtual board")
        .with("compatible", "linux,dummy-virt")
        .with("#address-cells", 2u32)
        .with("#size-cells", 2u32)
        .child(Node::new("psci").with("compatible", "arm,psci-1.0").with("method", "hvc"))
        .child(Node::new("memory@40000000").with("reg", [0u32, 0x4000_0000, 0, 0x4000_0000]))
        .child(pl011)
        .child(
            Node::new("pl031@9010000")
                .with("compatible", ["arm,pl031", "arm,primecell"].as_slice())
                .with("reg", [0u32, 0x901_0000, 0, 0x1000]),
        )
        .child(gic)
        .child(cpus.child(cpu(0)).child(cpu(1)).child(cpu(2)))
        .child(Node::new("aliases").with("serial0", "/pl011@9000000"))
        .child(Node::new("chosen").with("stdout-path", "/pl011@9000000").with("bootargs", "seed=1"));
    tree(root)
}

#[test]
fn the_clock_and_what_the_loader_has_drawn_are_found() {
    let mut tree = virt(gic_v2());
    assert_eq!(describe(&tree).unwrap().rtc, Some(0x901_0000));
    assert!(describe(&tree).unwrap().entropy.is_empty());
    set(&mut tree, "/chosen", "kaslr-seed", [1u32, 2]);
    set(&mut tree, "/chosen", "rng-seed", [7u32; 8]);
    let entropy = describe(&tree).unwrap().entropy;
    assert_eq!(entropy.len(), 40);
    assert!(entropy.ends_with(&[0, 0, 0, 1, 0, 0, 0, 2]));
    set(&mut tree, "/chosen", "rng-seed", [7u32; 100].as_slice());
    assert_eq!(describe(&tree).unwrap().entropy.len(), 128, "as much as there is room for");
    remove(&mut tree, "/", "pl031@9010000");
    assert_eq!(describe(&tree).unwrap().rtc, None);
}

fn gic_v2() -> Node {
    Node::new("intc@8000000")
        .with("compatible", "arm,cortex-a15-gic")
        .with("reg", [0u32, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000])
}

fn uart(address: u32) -> Node {
    Node::new(&format!("serial@{address:x}"))
        .with("compatible", "arm,pl011")
        .with("reg", [address, 0x200])
        .with("interrupts", [0u32, 121, 4])
}

/// The shape of the Raspberry Pi 4: devices on a bus with its own addresses, a spin table, a console that is not a
/// PL011.
fn raspberry_pi() -> DeviceTree {
    let spinning = |index: u32| {
        let cpu = Node::new(&format!("cpu@{index:x}")).with("reg", index).with("enable-method", "spin-table");
        cpu.with("cpu-release-addr", u64::from(0xd8 + 8 * index))
    };
    let gic = Node::new("interrupt-controller@40041000")
        .with("compatible", "arm,gic-400")
        .with("reg", [0x4004_1000u32, 0x1000, 0x4004_2000, 0x2000]);
    let soc = Node::new("soc")
        .with("compatible", "simple-bus")
        .with("#address-cells", 1u32)
        .with("#size-cells", 1u32)
        .with(
            "ranges",
            [[0x7e00_0000u32, 0, 0xfe00_0000, 0x180_0000], [0x4000_0000, 0, 0xff80_0000, 0x80_0000]].concat(),
        )
        .child(gic)
        .child(Node::new("serial@7e215040").with("compatible", "brcm,bcm2835-aux-uart"))
        .child(uart(0x7e20_1400).with("status", "disabled"))
        .child(uart(0x7e20_1000))
        .child(
            Node::new("watchdog@7e100000")
                .with("compatible", "brcm,bcm2711-pm")
                .with("reg", [0x7e10_0000u32, 0x114]),
        );
    let cpus = Node::new("cpus").with("#address-cells", 1u32).with("#size-cells", 0u32);
    let reserved = Node::new("reserved-memory")
        .with("#address-cells", 2u32)
        .with("#size-cells", 1u32)
        .with("ranges", [0u8; 0])
        .child(Node::new("linux,cma").with("size", 0x400_0000u32))
        .child(Node::new("firmware@3b000000").with("reg", [0u32, 0x3b00_0000, 0x1000]));
    let root = Node::new("")
        .with("compatible", ["raspberrypi,4-model-b", "brcm,bcm2711"].as_slice())
        .with("#address-cells", 2u32)
        .with("#size-cells", 1u32)
        .child(Node::new("memory@0").with("reg", [0u32, 0, 0x3b40_0000, 0, 0x4000_0000, 0xbc00_0000]))
        .child(reserved)
        .child(cpus.child(spinning(0)).child(spinning(1)))
        .child(soc)
        .child(
            Node::new("aliases")
                .with("serial1", "/soc/serial@7e215040")
                .with("serial0", "/soc/serial@7e201000"),
        )
        .child(Node::new("chosen").with("stdout-path", "serial1:115200n8"));
    let mut tree = tree(root);
    tree.memory_reservations.push(MemoryReservation::new(0, 0x1000));
    tree
}

#[test]
fn a_virtual_board_is_read_whole() {
    let board = describe(&virt(gic_v2())).expect("a good tree");
    assert_eq!(board.model, "a virtual board");
    assert_eq!(
        board.cpus.as_slice(),
        [
            CpuInfo { mpidr: 0, start: StartMethod::Boot },
            CpuInfo { mpidr: 1, start: StartMethod::PsciHvc },
            CpuInfo { mpidr: 2, start: StartMethod::PsciHvc },
        ]
    );
    assert_eq!(board.memory.as_slice(), [Region { base: 0x4000_0000, size: 0x4000_0000 }]);
    assert_eq!(board.gic, GicInfo::V2 { distributor: 0x800_0000, cpu_interface: 0x801_0000 });
    assert_eq!((board.uart.base, board.uart.irq), (0x900_0000, 33));
    assert_eq!(board.power, PowerInfo::PsciHvc);
    assert_eq!(board.bootargs, "seed=1");
    assert!(board.reserved.is_empty());
}

#[test]
fn a_gic_v3_has_its_regions() {
    let gic =
        Node::new("intc@8000000").with("compatible", "arm,gic-v3").with("#redistributor-regions", 2u32).with(
            "reg",
            [0u32, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000, 0x40, 0, 0, 0x400_0000, 0, 1, 0, 1],
        );
    let GicInfo::V3 { distributor, redistributors } = describe(&virt(gic)).expect("a good tree").gic else {
        panic!("a GICv3 was described");
    };
    assert_eq!(distributor, 0x800_0000);
    assert_eq!(
        redistributors.as_slice(),
        [Region { base: 0x80a_0000, size: 0xf6_0000 }, Region { base: 0x40_0000_0000, size: 0x400_0000 },]
    );
}

#[test]
fn addresses_are_translated_by_the_bus() {
    let board = describe(&raspberry_pi()).expect("a good tree");
    assert_eq!(board.gic, GicInfo::V2 { distributor: 0xff84_1000, cpu_interface: 0xff84_2000 });
    assert_eq!((board.uart.base, board.uart.irq), (0xfe20_1000, 153));
    assert_eq!(board.power, PowerInfo::BcmWatchdog { base: 0xfe10_0000 });
    assert_eq!(board.model, "unnamed board");
}

#[test]
fn a_bus_without_ranges_leads_nowhere() {
    let mut tree = raspberry_pi();
    tree.find_node_mut("/soc").expect("the node is there").remove_property("ranges");
    assert_eq!(describe(&tree), Err(DeviceTreeError::Missing("PL011 UART")));
}

#[test]
fn all_memory_and_all_reservations_are_found() {
    let mut tree = raspberry_pi();
    set(&mut tree, "/chosen", "linux,initrd-start", 0x800_0000u32);
    set(&mut tree, "/chosen", "linux,initrd-end", 0x800_2000u64);
    let board = describe(&tree).expect("a good tree");
    assert_eq!(
        board.memory.as_slice(),
        [Region { base: 0, size: 0x3b40_0000 }, Region { base: 0x4000_0000, size: 0xbc00_0000 },]
    );
    assert_eq!(
        board.reserved.as_slice(),
        [
            Region { base: 0, size: 0x1000 },
            Region { base: 0x3b00_0000, size: 0x1000 },
            Region { base: 0x800_0000, size: 0x2000 },
        ]
    );
}

/// The `reg` of /memory as the firmware writes it for a board of so many GiB with 76 MiB for the VideoCore: pieces whose
/// sizes fit into 32 bits, around the VideoCore's part of the first gibibyte and the devices below 4 GiB.
fn memory_of_board(gib: u32) -> Vec<u32> {
    let mut pieces = vec![[0u32, 0, 0x3b40_0000]];
    match gib {
        1 => {}
        2 => pieces.push([0, 0x4000_0000, 0x4000_0000]),
        _ => pieces.push([0, 0x4000_0000, 0xbc00_0000]),
    }
    if gib == 8 {
        pieces.extend([[1, 0, 0x8000_0000], [1, 0x8000_0000, 0x8000_0000]]);
    }
    pieces.concat()
}

#[test]
fn boards_of_every_size_have_their_memory_and_their_devices() {
    const GIB: u64 = 1 << 30;
    const DEVICES: core::ops::Range<u64> = 0xfc00_0000..0x1_0000_0000;
    // The memory that the VideoCore and, from 4 GiB on, the devices hide.
    for (gib, hidden) in [(1, 0x4c0_0000), (2, 0x4c0_0000), (4, 0x8c0_0000), (8, 0x8c0_0000)] {
        let mut tree = raspberry_pi();
        set(&mut tree, "/memory@0", "reg", memory_of_board(gib).as_slice());
        let board = describe(&tree).expect("a good tree");
        let all: u64 = board.memory.iter().map(|region| region.size).sum();
        assert_eq!(all, u64::from(gib) * GIB - hidden, "{gib} GiB");
        let meets = |region: &Region| region.base < DEVICES.end && DEVICES.start < region.end();
        assert!(!board.memory.iter().any(meets), "{gib} GiB: devices are no memory");

        let mut free = Regions::new(board.memory.iter().map(|region| region.base..region.end()));
        for region in &board.reserved {
            free.remove(region.base..region.end());
        }
        let free: u64 = free.iter().map(|range| range.end - range.start).sum();
        // The firmware's first page, and the page that the tree reserves.
        assert_eq!(free, all - 0x2000, "{gib} GiB");
    }
}

#[test]
fn the_console_is_a_pl011_even_if_stdout_is_not() {
    let mut tree = raspberry_pi();
    remove(&mut tree, "/", "chosen");
    remove(&mut tree, "/", "aliases");
    assert_eq!(describe(&tree).expect("a good tree").uart.base, 0xfe20_1000, "the only one that is enabled");

    set(&mut tree, "/soc/serial@7e201400", "status", "okay");
    assert_eq!(describe(&tree).expect("a good tree").uart.base, 0xfe20_1400, "the first one");

    let chosen = Node::new("chosen").with("stdout-path", "/soc/serial@7e201000:115200");
    tree.root.add_child(chosen.0);
    assert_eq!(describe(&tree).expect("a good tree").uart.base, 0xfe20_1000, "the chosen one");
}

#[test]
fn the_booting_cpu_is_first_wherever_it_stands() {
    let board = devicetree::describe(&virt(gic_v2()).to_dtb(), 2).expect("a good tree");
    let order: Vec<_> = board.cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(order, [2, 0, 1]);
    assert_eq!(board.cpus[0].start, StartMethod::Boot);
}

#[test]
fn cpus_start_as_their_nodes_say() {
    let mut tree = virt(gic_v2());
    set(&mut tree, "/cpus/cpu@1", "enable-method", "by-magic");
    set(&mut tree, "/cpus/cpu@2", "status", "fail");
    let board = describe(&tree).expect("a good tree");
    assert_eq!(board.cpus.len(), 2, "a CPU that has failed is left out");
    assert_eq!(board.cpus[1].start, StartMethod::Unknown);

    let spinning = describe(&raspberry_pi()).expect("a good tree");
    assert_eq!(spinning.cpus[1], CpuInfo { mpidr: 1, start: StartMethod::SpinTable(0xe0) });
}

#[test]
fn more_cpus_than_can_be_used_are_left_out() {
    let mut tree = virt(gic_v2());
    let cpus = tree.find_node_mut("/cpus").expect("the node is there");
    for index in 3..100 {
        cpus.add_child(cpu(index).0);
    }
    let board = describe(&tree).expect("a good tree");
    assert_eq!(board.cpus.len(), asphodel_core::boot::board::MAX_CPUS);
    assert_eq!(board.left_out.cpus_beyond, 36);
}

#[test]
fn what_is_missing_is_named() {
    for (name, missing) in [
        ("intc@8000000", "interrupt controller that is a GICv2 or GICv3"),
        ("memory@40000000", "memory"),
        ("cpus", "/cpus node"),
        ("pl011@9000000", "PL011 UART"),
    ] {
        let mut tree = virt(gic_v2());
        remove(&mut tree, "/", name);
        assert_eq!(describe(&tree), Err(DeviceTreeError::Missing(missing)));
    }
}

/// Returns how many bytes of the machine's memory are free.
fn free(board: &BoardInfo) -> u64 {
    let mut free = Regions::new(board.memory.iter().map(|region| region.base..region.end()));
    for region in &board.reserved {
        free.remove(region.base..region.end());
    }
    free.total()
}

#[test]
fn too_many_reservations_become_fewer() {
    const FIRST: u64 = 0x4000_0000;
    let mut tree = virt(gic_v2());
    // 40 in a row are one. Of 33 others, two have a page between them, and the rest two.
    tree.memory_reservations =
        (0..40).map(|page| MemoryReservation::new(FIRST + (page << 12), 0x1000)).collect();
    let board = describe(&tree).expect("a good tree");
    assert_eq!(board.reserved.as_slice(), [Region { base: FIRST, size: 40 << 12 }]);
    assert_eq!((free(&board), board.left_out), ((1 << 30) - (40 << 12), LeftOut::default()));

    let far = |number: u64| FIRST + 3 * (number << 12) - if number == 20 { 0x1000 } else { 0 };
    tree.memory_reservations = (1..=33).map(|number| MemoryReservation::new(far(number), 0x1000)).collect();
    let board = describe(&tree).expect("a good tree");
    assert_eq!(board.reserved.len(), asphodel_core::boot::board::MAX_RESERVED_REGIONS);
    assert_eq!(free(&board), (1 << 30) - (34 << 12), "the page between two is not used, either");
    assert_eq!(board.left_out, LeftOut { between_reserved: 0x1000, ..LeftOut::default() });
}

/// The `reg` of a memory node.
fn regions(regions: impl IntoIterator<Item = (u64, u64)>) -> Vec<u32> {
    let cells = |value: u64| [(value >> 32) as u32, value as u32];
    regions.into_iter().flat_map(|(base, size)| [cells(base), cells(size)].concat()).collect()
}

#[test]
fn memory_in_many_pieces_and_memory_that_is_listed_twice() {
    const PIECE: u64 = 16 << 20;
    let mut tree = virt(gic_v2());
    let mut with = |list: Vec<u32>| {
        set(&mut tree, "/memory@40000000", "reg", list.as_slice());
        describe(&tree).expect("a good tree")
    };
    let together = (0..24).map(|piece| (0x4000_0000 + piece * PIECE, PIECE));
    let board = with(regions(together.clone().chain(together)));
    assert_eq!(board.memory.as_slice(), [Region { base: 0x4000_0000, size: 24 * PIECE }]);
    assert_eq!(board.left_out, LeftOut::default());

    let apart = (0..24).map(|piece| (0x4000_0000 + 2 * piece * PIECE, PIECE - (piece % 2) * 0x1000));
    let board = with(regions(apart));
    let all: u64 = board.memory.iter().map(|region| region.size).sum();
    let left_out = 8 * (PIECE - 0x1000);
    assert_eq!(
        (board.memory.len(), all),
        (16, 12 * PIECE + 4 * (PIECE - 0x1000)),
        "the smallest are left out"
    );
    assert_eq!(board.left_out, LeftOut { memory_regions: left_out, ..LeftOut::default() });
}

#[test]
fn memory_beyond_a_limit_is_left_out() {
    const GIB: u64 = 1 << 30;
    let mut tree = virt(gic_v2());
    let list = regions([(GIB, 2 * GIB), (127 * GIB, 2 * GIB), (200 * GIB, GIB), (u64::MAX - 0xfff, 0x2000)]);
    set(&mut tree, "/memory@40000000", "reg", list.as_slice());
    let mut board = describe(&tree).expect("a good tree");
    board.limit_memory(128 * GIB);
    let kept = [Region { base: GIB, size: 2 * GIB }, Region { base: 127 * GIB, size: GIB }];
    assert_eq!(board.memory.as_slice(), kept);
    assert_eq!(board.left_out.memory_beyond, 2 * GIB + 0x2000);
}

#[test]
fn nodes_that_cannot_be_read_are_left_out() {
    let mut tree = virt(gic_v2());
    tree.find_node_mut("/cpus/cpu@1").expect("the node is there").remove_property("reg");
    tree.find_node_mut("/cpus").expect("the node is there").add_child(cpu(3).0);
    let again = Node::new("cpu@4").with("reg", 2u32).with("enable-method", "psci");
    tree.find_node_mut("/cpus").expect("the node is there").add_child(again.0);
    tree.root.add_child(Node::new("memory@80000000").with("reg", [1u32, 2, 3]).0);
    tree.root.add_child(Node::new("memory@90000000").0);
    let board = describe(&tree).expect("the rest is good");
    let numbers: Vec<_> = board.cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(numbers, [0, 2, 3]);
    assert_eq!(board.memory.as_slice(), [Region { base: 0x4000_0000, size: 0x4000_0000 }]);
    let left_out = LeftOut { cpus_without_number: 1, cpus_twice: 1, memory_nodes: 2, ..LeftOut::default() };
    assert_eq!(board.left_out, left_out);
}

#[test]
fn a_uart_without_an_interrupt_can_still_print() {
    let mut tree = virt(gic_v2());
    set(&mut tree, "/pl011@9000000", "interrupts", [0u32, 5000, 4]);
    assert_eq!(
        describe(&tree).expect("a good tree").uart.irq,
        5032,
        "whether it exists, the controller knows"
    );
    tree.find_node_mut("/pl011@9000000").expect("the node is there").remove_property("interrupts");
    let uart = describe(&tree).expect("a good tree").uart;
    assert_eq!((uart.base, uart.irq), (0x900_0000, 0));
    remove(&mut tree, "/", "chosen");
    remove(&mut tree, "/", "aliases");
    let second = Node::new("pl011@9100000").with("compatible", "arm,pl011").with("interrupts", [0u32, 7, 4]);
    tree.root.add_child(second.with("reg", [0u32, 0x910_0000, 0, 0x1000]).0);
    assert_eq!(describe(&tree).expect("a good tree").uart.base, 0x910_0000, "rather one with an interrupt");
}

#[test]
fn the_counters_rate_may_be_in_the_tree() {
    let mut tree = virt(gic_v2());
    tree.root.add_child(Node::new("timer").with("compatible", "arm,armv8-timer").0);
    assert_eq!(describe(&tree).expect("a good tree").counter_hz, None);
    set(&mut tree, "/timer", "clock-frequency", 19_200_000u32);
    assert_eq!(describe(&tree).expect("a good tree").counter_hz, Some(19_200_000));
    set(&mut tree, "/timer", "clock-frequency", 0u32);
    assert_eq!(describe(&tree).expect("a good tree").counter_hz, None);
}

#[test]
fn boards_are_told_by_any_of_their_names() {
    let pi = raspberry_pi().to_dtb();
    assert!(devicetree::is_compatible(&pi, &["brcm,bcm2711"]));
    assert!(!devicetree::is_compatible(&pi, &["brcm,bcm2712", "raspberrypi"]));
}

#[test]
fn a_header_tells_the_length() {
    let blob = virt(gic_v2()).to_dtb();
    assert_eq!(devicetree::total_size(&blob[..devicetree::HEADER_SIZE]), Some(blob.len()));
    assert_eq!(devicetree::total_size(&[0; devicetree::HEADER_SIZE]), None);
    assert_eq!(devicetree::total_size(&blob[..4]), None);
}

proptest! {
    /// Whatever the loader's memory holds, there is a result, without a panic or an endless loop.
    #[test]
    fn damage_is_survived(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        for tree in [virt(gic_v2()), raspberry_pi()] {
            let mut blob = tree.to_dtb();
            for (place, value) in &damage {
                let place = place.index(blob.len());
                blob[place] = *value;
            }
            let _ = devicetree::describe(&blob, 0);
        }
    }
}
