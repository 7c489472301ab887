//! `main` of an image that runs on a host: the words of the command line, and the way into the kernel.
//!
//! All words are boot arguments. These are the machine's own:
//!
//! | word | what |
//! |---|---|
//! | `cpus=N` | CPUs, 4 if it is not given |
//! | `memory=N` | RAM in MiB, 1,024 if it is not given |
//! | `explore=SEED` | explore mode, decided by that number; run mode without it |
//! | `points=N` | explore mode: the run ends as a violation after so many points |
//! | `trace=events` | a line for each event of the kernel |
//! | `buffers=0`, `buffers=1` | explore mode: whether stores may become visible late; without it, odd seeds do |

use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use heapless::String;

use super::cpus::{self, Mode};
use super::{explore, memory, observe, run, signal};
use crate::arch::layout::PAGE_SIZE;

/// Status of a run that has shown a violation.
const VIOLATION: i32 = 70;
/// Status of a host that cannot be the machine: `EX_OSERR` of sysexits(3).
const NO_MACHINE: i32 = 71;
/// Status of words that cannot be understood: `EX_USAGE`.
const USAGE: i32 = 64;

/// Longest line of words, in bytes: what a board's boot arguments may be.
const LINE: usize = asphodel_core::board::MAX_BOOT_ARGUMENTS;

/// The words, as one line.
static WORDS: spin::Once<String<LINE>> = spin::Once::new();

/// The exception level at which the image was entered.
static LEVEL: AtomicU64 = AtomicU64::new(0);

/// Keeps the level at which the image was entered. For the boot code, once.
pub(crate) fn set_level(level: u64) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// The exception level at which the image was entered: 0 here. Any context.
#[must_use]
pub(crate) fn level() -> u64 {
    LEVEL.load(Ordering::Relaxed)
}

/// The words of the command line.
pub(crate) fn words() -> &'static str {
    WORDS.get().map_or("", |line| line.as_str())
}

/// The value of the word `key=value`, before the words of a program.
fn value(key: &str) -> Option<&'static str> {
    let words = words().split_ascii_whitespace().take_while(|word| *word != "--");
    words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn number(key: &str, default: u64) -> u64 {
    match value(key).map(str::parse) {
        None => default,
        Some(Ok(number)) => number,
        Some(Err(_)) => give_up_with(USAGE, format_args!("{key}= takes a number")),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: i32, words: *const *const c_char) -> i32 {
    // SAFETY: the C library passes so many words.
    let words = unsafe { core::slice::from_raw_parts(words, count as usize) };
    let mut line = String::<LINE>::new();
    for word in words.iter().skip(1) {
        // SAFETY: each is a string that ends with a zero, and stays.
        let word = unsafe { CStr::from_ptr(*word) }.to_str().unwrap_or("");
        let separator = if line.is_empty() { "" } else { " " };
        if line.push_str(separator).and_then(|()| line.push_str(word)).is_err() {
            give_up_with(USAGE, format_args!("more than {LINE} bytes of words"));
        }
    }
    WORDS.call_once(|| line);
    enter()
}

/// Makes the machine that the words describe, and enters the kernel as its boot CPU.
fn enter() -> ! {
    unsafe extern "C" {
        /// Where the kernel begins (`boot`): what the loader passed, where the image lies, the level it is entered at.
        safe fn kernel_main(argument: u64, image: u64, level: u64) -> !;
    }
    let cpus = number("cpus", 4);
    if cpus == 0 || cpus as usize > cpus::MAX_CPUS {
        give_up_with(USAGE, format_args!("cpus= takes 1 to {}", cpus::MAX_CPUS));
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

/// Text that goes to the host's standard output or error.
struct Output(i32);

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(self.0, text.as_bytes());
        Ok(())
    }
}

/// Writes all of `bytes` to a file of the host.
pub(crate) fn write(file: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are there.
        let count = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count) => bytes = &bytes[count..],
            // SAFETY: the address of the calling thread's error number.
            Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
            // A pipe that nobody reads: there is nobody to tell.
            Err(_) => return,
        }
    }
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: ends all threads; nothing of this process is needed any more.
    unsafe { libc::_exit(status) }
}

/// Says why the host cannot be the machine, and ends the process.
pub(super) fn give_up(why: &str) -> ! {
    give_up_with(NO_MACHINE, format_args!("{why}"))
}

fn give_up_with(status: i32, why: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Output(libc::STDERR_FILENO), "asphodel: {why}");
    exit(status)
}

/// Writes a line to standard output.
pub(super) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(Output(libc::STDOUT_FILENO), "{line}");
}

/// Says that an exploration has shown a violation.
pub(super) fn tell_violation(what: fmt::Arguments<'_>) {
    let (steps, switches) = explore::figures();
    let mut out = Output(libc::STDOUT_FILENO);
    let _ = writeln!(out, "VIOLATION: {what}");
    let _ = writeln!(out, "after {steps} points of interleaving and {switches} switches between CPUs");
}

/// Ends an exploration that has shown a violation, with the words that show it again.
pub(super) fn end_over_violation() -> ! {
    let _ = writeln!(Output(libc::STDOUT_FILENO), "replay: {}", words());
    exit(VIOLATION)
}

/// Says what an exploration has done that ends well.
pub(crate) fn tell_figures() {
    if cpus::mode() == Mode::Explore {
        let (steps, switches) = explore::figures();
        let mut out = Output(libc::STDOUT_FILENO);
        let _ = writeln!(out, "explored: {steps} points of interleaving, {switches} switches between CPUs");
    }
}

/// Random bytes for the first key of the kernel's generator; under exploration none.
pub(crate) fn entropy() -> heapless::Vec<u8, { asphodel_core::board::MAX_ENTROPY }> {
    let mut bytes = [0; 32];
    if is_explored() {
        return heapless::Vec::new();
    }
    // SAFETY: the bytes are there to be written.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    bytes[..usize::try_from(count).unwrap_or(0)].iter().copied().collect()
}

/// Whether the machine is in explore mode.
pub(crate) fn is_explored() -> bool {
    cpus::mode() == Mode::Explore
}

const _: () = assert!(PAGE_SIZE == 4096, "the host's pages, too");

/// The unwinder's, which nothing here needs: the library is compiled with unwinding, the kernel is not.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

// The C library and the compiler's own, which no crate without `std` asks for.
#[link(name = "c")]
#[link(name = "gcc_s")]
unsafe extern "C" {}
