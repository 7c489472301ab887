//! The attributes of descriptors in the page tables: what may be done with each kind of memory.

use aarch64_paging::descriptor::El1Attributes;

const VALID: El1Attributes = El1Attributes::VALID.union(El1Attributes::ACCESSED);
const NEVER_EXECUTE: El1Attributes = El1Attributes::PXN.union(El1Attributes::UXN);
/// Attribute 0 of MAIR_EL1: device memory, nGnRE.
pub(super) const DEVICE: El1Attributes =
    VALID.union(NEVER_EXECUTE).union(El1Attributes::ATTRIBUTE_INDEX_0).union(El1Attributes::OUTER_SHAREABLE);
/// Attribute 1 of MAIR_EL1: normal memory, write-back.
const NORMAL: El1Attributes =
    VALID.union(El1Attributes::ATTRIBUTE_INDEX_1).union(El1Attributes::INNER_SHAREABLE);
/// Of memory that is read and written.
pub(super) const DATA: El1Attributes = NORMAL.union(NEVER_EXECUTE);
/// Of constants.
pub(super) const RODATA: El1Attributes = DATA.union(El1Attributes::READ_ONLY);
/// Of code.
pub(super) const TEXT: El1Attributes = NORMAL.union(El1Attributes::UXN).union(El1Attributes::READ_ONLY);

/// Returns the bits of the descriptor of a page of RAM, besides its address.
pub(super) const fn page_bits() -> u64 {
    DATA.union(El1Attributes::TABLE_OR_PAGE).bits() as u64
}
