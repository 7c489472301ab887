//! The side that has the image: the host's.

use super::CHECKSUM;
use super::frame::{Frame, MAX_PAYLOAD};
use super::receiver::{Announcement, Refusal, Reply};

/// Kinds of frames to the board.
pub(super) const HELLO: u8 = 0x01;
pub(super) const DATA: u8 = 0x02;
pub(super) const START: u8 = 0x03;

/// What the sender is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The board has not taken the announcement yet.
    Announcing,
    /// The chunk with this number is on its way.
    Sending(u32),
    /// The board has all, and is told to start it.
    Starting,
    /// It has been started.
    Started,
    /// The board does not take it.
    Refused(Refusal),
}

/// An image on its way. What it says is repeated by the caller until it is answered.
#[derive(Debug)]
pub struct Sender<'a> {
    image: &'a [u8],
    announcement: Announcement,
    step: Step,
}

impl<'a> Sender<'a> {
    /// Sends `image`. `session` should be another one each time; `speed` is that of the line once the board has answered,
    /// in bits per second, 0 for no other one.
    ///
    /// `None`: the image is of 4 GiB or more.
    #[must_use]
    pub fn new(image: &'a [u8], session: u32, speed: u32) -> Option<Self> {
        let length = u32::try_from(image.len()).ok()?;
        let announcement = Announcement { session, length, checksum: CHECKSUM.checksum(image), speed };
        Some(Self { image, announcement, step: Step::Announcing })
    }

    /// What it is at.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Bits per second that the line must have for what is said now; `None`: those it had at first.
    #[must_use]
    pub fn speed(&self) -> Option<u32> {
        let changed = matches!(self.step, Step::Sending(_) | Step::Starting);
        Some(self.announcement.speed).filter(|speed| changed && *speed != 0)
    }

    /// Nothing has been answered for some time: asks the board anew what it wants.
    pub fn announce_again(&mut self) {
        if matches!(self.step, Step::Sending(_) | Step::Starting) {
            self.step = Step::Announcing;
        }
    }

    /// What is to be said now, and again after a while without progress; `None`: nothing more.
    #[must_use]
    pub fn frame(&self) -> Option<Frame> {
        match self.step {
            Step::Announcing => Some(Frame::new(HELLO, 0, &self.announcement.payload())),
            Step::Sending(chunk) => {
                let rest = self.image.get(chunk as usize * MAX_PAYLOAD..)?;
                Some(Frame::new(DATA, chunk, &rest[..rest.len().min(MAX_PAYLOAD)]))
            }
            Step::Starting => Some(Frame::new(START, self.announcement.session, &[])),
            Step::Started | Step::Refused(_) => None,
        }
    }

    /// Takes what the board says; whether that is progress. Replies that are late or come twice are none.
    pub fn take(&mut self, reply: Reply) -> bool {
        let step = match (self.step, reply) {
            (Step::Started | Step::Refused(_), _) => return false,
            (Step::Starting, Reply::Starting) => Step::Started,
            (_, Reply::Want { session, chunk }) if session == self.announcement.session => {
                let behind = match self.step {
                    Step::Sending(at) => chunk <= at,
                    Step::Announcing => false,
                    _ => true,
                };
                if behind {
                    return false;
                }
                if chunk < self.announcement.chunks() { Step::Sending(chunk) } else { Step::Starting }
            }
            // Of an earlier session, whose end came late.
            (_, Reply::Want { .. } | Reply::Starting) => return false,
            (Step::Announcing, Reply::Refuse(Refusal::NotAnnounced | Refusal::WrongChecksum)) => {
                return false;
            }
            // The board was started anew, or noise got through the checksum of a frame: all over again.
            (_, Reply::Refuse(Refusal::NotAnnounced | Refusal::WrongChecksum)) => {
                self.announcement.session = self.announcement.session.wrapping_add(1);
                Step::Announcing
            }
            (_, Reply::Refuse(refusal)) => Step::Refused(refusal),
        };
        self.step = step;
        true
    }
}
