//! Frames: the format of the bytes on the line, and how the next frame is found after noise.
//!
//! | bytes | what |
//! |---|---|
//! | 2 | the mark, `a5 5a` |
//! | 1 | kind |
//! | 4 | number, little-endian |
//! | 2 | length of the payload, little-endian, at most 1,024 |
//! | .. | payload |
//! | 4 | CRC-32 of everything between mark and checksum, little-endian |

use heapless::Vec;

use super::CHECKSUM;

/// Most bytes of payload in a frame.
pub const MAX_PAYLOAD: usize = 1024;

const MARK: [u8; 2] = [0xa5, 0x5a];
/// Mark, kind, number, length.
const HEADER: usize = 9;
const CHECK: usize = 4;
const MAX_FRAME: usize = HEADER + MAX_PAYLOAD + CHECK;

/// A frame as it goes over the line.
pub type FrameBytes = Vec<u8, MAX_FRAME>;

/// A frame. The two sides define its kinds and numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// The number of a chunk, or of the next chunk that is wanted.
    pub number: u32,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8, MAX_PAYLOAD>,
}

impl Frame {
    /// A frame.
    ///
    /// # Panics
    /// If the payload is longer than [`MAX_PAYLOAD`].
    #[must_use]
    pub fn new(kind: u8, number: u32, payload: &[u8]) -> Self {
        Self { kind, number, payload: Vec::from_slice(payload).expect("a payload of at most a kibibyte") }
    }

    /// Returns its bytes for the line.
    #[must_use]
    pub fn bytes(&self) -> FrameBytes {
        let body = [self.kind].into_iter().chain(self.number.to_le_bytes());
        let body = body.chain((self.payload.len() as u16).to_le_bytes()).chain(self.payload.iter().copied());
        let mut bytes: FrameBytes = MARK.into_iter().chain(body).collect();
        let check = CHECKSUM.checksum(&bytes[MARK.len()..]);
        bytes.extend(check.to_le_bytes());
        bytes
    }
}

/// The state of the bytes received so far.
enum Found {
    /// They may become a frame.
    Beginning,
    /// No frame begins with the first of them.
    Noise,
    /// They begin with a whole frame, whose payload has that many bytes.
    Whole(usize),
}

/// Finds frames in the bytes received from the line.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Begins with a mark, or with the first byte of one, or is empty.
    pending: FrameBytes,
}

impl Decoder {
    /// A decoder without input.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: Vec::new() }
    }

    /// Takes the next byte; returns the frame that it completes. Bytes that belong to no frame are passed to `noise`,
    /// in their order.
    pub fn push(&mut self, byte: u8, noise: &mut dyn FnMut(u8)) -> Option<Frame> {
        // `look` leaves room: a whole frame never stays.
        let _ = self.pending.push(byte);
        self.look(noise)
    }

    /// The line has been quiet for longer than a sender pauses inside a frame, so the bytes that began one are noise.
    /// Returns a frame that was hidden after it; more may be hidden, so the caller asks again until there is none.
    pub fn quiet(&mut self, noise: &mut dyn FnMut(u8)) -> Option<Frame> {
        while !self.pending.is_empty() {
            self.skip(noise);
            if let Some(frame) = self.look(noise) {
                return Some(frame);
            }
        }
        None
    }

    /// Looks for a whole frame in the bytes received.
    fn look(&mut self, noise: &mut dyn FnMut(u8)) -> Option<Frame> {
        loop {
            match parse(&self.pending) {
                Found::Beginning => return None,
                Found::Noise => self.skip(noise),
                Found::Whole(length) => {
                    let frame = frame(&self.pending, length);
                    self.remove(HEADER + length + CHECK);
                    return frame;
                }
            }
        }
    }

    /// Drops the first byte, and all after it up to where a frame may begin.
    fn skip(&mut self, noise: &mut dyn FnMut(u8)) {
        let rest = self.pending.iter().skip(1).position(|byte| *byte == MARK[0]);
        let count = rest.map_or(self.pending.len(), |position| position + 1);
        self.pending.iter().take(count).for_each(|byte| noise(*byte));
        self.remove(count);
    }

    fn remove(&mut self, count: usize) {
        self.pending.rotate_left(count);
        self.pending.truncate(self.pending.len() - count);
    }
}

/// Returns the frame that the bytes begin with, whose payload has `length` bytes.
fn frame(bytes: &[u8], length: usize) -> Option<Frame> {
    let (&[_, _, kind, n0, n1, n2, n3, _, _], rest) = bytes.split_first_chunk::<HEADER>()?;
    Some(Frame::new(kind, u32::from_le_bytes([n0, n1, n2, n3]), rest.get(..length)?))
}

fn parse(bytes: &[u8]) -> Found {
    if bytes.iter().zip(MARK).any(|(byte, mark)| *byte != mark) {
        return Found::Noise;
    }
    let Some((&[_, _, _, _, _, _, _, l0, l1], rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Found::Beginning;
    };
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if length > MAX_PAYLOAD {
        return Found::Noise;
    }
    let Some((_, rest)) = rest.split_at_checked(length) else { return Found::Beginning };
    let Some((check, _)) = rest.split_first_chunk::<CHECK>() else { return Found::Beginning };
    if CHECKSUM.checksum(&bytes[MARK.len()..HEADER + length]) != u32::from_le_bytes(*check) {
        return Found::Noise;
    }
    Found::Whole(length)
}
