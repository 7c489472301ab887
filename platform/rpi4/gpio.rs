//! The GPIO block, as far as the console needs it: the pins that UART0 is connected to.
//!
//! Used once, at boot. The names of registers and fields are those of BCM2711 ARM Peripherals, chapter 5; the fields
//! are those of the pins that are used.

use asphodel::testing::board::map_device;
use tock_registers::interfaces::ReadWriteable;
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

const BASE: u64 = 0xfe20_0000;

register_bitfields! {
    u32,
    /// GPIO Function Select 1: the function of each of the pins 10 to 19.
    GPFSEL1 [
        FSEL15 OFFSET(15) NUMBITS(3) [Input = 0b000, Alternate0 = 0b100],
        FSEL14 OFFSET(12) NUMBITS(3) [Input = 0b000, Alternate0 = 0b100]
    ],
    /// GPIO Function Select 3: the function of each of the pins 30 to 39.
    GPFSEL3 [
        FSEL33 OFFSET(9) NUMBITS(3) [Input = 0b000],
        FSEL32 OFFSET(6) NUMBITS(3) [Input = 0b000]
    ],
    /// GPIO Pull-up / Pull-down Register 0: the level of each of the input pins 0 to 15 while it is not driven.
    GPIO_PUP_PDN_CNTRL_REG0 [
        GPIO_PUP_PDN_CNTRL15 OFFSET(30) NUMBITS(2) [NoResistor = 0b00, PullUp = 0b01, PullDown = 0b10],
        GPIO_PUP_PDN_CNTRL14 OFFSET(28) NUMBITS(2) [NoResistor = 0b00, PullUp = 0b01, PullDown = 0b10]
    ]
}

register_structs! {
    /// The registers up to the last one that is used.
    Gpio {
        (0x00 => _reserved0),
        (0x04 => gpfsel1: ReadWrite<u32, GPFSEL1::Register>),
        (0x08 => _reserved1),
        (0x0c => gpfsel3: ReadWrite<u32, GPFSEL3::Register>),
        (0x10 => _reserved2),
        (0xe4 => gpio_pup_pdn_cntrl_reg0: ReadWrite<u32, GPIO_PUP_PDN_CNTRL_REG0::Register>),
        (0xe8 => @END),
    }
}

/// Makes GPIO14 and GPIO15 (pins 8 and 10 of the header) TXD and RXD of UART0, and disconnects GPIO32 and GPIO33, which
/// lead to the Bluetooth module, because the two inputs would otherwise be joined.
pub(crate) fn connect_uart0_to_header() {
    use GPIO_PUP_PDN_CNTRL_REG0::{GPIO_PUP_PDN_CNTRL14, GPIO_PUP_PDN_CNTRL15};
    // If the block cannot be mapped, the UART cannot either, and its driver reports that.
    let Some(registers) = map_device(BASE, size_of::<Gpio>()) else { return };
    // SAFETY: a device mapping of the block that is never undone; nothing else in the kernel uses the block.
    let gpio = unsafe { registers.cast::<Gpio>().as_ref() };

    gpio.gpfsel3.modify(GPFSEL3::FSEL32::Input + GPFSEL3::FSEL33::Input);
    // An open receive line must idle high, because a low one reads as a break that does not end.
    gpio.gpio_pup_pdn_cntrl_reg0.modify(GPIO_PUP_PDN_CNTRL14::NoResistor + GPIO_PUP_PDN_CNTRL15::PullUp);
    gpio.gpfsel1.modify(GPFSEL1::FSEL14::Alternate0 + GPFSEL1::FSEL15::Alternate0);
}
