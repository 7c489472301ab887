//! The page tables that the MMU is turned on with, built by code that runs with the MMU off.
//!
//! Part of the boot page, see `entry`. The tables map: the boot page where it was loaded (low half), the image at its
//! link address, each part with its final permissions, and as linear map the gibibytes that hold the image and the
//! device tree. The identity map stays in use: the other CPUs turn their MMUs on with it, and the boot CPU uses it
//! while it changes to the final tables.

use core::arch::global_asm;

use crate::arch::layout::{IMAGE_BASE, LINEAR_LIMIT, PAGE_SIZE};

// Descriptors of the boot tables (Arm ARM D8.3): valid page, normal memory, inner shareable, accessed.
const PAGE: u64 = 0b11 | 1 << 2 | 3 << 8 | 1 << 10;
const READ_ONLY: u64 = 1 << 7;
const NEVER_EXECUTE: u64 = 1 << 53 | 1 << 54;
pub(super) const TEXT_PAGE: u64 = PAGE | READ_ONLY | 1 << 54;
const RODATA_PAGE: u64 = PAGE | READ_ONLY | NEVER_EXECUTE;
const DATA_PAGE: u64 = PAGE | NEVER_EXECUTE;
/// A block instead of a page.
const DATA_BLOCK: u64 = DATA_PAGE & !0b10;

global_asm!(
    r#"
.pushsection .text.boot.tables, "ax"

// Drops the cache lines of everything from zero_start to zero_end, to the point of coherency (Arm ARM, section "A64 Cache
// maintenance instructions"): both are multiples of a page, so that no line is shared. Clobbers x0 to x3.
.global invalidate_zeroed
invalidate_zeroed:
    dsb     sy
    adrp    x0, zero_start
    adrp    x1, zero_end
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // log2 of the shortest data cache line, in words
    mov     x3, #4
    lsl     x2, x3, x2
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

// The boot tables, all zero before. x19: device tree, x20: image. Clobbers x0 to x10.
.global build_tables
build_tables:
    mov     x10, x30

    // Identity map: this page alone.
    adrp    x0, boot_identity_tables
    add     x1, x0, #{PAGE_SIZE}
    add     x2, x1, #{PAGE_SIZE}
    orr     x3, x1, #3
    ubfx    x4, x20, #30, #9
    str     x3, [x0, x4, lsl #3]
    orr     x3, x2, #3
    ubfx    x4, x20, #21, #9
    str     x3, [x1, x4, lsl #3]
    ldr     x3, ={TEXT_PAGE}
    orr     x3, x3, x20
    ubfx    x4, x20, #12, #9
    str     x3, [x2, x4, lsl #3]

    // Linear map: the gibibytes of the image and of the device tree.
    adrp    x0, boot_high_table
    ldr     x5, ={DATA_BLOCK}
    mov     x1, x20
    bl      map_gibibyte
    adrp    x1, image_end
    bl      map_gibibyte
    mov     x1, x19
    cbz     x19, 1f
    bl      map_gibibyte
1:
    // The image: one table of level 2, then one of level 3 for each 2 MiB, all in a row.
    adrp    x1, boot_image_table
    orr     x3, x1, #3
    str     x3, [x0, #({IMAGE_GIBIBYTE} * 8)]
    adrp    x2, boot_leaf_tables
    adrp    x4, zero_end
    orr     x3, x2, #3
1:  str     x3, [x1], #8
    add     x3, x3, #{PAGE_SIZE}
    cmp     x3, x4
    b.lo    1b

    add     x2, x2, #({IMAGE_OFFSET} >> 9)
    mov     x0, x20
    adrp    x1, text_end
    ldr     x3, ={TEXT_PAGE}
    bl      map_pages
    adrp    x1, rodata_end
    ldr     x3, ={RODATA_PAGE}
    bl      map_pages
    adrp    x1, image_end
    ldr     x3, ={DATA_PAGE}
    bl      map_pages
    ret     x10

// x0: level 1 table, x1: address, x5: attributes. Clobbers x3, x4.
map_gibibyte:
    lsr     x3, x1, #30
    cmp     x3, #({LINEAR_LIMIT} >> 30)
    b.hs    1f
    lsl     x4, x3, #30
    orr     x4, x4, x5
    str     x4, [x0, x3, lsl #3]
1:  ret

// x0: first physical address, x1: end, x2: where the descriptors go, x3: attributes. Leaves x0 and x2
// where the next call is to begin. Clobbers x4.
map_pages:
    cmp     x0, x1
    b.hs    1f
    orr     x4, x0, x3
    str     x4, [x2], #8
    add     x0, x0, #{PAGE_SIZE}
    b       map_pages
1:  ret

    .ltorg
.popsection

.pushsection .bss.boot_tables, "aw", %nobits
.balign {PAGE_SIZE}
.global boot_identity_tables, boot_high_table
boot_identity_tables: .skip 3 * {PAGE_SIZE}
boot_high_table:      .skip {PAGE_SIZE}
boot_image_table:     .skip {PAGE_SIZE}
.popsection
"#,
    PAGE_SIZE = const PAGE_SIZE,
    TEXT_PAGE = const TEXT_PAGE,
    RODATA_PAGE = const RODATA_PAGE,
    DATA_PAGE = const DATA_PAGE,
    DATA_BLOCK = const DATA_BLOCK,
    LINEAR_LIMIT = const LINEAR_LIMIT,
    IMAGE_GIBIBYTE = const (IMAGE_BASE >> 30) & 0x1ff,
    IMAGE_OFFSET = const IMAGE_BASE & 0x3fff_ffff,
);
