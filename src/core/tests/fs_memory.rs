//! Memory of the file system: whichever allocation fails, nothing has changed, and what is counted is what is used.
#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use asphodel_core::errno::Errno;
use asphodel_core::fs::{Inode, MAX_FILE, OpenFlags, Tree};
use proptest::prelude::*;

thread_local! {
    /// Allocations of this thread that succeed before one fails; negative: none fails.
    static UNTIL_FAILURE: Cell<i64> = const { Cell::new(-1) };
    /// Bytes that this thread has allocated and not freed.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The host's allocator, which counts, and fails once where the test wants it.
struct Counting;

/// Returns whether this attempt is to fail.
fn fails() -> bool {
    let left = UNTIL_FAILURE.get();
    UNTIL_FAILURE.set((left - 1).max(-1));
    left == 0
}

fn count(bytes: i64) {
    BYTES.set(BYTES.get() + bytes);
}

// SAFETY: all is done by the host's allocator, or nothing and null is returned, as its rules allow.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        count(layout.size() as i64);
        // SAFETY: the caller's guarantee.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's guarantee.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's guarantee.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIMIT: u64 = 1 << 20;
const FIXED: [u8; 9000] = [3; 9000];

const NEW: OpenFlags = OpenFlags {
    read: true,
    write: true,
    create: true,
    append: false,
    exclusive: false,
    truncate: false,
    directory: false,
};

/// Something that a program does to one of a few files. Names are made by the test, so that what fails is the tree's.
#[derive(Clone, Debug)]
enum Operation {
    Write { file: u8, offset: u64, length: usize },
    Truncate { file: u8 },
    Create { file: u8 },
    Unlink { file: u8 },
    MakeDirectory { file: u8 },
    RemoveDirectory { file: u8 },
}

fn operation() -> impl Strategy<Value = Operation> {
    let offset = prop_oneof![0..20_000_u64, 0..4_000_000_u64, Just(MAX_FILE - 1), Just(MAX_FILE)];
    let file = 0..12_u8;
    prop_oneof![
        3 => (file.clone(), offset, 0..50_000_usize)
            .prop_map(|(file, offset, length)| Operation::Write { file, offset, length }),
        1 => file.clone().prop_map(|file| Operation::Truncate { file }),
        1 => file.clone().prop_map(|file| Operation::Create { file }),
        2 => file.clone().prop_map(|file| Operation::Unlink { file }),
        1 => file.clone().prop_map(|file| Operation::MakeDirectory { file }),
        1 => file.prop_map(|file| Operation::RemoveDirectory { file }),
    ]
}

fn name(file: u8) -> String {
    format!("/{}", "name".repeat(usize::from(file) + 1))
}

/// Does `work` with its attempt number `attempt` to get memory failing. Returns whether there was such an attempt.
fn with_failure<T>(attempt: i64, work: impl FnOnce() -> T) -> (T, bool) {
    UNTIL_FAILURE.set(attempt);
    let result = work();
    let failed = UNTIL_FAILURE.replace(-1) < 0 && attempt >= 0;
    (result, failed)
}

fn write(tree: &mut Tree, path: &str, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let inode = tree.open(path, OpenFlags { create: false, ..NEW }, 0)?;
    let written = tree.write(inode, offset, bytes, 0);
    tree.close(inode);
    written
}

fn apply(tree: &mut Tree, operation: &Operation, path: &str, bytes: &[u8]) -> Result<usize, Errno> {
    let mut open = |flags| tree.open(path, flags, 0).map(|inode| tree.close(inode));
    match *operation {
        Operation::Write { offset, .. } => return write(tree, path, offset, bytes),
        Operation::Truncate { .. } => open(OpenFlags { create: false, truncate: true, ..NEW }),
        Operation::Create { .. } => open(OpenFlags { exclusive: true, ..NEW }),
        Operation::Unlink { .. } => tree.unlink(path, 0),
        Operation::MakeDirectory { .. } => tree.make_directory(path, 0),
        Operation::RemoveDirectory { .. } => tree.remove_directory(path, 0),
    }
    .map(|()| 0)
}

/// Everything that can be seen of a tree.
fn seen(tree: &Tree) -> Vec<(String, Inode, u64, Vec<u8>)> {
    let names = tree.entries_after(0, "").expect("the root is a directory");
    names
        .map(|entry| {
            let stat = tree.stat(entry.inode).expect("it has a name");
            // The end of a large file is enough.
            let mut end = vec![0; 100];
            let length = tree.read(entry.inode, stat.size.saturating_sub(100), &mut end).unwrap_or(0);
            end.truncate(length);
            (entry.name.to_owned(), entry.inode, stat.size, end)
        })
        .collect()
}

/// Removes everything.
fn empty(tree: &mut Tree) {
    let names: Vec<_> =
        tree.entries_after(0, "").expect("the root is a directory").map(|e| e.name.to_owned()).collect();
    for name in names {
        tree.unlink(&name, 0).or_else(|_| tree.remove_directory(&name, 0)).expect("it is there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whichever allocation of an operation fails, the operation fails as a whole, or has written less; what is counted
    /// never exceeds the limit, is no less than what is used but for the table of inodes, and is nothing in the end.
    #[test]
    fn the_count_is_right_whatever_fails(
        operations in prop::collection::vec((operation(), -1..6_i64), 1..40)
    ) {
        let (names, bytes) = ((0..12).map(name).collect::<Vec<_>>(), vec![5; 50_000]);
        let mut tree = Tree::new(LIMIT).expect("there is memory");
        tree.add_fixed(&names[0], &FIXED).expect("there is memory");
        for (operation, attempt) in operations {
            let (file, length) = match operation {
                Operation::Write { file, length, .. } => (file, length),
                Operation::Truncate { file } | Operation::Create { file } | Operation::Unlink { file }
                | Operation::MakeDirectory { file } | Operation::RemoveDirectory { file } => (file, 0),
            };
            let (before, held, used) = (seen(&tree), BYTES.get(), tree.used());
            let path = &names[usize::from(file)];
            let (result, failed) = with_failure(attempt, || apply(&mut tree, &operation, path, &bytes[..length]));
            prop_assert!(tree.used() <= LIMIT, "{} bytes", tree.used());
            if let Err(error) = result {
                prop_assert!(failed || error != Errno::ENOMEM, "{error} though there is memory");
                prop_assert_eq!(seen(&tree), before);
                prop_assert_eq!(tree.used(), used);
            }
            // Names that were added and removed may leave room in a chunk, in the table of inodes, and among the free.
            let grown = BYTES.get() - held;
            prop_assert!(grown <= tree.used() as i64 - used as i64 + 16_384, "{grown} bytes for {}", tree.used() - used);
        }
        empty(&mut tree);
        prop_assert_eq!(tree.used(), 0);
    }
}

/// A piece that cannot be had at the far end of a hole, and then the file's end.
#[test]
fn a_piece_behind_a_hole_that_cannot_be_had() {
    for attempt in 0..3 {
        let mut tree = Tree::new(LIMIT).expect("there is memory");
        let file = tree.open("/a", NEW, 0).expect("there is memory");
        let used = tree.used();
        let (written, failed) = with_failure(attempt, || tree.write(file, 2_000_000, b"x", 0));
        assert_eq!((written.is_err(), tree.used() == used), (failed, failed), "attempt {attempt}");
        assert_eq!(failed, attempt < 2, "a piece and a longer table");
        tree.close(file);
        tree.unlink("/a", 0).expect("it is there");
        assert_eq!(tree.used(), 0, "attempt {attempt}");
    }
}

/// The memory of a hundred thousand files and directories is what is counted for them.
#[test]
fn what_many_files_take_is_counted() {
    let mut tree = Tree::new(1 << 30).expect("there is memory");
    let held = BYTES.get();
    for number in 0_u32..100_000 {
        let path = format!("/{:08x}", number.wrapping_mul(0x9e37_79b1));
        if number % 4 == 0 {
            tree.make_directory(&path, 0).expect("there is room");
        } else {
            tree.open(&path, NEW, 0).map(|inode| tree.close(inode)).expect("there is room");
        }
    }
    let grown = (BYTES.get() - held) as u64;
    assert!(grown <= tree.used(), "{grown} bytes are used, {} counted", tree.used());
    assert!(tree.used() <= 4 * grown, "{grown} bytes are used, {} counted", tree.used());
}
