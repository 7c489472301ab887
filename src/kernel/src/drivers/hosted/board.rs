//! The description of the hosted machine, for `board`: the words of the command line are its boot arguments.

use asphodel_core::boot::board::{
    BoardInfo, CpuInfo, GicInfo, PowerInfo, Region, StartMethod, UartInfo, add_bootargs,
};
use asphodel_core::boot::left_out::LeftOut;
use heapless::{String, Vec};
use linkme::distributed_slice;

use super::pl011;
use crate::arch::host;
use crate::board::{BOARDS, Board, Entry, Readings};

#[distributed_slice(BOARDS)]
static HOST: Board = Board {
    name: "host",
    compatible: &["asphodel,host"],
    claim,
    complete: |_| (),
    connect_console: |_| (),
    readings: Readings::default,
    last_resort_uart: None,
};

/// Describes the machine, because no other can have entered this image.
fn claim(_entry: &Entry<'_>) -> Option<BoardInfo> {
    let mut bootargs = String::new();
    let boot_arguments = add_bootargs(&mut bootargs, host::words());
    let cpu = |index: usize| CpuInfo {
        mpidr: index as u64,
        start: if index == 0 { StartMethod::Boot } else { StartMethod::Unknown },
    };
    let mut memory = Vec::new();
    memory.push(Region { base: host::RAM_BASE, size: host::ram_size() }).ok()?;
    let mut reserved = Vec::new();
    // The place where the image would be, with boot arguments of its own.
    reserved.push(Region { base: host::RAM_BASE, size: 0x1000 }).ok()?;
    Some(BoardInfo {
        model: String::try_from("host").ok()?,
        cpus: Vec::from_iter((0..host::cpu_count()).map(cpu)),
        memory,
        reserved,
        gic: GicInfo::V2 { distributor: 0, cpu_interface: 0 },
        uart: UartInfo { base: 0, irq: pl011::INTERRUPT, clock_hz: None },
        power: PowerInfo::Unknown,
        counter_hz: None,
        rtc: Some(0),
        entropy: host::entropy(),
        bootargs,
        left_out: LeftOut { boot_arguments, ..LeftOut::default() },
    })
}
