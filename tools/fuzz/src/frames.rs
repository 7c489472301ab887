//! The chain loader's line: whatever comes over it, the receiver answers or ignores it, and starts nothing but an image
//! whose checksum is right.
//!
//! The input is bytes of the line. So that the search gets behind the checksums of frames, a byte `0xff` followed by a
//! kind, a number and a length stands for a whole frame with as much of what follows as its payload.
#![no_main]

use asphodel_core::boot::transfer::{Board, CHECKSUM, Decoder, Frame, Receiver, Reply};
use libfuzzer_sys::fuzz_target;

/// Bytes of memory for an image.
const ROOM: usize = 1 << 16;

struct Memory {
    bytes: Vec<u8>,
    length: usize,
}

impl Board for Memory {
    fn prepare(&mut self, length: usize) -> bool {
        self.length = length;
        length <= self.bytes.len()
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn can_start(&mut self, length: usize) -> bool {
        assert_eq!(length, self.length);
        true
    }

    fn can_talk(&self, speed: u32) -> bool {
        speed < 1_000_000
    }
}

fuzz_target!(|line: &[u8]| {
    let mut receiver = Receiver::new(Memory { bytes: vec![0; ROOM], length: 0 });
    let mut decoder = Decoder::new();
    let mut noise = 0_usize;
    let mut take = |frame: &Frame| {
        let reply = receiver.take(frame);
        if let Some(reply) = reply {
            assert_eq!(Reply::read(&reply.frame()), Some(reply), "a reply can be read");
        }
        reply == Some(Reply::Starting)
    };
    let mut rest = line;
    let mut started = false;
    // After the reply that the image starts, nothing more is taken.
    while let [first, tail @ ..] = rest
        && !started
    {
        rest = tail;
        let mut bytes = vec![*first];
        if let (0xff, [kind, number, length, payload @ ..]) = (*first, tail) {
            let (payload, tail) = payload.split_at(payload.len().min(usize::from(*length)));
            bytes = Frame::new(*kind, u32::from(*number), payload).bytes().to_vec();
            rest = tail;
        }
        let frames = bytes.into_iter().filter_map(|byte| decoder.push(byte, &mut |_| noise += 1));
        started = frames.map(|frame| take(&frame)).any(|starts| starts);
    }
    while !started && let Some(frame) = decoder.quiet(&mut |_| noise += 1) {
        started = take(&frame);
    }
    if started {
        let (mut memory, length) = receiver.into_image().expect("an image that is started has come");
        let _checksum = CHECKSUM.checksum(&memory.bytes()[..length]);
    }
});
