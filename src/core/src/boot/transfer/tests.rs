//! Both sides over a line that loses, changes, doubles and adds bytes.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// The most that the line can.
const FAST: u32 = 3_000_000;

/// Memory of the host in the place of the board's.
#[derive(Default)]
struct Room(Vec<u8>);

impl Board for Room {
    fn can_talk(&self, speed: u32) -> bool {
        speed <= FAST
    }
    fn prepare(&mut self, length: usize) -> bool {
        self.0 = std::vec![0; length];
        length < 1 << 20
    }
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
    fn can_start(&mut self, length: usize) -> bool {
        memory_size(&self.0[..length]).is_some()
    }
}

/// An arm64 Image of that many bytes.
fn image(length: usize) -> Vec<u8> {
    let mut image: Vec<u8> = (0..length).map(|at| (at * 31 + at / 251) as u8).collect();
    image[0x10..0x18].copy_from_slice(&(length as u64 + 4096).to_le_bytes());
    image[0x38..0x3c].copy_from_slice(MAGIC);
    image
}

/// All frames in some bytes, and what is none.
fn decode(decoder: &mut Decoder, bytes: &[u8]) -> (Vec<Frame>, Vec<u8>) {
    let mut noise = Vec::new();
    let frames = bytes.iter().filter_map(|byte| decoder.push(*byte, &mut |byte| noise.push(byte))).collect();
    (frames, noise)
}

/// What happens to a piece of the line.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    Lost,
    Twice,
    Flipped(usize),
    Cut(usize),
    Behind(u8),
}

fn suffer(bytes: &[u8], fate: Fate) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match fate {
        Fate::Whole => {}
        Fate::Lost => bytes.clear(),
        Fate::Twice => bytes.extend(bytes.clone()),
        Fate::Flipped(at) => {
            let at = at % bytes.len();
            bytes[at] ^= 0x10;
        }
        Fate::Cut(at) => {
            bytes.remove(at % bytes.len());
        }
        // A mark and the header of the longest frame: hides what follows.
        Fate::Behind(byte) => drop(bytes.splice(0..0, [byte, 0xa5, 0x5a, 2, 0, 0, 0, 0, 0, 4])),
    }
    bytes
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Whole),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => any::<usize>().prop_map(Fate::Flipped),
        1 => any::<usize>().prop_map(Fate::Cut),
        1 => any::<u8>().prop_map(Fate::Behind),
    ]
}

/// Sends, each frame and each reply with the next of the fates, after which the line is good; the steps that it took. Where
/// the sides have different speeds nothing comes over, and both go back after a while: the board first, as it must.
fn send(sender: &mut Sender<'_>, receiver: &mut Receiver<Room>, fates: &[Fate]) -> usize {
    let mut fates = fates.iter().copied().chain(std::iter::repeat(Fate::Whole));
    let (mut here, mut there) = (Decoder::new(), Decoder::new());
    let (mut silent_turns, mut unanswered) = (0, 0);
    for steps in 0..10_000 {
        let Some(frame) = sender.frame() else { return steps };
        let sent = suffer(&frame.bytes(), fates.next().unwrap());
        let speed = sender.speed();
        let (mut frames, _) =
            if speed == receiver.speed() { decode(&mut there, &sent) } else { Default::default() };
        frames.extend(std::iter::from_fn(|| there.quiet(&mut |_| ())));
        silent_turns = if frames.is_empty() { silent_turns + 1 } else { 0 };
        if silent_turns == 3 {
            receiver.fall_back();
            silent_turns = 0;
        }
        unanswered += 1;
        if unanswered == 5 {
            sender.announce_again();
            unanswered = 0;
        }
        for frame in frames {
            let at = receiver.speed();
            let Some(reply) = receiver.take(&frame) else { continue };
            let answered = suffer(&reply.frame().bytes(), fates.next().unwrap());
            let (mut replies, _) =
                if at == speed { decode(&mut here, &answered) } else { Default::default() };
            replies.extend(std::iter::from_fn(|| here.quiet(&mut |_| ())));
            for reply in replies {
                if sender.take(Reply::read(&reply).unwrap()) {
                    unanswered = 0;
                }
            }
        }
    }
    panic!("it does not end: {:?}", sender.step());
}

#[test]
fn a_frame_is_found_between_text_and_half_frames() {
    let frame = Frame::new(2, 7, b"payload \xa5\x5a");
    let mut line = b"text\xa5".to_vec();
    line.extend(&frame.bytes()[..12]);
    line.extend(&frame.bytes());
    line.extend(b"more\n");
    let mut decoder = Decoder::new();
    let (mut frames, _) = decode(&mut decoder, &line);
    frames.extend(std::iter::from_fn(|| decoder.quiet(&mut |_| ())));
    assert_eq!(frames, [frame]);
}

#[test]
fn text_goes_by_unchanged() {
    let mut decoder = Decoder::new();
    let (frames, noise) = decode(&mut decoder, b"asphodel 0.1.0\r\n");
    assert!(frames.is_empty());
    assert_eq!(noise, b"asphodel 0.1.0\r\n");
}

#[test]
fn a_good_line_needs_one_frame_for_each_chunk() {
    let image = image(2 * MAX_PAYLOAD + 1);
    let mut sender = Sender::new(&image, 5, 0).unwrap();
    let mut receiver = Receiver::new(Room::default());
    assert_eq!(send(&mut sender, &mut receiver, &[]), 1 + 3 + 1);
    assert_eq!(sender.step(), Step::Started);
}

#[test]
fn a_board_that_is_started_anew_gets_all_again() {
    let image = image(3 * MAX_PAYLOAD);
    let mut sender = Sender::new(&image, 5, 0).unwrap();
    let mut receiver = Receiver::new(Room::default());
    for _ in 0..2 {
        sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
    }
    assert_eq!(sender.step(), Step::Sending(1));
    let mut receiver = Receiver::new(Room::default());
    send(&mut sender, &mut receiver, &[]);
    assert_eq!(receiver.into_image().unwrap().0.0, image);
}

#[test]
fn what_cannot_be_started_is_refused() {
    for (bytes, refusal) in [(std::vec![1; 100], Refusal::NoImage), (image(1 << 20), Refusal::NoMemory)] {
        let mut sender = Sender::new(&bytes, 1, 0).unwrap();
        send(&mut sender, &mut Receiver::new(Room::default()), &[]);
        assert_eq!(sender.step(), Step::Refused(refusal));
    }
}

#[test]
fn a_speed_that_the_line_cannot_have_is_refused() {
    let image = image(100);
    let mut sender = Sender::new(&image, 1, FAST + 1).unwrap();
    let mut receiver = Receiver::new(Room::default());
    send(&mut sender, &mut receiver, &[]);
    assert_eq!(sender.step(), Step::Refused(Refusal::Speed));
    assert_eq!((sender.speed(), receiver.speed()), (None, None));
}

#[test]
fn both_sides_change_speed_with_the_answer_and_find_each_other_again() {
    let image = image(3 * MAX_PAYLOAD);
    let mut sender = Sender::new(&image, 1, FAST).unwrap();
    let mut receiver = Receiver::new(Room::default());
    assert_eq!((sender.speed(), receiver.speed()), (None, None));
    for _ in 0..2 {
        sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
        assert_eq!((sender.speed(), receiver.speed()), (Some(FAST), Some(FAST)));
    }
    receiver.fall_back();
    sender.announce_again();
    assert_eq!((sender.step(), sender.speed(), receiver.speed()), (Step::Announcing, None, None));
    sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
    assert_eq!((sender.step(), receiver.speed()), (Step::Sending(1), Some(FAST)));
}

#[test]
fn a_wrong_image_is_never_started() {
    let image = image(2 * MAX_PAYLOAD);
    let mut sender = Sender::new(&image, 1, 0).unwrap();
    let mut receiver = Receiver::new(Room::default());
    sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
    // A chunk of another image, as it may come late from an earlier session.
    receiver.take(&Frame::new(sender::DATA, 0, &[9; MAX_PAYLOAD])).unwrap();
    sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
    while sender.step() != Step::Starting {
        sender.take(receiver.take(&sender.frame().unwrap()).unwrap());
    }
    let reply = receiver.take(&sender.frame().unwrap()).unwrap();
    assert_eq!(reply, Reply::Refuse(Refusal::WrongChecksum));
    sender.take(reply);
    send(&mut sender, &mut receiver, &[]);
    assert_eq!(receiver.into_image().unwrap().0.0, image);
}

proptest! {
    #[test]
    fn an_image_comes_whole_over_a_bad_line(
        length in 64usize..6000,
        speed in prop_oneof![Just(0), Just(FAST)],
        fates in proptest::collection::vec(fate(), 0..60),
    ) {
        let image = image(length);
        let mut sender = Sender::new(&image, 77, speed).unwrap();
        let mut receiver = Receiver::new(Room::default());
        send(&mut sender, &mut receiver, &fates);
        prop_assert_eq!(sender.step(), Step::Started);
        prop_assert_eq!(receiver.into_image().unwrap().0.0, image);
    }

    #[test]
    fn noise_is_no_frame_and_breaks_nothing(noise in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let mut decoder = Decoder::new();
        let (frames, mut seen) = decode(&mut decoder, &noise);
        prop_assert!(frames.is_empty());
        prop_assert_eq!(decoder.quiet(&mut |byte| seen.push(byte)), None);
        prop_assert_eq!(seen, noise);
    }
}
