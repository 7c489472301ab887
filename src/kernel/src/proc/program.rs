//! Programs: the code of processes, by name. Some are linked with the kernel, others are loaded from the payload.

use core::fmt;

use alloc::boxed::Box;
use linkme::distributed_slice;
use spin::Once;

use crate::mem::program::Image;

/// A program that a process can run.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its name, for `spawn` by name and for `ps`.
    pub name: &'static str,
    /// The function that its first LWP calls. The value it returns is the exit code.
    pub entry: fn(&Arguments<'_>) -> i32,
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
