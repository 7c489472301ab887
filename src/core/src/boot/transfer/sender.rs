//! The sending side: the host's.

use super::CHECKSUM;
use super::frame::{Frame, MAX_PAYLOAD};
use super::receiver::{Announcement, Refusal, Reply};

/// Kinds of frames to the board.
pub(super) const HELLO: u8 = 0x01;
pub(super) const DATA: u8 = 0x02;
pub(super) const START: u8 = 0x03;

/// The state of the sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The board has not taken the announcement yet.
    Announcing,
    /// The chunk with this number is on its way.
    Sending(u32),
    /// The board has all chunks, and is asked to start the image.
    Starting,
    /// It has been started.
    Started,
    /// The board refuses it.
    Refused(Refusal),
}

/// A transfer. The caller repeats each frame until it is answered.
#[derive(Debug)]
pub struct Sender<'a> {
    image: &'a [u8],
    announcement: Announcement,
    step: Step,
}

impl<'a> Sender<'a> {
    /// Sends `image`. `session` should differ each time; `speed` is that of the line once the board has answered, in
    /// bits per second, 0 to keep it.
    ///
    /// `None`: the image is of 4 GiB or more.
    #[must_use]
    pub fn new(image: &'a [u8], session: u32, speed: u32) -> Option<Self> {
        let length = u32::try_from(image.len()).ok()?;
        let announcement = Announcement { session, length, checksum: CHECKSUM.checksum(image), speed };
        Some(Self { image, announcement, step: Step::Announcing })
    }

    /// Returns the state.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Returns the bits per second that the line must have for the present frame; `None`: the first speed.
    #[must_use]
    pub fn speed(&self) -> Option<u32> {
        let changed = matches!(self.step, Step::Sending(_) | Step::Starting);
        Some(self.announcement.speed).filter(|speed| changed && *speed != 0)
    }

    /// No answer has been received for some time: asks the board anew what it wants.
    pub fn announce_again(&mut self) {
        if matches!(self.step, Step::Sending(_) | Step::Starting) {
            self.step = Step::Announcing;
        }
    }

    /// Returns the frame to send now, and again after a while without progress; `None`: nothing more.
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

    /// Takes the board's reply; returns whether that is progress. Replies that are late or repeated are not.
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
            // The end of an earlier session, received late.
            (_, Reply::Want { .. } | Reply::Starting) => return false,
            (Step::Announcing, Reply::Refuse(Refusal::NotAnnounced | Refusal::WrongChecksum)) => {
                return false;
            }
            // The board was restarted, or noise got through the checksum of a frame: start over.
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
