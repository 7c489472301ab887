//! QEMU's `virt` machine.
//!
//! It always passes a device tree, which describes everything but the UART's clock in a usable form. The facts are from
//! `hw/arm/virt.c` and QEMU's documentation of the machine.

use asphodel::api::Readings;
use asphodel::testing::board::{BOARDS, Board, BoardInfo};
use linkme::distributed_slice;

#[distributed_slice(BOARDS)]
static QEMU_VIRT: Board = Board {
    name: "QEMU virt",
    compatible: &["linux,dummy-virt"],
    // The size of the memory, and the kind of interrupt controller, are known from the device tree alone.
    claim: |_| None,
    complete,
    connect_console: |_| {},
    // An emulated board has neither temperature nor clocks.
    readings: Readings::default,
    last_resort_uart: Some(UART),
};

const UART: u64 = 0x0900_0000;
/// The fixed clock `apb-pclk`. The emulated line has no speed, but with a clock the driver programs the UART as it does
/// on a board.
const UART_CLOCK_HZ: u32 = 24_000_000;

fn complete(info: &mut BoardInfo) {
    if info.uart.base == UART {
        info.uart.clock_hz = Some(UART_CLOCK_HZ);
    }
}
