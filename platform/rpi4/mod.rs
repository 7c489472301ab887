//! Raspberry Pi 4 Model B, and QEMU's `raspi4b` machine.
//!
//! The firmware passes a device tree, QEMU only with `-dtb`. Without one the machine is recognized by the address that
//! the image was loaded to, and described here. Addresses are those of the CPU in "low peripheral" mode, which
//! `config.txt` selects (BCM2711 ARM Peripherals, 1.2). Interrupt numbers are the manual's VideoCore interrupts + 96,
//! as GIC numbers (6.3 there).

mod gpio;
mod mailbox;

use asphodel::api::Readings;
use asphodel::testing::board::property::{Clock, Question};
use asphodel::testing::board::{
    Atags, BOARDS, Board, BoardInfo, CpuInfo, Entry, GicInfo, LeftOut, PowerInfo, Region, StartMethod,
    UartInfo, add_bootargs,
};
use linkme::distributed_slice;

#[distributed_slice(BOARDS)]
static RASPBERRY_PI_4: Board = Board {
    name: "Raspberry Pi 4",
    compatible: &["raspberrypi,4-model-b", "brcm,bcm2711"],
    claim,
    complete,
    connect_console,
    readings,
    last_resort_uart: None,
};

/// Where loaders put a 64-bit kernel: the older address, which QEMU uses and `config.txt` selects, and that of newer
/// firmware.
const LOAD_ADDRESSES: [u64; 2] = [0x8_0000, 0x20_0000];

const UART0: u64 = 0xfe20_1000;
const UART0_INTERRUPT: u32 = 153;
/// `init_uart_clock` in `config.txt`.
const UART0_CLOCK_HZ: u32 = 48_000_000;

const GIC_DISTRIBUTOR: u64 = 0xff84_1000;
const GIC_CPU_INTERFACE: u64 = 0xff84_2000;
const POWER_MANAGEMENT: u64 = 0xfe10_0000;

/// Where the firmware's stub polls for the entry addresses of CPUs 1 to 3.
const SPIN_TABLE: [u64; 3] = [0xe0, 0xe8, 0xf0];
/// The stub itself, the spin table and the list of tags lie in the first page.
const FIRMWARE: Region = Region { base: 0, size: 0x1000 };

/// End of the part of the first gibibyte's RAM that the CPUs may use: the rest belongs to the VideoCore, 64 MiB as
/// `gpu_mem` in `config.txt` says.
const LOW_RAM_END: u64 = 0x3c00_0000;
const HIGH_RAM: u64 = 0x4000_0000;
/// End of what may be RAM below 4 GiB.
const RAM_LIMIT: u64 = 0xfc00_0000;

fn claim(entry: &Entry<'_>) -> Option<BoardInfo> {
    LOAD_ADDRESSES.contains(&entry.load_address).then(|| describe(entry))
}

/// Describes the board as far as it is the same for all sizes of memory; of memory, only what certainly exists.
fn describe(entry: &Entry<'_>) -> BoardInfo {
    let tags = entry.atags.unwrap_or_default();
    let boot = CpuInfo { mpidr: entry.boot_mpidr, start: StartMethod::Boot };
    let others = (1..).zip(SPIN_TABLE);
    let others = others.map(|(mpidr, word)| CpuInfo { mpidr, start: StartMethod::SpinTable(word) });
    let mut info = BoardInfo {
        model: RASPBERRY_PI_4.name.chars().collect(),
        cpus: core::iter::once(boot).chain(others).collect(),
        memory: memory(&tags),
        reserved: [FIRMWARE].into_iter().collect(),
        gic: GicInfo::V2 { distributor: GIC_DISTRIBUTOR, cpu_interface: GIC_CPU_INTERFACE },
        uart: UartInfo { base: UART0, irq: UART0_INTERRUPT, clock_hz: Some(UART0_CLOCK_HZ) },
        power: PowerInfo::BcmWatchdog { base: POWER_MANAGEMENT },
        counter_hz: None,
        rtc: None,
        entropy: Default::default(),
        bootargs: Default::default(),
        left_out: LeftOut::default(),
    };
    info.left_out.boot_arguments = add_bootargs(&mut info.bootargs, tags.command_line.unwrap_or(""));
    info
}

/// Returns the smallest board's RAM, and what the list of tags reports above its first gibibyte.
fn memory<const N: usize>(tags: &Atags<'_>) -> heapless::Vec<Region, N> {
    let high_end = tags.memory_end.unwrap_or(0).min(RAM_LIMIT);
    let low = Region { base: 0, size: LOW_RAM_END };
    let high = Region { base: HIGH_RAM, size: high_end.saturating_sub(HIGH_RAM) };
    [low, high].into_iter().filter(|region| region.size != 0).collect()
}

/// Adds the UART's clock, which the device tree leaves to a driver that asks the firmware.
fn complete(info: &mut BoardInfo) {
    if info.uart.base == UART0 {
        info.uart.clock_hz = Some(UART0_CLOCK_HZ);
    }
    if info.power == PowerInfo::Unknown {
        info.power = PowerInfo::BcmWatchdog { base: POWER_MANAGEMENT };
    }
}

/// Connects UART0 to the header, because the firmware leaves it with the Bluetooth module.
fn connect_console(info: &BoardInfo) {
    if info.uart.base == UART0 {
        gpio::connect_uart0_to_header();
    }
}

/// Returns what the firmware reports, because it manages the clocks.
fn readings() -> Readings {
    let ask = mailbox::ask;
    Readings {
        revision: ask(Question::Revision),
        temperature: ask(Question::Temperature).map(|value| value as i32),
        cpu_hz: ask(Question::Rate(Clock::Arm)),
        core_hz: ask(Question::Rate(Clock::Core)),
        uart_hz: ask(Question::Rate(Clock::Uart)),
    }
}
