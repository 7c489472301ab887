//! Payloads: whatever lies behind an image, its members are found as the kernel finds them (`payload`), and become files.
#![no_main]

use asphodel_core::errno::Errno;
use asphodel_core::fs::{OpenFlags, Tree};
use libfuzzer_sys::fuzz_target;
use tar_no_std::TarArchiveRef;

static CONTENTS: [u8; 64] = [b'x'; 64];

fuzz_target!(|bytes: &[u8]| {
    let Ok(archive) = TarArchiveRef::new(bytes) else { return };
    let mut tree = Tree::new(1 << 20).expect("the host has memory");
    for entry in archive.entries() {
        let name = entry.filename();
        let Ok(name) = name.as_str() else { continue };
        let data = entry.data();
        assert!(bytes.as_ptr_range().contains(&data.as_ptr()) || data.is_empty(), "data lie in the archive");
        // Fixed contents must be there for ever, which the input is not.
        let kept = &CONTENTS[..data.len().min(CONTENTS.len())];
        match tree.add_fixed(name, kept) {
            Ok(()) => {
                let flags = OpenFlags { read: true, ..OpenFlags::default() };
                let inode = tree.open(name, flags, 0).expect("it has just been made");
                let mut found = vec![0; kept.len()];
                assert_eq!(tree.read(inode, 0, &mut found), Ok(kept.len()));
                assert_eq!(found, kept);
                tree.close(inode);
            }
            Err(error) => assert_ne!(error, Errno::ENOMEM),
        }
    }
});
