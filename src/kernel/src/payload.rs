//! The payload: what was appended to the image, a tar archive with programs to load and files.
//!
//! `cargo xtask` makes it; `arch::mmu` returns where it lies. It is read once, before process 1 is started. Members
//! that are not regular files only align programs to pages; the others are:
//!
//! | name | what |
//! |---|---|
//! | `bin/NAME` | a program, an ELF that begins on a page |
//! | `etc/autorun` | lines `NAME WORDS...`: programs for process 1 to run instead of the console |
//! | all others | files, by their names; the ones above are files, too |
//! | `etc/environment` | lines `NAME=VALUE`: what every loaded program finds in its environment |

use alloc::boxed::Box;
use alloc::vec::Vec;
use spin::Once;

use asphodel_core::errno::Errno;
use tar_no_std::TarArchiveRef;

use crate::arch::{cache, mmu};
use crate::console::kernel_println;
use crate::hermit::{start, symbols};
use crate::mem::fallible;
use crate::mem::program::Image;
use crate::proc::state::files;
use crate::proc::state::program::{self, Arguments, Program};
use crate::proc::state::table::current_process;

/// The prefix of the names of programs.
const PROGRAMS: &str = "bin/";

static AUTORUN: Once<&'static str> = Once::new();

/// Lines `NAME WORDS...` for process 1 to run, if the payload has any.
#[must_use]
pub fn autorun() -> Option<&'static str> {
    AUTORUN.get().copied()
}

/// Reads the payload, if there is one, and reports its errors. Called once, in thread context.
///
/// # Errors
/// `ENOMEM`.
#[expect(clippy::disallowed_methods, reason = "room is reserved first")]
pub(crate) fn read() -> Result<(), Errno> {
    let bytes = bytes();
    if bytes.is_empty() {
        return Ok(());
    }
    let archive = match TarArchiveRef::new(bytes) {
        Ok(archive) => archive,
        Err(error) => {
            kernel_println!("asphodel: what lies behind the image is no archive: {error}");
            return Ok(());
        }
    };
    // The loader has written the programs as data.
    cache::forget_instructions();
    let mut programs = Vec::new();
    for entry in archive.entries() {
        let name = entry.filename();
        let Ok(name) = name.as_str() else { continue };
        match name {
            "etc/autorun" => set_text(name, entry.data(), |text| {
                AUTORUN.call_once(|| text);
            }),
            "etc/environment" => set_text(name, entry.data(), start::set_environment),
            _ => {}
        }
        if let Err(error) = files::add(name, entry.data()) {
            kernel_println!("asphodel: file {name} of the payload is left out: {error}");
        }
        let Some(name) = name.strip_prefix(PROGRAMS).filter(|name| !name.is_empty()) else { continue };
        let name: &'static str = Box::leak(Box::from(name));
        programs.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        programs.push(match Image::new(entry.data(), symbols::find) {
            Ok(image) => {
                let image: &'static Image = Box::leak(fallible::boxed(image).ok_or(Errno::ENOMEM)?);
                Program::loadable(name, start::run, image)
            }
            Err(refusal) => {
                kernel_println!("asphodel: program {name} cannot be loaded: {refusal}");
                // A linked program of the same name must not run instead.
                Program::new(name, not_loadable)
            }
        });
    }
    program::add_loadable(programs.into_boxed_slice());
    Ok(())
}

/// Exit code of a program that exists but cannot be run, as of shells.
const NOT_RUNNABLE: i32 = 126;

/// Runs in place of a program that could not be loaded; the reason was printed at boot.
fn not_loadable(_: &Arguments<'_>) -> i32 {
    kernel_println!("{}: it could not be loaded", current_process().executable.program().name);
    NOT_RUNNABLE
}

/// Passes the text of a member on, or reports that it is not text.
fn set_text(name: &str, data: &'static [u8], set: impl FnOnce(&'static str)) {
    match core::str::from_utf8(data) {
        Ok(text) => set(text),
        Err(_) => kernel_println!("asphodel: {name} is no text"),
    }
}

/// Returns all of it.
fn bytes() -> &'static [u8] {
    let range = mmu::payload_range();
    if range.is_empty() {
        return &[];
    }
    // SAFETY: mapped read-only for good, and not part of the memory that the allocators get.
    unsafe { core::slice::from_raw_parts(mmu::linear(range.start), (range.end - range.start) as usize) }
}
