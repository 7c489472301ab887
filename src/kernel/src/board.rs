//! Which machine this is: from the device tree, or from where the image was loaded.
//!
//! Owns the description of the machine (`BoardInfo`, written once at boot, read everywhere) and the
//! list of known boards. What a device tree does not say, and machines that are started without one,
//! are the business of board packages: they register a [`Board`] in [`BOARDS`], and the image crate
//! links the package by `use asphodel_platform as _;`.

use linkme::distributed_slice;
use spin::Once;

pub use asphodel_core::atags::Atags;
pub use asphodel_core::board::{
    BoardInfo, CpuInfo, GicInfo, PowerInfo, Region, StartMethod, UartInfo, add_bootargs,
};
pub(crate) use asphodel_core::devicetree::DeviceTreeError;

use crate::arch::layout::LINEAR_LIMIT;
use crate::arch::{cpu, mmu};
use crate::drivers::pl011;
use crate::emergency_println;
use asphodel_core::{atags, bootargs, devicetree};

/// What is known of a machine that was started without a usable device tree.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'boot> {
    /// Physical address that the image was loaded to.
    pub load_address: u64,
    /// Affinity of the CPU that boots.
    pub boot_mpidr: u64,
    /// The loader's list of tags, if it passed one.
    pub atags: Option<Atags<'boot>>,
}

/// What a board package knows of one board.
pub struct Board {
    /// Name for people.
    pub name: &'static str,
    /// Values of the root node's `compatible`, any of which means this board.
    pub compatible: &'static [&'static str],
    /// Describes the machine that was entered like this, if it can only be this board.
    pub claim: fn(&Entry<'_>) -> Option<BoardInfo>,
    /// Adds to a device tree's description what the tree does not say.
    pub complete: fn(&mut BoardInfo),
    /// Connects the console's UART with the board's pins. Called once at boot, before the UART is set
    /// up and before anything is printed; may map devices.
    pub connect_console: fn(&BoardInfo),
    /// What it can tell of itself while it runs. Thread context; may block for some milliseconds.
    pub readings: fn() -> Readings,
    /// Physical address of a UART to report on when no board claims the machine: one that does no
    /// harm to write to where it does not exist. At most one board of an image has one.
    pub last_resort_uart: Option<u64>,
}

/// What a board can tell of itself while it runs; `None`: this it cannot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Readings {
    /// Its maker's code for its revision.
    pub revision: Option<u32>,
    /// Of the chip, in thousandths of a degree Celsius.
    pub temperature: Option<i32>,
    /// Rate of the CPUs' clock in Hz.
    pub cpu_hz: Option<u32>,
    /// Rate of the clock of the chip's other parts, in Hz.
    pub core_hz: Option<u32>,
    /// Rate of the console's reference clock in Hz.
    pub uart_hz: Option<u32>,
}

/// The boards that were linked.
#[distributed_slice]
pub static BOARDS: [Board];

/// The machine, once it is known.
static MACHINE: Once<Machine> = Once::new();

struct Machine {
    info: BoardInfo,
    board: Option<&'static Board>,
    /// Why the device tree that was passed was not used.
    refusal: Option<DeviceTreeError>,
}

/// Finds out which machine this is. Once, on the boot CPU, on the boot page tables, before there is
/// any allocator.
///
/// `argument` is what the loader passed in `x0`, which may be anything; `load_address` is where it put
/// the image. If nobody knows the machine, says so as well as it can and halts.
///
/// # Safety
///
/// The RAM around both addresses must be in the linear map (what is not RAM is not read). Nothing may
/// have changed the loader's data yet.
pub(crate) unsafe fn discover(argument: u64, load_address: u64) -> &'static BoardInfo {
    let boot_mpidr = cpu::affinity();
    // SAFETY: promised by the caller.
    let (tree, passed) = unsafe { (device_tree_at(argument), loader_data_at(argument)) };
    // SAFETY: the image itself, whose beginning is never written.
    let image =
        unsafe { core::slice::from_raw_parts(mmu::linear(load_address).cast_const(), bootargs::PLACE.end) };
    let own = bootargs::embedded(image);
    let refusal = match tree.map(|blob| from_device_tree(argument, blob, boot_mpidr)) {
        Some(Ok(machine)) => return keep(machine, own),
        Some(Err(error)) => Some(error),
        None => None,
    };

    let entry = Entry { load_address, boot_mpidr, atags: passed.and_then(atags::parse) };
    let claimed = BOARDS.iter().find_map(|board| Some((board, (board.claim)(&entry)?)));
    let Some((board, info)) = claimed else { give_up(&entry, refusal) };
    keep(Machine { info, board: Some(board), refusal }, own)
}

/// This is the machine; `own` are the image's own boot arguments, which hold against the loader's. Words for the first process
/// come last, the loader's before the image's.
fn keep(mut machine: Machine, own: &str) -> &'static BoardInfo {
    let loaders = core::mem::take(&mut machine.info.bootargs);
    let [(first, words), (second, more)] = [&loaders, own].map(bootargs::split);
    let separator = if words.is_empty() && more.is_empty() { "" } else { "--" };
    for part in [first, second, separator, words, more] {
        add_bootargs(&mut machine.info.bootargs, part);
    }
    &MACHINE.call_once(|| machine).info
}

/// The words for the first process: what follows ` -- ` in the boot arguments. Any context.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    bootargs::split(&info().bootargs).1.split_ascii_whitespace()
}

/// The machine. Any context, from the end of `discover` on.
pub fn info() -> &'static BoardInfo {
    &machine().info
}

/// The value of a boot argument `key=value`; empty for a lone `key`. Any context.
pub(crate) fn boot_argument(key: &str) -> Option<&'static str> {
    bootargs::value(&info().bootargs, key)
}

/// Why the device tree that the loader passed was not used, where that is so: worth a line on the
/// console. Any context.
pub(crate) fn refusal() -> Option<&'static DeviceTreeError> {
    machine().refusal.as_ref()
}

/// What the board can tell of itself now. Thread context; may block for some milliseconds.
pub fn readings() -> Readings {
    machine().board.map_or_else(Readings::default, |board| (board.readings)())
}

/// Connects the console's UART with the outside, where that is the kernel's job. For the drivers.
pub(crate) fn connect_console() {
    if let Some(board) = machine().board {
        (board.connect_console)(info());
    }
}

fn machine() -> &'static Machine {
    MACHINE.get().expect("the machine is found out first of all")
}

fn from_device_tree(address: u64, blob: &[u8], boot_mpidr: u64) -> Result<Machine, DeviceTreeError> {
    let mut info = devicetree::describe(blob, boot_mpidr)?;
    let own = Region { base: address, size: blob.len() as u64 };
    info.reserved.push(own).map_err(|_| DeviceTreeError::TooMany("reserved regions"))?;
    let board = BOARDS.iter().find(|board| devicetree::is_compatible(blob, board.compatible));
    if let Some(board) = board {
        (board.complete)(&mut info);
    }
    Ok(Machine { info, board, refusal: None })
}

/// Largest device tree that a loader may pass (Linux, Documentation/arch/arm64/booting.rst).
const MAX_DEVICE_TREE: usize = 2 << 20;
/// Bytes behind the loader's argument that may be a list of tags: up to the end of its page.
const MAX_ATAGS: u64 = 0x1000;

/// The device tree at physical `address`, if that is one.
///
/// # Safety
///
/// If `address` is that of some RAM, the RAM must be in the linear map and stay as it is.
unsafe fn device_tree_at(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(8) || address + MAX_DEVICE_TREE as u64 > LINEAR_LIMIT {
        return None;
    }
    let start = mmu::linear(address).cast_const();
    // SAFETY: in the linear map, says the caller; a header is read whose form is checked here.
    let header = unsafe { core::slice::from_raw_parts(start, devicetree::HEADER_SIZE) };
    let size = devicetree::total_size(header).filter(|size| *size <= MAX_DEVICE_TREE)?;
    // SAFETY: as above; the header says that the blob is so long.
    Some(unsafe { core::slice::from_raw_parts(start, size) })
}

/// The rest of the page at physical `address`.
///
/// # Safety
///
/// As for `device_tree_at`.
unsafe fn loader_data_at(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(4) || address >= LINEAR_LIMIT {
        return None;
    }
    let length = MAX_ATAGS - address % MAX_ATAGS;
    // SAFETY: in the linear map, says the caller, since a page is there as a whole or not at all.
    Some(unsafe { core::slice::from_raw_parts(mmu::linear(address).cast_const(), length as usize) })
}

/// Says on a UART that may be there that the machine is unknown, and halts.
fn give_up(entry: &Entry<'_>, refusal: Option<DeviceTreeError>) -> ! {
    if let Some(base) = BOARDS.iter().find_map(|board| board.last_resort_uart) {
        // SAFETY: called by `discover` alone, which is called on the boot tables, interrupts masked,
        // and does not return from here; no RAM at all is nothing but RAM.
        unsafe { mmu::install(core::iter::empty()) };
        let uart = UartInfo { base, irq: 0, clock_hz: None };
        // Without a UART there is nobody to tell anything.
        let _ = pl011::init(&uart);
        match refusal {
            Some(error) => emergency_println!("asphodel: PANIC: {error}"),
            None => emergency_println!("asphodel: PANIC: the loader passed no device tree in x0"),
        }
        emergency_println!("asphodel: no board is known that is loaded at {:#x}", entry.load_address);
        pl011::flush();
    }
    cpu::halt()
}
