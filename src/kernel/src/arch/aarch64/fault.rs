//! Decoding of a synchronous exception into a kind and words.
//!
//! Pure decoding of ESR_EL1 and FAR_EL1 (Arm ARM D19.2.40); used by `exception` and by everything that reports a fault.

use core::fmt;

use crate::arch::fault_kind::FaultKind;
use crate::arch::layout;

/// One fault: what happened, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The kind that is reported to the waiter.
    pub kind: FaultKind,
    /// ESR_EL1: the syndrome.
    pub esr: u64,
    /// The address that was accessed, if [`Fault::has_address`]; not meaningful otherwise.
    pub far: u64,
    /// The instruction that faulted.
    pub pc: u64,
}

// Exception classes, ESR_EL1.EC.
pub(super) const CLASS_FP_ACCESS: u64 = 0x07;
const CLASS_ILLEGAL_STATE: u64 = 0x0e;
const CLASS_BRANCH_TARGET: u64 = 0x0d;
const CLASS_SVC: u64 = 0x15;
const CLASS_SYSTEM_REGISTER: u64 = 0x18;
const CLASS_PREFETCH_ABORT: u64 = 0x21;
const CLASS_PC_ALIGNMENT: u64 = 0x22;
const CLASS_DATA_ABORT: u64 = 0x25;
const CLASS_SP_ALIGNMENT: u64 = 0x26;
const CLASS_FLOATING_POINT: u64 = 0x2c;
const CLASS_SERROR: u64 = 0x2f;
const CLASS_BREAKPOINT: u64 = 0x31;
const CLASS_STEP: u64 = 0x33;
const CLASS_WATCHPOINT: u64 = 0x35;
const CLASS_BRK: u64 = 0x3c;

/// ESR_EL1.EC.
pub(super) const fn class_of(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// Returns the status code of an abort without its two bits of translation level (ESR_EL1.ISS.DFSC\[5:2\]).
const fn status_of(esr: u64) -> u64 {
    esr >> 2 & 0xf
}
const STATUS_ADDRESS_SIZE: u64 = 0b0000;
const STATUS_TRANSLATION: u64 = 0b0001;
const STATUS_ACCESS_FLAG: u64 = 0b0010;
const STATUS_PERMISSION: u64 = 0b0011;
/// The syndrome of a write where nothing is mapped: the fault that the next push would have caused.
const MISSED_WRITE: u64 = CLASS_DATA_ABORT << 26 | 1 << 6 | STATUS_TRANSLATION << 2 | 3;
/// Whole status code of an alignment fault.
const STATUS_ALIGNMENT: u64 = 0b10_0001;

impl Fault {
    /// Decodes the syndrome of an exception whose return address is `pc`.
    pub(crate) fn decode(esr: u64, far: u64, pc: u64) -> Self {
        let kind = match class_of(esr) {
            CLASS_PREFETCH_ABORT | CLASS_DATA_ABORT => abort_kind(esr, far),
            0x00 | CLASS_ILLEGAL_STATE | CLASS_BRANCH_TARGET | CLASS_SVC | CLASS_SYSTEM_REGISTER => {
                FaultKind::Undefined
            }
            CLASS_FP_ACCESS => FaultKind::Undefined,
            CLASS_PC_ALIGNMENT | CLASS_SP_ALIGNMENT => FaultKind::Alignment,
            CLASS_FLOATING_POINT => FaultKind::FloatingPoint,
            CLASS_BREAKPOINT | CLASS_STEP | CLASS_WATCHPOINT | CLASS_BRK => FaultKind::Breakpoint,
            _ => FaultKind::Unexpected,
        };
        Self { kind, esr, far, pc }
    }

    /// Returns the fault of a thread that was interrupted where its stack has no room, at `address`.
    pub(crate) fn stack_overflow(address: u64, pc: u64) -> Self {
        Self { kind: FaultKind::StackOverflow, esr: MISSED_WRITE, far: address, pc }
    }

    /// Returns the fault of a thread that was interrupted where its stack has no memory, at `address`.
    pub(crate) fn stack_without_memory(address: u64, pc: u64) -> Self {
        Self { kind: FaultKind::DataAbort, esr: MISSED_WRITE, far: address, pc }
    }

    /// Returns the address that was accessed; meaningful only for faults that have one.
    pub(crate) fn address(&self) -> usize {
        self.far as usize
    }

    /// Returns whether a data access, not a jump, met an address where nothing is mapped.
    pub(crate) fn is_missing_data(&self) -> bool {
        class_of(self.esr) == CLASS_DATA_ABORT && status_of(self.esr) == STATUS_TRANSLATION
    }

    /// Returns whether the access was a store (ESR_EL1.ISS.WnR of a data abort).
    pub(crate) fn is_write(&self) -> bool {
        class_of(self.esr) == CLASS_DATA_ABORT && self.esr & 1 << 6 != 0
    }
}

/// Returns the kind of an abort.
fn abort_kind(esr: u64, far: u64) -> FaultKind {
    let code = esr & 0x3f;
    // Bits 5:4 are set beyond the first four rows of the table: this is no fault of translation or permission.
    if code == STATUS_ALIGNMENT {
        return FaultKind::Alignment;
    }
    if status_of(esr) > STATUS_PERMISSION {
        return FaultKind::Bus;
    }
    if far < layout::NULL_LIMIT as u64 {
        FaultKind::NullAccess
    } else if layout::is_stack_guard(far as usize) {
        FaultKind::StackOverflow
    } else if class_of(esr) == CLASS_PREFETCH_ABORT {
        FaultKind::PrefetchAbort
    } else {
        FaultKind::DataAbort
    }
}

/// Returns the cause of an abort, as the table of status codes has it.
fn abort_cause(esr: u64) -> &'static str {
    match (status_of(esr), esr & 0x3f) {
        (_, STATUS_ALIGNMENT) => "misaligned access",
        (STATUS_ADDRESS_SIZE, _) => "address too large",
        (STATUS_TRANSLATION, _) => "nothing mapped there",
        (STATUS_ACCESS_FLAG, _) => "access flag clear",
        (STATUS_PERMISSION, _) => "not permitted there",
        (_, 0b01_0000) => "external abort",
        (0b0101, _) => "external abort on a table walk",
        (_, 0b01_1000) => "memory parity or ECC error",
        (_, 0b11_0000) => "TLB conflict",
        (_, 0b11_0100 | 0b11_0101) => "exclusive or atomic access to memory that has none",
        _ => "unknown cause",
    }
}

/// One line, such as `write to 0x10: nothing mapped there (null pointer)`.
impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match class_of(self.esr) {
            CLASS_DATA_ABORT | CLASS_PREFETCH_ABORT => {
                let access = match (class_of(self.esr), self.is_write()) {
                    (CLASS_PREFETCH_ABORT, _) => "jump to",
                    (_, true) => "write to",
                    (_, false) => "read from",
                };
                write!(out, "{access} {:#x}: {}", self.far, abort_cause(self.esr))?;
                match self.kind {
                    FaultKind::NullAccess => write!(out, " (null pointer)"),
                    FaultKind::StackOverflow => write!(out, " (stack overflow)"),
                    _ => Ok(()),
                }
            }
            CLASS_PC_ALIGNMENT => write!(out, "misaligned program counter {:#x}", self.far),
            CLASS_BRK => write!(out, "brk #{:#x}", self.esr & 0xffff),
            CLASS_WATCHPOINT => write!(out, "watchpoint at {:#x}", self.far),
            class => match class_name(class) {
                Some(name) => out.write_str(name),
                None => write!(out, "unexpected exception class {class:#x}"),
            },
        }
    }
}

/// The exception classes that need no more than a name.
fn class_name(class: u64) -> Option<&'static str> {
    Some(match class {
        0x00 => "undefined instruction",
        CLASS_FP_ACCESS => "floating-point instruction where there is no floating-point state",
        CLASS_BRANCH_TARGET => "branch to a place that is no branch target",
        CLASS_ILLEGAL_STATE => "illegal execution state",
        CLASS_SVC => "supervisor call: there is no level above",
        CLASS_SYSTEM_REGISTER => "access to a system register that is trapped",
        CLASS_SP_ALIGNMENT => "misaligned stack pointer",
        CLASS_FLOATING_POINT => "floating-point exception",
        CLASS_SERROR => "asynchronous external abort (SError)",
        CLASS_BREAKPOINT => "hardware breakpoint",
        CLASS_STEP => "single step",
        _ => return None,
    })
}
