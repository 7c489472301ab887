//! Rust panics: the language's way up from any layer.
//!
//! A panic of an LWP ends its process (`proc::life::fault`); any other one is fatal to the system. May be entered in
//! any context, with any lock held.

use core::panic::PanicInfo;

use crate::arch::backtrace::Backtrace;
use crate::arch::daif;
use crate::proc::life::fault;
use crate::shutdown;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fault::panicked(info, daif::masked());
    let location = info.location();
    let file = location.map_or("unknown place", |place| place.file());
    let line = location.map_or(0, |place| place.line());
    shutdown::fatal(format_args!("{}, at {file}:{line}\n{}", info.message(), Backtrace::here()))
}
