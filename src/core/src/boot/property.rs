//! Property messages: questions to the VideoCore's firmware on a Raspberry Pi, and its answers.
//!
//! Hardware-free: a message is an array of words, which a driver passes to the firmware in memory and gets back changed. Form
//! and tags are those of the firmware's wiki page "Mailbox property interface": length in bytes, request or response code,
//! tags, a zero; a tag is its number, the size of its buffer in bytes, a code, and the buffer. Nothing here may block.

/// Words of a message: room for every question that is used here.
pub const WORDS: usize = 16;

/// The message that the driver sends, and receives.
pub type Message = [u32; WORDS];

/// The message was understood as a whole.
const SUCCESS: u32 = 0x8000_0000;
/// Bit of a tag's code: it was answered; the other bits are the length of the answer.
const ANSWERED: u32 = 1 << 31;

/// Words before the buffer of the only tag.
const BUFFER: usize = 5;

/// A question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Question {
    /// The board's revision code.
    Revision,
    /// The temperature of the chip, in thousandths of a degree Celsius.
    Temperature,
    /// The rate of a clock, in Hz.
    Rate(Clock),
}

/// Clocks, by the firmware's numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Clock {
    /// The reference clock of the PL011 UARTs.
    Uart = 2,
    /// The CPUs'.
    Arm = 3,
    /// The VideoCore's, and that of the devices around it.
    Core = 4,
}

impl Question {
    /// Its tag, and the words of its buffer in the question.
    fn tag(self) -> (u32, &'static [u32]) {
        match self {
            Self::Revision => (0x0001_0002, &[]),
            Self::Temperature => (0x0003_0006, &[0]),
            Self::Rate(Clock::Uart) => (0x0003_0002, &[Clock::Uart as u32]),
            Self::Rate(Clock::Arm) => (0x0003_0002, &[Clock::Arm as u32]),
            Self::Rate(Clock::Core) => (0x0003_0002, &[Clock::Core as u32]),
        }
    }

    /// Encodes it as a message.
    #[must_use]
    pub fn message(self) -> Message {
        let (tag, asked) = self.tag();
        let words = asked.len() + 1;
        let mut message = [0; WORDS];
        message[0] = size_of::<Message>() as u32;
        message[2] = tag;
        message[3] = (words * size_of::<u32>()) as u32;
        message[BUFFER..BUFFER + asked.len()].copy_from_slice(asked);
        message
    }

    /// Decodes the answer in the returned message; `None` if the firmware does not know the question, or the message is
    /// not an answer to it.
    #[must_use]
    pub fn answer(self, message: &Message) -> Option<u32> {
        let (tag, asked) = self.tag();
        let length = (asked.len() + 1) * size_of::<u32>();
        let code = message[4];
        let right = message[1] == SUCCESS
            && message[2] == tag
            && code & ANSWERED != 0
            && (code & !ANSWERED) as usize >= length
            && message[BUFFER..].starts_with(asked);
        // A clock that does not exist has rate 0, an unknown revision is 0.
        right.then(|| message[BUFFER + asked.len()]).filter(|value| *value != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A firmware's answer to a question.
    fn answered(question: Question, value: u32) -> Message {
        let mut message = question.message();
        let words = message[3] as usize / 4;
        message[1] = SUCCESS;
        message[4] = ANSWERED | message[3];
        message[BUFFER + words - 1] = value;
        message
    }

    #[test]
    fn a_message_is_of_the_firmwares_form() {
        let message = Question::Rate(Clock::Core).message();
        assert_eq!(message[..8], [64, 0, 0x3_0002, 8, 0, 4, 0, 0]);
        assert_eq!(Question::Revision.message()[..7], [64, 0, 0x1_0002, 4, 0, 0, 0]);
    }

    #[test]
    fn an_answer_is_taken_only_if_it_is_one() {
        for question in [Question::Revision, Question::Temperature, Question::Rate(Clock::Arm)] {
            let good = answered(question, 4711);
            assert_eq!(question.answer(&good), Some(4711));
            assert_eq!(question.answer(&question.message()), None, "not answered at all");
            for (word, value) in [(1, 0x8000_0001), (2, 9), (4, 0), (4, ANSWERED | 2)] {
                let mut bad = good;
                bad[word] = value;
                assert_eq!(question.answer(&bad), None, "word {word} is {value:#x}");
            }
        }
        let other = answered(Question::Rate(Clock::Uart), 48_000_000);
        assert_eq!(Question::Rate(Clock::Arm).answer(&other), None, "of another clock");
        assert_eq!(Question::Rate(Clock::Arm).answer(&answered(Question::Rate(Clock::Arm), 0)), None);
    }
}
