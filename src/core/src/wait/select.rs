//! The arguments of a `wait4` call: the selector, the options, and their checks.
//!
//! wait(2), `kern_wait`: T109 to T116. Touches no process.

use crate::errno::Errno;
use crate::id::Pid;

/// Return at once if no child is ready.
pub const WNOHANG: u32 = 1;
/// Also report stopped children.
pub const WUNTRACED: u32 = 2;
/// Also report continued children.
pub const WCONTINUED: u32 = 4;
/// Look only for children whose exit signal is not SIGCHLD.
pub const WLINUXCLONE: u32 = 0x8000_0000;

/// Which children a wait is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Any child.
    Any,
    /// The child with this pid.
    Process(Pid),
    /// Any child in the group with this number.
    Group(Pid),
}

impl Selector {
    /// Reads the first argument of wait4: `-1` any child; `0` the caller's present group (T113); positive a pid; below
    /// `-1` the group with that number negated.
    ///
    /// # Errors
    /// `ESRCH` for the one number that has no negation (T115).
    pub fn from_raw(raw: i32, caller_group: Pid) -> Result<Self, Errno> {
        Ok(match raw {
            -1 => Self::Any,
            0 => Self::Group(caller_group),
            1.. => Self::Process(Pid::from_raw(raw)),
            _ => Self::Group(Pid::from_raw(raw.checked_neg().ok_or(Errno::ESRCH)?)),
        })
    }
}

/// The options of a wait4 call, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Do not sleep.
    pub no_hang: bool,
    /// Report stops.
    pub stopped: bool,
    /// Report continues.
    pub continued: bool,
    /// Look for clone-class children, and only for them.
    pub clone_class: bool,
}

impl Options {
    /// Reads the option bits.
    ///
    /// # Errors
    /// `EINVAL` for an unknown bit, whatever children there are (T109).
    pub fn from_raw(raw: u32) -> Result<Self, Errno> {
        if raw & !(WNOHANG | WUNTRACED | WCONTINUED | WLINUXCLONE) != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            no_hang: raw & WNOHANG != 0,
            stopped: raw & WUNTRACED != 0,
            continued: raw & WCONTINUED != 0,
            clone_class: raw & WLINUXCLONE != 0,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MY_GROUP: Pid = Pid::from_raw(42);

    /// T112, T113, T114.
    #[test]
    fn selectors_of_bsd() {
        let table = [
            (-1, Selector::Any),
            (0, Selector::Group(MY_GROUP)),
            (7, Selector::Process(Pid::from_raw(7))),
            (i32::MAX, Selector::Process(Pid::from_raw(i32::MAX))),
            (-2, Selector::Group(Pid::from_raw(2))),
            (-i32::MAX, Selector::Group(Pid::from_raw(i32::MAX))),
        ];
        for (raw, selector) in table {
            assert_eq!(Selector::from_raw(raw, MY_GROUP), Ok(selector), "{raw}");
        }
    }

    /// T115: the number without a negation is refused, not negated.
    #[test]
    fn smallest_number_is_no_group() {
        assert_eq!(Selector::from_raw(i32::MIN, MY_GROUP), Err(Errno::ESRCH));
    }

    /// T109.
    #[test]
    fn unknown_option_bits_are_refused_one_by_one() {
        let known = WNOHANG | WUNTRACED | WCONTINUED | WLINUXCLONE;
        for bit in (0..32).map(|shift| 1 << shift) {
            assert_eq!(Options::from_raw(bit).is_ok(), known & bit != 0, "{bit:#x}");
            assert_eq!(Options::from_raw(known | bit).is_ok(), known & bit != 0, "{bit:#x} among known ones");
        }
    }

    #[test]
    fn each_option_bit_sets_its_own_field() {
        let none = Options::default();
        let table = [
            (0, none),
            (WNOHANG, Options { no_hang: true, ..none }),
            (WUNTRACED, Options { stopped: true, ..none }),
            (WCONTINUED, Options { continued: true, ..none }),
            (WLINUXCLONE, Options { clone_class: true, ..none }),
        ];
        for (raw, options) in table {
            assert_eq!(Options::from_raw(raw), Ok(options), "{raw:#x}");
        }
    }
}
