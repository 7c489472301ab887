//! The start of a loaded program: the code of its first LWP before its entry.

use core::ffi::{c_char, c_int};

use alloc::vec::Vec;
use spin::Once;

use super::shared::Process;
use super::tls::Block;
use crate::console::kernel_println;
use crate::mem::{arena, fallible};
use crate::proc::state::program::Arguments;
use crate::proc::state::table::current_process;
use crate::sync::program_code;
use crate::thread::Thread;

/// A loaded program's entry: `runtime_entry` of Rust's `std`. Words and environment are C strings, in lists that end
/// with null, and are never freed.
type Entry = extern "C" fn(c_int, *const *const c_char, *const *const c_char) -> !;

/// Exit code of a program that cannot be started: `EX_OSERR` of sysexits(3).
const REFUSED: i32 = 71;

static ENVIRONMENT: Once<&'static str> = Once::new();

/// Sets the environment of every loaded program: lines of the form `NAME=VALUE`. Called once, at boot.
pub(crate) fn set_environment(lines: &'static str) {
    ENVIRONMENT.call_once(|| lines);
}

/// Entry of every loaded program's first LWP: enters the program, which ends the process itself. Program code: its
/// allocations lie in the process's arena, and are freed with it.
pub(crate) fn run(arguments: &Arguments<'_>) -> i32 {
    let process = current_process();
    let name = process.executable.program().name;
    let arena = process.resources.arena();
    let (Some((image, base)), Some(words)) =
        (arena::program_of(arena), Strings::new(core::iter::once(name).chain(arguments.words())))
    else {
        return refuse(name);
    };
    let variables = ENVIRONMENT.get().copied().unwrap_or("").lines().filter(|line| line.contains('='));
    let (Some(environment), Some(shared)) =
        (Strings::new(variables), fallible::boxed(Process::new(image, base, arena)))
    else {
        return refuse(name);
    };
    let shared: &'static Process = alloc::boxed::Box::leak(shared);
    let stack = Thread::current().present_stack();
    let (Some(()), Some(block)) = (shared.threads.add_stack(stack), Block::new(shared)) else {
        return refuse(name);
    };
    block.enter();
    core::mem::forget(block);
    // SAFETY: the plan has checked that the entry lies in the program's text, which is mapped at `base`.
    let entry = unsafe { core::mem::transmute::<usize, Entry>(base + image.entry()) };
    program_code::call(|| entry(words.count, words.list, environment.list))
}

fn refuse(name: &str) -> i32 {
    kernel_println!("{name}: there is no memory to start it");
    REFUSED
}

/// A list of C strings that is never freed.
struct Strings {
    list: *const *const c_char,
    count: c_int,
}

impl Strings {
    /// Returns a copy of these words; `None` if there is no memory.
    #[expect(clippy::disallowed_methods, reason = "all of the room is reserved first")]
    fn new<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let (count, length) =
            words.clone().fold((0, 0), |(count, length), word| (count + 1, length + word.len() + 1));
        let (mut bytes, mut list) = (Vec::<u8>::new(), Vec::new());
        bytes.try_reserve_exact(length).ok()?;
        list.try_reserve_exact(count + 1).ok()?;
        for word in words {
            // The reserved room suffices, so the bytes do not move any more.
            list.push(bytes.as_ptr().wrapping_add(bytes.len()).cast::<c_char>());
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(0);
        }
        list.push(core::ptr::null());
        bytes.leak();
        Some(Self { list: list.leak().as_ptr(), count: c_int::try_from(count).ok()? })
    }
}
