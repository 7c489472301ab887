//! The chain loader: receives an image over the serial line and starts it in place of this one.
//!
//! It is for an image of its own (`src/loader`), which registers it by [`chain_loader!`](crate::chain_loader). It
//! replaces everything after early boot: it runs on the boot CPU alone, with interrupts masked, and polls the console's
//! receiver. `core::transfer` decides what is accepted and what is answered.

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use core::ops::Range;

use asphodel_core::boot::board::Region;
use asphodel_core::boot::transfer::{self, Decoder, Receiver, Reply, memory_size};
use linkme::distributed_slice;

use crate::arch::handover::{self, Move, PIECE, SCRATCH_PAGES};
use crate::arch::layout::PAGE_SIZE;
use crate::arch::{counter, cpu, mmu};
use crate::board;
use crate::console::kernel_println;
use crate::drivers::pl011;
use crate::mem::frames;

/// The function that replaces everything after early boot. There is at most one.
#[doc(hidden)]
#[distributed_slice]
pub static LOADER: [fn() -> !];

/// Makes the image that invokes it a chain loader, which receives another image over the serial line and starts that.
#[macro_export]
macro_rules! chain_loader {
    () => {
        #[$crate::testing::linkme::distributed_slice($crate::testing::LOADER)]
        #[linkme(crate = $crate::testing::linkme)]
        static CHAIN_LOADER: fn() -> ! = $crate::testing::run_chain_loader;
    };
}

/// What the boot loader passed in `x0`.
static ARGUMENT: AtomicU64 = AtomicU64::new(0);

/// Records what the boot loader passed, for the next image. Called by the boot code.
pub(crate) fn set_argument(argument: u64) {
    // Relaxed: the boot CPU alone writes and reads it.
    ARGUMENT.store(argument, Ordering::Relaxed);
}

/// The line counts as quiet after this time without a byte, which is more than the pauses of USB adapters inside a
/// frame.
const QUIET_MS: u64 = 100;

/// The line returns to its first speed after this time without a frame: before a host gives up in order to announce
/// again.
const FALL_BACK_MS: u64 = 1000;

/// The delay before the image is started on a line whose speed differs from the one that the image will set: the host
/// must have changed back.
const CHANGE_MS: u64 = 300;

/// Memory that is reserved, a power of two: for the handover and for the image as it arrives.
const BLOCK: usize = 64 << 20;

/// Bytes of the block that the handover takes.
const SCRATCH: usize = SCRATCH_PAGES * PAGE_SIZE;

/// Most memory that an image may have once it runs, zeros included: the block lies outside it.
const ROOM: u64 = BLOCK as u64;

/// How often the last reply is sent, because the host cannot ask for it again if it is lost.
const FAREWELLS: usize = 3;

/// Waits for an image and starts it. Called on the boot CPU, in place of what follows early boot.
pub fn run() -> ! {
    kernel_println!("asphodel loader: waiting for an image");
    let mut decoder = Decoder::new();
    let staging = Staging::new().expect("there is memory for an image");
    let mut receiver = Receiver::new(staging);
    let (mut last_byte, mut last_frame) = (counter::now(), counter::now());
    let mut speed = None;
    loop {
        if receiver.speed() != speed {
            pl011::flush();
            speed = receiver.speed();
            // The speed was checked before it was agreed on, see `can_talk`.
            let _ = pl011::set_speed(speed.unwrap_or(pl011::BAUD_RATE));
        }
        let frame = match pl011::read() {
            Some(byte) => {
                last_byte = counter::now();
                decoder.push(byte, &mut |_| ())
            }
            None if counter::now() - last_byte > milliseconds(QUIET_MS) => decoder.quiet(&mut |_| ()),
            None => None,
        };
        let Some(frame) = frame else {
            if counter::now() - last_frame > milliseconds(FALL_BACK_MS) {
                receiver.fall_back();
            }
            cpu::relax();
            continue;
        };
        last_frame = counter::now();
        let Some(reply) = receiver.take(&frame) else { continue };
        pl011::write(&reply.frame().bytes());
        if reply == Reply::Starting {
            break;
        }
    }
    for _ in 1..FAREWELLS {
        pl011::write(&Reply::Starting.frame().bytes());
    }
    pl011::flush();
    if speed.is_some() {
        let until = counter::now() + milliseconds(CHANGE_MS);
        while counter::now() < until {
            cpu::relax();
        }
    }
    let (staging, length) = receiver.into_image().expect("an image that is started has come");
    staging.start(length)
}

fn milliseconds(count: u64) -> u64 {
    counter::frequency() * count / 1000
}

/// Memory that the image is collected in: a block of frames outside the place where it is to run.
#[derive(Debug)]
struct Staging {
    /// Physical address of the block.
    start: u64,
}

impl Staging {
    fn new() -> Option<Self> {
        let start = block_outside(&destination(ROOM))?;
        // SAFETY: the block was just allocated and is in the linear map.
        unsafe { core::ptr::write_bytes(mmu::linear(start), 0, BLOCK) };
        Some(Self { start })
    }

    /// Hands the machine over to the image.
    fn start(self, length: usize) -> ! {
        let image = Move {
            source: self.start + SCRATCH as u64,
            destination: destination(0).start,
            length: length.next_multiple_of(PIECE) as u64,
            argument: ARGUMENT.load(Ordering::Relaxed),
        };
        // SAFETY: (1) no other CPU has been started, interrupts are masked since boot, and no driver has a device write
        // to memory; (2) the block is RAM of this loader alone and outside `ROOM`, in which the destination lies; (3)
        // the destination is RAM, too, see `can_start`.
        unsafe { handover::enter(&image, self.start) }
    }
}

impl transfer::Board for Staging {
    fn can_talk(&self, speed: u32) -> bool {
        pl011::can_have_speed(speed)
    }

    fn prepare(&mut self, length: usize) -> bool {
        length <= BLOCK - SCRATCH
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.start + SCRATCH as u64;
        // SAFETY: the block belongs to this loader alone, is in the linear map, and was zeroed.
        unsafe { core::slice::from_raw_parts_mut(mmu::linear(start), BLOCK - SCRATCH) }
    }

    fn can_start(&mut self, length: usize) -> bool {
        let Some(size) = memory_size(&self.bytes()[..length]).filter(|size| *size <= ROOM) else {
            return false;
        };
        let place = destination(size);
        let within = |region: &Region| region.base <= place.start && place.end <= region.end();
        let meets = |region: &Region| region.base < place.end && place.start < region.end();
        let board = board::info();
        board.memory.iter().any(within) && !board.reserved.iter().any(meets)
    }
}

/// Returns where an image that takes `size` bytes of memory is to run: where this one was put.
fn destination(size: u64) -> Range<u64> {
    let start = mmu::image_range().start;
    start..start.saturating_add(size)
}

/// Returns a block of frames that lies outside a range no longer than itself. At most the first two blocks that the
/// allocator returns overlap the range; they are kept meanwhile.
fn block_outside(range: &Range<u64>) -> Option<u64> {
    let start = frames::allocate(BLOCK / PAGE_SIZE)?;
    if start >= range.end || start + BLOCK as u64 <= range.start {
        return Some(start);
    }
    let other = block_outside(range);
    frames::free(start, BLOCK / PAGE_SIZE);
    other
}
