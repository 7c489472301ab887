//! What an A64 instruction does to the stack pointer and to the flow of control; all others do nothing here.
//!
//! Arm ARM C4.1: only the groups that can write SP or branch are decoded. A write of SP that is not understood is
//! reported as such, never left out.

/// The register number of SP, and of the zero register, by the instruction.
const SP: u32 = 31;
/// The frame pointer: what is restored from it was subtracted before.
const FRAME_POINTER: u32 = 29;

/// What one instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing that matters.
    Other,
    /// SP is lowered by so many bytes.
    Lower(u32),
    /// SP is set to a multiple of so many bytes, from the value of a register.
    Align {
        /// The register.
        from: u32,
        /// The multiple.
        multiple: u32,
    },
    /// A register is set so many bytes below SP.
    Below {
        /// The register.
        register: u32,
        /// The bytes.
        bytes: u32,
    },
    /// SP is set in a way that says nothing about how far.
    Replace,
    /// Loads from a register plus so many bytes, and discards the value: the second half of a probe.
    Touch {
        /// The register.
        register: u32,
        /// The offset in bytes.
        offset: u32,
    },
    /// A call.
    Call(u64),
    /// A call that never returns.
    LastCall(u64),
    /// A call of what is in a register.
    CallRegister,
    /// A jump that may not be taken.
    Branch(u64),
    /// A jump.
    Jump(u64),
    /// A jump to what is in a register.
    JumpRegister(u32),
    /// A register is set to a sum of registers, as the address of a jump in a table is.
    Sum(u32),
    /// The function returns.
    Return,
    /// Control does not continue behind it.
    Stop,
    /// Interrupts are masked: `msr daifset`.
    Mask,
    /// The depth of sections is compared with 0, as the outermost one does before it probes: `ands w?, w?, #0x7f`.
    DepthTest,
}

/// Returns `bits` bits of `word` from `low` on.
const fn field(word: u32, low: u32, bits: u32) -> u32 {
    word >> low & ((1 << bits) - 1)
}

/// Returns a field as a signed number.
const fn signed(word: u32, low: u32, bits: u32) -> i32 {
    (field(word, low, bits) << (32 - bits)) as i32 >> (32 - bits)
}

/// Decodes the instruction `word` at `address`.
pub(super) fn decode(word: u32, address: u64) -> Step {
    let target = |low, bits| address.wrapping_add_signed(i64::from(signed(word, low, bits)) * 4);
    match word {
        _ if word >> 16 == 0 => Step::Stop,
        _ if word & 0xfc00_0000 == 0x9400_0000 => Step::Call(target(0, 26)),
        _ if word & 0xfc00_0000 == 0x1400_0000 => Step::Jump(target(0, 26)),
        _ if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 => {
            Step::Branch(target(5, 19))
        }
        _ if word & 0x7e00_0000 == 0x3600_0000 => Step::Branch(target(5, 14)),
        _ if word & 0xffff_fc1f == 0xd63f_0000 => Step::CallRegister,
        _ if word & 0xffff_fc1f == 0xd61f_0000 => Step::JumpRegister(field(word, 5, 5)),
        // RET, ERET, and the forms with authentication, which nothing here is compiled to.
        _ if word & 0xfe00_0000 == 0xd600_0000 => Step::Return,
        // BRK.
        _ if word & 0xffe0_001f == 0xd420_0000 => Step::Stop,
        _ if word & 0xffff_f0ff == 0xd503_40df && field(word, 9, 1) == 1 => Step::Mask,
        _ if word & 0xffff_fc00 == 0x7200_1800 => Step::DepthTest,
        _ => arithmetic(word).or_else(|| memory(word)).unwrap_or(Step::Other),
    }
}

/// Decodes additions, subtractions and logical operations.
fn arithmetic(word: u32) -> Option<Step> {
    let (to, from) = (field(word, 0, 5), field(word, 5, 5));
    let sets_flags = field(word, 29, 1) == 1;
    let subtracts = field(word, 30, 1) == 1;
    if word & 0x1f80_0000 == 0x1100_0000 && !sets_flags {
        let bytes = field(word, 10, 12) << (12 * field(word, 22, 1));
        return match (to, from, subtracts) {
            (SP, SP, true) => Some(Step::Lower(bytes)),
            (SP, SP | FRAME_POINTER, _) => Some(Step::Other),
            (SP, ..) => Some(Step::Replace),
            (_, SP, true) => Some(Step::Below { register: to, bytes }),
            _ => None,
        };
    }
    if word & 0x1f20_0000 == 0x0b00_0000 || word & 0x1fe0_0000 == 0x0b20_0000 {
        // The form with an extended register is the one whose numbers 31 are SP.
        let is_extended = word & 0x0020_0000 != 0;
        return match (is_extended, sets_flags) {
            (true, false) if to == SP => Some(Step::Replace),
            // A comparison with SP is the end of a loop that lowers it page by page.
            (true, true) if from == SP => Some(Step::Replace),
            _ => (!subtracts && to != SP).then_some(Step::Sum(to)),
        };
    }
    if word & 0x1f80_0000 == 0x1200_0000 && field(word, 29, 2) != 3 && to == SP {
        // AND with a mask whose upper bits are set: 64 - immr lower bits are clear.
        let (rotation, ones) = (field(word, 16, 6), field(word, 10, 6));
        let clear = 64 - rotation;
        let is_alignment = word & 0xffc0_0000 == 0x9240_0000 && ones == rotation - 1 && clear < 16;
        return Some(if is_alignment { Step::Align { from, multiple: 1 << clear } } else { Step::Replace });
    }
    None
}

/// Decodes loads and stores that change their base register, and the load of a probe.
fn memory(word: u32) -> Option<Step> {
    let base = field(word, 5, 5);
    // Pairs: after the access, before it.
    let by = if matches!(word & 0x3b80_0000, 0x2880_0000 | 0x2980_0000) {
        let kind = field(word, 30, 2);
        let is_vector = field(word, 26, 1) == 1;
        let scale = if is_vector { 4 << kind } else { 4 << (kind >> 1) };
        signed(word, 15, 7) * scale
    } else if word & 0x3b20_0400 == 0x3800_0400 {
        signed(word, 12, 9)
    } else if word & 0xffc0_001f == 0xf940_001f {
        return Some(Step::Touch { register: base, offset: field(word, 10, 12) * 8 });
    } else {
        return None;
    };
    (base == SP && by < 0).then_some(Step::Lower(by.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lowers_the_stack_pointer() {
        assert_eq!(decode(0xd101_43ff, 0), Step::Lower(80), "sub sp, sp, #80");
        assert_eq!(decode(0xd140_07ff, 0), Step::Lower(4096), "sub sp, sp, #1, lsl #12");
        assert_eq!(decode(0xa9ba_7bfd, 0), Step::Lower(96), "stp x29, x30, [sp, #-96]!");
        assert_eq!(decode(0xf81f_0fff, 0), Step::Lower(16), "str xzr, [sp, #-16]!");
        assert_eq!(decode(0xa8c6_7bfd, 0), Step::Other, "ldp x29, x30, [sp], #96");
        assert_eq!(decode(0x9101_43ff, 0), Step::Other, "add sp, sp, #80");
        assert_eq!(decode(0x9100_03bf, 0), Step::Other, "mov sp, x29");
        assert_eq!(decode(0x9100_003f, 0), Step::Replace, "mov sp, x1");
        assert_eq!(decode(0xcb29_63ff, 0), Step::Replace, "sub sp, sp, x9");
        assert_eq!(decode(0x927a_e53f, 0), Step::Align { from: 9, multiple: 64 }, "and sp, x9, #-64");
        assert_eq!(decode(0xd105_03e9, 0), Step::Below { register: 9, bytes: 320 }, "sub x9, sp, #320");
    }

    #[test]
    fn the_flow_of_control() {
        assert_eq!(decode(0x9400_0002, 0x1000), Step::Call(0x1008), "bl");
        assert_eq!(decode(0x17ff_ffff, 0x1000), Step::Jump(0xffc), "b");
        assert_eq!(decode(0x5400_0041, 0x1000), Step::Branch(0x1008), "b.ne");
        assert_eq!(decode(0xb400_0041, 0x1000), Step::Branch(0x1008), "cbz x1");
        assert_eq!(decode(0x3700_0041, 0x1000), Step::Branch(0x1008), "tbnz w1, #0");
        assert_eq!(decode(0xd63f_0100, 0), Step::CallRegister, "blr x8");
        assert_eq!(decode(0xd61f_0100, 0), Step::JumpRegister(8), "br x8");
        assert_eq!(decode(0x8b29_4908, 0), Step::Sum(8), "add x8, x8, w9, uxtw #2");
        assert_eq!(decode(0xd65f_03c0, 0), Step::Return, "ret");
        assert_eq!(decode(0xd420_0020, 0), Step::Stop, "brk #1");
        assert_eq!(decode(0xf940_151f, 0), Step::Touch { register: 8, offset: 40 }, "ldr xzr, [x8, #40]");
        assert_eq!(decode(0x8b01_0000, 0), Step::Sum(0), "add x0, x0, x1");
        assert_eq!(decode(0xf940_0001, 0), Step::Other, "ldr x1, [x0]");
        assert_eq!(decode(0xd503_43df, 0), Step::Mask, "msr daifset, #3");
        assert_eq!(decode(0xd503_43ff, 0), Step::Other, "msr daifclr, #3");
        assert_eq!(decode(0x7200_191f, 0), Step::DepthTest, "tst w8, #0x7f");
    }
}
