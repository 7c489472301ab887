//! Handing the machine over to another image, which the hosted machine cannot do, because nothing loads images here.

/// Pages that are needed, as on a board.
pub(crate) const SCRATCH_PAGES: usize = 4;

/// An image is copied in pieces of this many bytes.
pub(crate) const PIECE: usize = 16;

/// An image that lies in memory, by physical addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    /// Where it lies.
    pub(crate) source: u64,
    /// Where it is to run.
    pub(crate) destination: u64,
    /// Its size in bytes.
    pub(crate) length: u64,
    /// The argument that it is entered with.
    pub(crate) argument: u64,
}

/// Refuses to start an image, because it is one for another machine.
///
/// # Safety
/// None; as on a board otherwise.
pub(crate) unsafe fn enter(image: &Move, _scratch: u64) -> ! {
    panic!(
        "the hosted machine cannot start an image: {} bytes from {:#x} for {:#x}, argument {:#x}",
        image.length, image.source, image.destination, image.argument
    )
}
