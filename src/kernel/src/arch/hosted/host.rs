//! What the machine asks of the host besides memory: output, threads, and its own end.

use core::fmt::{self, Write};
use core::mem::MaybeUninit;

use crate::arch::layout::PAGE_SIZE;

/// Exit status if the host cannot be the machine: `EX_OSERR` of sysexits(3).
const NO_MACHINE: i32 = 71;
/// Exit status for words that are not understood: `EX_USAGE`.
const USAGE: i32 = 64;

/// The signal that interrupts a CPU.
pub(super) const INTERRUPT: i32 = libc::SIGUSR1;

/// Text that goes to the host's standard output or error.
pub(super) struct Output(pub(super) i32);

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(self.0, text.as_bytes());
        Ok(())
    }
}

/// Writes all of `bytes` to a file of the host.
pub(crate) fn write(file: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are readable.
        let count = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count) => bytes = &bytes[count..],
            // SAFETY: the address of the calling thread's error number.
            Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
            // The reader of a pipe has closed it: there is no place to report that.
            Err(_) => return,
        }
    }
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: ends all threads; nothing of this process is needed any more.
    unsafe { libc::_exit(status) }
}

/// Prints why the host cannot be the machine, and ends the process.
pub(super) fn give_up(why: &str) -> ! {
    give_up_with(NO_MACHINE, format_args!("{why}"))
}

/// Prints what is wrong with the words of the command line, and ends the process.
pub(super) fn refuse(why: fmt::Arguments<'_>) -> ! {
    give_up_with(USAGE, why)
}

fn give_up_with(status: i32, why: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Output(libc::STDERR_FILENO), "asphodel: {why}");
    exit(status)
}

/// Writes a line to standard output.
pub(super) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(Output(libc::STDOUT_FILENO), "{line}");
}

/// Starts a host thread. Returns `false` if the host refuses.
pub(crate) fn spawn(
    entry: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    argument: *mut libc::c_void,
) -> bool {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the first call initializes it before any other use; the size is a multiple of the page size.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), 64 * PAGE_SIZE);
        libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), entry, argument) == 0
    }
}
