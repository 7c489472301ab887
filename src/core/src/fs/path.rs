//! Paths: components between slashes. The current directory is always `/`, so all of them begin there.

use crate::errno::Errno;

/// Most bytes of a component (NAME_MAX).
pub const MAX_NAME: usize = 255;
/// Most bytes of a path (PATH_MAX without the zero byte).
pub const MAX_PATH: usize = 4095;

/// A path that has been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a>(&'a str);

impl<'a> Path<'a> {
    /// # Errors
    /// `ENOENT`: it is empty. `ENAMETOOLONG`: it or a component is too long. `EINVAL`: it has a zero byte.
    pub(super) fn new(path: &'a str) -> Result<Self, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.contains('\0') {
            return Err(Errno::EINVAL);
        }
        if path.len() > MAX_PATH || path.split('/').any(|name| name.len() > MAX_NAME) {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(Self(path))
    }

    /// Returns its components, without empty ones and `.`.
    pub(super) fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.split('/').filter(|name| !name.is_empty() && *name != ".")
    }

    /// Returns its components but the last, and that one. `None`: there is none, or it is `.` or `..`, which are no
    /// names.
    pub(super) fn split_last(self) -> Option<(impl DoubleEndedIterator<Item = &'a str>, &'a str)> {
        let named = !matches!(self.0.trim_end_matches('/').rsplit('/').next(), Some("." | ".."));
        let mut components = self.components();
        let name = components.next_back().filter(|_| named)?;
        Some((components, name))
    }

    /// Returns whether it can only name a directory.
    pub(super) fn wants_directory(self) -> bool {
        self.0.ends_with('/') || self.0.ends_with("/.") || self.0.ends_with("/..")
    }
}
