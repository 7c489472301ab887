//! Random bytes: one generator for the whole system.
//!
//! It is ChaCha20, which takes a new key out of its own output after every call, so that earlier output cannot be
//! computed later. Its first key is the SHA-256 of everything that is known at boot:
//!
//! - what the loader has drawn for this boot: `rng-seed` and `kaslr-seed` of the device tree (QEMU's `virt`, the Pi's
//!   firmware). This alone makes it strong;
//! - the counter, the date, and the duration of some memory accesses. A board that passes no device tree (QEMU's
//!   `raspi4b`) has nothing else, which suffices for hash tables but not for keys.
//!
//! With the boot argument `seed=N`, which serves to repeat a run exactly, the key is made from N alone.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use spin::Once;

use crate::arch::lock::InterruptLock;
use crate::arch::{counter, cpu};
use crate::board::{self, BoardInfo};
use crate::time::realtime;

/// Most bytes that are drawn at once, with interrupts masked.
const CHUNK: usize = 256;
/// Number of memory accesses whose duration is measured.
const SAMPLES: usize = 256;

static GENERATOR: Once<InterruptLock<ChaCha20Rng>> = Once::new();

/// Makes the first key. Called once, on the boot CPU.
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

/// Fills `bytes` with random bytes. Any context that may take a spin lock; never blocks.
///
/// # Panics
/// Before the system has started.
pub fn fill(bytes: &mut [u8]) {
    cpu::probe_small_stack();
    let generator = GENERATOR.get().expect("the generator is made at boot");
    for chunk in bytes.chunks_mut(CHUNK) {
        let mut generator = generator.lock();
        generator.fill_bytes(chunk);
        let mut key = [0; 32];
        generator.fill_bytes(&mut key);
        *generator = ChaCha20Rng::from_seed(key);
    }
    cpu::mark_end_of_small_service();
}
