//! The receiving side: the chain loader's.

use super::frame::{Frame, MAX_PAYLOAD};
use super::{CHECKSUM, sender};

/// Kinds of frames to the host.
const WANT: u8 = 0x81;
const REFUSE: u8 = 0x82;
const STARTING: u8 = 0x83;

/// The magic number of an arm64 Image at byte 0x38.
pub const MAGIC: &[u8; 4] = b"ARM\x64";
const MAGIC_OFFSET: usize = 0x38;
const SIZE_OFFSET: usize = 0x10;
const HEADER_SIZE: usize = 0x40;

/// Returns the memory in bytes that an arm64 Image occupies once it runs, zeros included; at least its own length.
/// `None`: it is no such image.
#[must_use]
pub fn memory_size(image: &[u8]) -> Option<u64> {
    let header = image.get(..HEADER_SIZE)?;
    if header.get(MAGIC_OFFSET..MAGIC_OFFSET + MAGIC.len())? != MAGIC {
        return None;
    }
    let size = u64::from_le_bytes(*header.get(SIZE_OFFSET..)?.first_chunk()?);
    Some(size.max(image.len() as u64))
}

/// An announced image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// The session: an announcement that is repeated does not start the transfer anew.
    pub session: u32,
    /// Its length in bytes.
    pub length: u32,
    /// [`CHECKSUM`] of all of them.
    pub checksum: u32,
    /// Bits per second from the answer on; 0: unchanged.
    pub speed: u32,
}

impl Announcement {
    /// The number of its chunks.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        self.length.div_ceil(MAX_PAYLOAD as u32)
    }

    pub(super) fn payload(&self) -> [u8; 16] {
        let mut payload = [0; 16];
        let values = [self.session, self.length, self.checksum, self.speed];
        for (field, value) in payload.chunks_exact_mut(4).zip(values) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        payload
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let (&[session, length, checksum, speed], []) = payload.as_chunks::<4>() else { return None };
        let [session, length, checksum, speed] = [session, length, checksum, speed].map(u32::from_le_bytes);
        Some(Self { session, length, checksum, speed })
    }
}

/// Why the board does not continue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A chunk or a start without an announcement: the board has been restarted meanwhile.
    #[error("no image was announced")]
    NotAnnounced,
    /// There is no memory for it.
    #[error("there is no memory for an image of that size")]
    NoMemory,
    /// The received image is not the announced one.
    #[error("the image's checksum is wrong")]
    WrongChecksum,
    /// It cannot be started.
    #[error("it is no arm64 Image, or does not fit where it is to run")]
    NoImage,
    /// The line cannot be that fast.
    #[error("the board's serial line cannot have that speed")]
    Speed,
    /// A request that this loader does not know.
    #[error("a reason that is not known here")]
    Unknown,
}

impl Refusal {
    const NAMED: [Self; 5] =
        [Self::NotAnnounced, Self::NoMemory, Self::WrongChecksum, Self::NoImage, Self::Speed];

    fn number(self) -> u32 {
        Self::NAMED.iter().position(|named| *named == self).unwrap_or(Self::NAMED.len()) as u32
    }
}

/// The board's reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The chunk that it wants next, in the session; the number of chunks: it has all.
    Want {
        /// The announced session.
        session: u32,
        /// The chunk's number.
        chunk: u32,
    },
    /// It does not continue.
    Refuse(Refusal),
    /// The image is whole and is started now.
    Starting,
}

impl Reply {
    /// Encodes it as a frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        match self {
            Self::Want { session, chunk } => Frame::new(WANT, *chunk, &session.to_le_bytes()),
            Self::Refuse(refusal) => Frame::new(REFUSE, refusal.number(), &[]),
            Self::Starting => Frame::new(STARTING, 0, &[]),
        }
    }

    /// Decodes a frame of the board; `None` if its kind is unknown.
    #[must_use]
    pub fn read(frame: &Frame) -> Option<Self> {
        match frame.kind {
            WANT => {
                let session = u32::from_le_bytes(frame.payload.as_slice().try_into().ok()?);
                Some(Self::Want { session, chunk: frame.number })
            }
            REFUSE => {
                let named = Refusal::NAMED.get(frame.number as usize);
                Some(Self::Refuse(named.copied().unwrap_or(Refusal::Unknown)))
            }
            STARTING => Some(Self::Starting),
            _ => None,
        }
    }
}

/// The platform of the receiver: memory for the image, and the line.
pub trait Board {
    /// Returns whether the line supports that speed, in bits per second.
    fn can_talk(&self, speed: u32) -> bool;
    /// Makes room for an image of so many bytes, instead of an earlier one; returns `false` if there is none.
    fn prepare(&mut self, length: usize) -> bool;
    /// Returns the room, which is at least as long as was prepared.
    fn bytes(&mut self) -> &mut [u8];
    /// Returns whether the image in the room can be started.
    fn can_start(&mut self, length: usize) -> bool;
}

/// The state of a transfer.
#[derive(Debug)]
pub struct Receiver<B> {
    board: B,
    announced: Option<Announcement>,
    /// `true` if the line has, or is about to get, the announced speed.
    fast: bool,
    /// The chunk that is wanted.
    next: u32,
}

impl<B: Board> Receiver<B> {
    /// A receiver before the first frame.
    pub const fn new(board: B) -> Self {
        Self { board, announced: None, fast: false, next: 0 }
    }

    /// Returns the bits per second that the line must have once the last reply is sent; `None`: the first speed.
    #[must_use]
    pub fn speed(&self) -> Option<u32> {
        self.announced.filter(|_| self.fast).map(|announced| announced.speed).filter(|speed| *speed != 0)
    }

    /// No frame has been received for some time: the line gets its first speed again.
    pub fn fall_back(&mut self) {
        self.fast = false;
    }

    /// Takes a frame; returns the reply, if there is one. After [`Reply::Starting`] the caller must start the image.
    pub fn take(&mut self, frame: &Frame) -> Option<Reply> {
        let done = match frame.kind {
            sender::HELLO => self.announce(Announcement::read(&frame.payload)?),
            sender::DATA => self.store(frame.number, &frame.payload),
            sender::START => self.start(frame.number),
            _ => return None,
        };
        Some(done.unwrap_or_else(Reply::Refuse))
    }

    /// Returns the image, after [`Reply::Starting`], and its length.
    pub fn into_image(self) -> Option<(B, usize)> {
        Some((self.board, self.announced?.length as usize))
    }

    fn announce(&mut self, announcement: Announcement) -> Result<Reply, Refusal> {
        if self.announced != Some(announcement) {
            self.announced = None;
            self.next = 0;
            if announcement.speed != 0 && !self.board.can_talk(announcement.speed) {
                return Err(Refusal::Speed);
            }
            if !self.board.prepare(announcement.length as usize) {
                return Err(Refusal::NoMemory);
            }
            self.announced = Some(announcement);
        }
        self.fast = true;
        self.want()
    }

    fn store(&mut self, chunk: u32, payload: &[u8]) -> Result<Reply, Refusal> {
        let announced = self.announced.ok_or(Refusal::NotAnnounced)?;
        // All other chunks have been received before, or will be sent again when their turn comes.
        if chunk == self.next && chunk < announced.chunks() {
            let start = chunk as usize * MAX_PAYLOAD;
            let end = (start + MAX_PAYLOAD).min(announced.length as usize);
            if payload.len() == end - start {
                self.board.bytes()[start..end].copy_from_slice(payload);
                self.next += 1;
            }
        }
        self.want()
    }

    fn start(&mut self, session: u32) -> Result<Reply, Refusal> {
        let announced = self.announced.ok_or(Refusal::NotAnnounced)?;
        if announced.session != session || self.next != announced.chunks() {
            return self.want();
        }
        let length = announced.length as usize;
        if CHECKSUM.checksum(&self.board.bytes()[..length]) != announced.checksum {
            self.announced = None;
            return Err(Refusal::WrongChecksum);
        }
        if self.board.can_start(length) { Ok(Reply::Starting) } else { Err(Refusal::NoImage) }
    }

    fn want(&self) -> Result<Reply, Refusal> {
        let session = self.announced.ok_or(Refusal::NotAnnounced)?.session;
        Ok(Reply::Want { session, chunk: self.next })
    }
}
