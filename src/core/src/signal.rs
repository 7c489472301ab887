//! Signal numbers and what they do by default.
//!
//! signal(3), `sigprop` of `kern_sig.c`. Handlers, masks and job control are not offered: a signal here either
//! ends its target, or is recorded, or is discarded.

use core::fmt;

/// A signal number between 1 and 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

/// The default action of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Ends the process; `true`: of the class that dumps core on other systems.
    Kill {
        /// Returns whether the signal reports a fault, for which other systems write a core file.
        core_class: bool,
    },
    /// Is recorded as pending and otherwise discarded.
    Ignore,
    /// Stops or continues the process.
    JobControl,
}

macro_rules! signals {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $default:expr;)*) => {
        impl Signal {
            $($(#[$meta])* pub const $name: Self = Self($number);)*

            /// Returns the default action.
            #[must_use]
            pub const fn default_action(self) -> Default {
                match self.0 {
                    $($number => $default,)*
                    _ => Default::Kill { core_class: false },
                }
            }

            /// Returns the name, such as `SIGKILL`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => concat!("SIG", stringify!($name)),)*
                    _ => "SIG?",
                }
            }
        }
    };
}

signals! {
    /// Hang-up.
    HUP = 1, Default::Kill { core_class: false };
    /// Interrupt from the console.
    INT = 2, Default::Kill { core_class: false };
    /// Quit from the console.
    QUIT = 3, Default::Kill { core_class: true };
    /// Undefined instruction.
    ILL = 4, Default::Kill { core_class: true };
    /// Breakpoint.
    TRAP = 5, Default::Kill { core_class: true };
    /// Abort: also a Rust panic.
    ABRT = 6, Default::Kill { core_class: true };
    /// Emulator trap.
    EMT = 7, Default::Kill { core_class: true };
    /// Arithmetic fault.
    FPE = 8, Default::Kill { core_class: true };
    /// Kill: cannot be caught or ignored.
    KILL = 9, Default::Kill { core_class: false };
    /// Bus error: alignment.
    BUS = 10, Default::Kill { core_class: true };
    /// Invalid memory access, stack overflow included.
    SEGV = 11, Default::Kill { core_class: true };
    /// Bad system call.
    SYS = 12, Default::Kill { core_class: true };
    /// Write on a pipe without reader.
    PIPE = 13, Default::Kill { core_class: false };
    /// Alarm clock.
    ALRM = 14, Default::Kill { core_class: false };
    /// Termination request.
    TERM = 15, Default::Kill { core_class: false };
    /// Urgent data.
    URG = 16, Default::Ignore;
    /// Stop: cannot be caught or ignored.
    STOP = 17, Default::JobControl;
    /// Stop from the console.
    TSTP = 18, Default::JobControl;
    /// Continue.
    CONT = 19, Default::JobControl;
    /// A child has ended, stopped or continued.
    CHLD = 20, Default::Ignore;
    /// Background read from the console.
    TTIN = 21, Default::JobControl;
    /// Background write to the console.
    TTOU = 22, Default::JobControl;
    /// Input or output is possible.
    IO = 23, Default::Ignore;
    /// CPU time limit.
    XCPU = 24, Default::Kill { core_class: false };
    /// File size limit.
    XFSZ = 25, Default::Kill { core_class: false };
    /// Virtual time alarm.
    VTALRM = 26, Default::Kill { core_class: false };
    /// Profiling alarm.
    PROF = 27, Default::Kill { core_class: false };
    /// The window changed its size.
    WINCH = 28, Default::Ignore;
    /// Status request from the console.
    INFO = 29, Default::Ignore;
    /// User-defined.
    USR1 = 30, Default::Kill { core_class: false };
    /// User-defined.
    USR2 = 31, Default::Kill { core_class: false };
}

impl Signal {
    /// Returns the signal with this number, if there is one.
    #[must_use]
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 && number <= 31 { Some(Self(number as u8)) } else { None }
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the bit of this signal in a set of signals.
    #[inline]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const CORE_CLASS: [Signal; 9] = [
        Signal::QUIT,
        Signal::ILL,
        Signal::TRAP,
        Signal::ABRT,
        Signal::EMT,
        Signal::FPE,
        Signal::BUS,
        Signal::SEGV,
        Signal::SYS,
    ];
    const IGNORED: [Signal; 5] = [Signal::URG, Signal::CHLD, Signal::IO, Signal::WINCH, Signal::INFO];
    const JOB_CONTROL: [Signal; 5] = [Signal::STOP, Signal::TSTP, Signal::CONT, Signal::TTIN, Signal::TTOU];

    fn all() -> impl Iterator<Item = Signal> {
        (1..=31).map(|number| Signal::new(number).expect("1 to 31 are signals"))
    }

    /// The table of signal(3).
    #[test]
    fn default_actions_are_those_of_bsd() {
        for signal in all() {
            let expected = if IGNORED.contains(&signal) {
                Default::Ignore
            } else if JOB_CONTROL.contains(&signal) {
                Default::JobControl
            } else {
                Default::Kill { core_class: CORE_CLASS.contains(&signal) }
            };
            assert_eq!(signal.default_action(), expected, "{signal}");
        }
    }

    #[test]
    fn every_signal_has_a_name_and_a_bit_of_its_own() {
        let mut bits = 0;
        for signal in all() {
            assert!(signal.name().len() > 4, "{} has no name", signal.number());
            assert_eq!(bits & signal.bit(), 0, "{signal}");
            bits |= signal.bit();
        }
    }

    #[test]
    fn numbers_outside_are_no_signals() {
        for number in [i32::MIN, -1, 0, 32, 64, i32::MAX] {
            assert_eq!(Signal::new(number), None, "{number}");
        }
    }
}
