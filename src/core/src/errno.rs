//! Error numbers, by their BSD names.

use core::fmt;

/// Why a system call was refused. The discriminant is the BSD number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Errno {
    /// Operation not permitted.
    EPERM = 1,
    /// No such entry: a program that the image does not have, or a file.
    ENOENT = 2,
    /// No such process.
    ESRCH = 3,
    /// Interrupted: the calling LWP is being killed.
    EINTR = 4,
    /// Argument list too long.
    E2BIG = 7,
    /// Bad file: not an open descriptor, or not open for that.
    EBADF = 9,
    /// No child processes.
    ECHILD = 10,
    /// Would deadlock: joining oneself.
    EDEADLK = 11,
    /// Out of memory.
    ENOMEM = 12,
    /// Bad address.
    EFAULT = 14,
    /// Busy: not ended yet, or the caller holds something that it must release first.
    EBUSY = 16,
    /// Exists already.
    EEXIST = 17,
    /// Not a directory.
    ENOTDIR = 20,
    /// A directory, where none may be.
    EISDIR = 21,
    /// Invalid argument.
    EINVAL = 22,
    /// Too many descriptors.
    EMFILE = 24,
    /// Inappropriate for the object.
    ENOTTY = 25,
    /// Too large a file.
    EFBIG = 27,
    /// No space is left for files.
    ENOSPC = 28,
    /// Not seekable.
    ESPIPE = 29,
    /// Try again: a limit is reached, or the process is ending.
    EAGAIN = 35,
    /// Already in that state.
    EALREADY = 37,
    /// Not a socket.
    ENOTSOCK = 38,
    /// Not supported.
    EOPNOTSUPP = 45,
    /// Address family not supported.
    EAFNOSUPPORT = 47,
    /// Not connected: not a reaper.
    ENOTCONN = 57,
    /// Timed out.
    ETIMEDOUT = 60,
    /// A name or a path is too long.
    ENAMETOOLONG = 63,
    /// The directory is not empty.
    ENOTEMPTY = 66,
    /// A number would be too large.
    EOVERFLOW = 84,
}

impl Errno {
    /// Returns the BSD number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the number that Linux has for it.
    #[must_use]
    pub const fn linux_number(self) -> i32 {
        match self {
            Self::EAGAIN => 11,
            Self::EDEADLK => 35,
            Self::EOPNOTSUPP => 95,
            Self::ENOTCONN => 107,
            Self::ETIMEDOUT => 110,
            Self::EALREADY => 114,
            Self::ENOTSOCK => 88,
            Self::EAFNOSUPPORT => 97,
            Self::ENAMETOOLONG => 36,
            Self::ENOTEMPTY => 39,
            Self::EOVERFLOW => 75,
            // The oldest errors have the same number everywhere.
            _ => self.number(),
        }
    }

    /// Returns a sentence for the user.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::EPERM => "operation not permitted",
            Self::ENOENT => "no such entry",
            Self::ESRCH => "no such process",
            Self::EINTR => "interrupted",
            Self::E2BIG => "argument list too long",
            Self::ECHILD => "no child processes",
            Self::EDEADLK => "would deadlock",
            Self::ENOMEM => "out of memory",
            Self::EFAULT => "bad address",
            Self::EBUSY => "busy",
            Self::EEXIST => "exists already",
            Self::EINVAL => "invalid argument",
            Self::EAGAIN => "resource temporarily unavailable",
            Self::EALREADY => "already so",
            Self::EOPNOTSUPP => "not supported",
            Self::ENOTCONN => "not a reaper",
            Self::ETIMEDOUT => "timed out",
            Self::EBADF => "bad descriptor",
            Self::ENOTDIR => "not a directory",
            Self::EISDIR => "is a directory",
            Self::EMFILE => "too many open files",
            Self::ENOTTY => "not for such a file",
            Self::EFBIG => "file too large",
            Self::ENOSPC => "no space left",
            Self::ESPIPE => "cannot seek",
            Self::ENOTSOCK => "not a socket",
            Self::EAFNOSUPPORT => "address family not supported",
            Self::ENAMETOOLONG => "name too long",
            Self::ENOTEMPTY => "directory not empty",
            Self::EOVERFLOW => "number too large",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Errno {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// errno(2) of BSD, where EAGAIN is 35 and EDEADLK 11.
    #[test]
    fn numbers_are_those_of_bsd() {
        let table = [
            (Errno::ESRCH, 3),
            (Errno::EINTR, 4),
            (Errno::ECHILD, 10),
            (Errno::EDEADLK, 11),
            (Errno::EFAULT, 14),
            (Errno::EBUSY, 16),
            (Errno::EINVAL, 22),
            (Errno::EAGAIN, 35),
            (Errno::EALREADY, 37),
            (Errno::ENOTCONN, 57),
            (Errno::ETIMEDOUT, 60),
            (Errno::ENAMETOOLONG, 63),
            (Errno::ENOTEMPTY, 66),
            (Errno::EOVERFLOW, 84),
        ];
        for (errno, number) in table {
            assert_eq!(errno.number(), number, "{errno}");
        }
    }

    /// errno(3) of Linux, asm-generic: the same up to 34, but for EAGAIN and EDEADLK.
    #[test]
    fn linux_has_numbers_of_its_own() {
        let table = [
            (Errno::ENOENT, 2),
            (Errno::EAGAIN, 11),
            (Errno::EINVAL, 22),
            (Errno::EDEADLK, 35),
            (Errno::EOPNOTSUPP, 95),
            (Errno::ENOTCONN, 107),
            (Errno::ETIMEDOUT, 110),
            (Errno::EALREADY, 114),
            (Errno::ENAMETOOLONG, 36),
            (Errno::ENOTEMPTY, 39),
            (Errno::EOVERFLOW, 75),
            (Errno::ENOTSOCK, 88),
            (Errno::EAFNOSUPPORT, 97),
            (Errno::ENOSPC, 28),
        ];
        for (errno, number) in table {
            assert_eq!(errno.linux_number(), number, "{errno}");
        }
    }
}
