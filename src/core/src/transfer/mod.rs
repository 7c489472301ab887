//! Sending an image over a serial line that loses, changes and adds bytes.
//!
//! One side is the chain loader on the board (`Receiver`), the other the host (`Sender`). The host announces an image,
//! sends it in numbered chunks, each of which it repeats until the board asks for the next, and has it started. Whoever
//! drives a side owns its clock: silence is told to [`Decoder::quiet`] here, and answered by repeating there. Text and
//! noise between the frames are no frames and go by.
//!
//! An image may be sent faster than the line is otherwise: the announcement says how fast, and both change over once the
//! board has answered it. A board that hears nothing any more goes back ([`Receiver::fall_back`]); a host that hears nothing
//! goes back, too, and announces again ([`Sender::announce_again`]), whereupon the board wants the chunk it wanted before.

mod frame;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use frame::{Decoder, Frame, FrameBytes, MAX_PAYLOAD};
pub use receiver::{Announcement, Board, MAGIC, Receiver, Refusal, Reply, memory_size};
pub use sender::{Sender, Step};

/// The checksum of frames and of whole images: that of Ethernet and zip.
pub const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
