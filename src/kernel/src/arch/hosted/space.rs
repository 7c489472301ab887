//! Where the kernel's addresses begin in the host process, and how small a stack can be; the rest of the layout is
//! `arch::layout`'s.

/// Virtual address of physical address 0 in the linear map: the start of 512 GiB that no Linux process uses by itself.
pub const LINEAR_BASE: usize = 0x1f80_0000_0000;
/// log2 of the smallest stack: 64 KiB, because frames of unoptimized code are larger, and an interrupted context takes
/// some kilobytes of it.
pub const STACK_MIN_SHIFT: usize = 16;
