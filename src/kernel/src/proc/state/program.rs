//! Programs: the code of processes, by name. Some are linked with the kernel, others are loaded from the payload.

use core::cell::UnsafeCell;
use core::fmt;

use alloc::boxed::Box;
use alloc::string::String;
use asphodel_core::errno::Errno;
use asphodel_core::proc::lwp_list::LwpList;
use asphodel_core::shim::guarded::Cell64;
use linkme::distributed_slice;
use spin::Once;

use crate::mem::arena;
use crate::mem::program::Image;

/// Most bytes of a program's name. It is part of lines of the system, which are sent in one piece, with the console
/// locked.
const MAX_NAME: usize = 255;

/// Most bytes of words a program can be started with.
pub(crate) const MAX_WORDS: usize = 64 * 1024;

/// Minimal bytes of stack of the first LWP of a loaded program, its pages mapped as they are touched: the usual size
/// for such programs.
pub(crate) const LOADED_STACK: usize = 8 << 20;

/// A program that a process can run.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its name, for `spawn` by name and for `ps`.
    pub name: &'static str,
    /// The function that its first LWP calls. The value it returns is the exit code. Not public: that of a program that is
    /// loaded must run with the image, and another one must not run in the image's arena.
    pub(crate) entry: fn(&Arguments<'_>) -> i32,
    /// The image to load; `None` for a program that is linked with the kernel.
    image: Option<&'static Image>,
}

impl Program {
    /// Makes a program that is linked with the kernel, and need not be registered.
    #[must_use]
    pub const fn new(name: &'static str, entry: fn(&Arguments<'_>) -> i32) -> Self {
        Self { name, entry, image: None }
    }

    /// Makes a program that is loaded; `entry` starts it.
    pub(crate) const fn loadable(
        name: &'static str,
        entry: fn(&Arguments<'_>) -> i32,
        image: &'static Image,
    ) -> Self {
        Self { name, entry, image: Some(image) }
    }

    /// Returns whether it is loaded for each process that runs it, into memory of that process's own.
    #[must_use]
    pub const fn is_loadable(&self) -> bool {
        self.image.is_some()
    }

    /// Refuses a program whose name would be freed with the caller's arena, because the name is shown long after, and one
    /// whose name is too long.
    ///
    /// # Errors
    /// `EFAULT`. `ENAMETOOLONG`.
    pub(crate) fn check_name(&self) -> Result<(), Errno> {
        if arena::contains(self.name.as_ptr() as usize) {
            return Err(Errno::EFAULT);
        }
        if self.name.len() > MAX_NAME { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
    }

    /// Returns the image to load.
    pub(crate) const fn image(&self) -> Option<&'static Image> {
        self.image
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({})", self.name)
    }
}

/// Programs that are linked with the kernel and can be spawned by name. Use [`program!`](crate::program) to add one.
#[distributed_slice]
pub static PROGRAMS: [Program];

static LOADABLE: Once<Box<[Program]>> = Once::new();

/// Registers programs that can be loaded. Called once, at boot, before process 1.
pub(crate) fn add_loadable(programs: Box<[Program]>) {
    LOADABLE.call_once(|| programs);
}

/// Finds a program by name. Of two with one name the loaded one is returned, because a user has added it. Any context.
pub fn find(name: &str) -> Option<&'static Program> {
    all().find(|program| program.name == name)
}

/// Finds a program that is linked with the kernel. Any context.
pub(crate) fn find_linked(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

/// All programs that can be spawned by name, in no particular order. Any context.
pub fn all() -> impl Iterator<Item = &'static Program> {
    LOADABLE.get().into_iter().flatten().chain(PROGRAMS.iter())
}

/// The words a program was started with.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// The words, joined by zero bytes, if there are any.
    pub(crate) joined: Option<&'a str>,
    /// A number for entry functions that need no words.
    pub(crate) number: usize,
}

impl<'a> Arguments<'a> {
    /// The words, without the program's name.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.joined.into_iter().flat_map(|joined| joined.split('\0'))
    }

    /// The word at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.words().nth(index)
    }

    /// The number given in the attributes; 0 if none was.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }
}

/// Returns the words joined by zero bytes, in one piece of memory; `None`: there are none.
///
/// # Errors
/// `E2BIG`: too many bytes. `EINVAL`: a word contains a zero byte. `ENOMEM`.
#[expect(clippy::disallowed_methods, reason = "all of the room is reserved first")]
pub(crate) fn join_words(words: &[&str]) -> Result<Option<Box<str>>, Errno> {
    if words.is_empty() {
        return Ok(None);
    }
    let length = words.iter().map(|word| word.len() + 1).sum::<usize>() - 1;
    if length > MAX_WORDS {
        return Err(Errno::E2BIG);
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Errno::EINVAL);
    }
    let mut joined = String::new();
    joined.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            joined.push('\0');
        }
        joined.push_str(word);
    }
    Ok(Some(joined.into_boxed_str()))
}

/// The part of a process's record for what it runs.
pub(crate) struct Executable {
    program: UnsafeCell<Program>,
    /// A number for the program.
    number: Cell64,
    /// The words it was started with, joined by zero bytes.
    words: UnsafeCell<Option<Box<str>>>,
}

// SAFETY: `program` and `words` are written by the creator before the record is reachable, and by an LWP that has
// become the only one, which holds the LWP list's lock meanwhile. Others read `program` under that lock; its own LWPs
// read it without, because only the writer exists then. `words` are read by its LWPs and taken by the exit owner.
unsafe impl Sync for Executable {}

impl Executable {
    /// A record that is used again needs no reset: [`Executable::set`] is called for each process.
    pub(super) const fn new() -> Self {
        Self {
            program: UnsafeCell::new(Program::new("", |_| 0)),
            number: Cell64::new(0),
            words: UnsafeCell::new(None),
        }
    }

    /// Sets the program. Called by the creator, before the record is reachable, or by the only LWP, which holds the LWP
    /// list's lock.
    pub(crate) fn set(&self, program: Program, words: Option<Box<str>>, number: usize) {
        // SAFETY: see `unsafe impl Sync`.
        let _old_words = unsafe {
            *self.program.get() = program;
            core::mem::replace(&mut *self.words.get(), words)
        };
        self.number.set(number as u64);
    }

    /// Returns the program. Called by the process's own LWPs.
    pub(crate) fn program(&self) -> Program {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { *self.program.get() }
    }

    /// Returns the name of the program. The caller holds the lock of the process's `lwps`.
    pub(crate) fn name(&self, _lwps: &LwpList) -> &'static str {
        // SAFETY: see `unsafe impl Sync`.
        unsafe { (*self.program.get()).name }
    }

    /// Returns what the program was started with. Called by the process's own LWPs.
    pub(crate) fn arguments(&self) -> Arguments<'_> {
        // SAFETY: see `unsafe impl Sync`.
        let joined = unsafe { (*self.words.get()).as_deref() };
        Arguments { joined, number: self.number.get() as usize }
    }

    /// Frees the words. Called by the exit owner.
    pub(crate) fn drop_words(&self) {
        // SAFETY: see `unsafe impl Sync`.
        let words = unsafe { (*self.words.get()).take() };
        drop(words);
    }
}

/// Registers a program: `program!("name", entry)`, where `entry` is a `fn(&Arguments) -> i32`.
#[macro_export]
macro_rules! program {
    ($name:literal, $entry:path) => {
        const _: () = {
            #[$crate::testing::linkme::distributed_slice($crate::testing::PROGRAMS)]
            #[linkme(crate = $crate::testing::linkme)]
            static PROGRAM: $crate::api::Program = $crate::api::Program::new($name, $entry);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_by_zero_bytes() {
        let arguments = Arguments { joined: Some("one\0\0three"), number: 5 };
        assert!(arguments.words().eq(["one", "", "three"]));
        assert_eq!((arguments.get(2), arguments.get(3), arguments.number()), (Some("three"), None, 5));
    }

    #[test]
    fn no_words_are_not_one_empty_word() {
        assert_eq!(Arguments { joined: None, number: 0 }.words().count(), 0);
        assert!(Arguments { joined: Some(""), number: 0 }.words().eq([""]));
    }
}
