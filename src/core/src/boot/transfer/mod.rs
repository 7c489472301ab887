//! Sending an image over a serial line that loses, changes and adds bytes.
//!
//! One side is the chain loader on the board (`Receiver`), the other the host (`Sender`). The host announces an image,
//! sends it in numbered chunks, each of which it repeats until the board asks for the next, and has it started. The
//! driver of a side owns its clock: it reports silence to [`Decoder::quiet`] here, and answers it by repeating there.
//! Text and noise between the frames are skipped.
//!
//! An image may be sent faster than the line's first speed: the announcement contains the speed, and both change over
//! once the board has answered it. A board that receives nothing any more goes back ([`Receiver::fall_back`]); a host
//! that receives nothing goes back, too, and announces again ([`Sender::announce_again`]), whereupon the board wants
//! the chunk it wanted before.

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
