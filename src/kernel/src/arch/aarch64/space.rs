//! Where the kernel's addresses begin, and how small a stack can be; the rest of the layout is `arch::layout`'s.

/// Virtual address of physical address 0 in the linear map: the upper 39 bits, under TTBR1.
pub const LINEAR_BASE: usize = 0xffff_ff80_0000_0000;
/// log2 of the smallest stack: 16 KiB.
pub const STACK_MIN_SHIFT: usize = 14;
