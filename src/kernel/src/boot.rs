//! Boot, from the first Rust function to `start`: each part is set up before the first that needs it.
//!
//! Runs once, on the boot CPU, with interrupts masked. The boot page tables map the image and the gibibytes of the
//! image and the device tree; a failure before the console is known can only stop the machine.

use asphodel_core::boot::regions::Regions;

use crate::arch::{boot, entry, exception, mmu};
use crate::board::{self, BoardInfo};
use crate::chainload;
use crate::drivers;
use crate::mem::{self, stack};
use crate::shutdown;

/// The symbol at which the boot code continues. `arch` enters it with what the loader passed in x0, the physical
/// address of the image, and the exception level at which the image was entered.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(argument: u64, image: u64, level: u64) -> ! {
    exception::set_fatal(shutdown::fatal);
    chainload::set_argument(argument);
    entry::set_level(level);
    mmu::set_image_physical(image);
    // SAFETY: the boot tables have the gibibytes around both addresses in the linear map, and only the image's own
    // zeros have been written so far.
    let board = unsafe { board::discover(argument, image) };
    set_up_memory(board);
    let stacks = stack::map_boot_stacks().expect("there is memory for the stacks of the boot CPU");
    // SAFETY: an ordinary function, on the boot CPU's first stacks, which nothing points into.
    unsafe { boot::continue_on_stacks(stacks, hand_over) }
}

/// Builds the final page tables, brings up the console, and passes all memory that is not reserved to the allocators.
fn set_up_memory(board: &BoardInfo) {
    let memory = || board.memory.iter().map(|region| region.base..region.end());
    // SAFETY: this is the boot CPU on the boot tables, once; the board's description lists RAM only.
    unsafe { mmu::install(memory()) };
    // The drivers map registers and allocate nothing, so every later failure can be reported.
    drivers::init(board);

    let mut free = Regions::new(memory());
    free.remove(mmu::image_range());
    free.remove(mmu::payload_range());
    for region in &board.reserved {
        free.remove(region.base..region.end());
    }
    // SAFETY: called once, with the final tables; the rest of the memory has no owner.
    unsafe { mem::init(free) };
}

/// Continues boot on the boot CPU's final stacks.
extern "C" fn hand_over() -> ! {
    let board = board::info();
    if let Some(loader) = chainload::LOADER.first() {
        loader()
    }
    for (index, cpu) in board.cpus.iter().enumerate() {
        boot::set_affinity(index, cpu.mpidr);
    }
    crate::start::boot_cpu(board)
}

/// The symbol at which `arch` continues on every other CPU, on its final stacks, with interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn kernel_secondary(index: usize) -> ! {
    crate::start::secondary_cpu(index)
}
