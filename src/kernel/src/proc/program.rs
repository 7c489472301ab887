//! Programs: named entry points of the image.

use core::fmt;

use linkme::distributed_slice;

/// A program: what a process runs. There is no file to load it from; it is linked with the kernel.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its name, for `spawn` by name and for `ps`.
    pub name: &'static str,
    /// What its first LWP calls. The value it returns is the exit code.
    pub entry: fn(&Arguments<'_>) -> i32,
}

impl Program {
    /// A program that need not be registered.
    #[must_use]
    pub const fn new(name: &'static str, entry: fn(&Arguments<'_>) -> i32) -> Self {
        Self { name, entry }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({})", self.name)
    }
}

/// Programs that can be spawned by name. Use [`program!`](crate::program) to add one.
#[distributed_slice]
pub static PROGRAMS: [Program];

/// Finds a registered program. Any context.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

/// All registered programs, in no particular order. Any context.
#[must_use]
pub fn all() -> &'static [Program] {
    &PROGRAMS
}

/// The words a program was started with.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// The words, joined by zero bytes.
    pub(crate) joined: &'a str,
    /// A number for entry functions that need no words.
    pub(crate) number: usize,
}

impl<'a> Arguments<'a> {
    /// The words, without the program's name.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let joined = self.joined;
        joined.split('\0').filter(move |_| !joined.is_empty())
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
            #[$crate::linkme::distributed_slice($crate::proc::program::PROGRAMS)]
            #[linkme(crate = $crate::linkme)]
            static PROGRAM: $crate::proc::program::Program =
                $crate::proc::program::Program::new($name, $entry);
        };
    };
}
