//! Files: whatever programs do, what is read is what was written, and the memory that is counted is nothing in the end.
#![no_main]

use arbitrary::Arbitrary;
use asphodel_core::fs::{Files, Kind, OpenFlags, Tree, Whence};
use libfuzzer_sys::fuzz_target;

/// Bytes that files may have.
const LIMIT: u64 = 1 << 18;

#[derive(Arbitrary, Debug)]
struct Flags {
    read: bool,
    write: bool,
    append: bool,
    create: bool,
    exclusive: bool,
    truncate: bool,
    directory: bool,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Open(&'a str, Flags),
    Close(i8),
    Duplicate(i8),
    Read(i8, u16),
    Write(i8, &'a [u8]),
    Seek(i8, i32, u8),
    Unlink(&'a str),
    MakeDirectory(&'a str),
    RemoveDirectory(&'a str),
}

/// Removes everything in the directory at `path`, which ends with a slash.
fn empty(tree: &mut Tree, path: &str) {
    let directory = tree.lookup(path).expect("it exists");
    let entries = tree.entries_after(directory, "").expect("it is a directory");
    let names: Vec<_> = entries.map(|entry| (format!("{path}{}", entry.name), entry.kind)).collect();
    for (path, kind) in names {
        if kind == Kind::Directory {
            empty(tree, &format!("{path}/"));
            tree.remove_directory(&path, 0).expect("it is empty");
        } else {
            tree.unlink(&path, 0).expect("it exists");
        }
    }
}

fuzz_target!(|operations: Vec<Operation<'_>>| {
    let mut files = Files::new(Tree::new(LIMIT).expect("the host has memory")).expect("the host has memory");
    let table = files.add_table().expect("the host has memory");
    for operation in operations {
        match operation {
            Operation::Open(path, flags) => {
                let Flags { read, write, append, create, exclusive, truncate, directory } = flags;
                let flags = OpenFlags { read, write, append, create, exclusive, truncate, directory };
                if files.open(table, path, flags, 0).is_ok() {
                    assert!(files.tree.lookup(path).is_ok());
                }
            }
            Operation::Close(file) => drop(files.close(table, file.into())),
            Operation::Duplicate(file) => drop(files.duplicate(table, file.into())),
            Operation::Read(file, length) => {
                let mut buffer = vec![0; length.into()];
                let _count = files.read(table, file.into(), &mut buffer);
            }
            Operation::Write(file, bytes) => {
                let file = file.into();
                if let Ok(Some(count)) = files.write(table, file, bytes, 0)
                    && count > 0
                    && files.seek(table, file, -(count as i64), Whence::Current).is_ok()
                {
                    let mut found = vec![0; count];
                    if let Ok(read) = files.read(table, file, &mut found) {
                        assert_eq!((read, &found[..]), (Some(count), &bytes[..count]));
                    } else {
                        files.seek(table, file, count as i64, Whence::Current).expect("it can be positioned");
                    }
                }
            }
            Operation::Seek(file, by, whence) => {
                let whence = [Whence::Start, Whence::Current, Whence::End][usize::from(whence % 3)];
                let _position = files.seek(table, file.into(), by.into(), whence);
            }
            Operation::Unlink(path) => drop(files.tree.unlink(path, 0)),
            Operation::MakeDirectory(path) => {
                if files.tree.make_directory(path, 0).is_ok() {
                    assert!(files.tree.lookup(path).is_ok());
                }
            }
            Operation::RemoveDirectory(path) => drop(files.tree.remove_directory(path, 0)),
        }
        assert!(files.tree.used() <= LIMIT);
    }
    files.leave_table(table);
    assert_eq!(files.open_files(), 0);
    empty(&mut files.tree, "/");
    assert!(files.tree.is_empty() && files.tree.used() == 0);
});
