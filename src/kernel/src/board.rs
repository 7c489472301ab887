//! The machine's description, from the device tree or from the address that the image was loaded to.
//!
//! Owns the description of the machine (`BoardInfo`, written once at boot, read everywhere) and the list of known
//! boards. Board packages provide what a device tree does not say, and describe machines that are started without one:
//! they register a [`Board`] in [`BOARDS`], and the image crate links the package by `use asphodel_platform as _;`.

use linkme::distributed_slice;
use spin::Once;

pub use asphodel_core::boot::atags::Atags;
pub use asphodel_core::boot::board::{
    BoardInfo, CpuInfo, GicInfo, PowerInfo, Region, StartMethod, UartInfo, add_bootargs,
};
pub(crate) use asphodel_core::boot::devicetree::DeviceTreeError;
pub use asphodel_core::boot::left_out::LeftOut;

use crate::arch::layout::LINEAR_LIMIT;
use crate::arch::{cpu, mmu};
use crate::console;
use crate::drivers::pl011;
use crate::emergency_println;
use asphodel_core::boot::board::join_bootargs;
use asphodel_core::boot::region_list::add_reserved;
use asphodel_core::boot::{atags, bootargs, devicetree};

/// What is known of a machine that was started without a usable device tree.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'boot> {
    /// Physical address that the image was loaded to.
    pub load_address: u64,
    /// Affinity of the CPU that boots.
    pub boot_mpidr: u64,
    /// The list of tags that the loader passed, if any.
    pub atags: Option<Atags<'boot>>,
}

/// What a board package knows about one board.
pub struct Board {
    /// Name of the board for people.
    pub name: &'static str,
    /// Values of the root node's `compatible`; any of them identifies this board.
    pub compatible: &'static [&'static str],
    /// Describes the machine that was entered like this, if it can only be this board.
    pub claim: fn(&Entry<'_>) -> Option<BoardInfo>,
    /// Adds what the tree does not say to the description from a device tree.
    pub complete: fn(&mut BoardInfo),
    /// Connects the console's UART with the board's pins. Called once at boot, before the UART is set
    /// up and before anything is printed; may map devices.
    pub connect_console: fn(&BoardInfo),
    /// Returns what the board reports about itself while it runs. Thread context; may block for some milliseconds.
    pub readings: fn() -> Readings,
    /// Physical address of a UART to report on when no board claims the machine: one where a write does no harm if it
    /// does not exist. At most one board of an image has one.
    pub last_resort_uart: Option<u64>,
}

/// What a board reports about itself while it runs; `None` if it cannot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Readings {
    /// The maker's code for its revision.
    pub revision: Option<u32>,
    /// Temperature of the chip, in thousandths of a degree Celsius.
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

/// Finds out which machine this is. Called once, on the boot CPU, on the boot page tables, before there is any
/// allocator.
///
/// `argument` is what the loader passed in `x0`, which may be anything; `load_address` is where it put the image. If no
/// board claims the machine, reports that as well as possible and halts.
///
/// # Safety
///
/// The RAM around both addresses must be in the linear map (what is not RAM is not read). Nothing may
/// have changed the loader's data yet.
pub(crate) unsafe fn discover(argument: u64, load_address: u64) -> &'static BoardInfo {
    let boot_mpidr = cpu::affinity();
    // SAFETY: the caller guarantees it.
    let (tree, passed) = unsafe { (device_tree_at(argument), loader_data_at(argument)) };
    // SAFETY: this is the image itself, whose beginning is never written.
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

/// Records the machine, with the memory that can be reached. `own` are the image's own boot arguments, which override the
/// loader's and are kept whole.
fn keep(mut machine: Machine, own: &str) -> &'static BoardInfo {
    machine.info.limit_memory(LINEAR_LIMIT);
    let loaders = core::mem::take(&mut machine.info.bootargs);
    let word = [own, &loaders].into_iter().find_map(|line| bootargs::value(line, bootargs::CONSOLE_WORD));
    word.into_iter().for_each(console::set_word);
    let (line, left_out) = join_bootargs(&loaders, own);
    machine.info.left_out.boot_arguments += left_out;
    // The console's word is not among what programs see.
    for word in bootargs::without(&line, bootargs::CONSOLE_WORD) {
        machine.info.left_out.boot_arguments += add_bootargs(&mut machine.info.bootargs, word);
    }
    &MACHINE.call_once(|| machine).info
}

/// Returns the words for the first process: what follows ` -- ` in the boot arguments. Any context.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    bootargs::split(&info().bootargs).1.split_ascii_whitespace()
}

/// Returns the description of the machine. Any context, from the end of the boot CPU's discovery on.
pub fn info() -> &'static BoardInfo {
    &machine().info
}

/// Returns the value of a boot argument `key=value`; empty for a lone `key`. Any context.
pub(crate) fn boot_argument(key: &str) -> Option<&'static str> {
    bootargs::value(&info().bootargs, key)
}

/// Returns why the device tree that the loader passed was not used, if that is so, to be printed on the console. Any
/// context.
pub(crate) fn refusal() -> Option<&'static DeviceTreeError> {
    machine().refusal.as_ref()
}

/// Returns what the board reports about itself now. Thread context; may block for some milliseconds.
pub(crate) fn readings() -> Readings {
    machine().board.map_or_else(Readings::default, |board| (board.readings)())
}

/// Connects the console's UART to the board's pins, if that is the kernel's duty. Called by the drivers.
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
    info.left_out.between_reserved += add_reserved(&mut info.reserved, own);
    let board = BOARDS.iter().find(|board| devicetree::is_compatible(blob, board.compatible));
    if let Some(board) = board {
        (board.complete)(&mut info);
    }
    Ok(Machine { info, board, refusal: None })
}

/// Largest device tree that a loader may pass (Linux, Documentation/arch/arm64/booting.rst).
const MAX_DEVICE_TREE: usize = 2 << 20;
/// Bytes from the loader's argument on that may be a list of tags: up to the end of its page.
const MAX_ATAGS: u64 = 0x1000;

/// Returns the device tree at physical `address`, if there is one.
///
/// # Safety
///
/// If `address` is that of some RAM, the RAM must be in the linear map and must not change.
unsafe fn device_tree_at(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(8) || address > LINEAR_LIMIT - MAX_DEVICE_TREE as u64 {
        return None;
    }
    let start = mmu::linear(address).cast_const();
    // SAFETY: the caller guarantees that it is in the linear map; the form of the header is checked here.
    let header = unsafe { core::slice::from_raw_parts(start, devicetree::HEADER_SIZE) };
    let size = devicetree::total_size(header).filter(|size| *size <= MAX_DEVICE_TREE)?;
    // SAFETY: as above; the header contains this length.
    Some(unsafe { core::slice::from_raw_parts(start, size) })
}

/// Returns the rest of the page at physical `address`.
///
/// # Safety
///
/// As for `device_tree_at`.
unsafe fn loader_data_at(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(4) || address >= LINEAR_LIMIT {
        return None;
    }
    let length = MAX_ATAGS - address % MAX_ATAGS;
    // SAFETY: the caller guarantees that it is in the linear map, because a page is mapped as a whole or not at all.
    Some(unsafe { core::slice::from_raw_parts(mmu::linear(address).cast_const(), length as usize) })
}

/// Reports on a UART that may exist that the machine is unknown, and halts.
fn give_up(entry: &Entry<'_>, refusal: Option<DeviceTreeError>) -> ! {
    if let Some(base) = BOARDS.iter().find_map(|board| board.last_resort_uart) {
        // SAFETY: `discover` alone calls this, on the boot tables with interrupts masked, and it does not return; an
        // empty list contains nothing but RAM.
        unsafe { mmu::install(core::iter::empty()) };
        let uart = UartInfo { base, irq: 0, clock_hz: None };
        // Without a UART there is no place to report to.
        let _ = pl011::init(&uart);
        match refusal {
            Some(error) => console::emergency_say(format_args!("asphodel: PANIC: {error}")),
            None => {
                console::emergency_say(format_args!(
                    "asphodel: PANIC: the loader passed no device tree in x0"
                ));
            }
        }
        emergency_println!("asphodel: no board is known that is loaded at {:#x}", entry.load_address);
        pl011::flush();
    }
    cpu::halt()
}
