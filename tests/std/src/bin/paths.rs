//! Files: written, read, listed, removed; and the operations on them that must fail.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};

fn main() {
    assert_eq!(fs::read("/nothing").unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir("/paths").unwrap();
    fs::write("/paths/one", "first line\n").unwrap();
    OpenOptions::new().append(true).open("/paths/one").unwrap().write_all(b"second\n").unwrap();
    assert_eq!(fs::read_to_string("/paths/one").unwrap(), "first line\nsecond\n");
    assert_eq!(fs::metadata("/paths/one").unwrap().len(), 18);
    assert!(fs::metadata("/paths").unwrap().is_dir());

    let mut file = File::options().read(true).write(true).create_new(true).open("/paths/two").unwrap();
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::Start(50_000)).unwrap();
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert!(rest == bytes[50_000..]);
    let again = File::options().write(true).create_new(true).open("/paths/two").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    let mut names: Vec<_> = fs::read_dir("/paths").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
    // `std` has no kind for this error on its target: ENOTEMPTY.
    assert_eq!(fs::remove_dir("/paths").unwrap_err().raw_os_error(), Some(39));
    fs::remove_file("/paths/one").unwrap();
    fs::remove_file("/paths/two").unwrap();
    fs::remove_dir("/paths").unwrap();
    assert!(!fs::exists("/paths").unwrap());
}
