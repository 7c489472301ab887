//! `main` of an image that runs on a host: the words of the command line, and the way into the kernel.
//!
//! All words are boot arguments. These belong to the machine itself:
//!
//! | word | what |
//! |---|---|
//! | `cpus=N` | CPUs, 4 if it is not given |
//! | `memory=N` | RAM in MiB, 1,024 if it is not given |
//! | `explore=SEED` | explore mode, decided by that number; run mode without it |
//! | `typed=early` | explore mode: standard input is typed, all of it before the kernel reads anything |
//! | `points=N` | explore mode: the run ends as a violation after so many points |
//! | `trace=events` | a line for each event of the kernel |
//! | `buffers=0`, `buffers=1` | explore mode: whether stores may become visible late; without it, odd seeds do |

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use heapless::String;

use super::clock::PROGRESS;
use super::command_line::{self, LINE, number, value};
use super::cpus::{self, Mode};
use super::host::{Output, give_up, refuse};
use super::{explore, memory, observe, run, signal};
use crate::arch::layout::PAGE_SIZE;

/// The exception level at which the image was entered.
static LEVEL: AtomicU64 = AtomicU64::new(0);

/// Records the level at which the image was entered. Called once, by the boot code.
pub(crate) fn set_level(level: u64) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Returns the exception level at which the image was entered: 0 here. Any context.
#[must_use]
pub(crate) fn level() -> u64 {
    LEVEL.load(Ordering::Relaxed)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: i32, words: *const *const c_char) -> i32 {
    // SAFETY: the C library passes this many words.
    let words = unsafe { core::slice::from_raw_parts(words, count as usize) };
    let mut line = String::<LINE>::new();
    for word in words.iter().skip(1) {
        // SAFETY: each is a string that ends with a zero and is never freed.
        let word = unsafe { CStr::from_ptr(*word) }.to_str().unwrap_or("");
        let separator = if line.is_empty() { "" } else { " " };
        if line.push_str(separator).and_then(|()| line.push_str(word)).is_err() {
            refuse(format_args!("more than {LINE} bytes of words"));
        }
    }
    command_line::set(line);
    enter()
}

/// Makes the machine that the words describe, and enters the kernel as its boot CPU.
fn enter() -> ! {
    unsafe extern "C" {
        /// Where the kernel begins (`boot`), with what the loader passed, where the image lies, and the level it is
        /// entered at.
        safe fn kernel_main(argument: u64, image: u64, level: u64) -> !;
    }
    let cpus = number("cpus", 4);
    if cpus == 0 || cpus as usize > cpus::MAX_CPUS {
        refuse(format_args!("cpus= takes 1 to {}", cpus::MAX_CPUS));
    }
    cpus::set_count(cpus as usize);
    if !memory::make(number("memory", 1024) << 20) {
        give_up("the host has no memory for RAM");
    }
    cpus::set_mode(if value("explore").is_some() { Mode::Explore } else { Mode::Run });
    signal::install();
    run::become_cpu(0);
    if value("trace") == Some("events") {
        observe::start_trace();
    }
    if value("explore").is_some() {
        observe::start();
        let seed = number("explore", 0);
        explore::watch_for_silence();
        explore::start(seed, number("points", u64::MAX), number("buffers", seed & 1) != 0);
    }
    kernel_main(0, memory::RAM_BASE, 0)
}

/// Returns whether standard input is typed under exploration.
pub(crate) fn is_typed_early() -> bool {
    value("typed") == Some("early")
}

/// Prints the figures of an exploration that ends without a violation.
pub(crate) fn tell_figures() {
    if cpus::is_explored() {
        let (steps, switches) = PROGRESS.figures();
        let mut out = Output(libc::STDOUT_FILENO);
        let _ = writeln!(out, "explored: {steps} points of interleaving, {switches} switches between CPUs");
    }
}

/// Returns random bytes for the first key of the kernel's generator; none under exploration.
pub(crate) fn entropy() -> heapless::Vec<u8, { asphodel_core::boot::board::MAX_ENTROPY }> {
    let mut bytes = [0; 32];
    if cpus::is_explored() {
        return heapless::Vec::new();
    }
    // SAFETY: the bytes are writable.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    heapless::Vec::from_iter(bytes[..usize::try_from(count).unwrap_or(0)].iter().copied())
}

const _: () = assert!(PAGE_SIZE == 4096, "the host's pages, too");

/// A symbol of the unwinder, which is never called: the library is compiled with unwinding, the kernel is not.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

// The C library, and the compiler's own, which a crate without `std` does not link by itself.
#[link(name = "c")]
#[link(name = "gcc_s")]
unsafe extern "C" {}
