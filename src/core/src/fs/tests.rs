use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::contents::PLACE;
use super::tree::COST;
use super::*;
use crate::errno::Errno;

const NEW: OpenFlags = OpenFlags {
    read: true,
    write: true,
    create: true,
    append: false,
    exclusive: false,
    truncate: false,
    directory: false,
};
const READ: OpenFlags = OpenFlags { write: false, create: false, ..NEW };

fn files() -> (Files, TableNumber) {
    let mut files = Files::new(Tree::new(1 << 20).unwrap()).unwrap();
    let table = files.add_table().unwrap();
    (files, table)
}

fn read_all(files: &mut Files, table: TableNumber, descriptor: Descriptor) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    loop {
        match files.read(table, descriptor, &mut buffer).unwrap().unwrap() {
            0 => return all,
            count => all.extend(&buffer[..count]),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let (mut files, table) = files();
    let file = files.open(table, "/a", NEW, 1).unwrap();
    assert_eq!(file, 3, "0, 1 and 2 are the console");
    assert_eq!(files.write(table, file, b"hello", 2), Ok(Some(5)));
    assert_eq!(files.seek(table, file, -2, Whence::End), Ok(3));
    assert_eq!(read_all(&mut files, table, file), b"lo");
    assert_eq!(files.seek(table, file, 10_000, Whence::Start), Ok(10_000));
    assert_eq!(files.write(table, file, b"x", 3), Ok(Some(1)));
    files.seek(table, file, 0, Whence::Start).unwrap();
    let all = read_all(&mut files, table, file);
    assert_eq!((all.len(), all[5], all[10_000]), (10_001, 0, b'x'), "a hole is zero");
    let stat = files.tree.stat(files.tree.lookup("/a").unwrap()).unwrap();
    assert_eq!((stat.size, stat.allocated, stat.changed, stat.kind), (10_001, 8192, 3, Kind::File));
}

#[test]
fn descriptors_are_the_lowest_and_share_what_is_open() {
    let (mut files, table) = files();
    let [a, b] = ["/a", "/b"].map(|path| files.open(table, path, NEW, 0).unwrap());
    let copy = files.duplicate(table, a).unwrap();
    assert_eq!((a, b, copy), (3, 4, 5));
    files.write(table, a, b"12", 0).unwrap();
    files.write(table, copy, b"34", 0).unwrap();
    files.close(table, a).unwrap();
    assert_eq!(files.close(table, a), Err(Errno::EBADF));
    assert_eq!(files.open(table, "/c", NEW, 0), Ok(3));
    files.seek(table, copy, 0, Whence::Start).unwrap();
    assert_eq!(read_all(&mut files, table, copy), b"1234", "one position for both");
    for bad in [-1, 6, i32::MAX] {
        assert_eq!(files.object(table, bad), Err(Errno::EBADF));
        assert_eq!(files.duplicate(table, bad), Err(Errno::EBADF));
    }
    assert_eq!(files.object(table, 1), Ok(Object::Console));
    assert_eq!(files.seek(table, 0, 0, Whence::Start), Err(Errno::ESPIPE));
    files.leave_table(table);
    assert_eq!((files.open_files(), files.tables()), (0, 0));
}

#[test]
fn a_table_is_full_some_time() {
    let (mut files, table) = files();
    let opened = (0..).map(|_| files.open(table, "/a", NEW, 0)).take_while(Result::is_ok).count();
    assert_eq!(opened, MAX_DESCRIPTORS - 3);
    assert_eq!(files.duplicate(table, 0), Err(Errno::EMFILE));
    assert_eq!(files.open_files(), opened + 1, "what got no descriptor is closed");
    files.close(table, 100).unwrap();
    assert_eq!(files.duplicate(table, 0), Ok(100));
}

#[test]
fn a_shared_table_goes_with_its_last_user() {
    let (mut files, table) = files();
    files.share_table(table);
    let file = files.open(table, "/a", NEW, 0).unwrap();
    files.leave_table(table);
    assert_eq!(files.object(table, file).map(|_| ()), Ok(()));
    files.leave_table(table);
    assert_eq!(files.object(table, file), Err(Errno::EBADF));
    assert_eq!(files.open_files(), 0);
}

#[test]
fn what_has_no_name_lives_until_it_is_closed() {
    let (mut files, table) = files();
    let file = files.open(table, "/a", NEW, 0).unwrap();
    files.write(table, file, &[7; 5000], 0).unwrap();
    files.tree.unlink("/a", 0).unwrap();
    assert_eq!(files.tree.lookup("/a"), Err(Errno::ENOENT));
    files.seek(table, file, 0, Whence::Start).unwrap();
    assert_eq!(read_all(&mut files, table, file), [7; 5000]);
    assert_eq!(files.tree.used(), COST + 8192 + 2 * PLACE, "the name is given back");
    files.close(table, file).unwrap();
    assert_eq!((files.tree.used(), files.tree.is_empty()), (0, true));
}

#[test]
fn directories() {
    let mut tree = Tree::new(1 << 20).unwrap();
    for path in ["/d", "/d/e", "d/f/", "/d/./g"] {
        assert_eq!(tree.make_directory(path, 1), Ok(()), "{path}");
    }
    assert_eq!(tree.make_directory("/d", 1), Err(Errno::EEXIST));
    assert_eq!(tree.make_directory("/", 1), Err(Errno::EEXIST));
    assert_eq!(tree.make_directory("/x/y", 1), Err(Errno::ENOENT));
    let names_after = |name| -> Vec<_> {
        tree.entries_after(tree.lookup("/d").unwrap(), name).unwrap().map(|entry| entry.name).collect()
    };
    assert_eq!(names_after(""), ["e", "f", "g"]);
    assert_eq!(names_after("e"), ["f", "g"]);
    assert_eq!(names_after("ee"), ["f", "g"], "of a name that is gone");
    assert!(names_after("g").is_empty());
    assert_eq!(tree.lookup("/d/e/.."), tree.lookup("/d"));
    assert_eq!(tree.lookup("/../d/e/../../"), tree.lookup("/"));
    assert_eq!(tree.remove_directory("/d", 2), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.remove_directory("/d/e", 2), Ok(()));
    assert_eq!(tree.remove_directory("/d/e", 2), Err(Errno::ENOENT));
    assert_eq!(tree.unlink("/d/f", 2), Err(Errno::EISDIR));
    for path in ["/d/f", "/d/g", "/d"] {
        assert_eq!(tree.remove_directory(path, 2), Ok(()));
    }
    assert_eq!(tree.remove_directory("/", 2), Err(Errno::EBUSY));
    assert!(tree.is_empty());
}

#[test]
fn every_path_is_checked() {
    let (mut files, table) = files();
    files.open(table, "/file", NEW, 0).unwrap();
    files.tree.make_directory("/dir", 0).unwrap();
    let long = |length| "x".repeat(length);
    let cases = [
        ("", READ, Errno::ENOENT),
        ("/none", READ, Errno::ENOENT),
        ("/file/x", READ, Errno::ENOTDIR),
        ("/file/", READ, Errno::ENOTDIR),
        ("/file/..", READ, Errno::ENOTDIR),
        ("/file/x", NEW, Errno::ENOTDIR),
        ("/none/x", NEW, Errno::ENOENT),
        ("/new/", NEW, Errno::EISDIR),
        ("/dir", NEW, Errno::EISDIR),
        ("/file", OpenFlags { exclusive: true, ..NEW }, Errno::EEXIST),
        ("/file", OpenFlags { directory: true, ..READ }, Errno::ENOTDIR),
        (&long(256), NEW, Errno::ENAMETOOLONG),
        (&"/x".repeat(2048), READ, Errno::ENAMETOOLONG),
        ("/a\0b", NEW, Errno::EINVAL),
    ];
    for (path, flags, error) in cases {
        assert_eq!(files.open(table, path, flags, 0), Err(error), "{path}");
    }
    assert!(files.open(table, &long(255), NEW, 0).is_ok());
    assert!(files.open(table, "/dir/.", READ, 0).is_ok());
    let file = files.open(table, "/file", READ, 0).unwrap();
    assert_eq!(files.write(table, file, b"x", 0), Err(Errno::EBADF));
    let file = files.open(table, "/file", OpenFlags { read: false, ..NEW }, 0).unwrap();
    assert_eq!(files.read(table, file, &mut [0]), Err(Errno::EBADF));
    assert_eq!(files.seek(table, file, -1, Whence::Start), Err(Errno::EINVAL));
}

#[test]
fn space_ends_and_comes_back() {
    let (mut files, table) = files();
    let file = files.open(table, "/a", NEW, 0).unwrap();
    // There is room for 254 pieces with twice as many places as are needed, and the file: this leaves one.
    let much = std::vec![1; 253 * 4096];
    assert_eq!(files.write(table, file, &much, 0), Ok(Some(much.len())));
    assert_eq!(files.write(table, file, &[2; 10_000], 0), Ok(Some(4096)), "as much as there is room for");
    assert_eq!(files.write(table, file, b"x", 0), Err(Errno::ENOSPC));
    files.seek(table, file, 0, Whence::Start).unwrap();
    assert_eq!(files.write(table, file, b"x", 0), Ok(Some(1)), "what is there can be written");
    files.open(table, "/a", OpenFlags { truncate: true, ..NEW }, 0).unwrap();
    assert_eq!(files.tree.used(), COST + 1);
    files.seek(table, file, MAX_FILE as i64, Whence::Start).unwrap();
    assert_eq!(files.write(table, file, b"x", 0), Err(Errno::EFBIG));
}

/// One byte at the end of a large hole needs a place for each piece of the hole.
#[test]
fn a_hole_takes_the_places_of_its_pieces() {
    let (mut files, table) = files();
    let file = files.open(table, "/a", NEW, 0).unwrap();
    files.seek(table, file, MAX_FILE as i64 - 1, Whence::Start).unwrap();
    assert_eq!(files.write(table, file, b"x", 0), Err(Errno::ENOSPC), "6 MiB of places for it");
    assert_eq!(files.tree.used(), COST + 1);
    files.seek(table, file, 1000 * 4096, Whence::Start).unwrap();
    assert_eq!(files.write(table, file, b"x", 0), Ok(Some(1)));
    assert_eq!(files.tree.used(), COST + 1 + 4096 + 1001 * PLACE);
    assert_eq!(files.tree.stat(files.tree.lookup("/a").unwrap()).unwrap().allocated, 4096);
    files.close(table, file).unwrap();
    files.tree.unlink("/a", 0).unwrap();
    assert_eq!(files.tree.used(), 0);
}

/// An empty file takes memory, too: there are only so many, and each that goes makes room for another.
#[test]
fn empty_files_take_room() {
    let mut tree = Tree::new(10 * (COST + 2)).unwrap();
    for number in 0..5 {
        tree.open(&std::format!("/f{number}"), NEW, 0).unwrap();
        tree.make_directory(&std::format!("/d{number}"), 0).unwrap();
    }
    assert_eq!(tree.open("/g", NEW, 0), Err(Errno::ENOSPC));
    assert_eq!(tree.make_directory("/g", 0), Err(Errno::ENOSPC));
    assert_eq!(tree.add_fixed("/g", b""), Err(Errno::ENOSPC));
    tree.unlink("/f0", 0).unwrap();
    assert_eq!(tree.open("/f5", NEW, 0), Err(Errno::ENOSPC), "it is open");
    tree.remove_directory("/d0", 0).unwrap();
    assert!(tree.open("/f5", NEW, 0).is_ok());
    assert_eq!((tree.used(), tree.len()), (10 * COST + 9 * 2, 11));
}

/// `.` and `..` are no names: nothing is made or removed by them.
#[test]
fn dots_at_the_end_are_no_names() {
    let (mut files, _) = files();
    let tree = &mut files.tree;
    for path in ["/x/.", "/x/./", "/x/.."] {
        assert_eq!(tree.make_directory(path, 0), Err(Errno::ENOENT), "{path}");
    }
    tree.make_directory("/x/", 0).unwrap();
    tree.make_directory("/./x/./y", 0).unwrap();
    for path in ["/x/.", "/x/./", "/x/..", "/.", "/", "/x/y/../."] {
        assert_eq!(tree.make_directory(path, 0), Err(Errno::EEXIST), "{path}");
    }
    for path in ["/x/y/.", "/x/y/./", "/x/.", "/x/y/.."] {
        let refused = tree.remove_directory(path, 0).unwrap_err();
        assert!(matches!(refused, Errno::EINVAL | Errno::ENOTEMPTY), "{path}: {refused:?}");
    }
    assert_eq!(tree.remove_directory("/x/y/.", 0), Err(Errno::EINVAL));
    assert_eq!(tree.remove_directory("/x/./y/", 0), Ok(()));
    assert_eq!(tree.remove_directory("/x", 0), Ok(()));
    assert!(tree.is_empty());
}

#[test]
fn a_full_table_changes_nothing() {
    let (mut files, table) = files();
    let kept = files.open(table, "/kept", NEW, 0).unwrap();
    files.write(table, kept, b"precious", 0).unwrap();
    while files.duplicate(table, kept).is_ok() {}
    assert_eq!(files.open(table, "/kept", OpenFlags { truncate: true, ..NEW }, 0), Err(Errno::EMFILE));
    assert_eq!(files.open(table, "/new", NEW, 0), Err(Errno::EMFILE));
    assert_eq!(files.tree.stat(files.tree.lookup("/kept").unwrap()).unwrap().size, 8);
    assert_eq!(files.tree.lookup("/new"), Err(Errno::ENOENT));
}

/// What a copy of fixed contents has taken is counted only if it stays.
#[test]
fn a_write_without_room_takes_none() {
    static FIXED: [u8; 4096] = [9; 4096];
    let mut tree = Tree::new(4096 + PLACE + COST + 1).unwrap();
    tree.add_fixed("/f", &FIXED).unwrap();
    let file = tree.open("/f", OpenFlags { create: false, ..NEW }, 0).unwrap();
    assert_eq!(tree.write(file, 8192, b"x", 0), Err(Errno::ENOSPC));
    assert_eq!((tree.used(), tree.stat(file).unwrap().allocated), (COST + 1, 0));
    assert_eq!(tree.write(file, 0, b"x", 0), Ok(1));
    tree.close(file);
    tree.unlink("/f", 0).unwrap();
    assert_eq!(tree.used(), 0);
}

#[test]
fn fixed_contents_are_copied_when_they_are_written() {
    static FIXED: [u8; 5000] = [9; 5000];
    let (mut files, table) = files();
    files.tree.add_fixed("/data/deep/x", &FIXED).unwrap();
    assert_eq!(files.tree.add_fixed("data/deep/x", b""), Err(Errno::EEXIST));
    files.tree.add_fixed("data/empty", b"").unwrap();
    let file =
        files.open(table, "/data/deep/x", OpenFlags { append: true, create: false, ..NEW }, 0).unwrap();
    let names = (COST + 4) + (COST + 4) + (COST + 1) + (COST + 5);
    assert_eq!((files.tree.used(), read_all(&mut files, table, file)), (names, FIXED.to_vec()));
    assert_eq!(files.write(table, file, b"end", 0), Ok(Some(3)));
    files.seek(table, file, 4999, Whence::Start).unwrap();
    assert_eq!(read_all(&mut files, table, file), b"\x09end");
    let empty = files.open(table, "/data/empty", OpenFlags { create: false, ..NEW }, 0).unwrap();
    assert_eq!(files.write(table, empty, b"x", 0), Ok(Some(1)));
}

/// A name from an archive means the same as any path.
#[test]
fn fixed_contents_get_a_name_by_which_they_are_found() {
    let mut tree = Tree::new(1 << 16).unwrap();
    for directory in ["bin/", "bin/.", "bin/..", "/"] {
        assert_eq!(tree.add_fixed(directory, b""), Err(Errno::EISDIR), "{directory}");
    }
    assert!(tree.is_empty());
    tree.add_fixed("data/../up", b"x").unwrap();
    assert_eq!(tree.stat(tree.lookup("/up").unwrap()).unwrap().size, 1);
    assert_eq!(tree.add_fixed("up/x", b""), Err(Errno::ENOTDIR));
    assert_eq!(tree.len(), 3);
}

proptest! {
    /// Reads and writes at random places are those of an array of bytes, holes included.
    #[test]
    fn a_file_is_an_array(operations in prop::collection::vec((0..30_000_u64, 0..9_000_usize, any::<u8>(), any::<bool>()), 1..30)) {
        let (mut files, table) = files();
        let file = files.open(table, "/a", NEW, 0).unwrap();
        let mut model = Vec::new();
        for (at, length, value, writes) in operations {
            files.seek(table, file, at as i64, Whence::Start).unwrap();
            if writes {
                prop_assert_eq!(files.write(table, file, &std::vec![value; length], 0), Ok(Some(length)));
                if length > 0 {
                    model.resize(model.len().max(at as usize + length), 0);
                    model[at as usize..][..length].fill(value);
                }
            } else {
                let mut buffer = std::vec![0xaa; length];
                let count = files.read(table, file, &mut buffer).unwrap().unwrap();
                let expected = model.get(at as usize..).unwrap_or(&[]);
                prop_assert_eq!(&buffer[..count], &expected[..count.min(expected.len())]);
                prop_assert_eq!(count, expected.len().min(length));
            }
        }
    }

    /// Names come and go as in a map.
    #[test]
    fn a_directory_is_a_map(operations in prop::collection::vec((0..20_u8, any::<bool>()), 1..100)) {
        let mut tree = Tree::new(1 << 20).unwrap();
        let mut model = BTreeMap::new();
        for (number, adds) in operations {
            let path = std::format!("/{number}");
            if adds {
                let made = tree.open(&path, OpenFlags { exclusive: true, ..NEW }, 0);
                prop_assert_eq!(made.is_ok(), model.insert(path, ()).is_none());
                if let Ok(inode) = made {
                    tree.close(inode);
                }
            } else {
                prop_assert_eq!(tree.unlink(&path, 0).is_ok(), model.remove(&path).is_some());
            }
        }
        let names: Vec<_> = tree.entries_after(0, "").unwrap().map(|entry| std::format!("/{}", entry.name)).collect();
        let cost: usize = names.iter().map(|name| COST as usize + name.len() - 1).sum();
        prop_assert_eq!(tree.used(), cost as u64);
        prop_assert_eq!(names, model.into_keys().collect::<Vec<_>>());
    }
}
