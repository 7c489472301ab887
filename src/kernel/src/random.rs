//! Random bytes: one generator for the whole system.
//!
//! ChaCha20, which takes a new key out of its own output after every call, so that what was drawn before cannot be
//! found out later. Its first key is the SHA-256 of all that is known at boot:
//!
//! - what the loader has drawn for this boot: `rng-seed` and `kaslr-seed` of the device tree (QEMU's `virt`, the Pi's
//!   firmware). This alone makes it strong;
//! - the counter, the date, and how long some memory accesses took. A board that passes no device tree (QEMU's `raspi4b`)
//!   has nothing else: good enough for hash tables, not for keys.
//!
//! With the boot argument `seed=N`, which is there to repeat a run exactly, the key is made from N alone.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use spin::Once;

use crate::arch::counter;
use crate::arch::lock::InterruptLock;
use crate::board::{self, BoardInfo};
use crate::time::realtime;

/// Most bytes that are drawn at once, with interrupts masked.
const CHUNK: usize = 256;
/// How often the time of a memory access is taken.
const SAMPLES: usize = 256;

static GENERATOR: Once<InterruptLock<ChaCha20Rng>> = Once::new();

/// Makes the first key. Once, on the boot CPU.
pub(crate) fn init(board: &BoardInfo) {
    let mut key = Sha256::new();
    match board::boot_argument("seed") {
        Some(seed) => key.update(seed.as_bytes()),
        None => {
            key.update(&board.entropy);
            key.update(realtime::realtime_ns().to_le_bytes());
            for _ in 0..SAMPLES {
                key.update(counter::now().to_le_bytes());
            }
        }
    }
    GENERATOR.call_once(|| InterruptLock::new(ChaCha20Rng::from_seed(key.finalize().into())));
}

/// Fills `bytes` with random ones. Any context that may take a spin lock; never blocks.
///
/// # Panics
/// Before the system has started.
pub fn fill(bytes: &mut [u8]) {
    let generator = GENERATOR.get().expect("the generator is made at boot");
    for chunk in bytes.chunks_mut(CHUNK) {
        let mut generator = generator.lock();
        generator.fill_bytes(chunk);
        let mut key = [0; 32];
        generator.fill_bytes(&mut key);
        *generator = ChaCha20Rng::from_seed(key);
    }
}
