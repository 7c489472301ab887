//! The tests of the image, and the macros that register them.

use core::fmt::Debug;

use asphodel::api::println;
use linkme::distributed_slice;

/// How long a test may take if it has no other deadline, in milliseconds of machine time. It is generous, because an
/// emulator is slow.
pub const DEADLINE_MS: u64 = 10_000;

/// A test: made by [`test!`](crate::test).
#[derive(Debug)]
pub struct Test {
    /// The name of its function.
    pub name: &'static str,
    /// Where it is in the source, because tests run in this order.
    pub place: (&'static str, u32),
    /// How long it may take, in milliseconds of machine time.
    pub deadline_ms: u64,
    /// Its code; returns `false` after it has reported why it failed.
    pub body: fn() -> bool,
}

/// All tests of the image, in arbitrary order.
#[distributed_slice]
pub static TESTS: [Test];

/// The type that a test's function may return.
pub trait Outcome {
    /// Returns whether it is a success; prints on the console what it is if not.
    fn succeeded(self) -> bool;
}

impl Outcome for () {
    fn succeeded(self) -> bool {
        true
    }
}

impl<E: Debug> Outcome for Result<(), E> {
    fn succeeded(self) -> bool {
        match self {
            Ok(()) => true,
            Err(error) => {
                println!("# error: {error:?}");
                false
            }
        }
    }
}

/// Registers a test: `test!(name, { body })`. Before the body there may be `deadline_ms = N`, and after the name `->
/// Result<(), Error>` for a body that uses `?`.
#[macro_export]
macro_rules! test {
    ($(#[$meta:meta])* $name:ident $(-> $result:ty)?, $body:block) => {
        $crate::test!($(#[$meta])* $name $(-> $result)?, deadline_ms = $crate::DEADLINE_MS, $body);
    };
    ($(#[$meta:meta])* $name:ident $(-> $result:ty)?, deadline_ms = $deadline:expr, $body:block) => {
        $(#[$meta])*
        fn $name() $(-> $result)? $body

        const _: () = {
            #[$crate::linkme::distributed_slice($crate::TESTS)]
            #[linkme(crate = $crate::linkme)]
            static TEST: $crate::Test = $crate::Test {
                name: ::core::stringify!($name),
                place: (::core::file!(), ::core::line!()),
                deadline_ms: $deadline,
                body: || $crate::Outcome::succeeded($name()),
            };
        };
    };
}
