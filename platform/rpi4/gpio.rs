//! The GPIO block, as far as the console needs it: which pins UART0 is connected to.
//!
//! Used once, at boot. Registers of BCM2711 ARM Peripherals, chapter 5.

use core::ptr::NonNull;

use asphodel::arch::mmu;
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field};

const BASE: u64 = 0xfe20_0000;

/// The registers up to the last one that is used.
#[repr(C, align(4))]
struct Gpio {
    /// 0x00 GPFSEL0 to GPFSEL5: three bits for each pin, ten pins a register.
    function_select: [ReadPureWrite<u32>; 6],
    _other: [u32; 51],
    /// 0xe4 GPIO_PUP_PDN_CNTRL_REG0 to REG3: two bits for each pin, sixteen pins a register.
    pull: [ReadPureWrite<u32>; 4],
}

const _: () = assert!(core::mem::offset_of!(Gpio, pull) == 0xe4);

/// What a pin does.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Function {
    Input = 0b000,
    Alternative0 = 0b100,
}

/// What an input pin reads while nothing drives it.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Pull {
    None = 0b00,
    Up = 0b01,
}

/// Makes GPIO14 and GPIO15 (pins 8 and 10 of the header) TXD and RXD of UART0, and takes GPIO32 and
/// GPIO33 from it, which lead to the Bluetooth module: both inputs would be one wire otherwise.
pub(crate) fn connect_uart0_to_header() {
    // Where the block cannot be mapped, the UART cannot either, which its driver reports.
    let Some(registers) = mmu::map_device(BASE, size_of::<Gpio>()) else { return };
    let registers: NonNull<Gpio> = registers.cast();
    // SAFETY: a device mapping of the block, just made; nothing else in the kernel uses the block.
    let mut pins = Pins(unsafe { UniqueMmioPointer::new(registers) });

    pins.select(32, Function::Input);
    pins.select(33, Function::Input);
    // An open receive line must idle high, or it would be one long break.
    pins.pull(14, Pull::None);
    pins.pull(15, Pull::Up);
    pins.select(14, Function::Alternative0);
    pins.select(15, Function::Alternative0);
}

struct Pins(UniqueMmioPointer<'static, Gpio>);

impl Pins {
    fn select(&mut self, pin: usize, function: Function) {
        change(field!(self.0, function_select), pin / 10, 0b111, pin % 10 * 3, function as u32);
    }

    fn pull(&mut self, pin: usize, pull: Pull) {
        change(field!(self.0, pull), pin / 16, 0b11, pin % 16 * 2, pull as u32);
    }
}

/// Writes `value` into the field of one register.
fn change<const N: usize>(
    mut registers: UniqueMmioPointer<'_, [ReadPureWrite<u32>; N]>,
    index: usize,
    mask: u32,
    shift: usize,
    value: u32,
) {
    let mut register = registers.get(index).expect("the board has pins 0 to 57");
    register.modify(|old| old & !(mask << shift) | value << shift);
}
