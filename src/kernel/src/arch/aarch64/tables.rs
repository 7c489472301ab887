//! The memory of page tables, for `aarch64-paging`.
//!
//! Tables are taken from a reserve, which is filled before the tables are needed: at first, while there is no frame
//! allocator, with pages of the image, and later with frames. So a mapping fails before anything is changed or not at
//! all.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ptr::NonNull;

use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{PageTable, Translation};
use heapless::Vec;

use super::addresses;
use crate::arch::layout::PAGE_SIZE;

/// Number of tables in the image, which suffices for the memory map of a board. Each memory region may take two of
/// level 2 and two of level 3, the image another six.
const FIRST_TABLES: usize = 28;
/// Most tables that are held in reserve.
const MAX_RESERVE: usize = 64;

/// Makes one frame available to hold a table; returns `None` if there is none left.
pub(crate) type FrameSource = fn() -> Option<u64>;

#[repr(C, align(4096))]
struct FirstTables(UnsafeCell<[[u8; PAGE_SIZE]; FIRST_TABLES]>);

// SAFETY: only `Reserve::with_first_tables` hands its pages out, each of them once.
unsafe impl Sync for FirstTables {}

static FIRST: FirstTables = FirstTables(UnsafeCell::new([[0; PAGE_SIZE]; FIRST_TABLES]));

/// The reserve: physical addresses of unused tables.
///
/// The fields are cells, because the mapping that owns the reserve lends it out immutably; the lock around the mapping
/// excludes other CPUs.
pub(super) struct Reserve {
    tables: RefCell<Vec<u64, MAX_RESERVE>>,
    source: Cell<Option<FrameSource>>,
}

impl Reserve {
    /// Creates the reserve with the image's own pages in it.
    ///
    /// # Safety
    /// Must be called once.
    pub(super) unsafe fn with_first_tables() -> Self {
        let first = FIRST.0.get() as usize;
        let pages = (0..FIRST_TABLES).map(|number| addresses::physical_of_image(first + number * PAGE_SIZE));
        Self { tables: RefCell::new(Vec::from_iter(pages)), source: Cell::new(None) }
    }

    /// Sets where further tables come from.
    pub(super) fn set_source(&self, source: FrameSource) {
        self.source.set(Some(source));
    }

    /// Makes sure that the next `count` tables are available. Returns `false` if memory is short.
    pub(super) fn fill(&self, count: usize) -> bool {
        let mut tables = self.tables.borrow_mut();
        while tables.len() < count {
            let Some(source) = self.source.get() else { return false };
            let Some(frame) = source() else { return false };
            if tables.push(frame).is_err() {
                return false;
            }
        }
        true
    }
}

impl Translation<El1Attributes> for Reserve {
    fn allocate_table(&mut self) -> (NonNull<PageTable<El1Attributes>>, PhysicalAddress) {
        let physical =
            self.tables.get_mut().pop().expect("the reserve was filled before the tables were needed");
        let address = PhysicalAddress(physical as usize);
        let table = self.physical_to_virtual(address);
        // SAFETY: a page without another user, mapped read-write by the image or the linear map.
        unsafe { table.cast::<[u64; PAGE_SIZE / 8]>().write([0; PAGE_SIZE / 8]) };
        (table, address)
    }

    unsafe fn deallocate_table(&mut self, table: NonNull<PageTable<El1Attributes>>) {
        let physical = addresses::physical_of_table(table.as_ptr() as usize);
        // A table that does not fit into the reserve is lost. That is one page, and it happens at most when a mapping
        // of blocks replaces one of pages.
        let _kept = self.tables.get_mut().push(physical);
    }

    fn physical_to_virtual(&self, address: PhysicalAddress) -> NonNull<PageTable<El1Attributes>> {
        let table = addresses::table_at(address.0 as u64);
        NonNull::new(table.cast()).expect("tables lie in the high half")
    }
}
