//! Files of the host, in which this machine is a process.

use core::ffi::CStr;

/// Fills `bytes` from the beginning of a file of the host. Returns `None` if there is no such file, or it is shorter.
pub fn read_file(path: &CStr, bytes: &mut [u8]) -> Option<()> {
    // SAFETY: the path ends with a zero, and the bytes are writable.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let count = libc::read(file, bytes.as_mut_ptr().cast(), bytes.len());
        libc::close(file);
        (usize::try_from(count) == Ok(bytes.len())).then_some(())
    }
}
