use super::relocation::{Change, Value};
use super::*;

/// The smallest program: constants with its tables, text, data.
struct Elf {
    bytes: std::vec::Vec<u8>,
}

const TEXT_AT: u64 = 0x2000;
const DATA_AT: u64 = 0x4000;
/// Behind the headers: relocations, symbols, names.
const RELA_AT: u64 = 0x300;
const SYMBOLS_AT: u64 = 0x400;
const NAMES_AT: u64 = 0x500;
const DYNAMIC_AT: u64 = DATA_AT + 0x100;
/// Number of a program header's fields, in words of four bytes: type, flags, offset, address, physical, sizes, align.
const HEADER: usize = 56;

impl Elf {
    fn new() -> Self {
        let mut elf = Self { bytes: vec![0; 0x5000] };
        elf.put(0, b"\x7fELF\x02\x01\x01");
        elf.put_u16(16, abi::ET_DYN);
        elf.put_u16(18, abi::EM_AARCH64);
        elf.put_u32(20, 1);
        elf.put_u64(24, TEXT_AT + 8);
        elf.put_u64(32, 64);
        elf.put_u16(52, 64);
        elf.put_u16(54, HEADER as u16);
        elf.put_u16(56, 5);
        elf.segment(0, abi::PT_LOAD, abi::PF_R, 0, 0x600, 0x600, 0x1000);
        elf.segment(1, abi::PT_LOAD, abi::PF_R | abi::PF_X, TEXT_AT, 0x10, 0x10, 0x1000);
        elf.segment(2, abi::PT_LOAD, abi::PF_R | abi::PF_W, DATA_AT, 0x800, 0x2345, 0x1000);
        elf.segment(3, abi::PT_DYNAMIC, abi::PF_R, DYNAMIC_AT, 0x100, 0x100, 8);
        elf.segment(4, abi::PT_TLS, abi::PF_R, DATA_AT + 0x408, 4, 0x30, 32);
        let dynamic = [
            (abi::DT_RELA, RELA_AT),
            (abi::DT_RELASZ, 48),
            (abi::DT_RELAENT, 24),
            (abi::DT_SYMTAB, SYMBOLS_AT),
            (abi::DT_SYMENT, 24),
            (abi::DT_STRTAB, NAMES_AT),
            (abi::DT_STRSZ, 0x40),
        ];
        for (index, (tag, value)) in dynamic.into_iter().enumerate() {
            elf.put_u64(DYNAMIC_AT + 16 * index as u64, tag as u64);
            elf.put_u64(DYNAMIC_AT + 16 * index as u64 + 8, value);
        }
        elf.relocation(0, DATA_AT + 0x10, abi::R_AARCH64_RELATIVE, 0, 0x2004);
        elf.relocation(1, DATA_AT + 0x18, abi::R_AARCH64_GLOB_DAT, 1, 0);
        elf.put_u32(SYMBOLS_AT + 24, 1);
        elf.put(NAMES_AT, b"\0sys_exit\0asphodel\0");
        elf
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u16(&mut self, at: u64, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn put_u32(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a program header")]
    fn segment(&mut self, index: usize, kind: u32, flags: u32, at: u64, file: u64, memory: u64, align: u64) {
        let header = (64 + index * HEADER) as u64;
        self.put_u32(header, kind);
        self.put_u32(header + 4, flags);
        for (field, value) in [at, at, at, file, memory, align].into_iter().enumerate() {
            self.put_u64(header + 8 + 8 * field as u64, value);
        }
    }

    fn relocation(&mut self, index: u64, place: u64, kind: u32, symbol: u64, addend: u64) {
        let at = RELA_AT + 24 * index;
        self.put_u64(at, place);
        self.put_u64(at + 8, symbol << 32 | u64::from(kind));
        self.put_u64(at + 16, addend);
    }

    fn error(&self) -> LoadError {
        Plan::new(&self.bytes).expect_err("this is no program")
    }
}

#[test]
fn a_program_is_laid_out_as_its_headers_say() {
    let elf = Elf::new();
    let plan = Plan::new(&elf.bytes).unwrap();
    let parts: std::vec::Vec<_> = plan.parts.iter().map(|part| (part.access, part.pages.clone())).collect();
    assert_eq!(
        parts,
        [
            (Access::Constant, 0..0x1000),
            (Access::Text, TEXT_AT..TEXT_AT + 0x1000),
            (Access::Data, DATA_AT..DATA_AT + 0x3000)
        ]
    );
    assert_eq!((plan.span, plan.entry), (DATA_AT + 0x3000, TEXT_AT + 8));
    assert_eq!(plan.parts[2].contents, DATA_AT as usize..DATA_AT as usize + 0x800);
}

#[test]
fn relocations_name_places_in_data_and_functions_by_name() {
    let elf = Elf::new();
    let plan = Plan::new(&elf.bytes).unwrap();
    let changes: std::vec::Vec<_> = plan.relocations.changes().collect();
    assert_eq!(
        changes,
        [
            Change { place: DATA_AT + 0x10, value: Value::Own(0x2004) },
            Change { place: DATA_AT + 0x18, value: Value::Foreign(1, 0) }
        ]
    );
    assert_eq!(plan.relocations.foreign().collect::<std::vec::Vec<_>>(), [1]);
    assert_eq!(plan.relocations.name(1), Some("sys_exit"));
    assert_eq!(plan.relocations.name(10_000), None);
}

#[test]
fn thread_local_storage_is_aligned_as_its_segment_is() {
    let elf = Elf::new();
    let tls = Plan::new(&elf.bytes).unwrap().tls;
    // The segment lies 8 behind a multiple of 32: so do the variables, behind a control block of 16 bytes.
    assert_eq!((tls.offset, tls.size, tls.align), (0x28, 0x28 + 0x30, 32));
    assert_eq!((tls.initial, tls.initial_size), (DATA_AT + 0x408, 4), "where it is relocated");
    for (address, align, offset) in
        [(0x1000, 16, 16), (0x1000, 64, 64), (0x1010, 64, 16), (0x1008, 8, 16), (0, 1, 16)]
    {
        assert_eq!(Template::new(&[], 8, address, align).unwrap().offset, offset, "{address:#x} {align}");
    }
    for bad in [3, 2 * PAGE] {
        assert_eq!(Template::new(&[], 8, 0, bad).unwrap_err(), LoadError::BadTls);
    }
    let mut unmapped = Elf::new();
    unmapped.segment(4, abi::PT_TLS, abi::PF_R, 0x700, 4, 0x30, 32);
    assert_eq!(Plan::new(&unmapped.bytes).unwrap_err(), LoadError::BadTls, "in the file, but in no part");
}

#[test]
fn what_is_no_program_is_told_apart() {
    assert_eq!(Plan::new(b"").unwrap_err(), LoadError::NoElf);
    assert_eq!(Plan::new(&[0; 4096]).unwrap_err(), LoadError::NoElf);
    assert_eq!(Plan::new(&Elf::new().bytes[..0x80]).unwrap_err(), LoadError::NoElf);
    let with = |change: fn(&mut Elf)| {
        let mut elf = Elf::new();
        change(&mut elf);
        elf.error()
    };
    assert_eq!(with(|elf| elf.put_u16(18, abi::EM_X86_64)), LoadError::OtherMachine);
    assert_eq!(with(|elf| elf.put_u16(16, abi::ET_EXEC)), LoadError::NotRelocatable);
    assert_eq!(with(|elf| elf.put_u64(24, 0)), LoadError::NoEntry);
    assert_eq!(with(|elf| elf.segment(4, abi::PT_INTERP, 4, 0, 1, 1, 1)), LoadError::NeedsLibrary);
    assert_eq!(with(|elf| elf.put_u64(DYNAMIC_AT, abi::DT_NEEDED as u64)), LoadError::NeedsLibrary);
}

#[test]
fn the_only_library_is_the_kernel() {
    let asking_for = |name| {
        let mut elf = Elf::new();
        elf.put_u64(DYNAMIC_AT + 16 * 7, abi::DT_NEEDED as u64);
        elf.put_u64(DYNAMIC_AT + 16 * 7 + 8, name);
        Plan::new(&elf.bytes).map(|_| ())
    };
    assert_eq!(asking_for(10), Ok(()), "asphodel");
    assert_eq!(asking_for(1), Err(LoadError::NeedsLibrary), "sys_exit");
    assert_eq!(asking_for(0x100), Err(LoadError::NeedsLibrary), "no name");
}

#[test]
fn segments_that_cannot_be_mapped_are_refused() {
    type Change = fn(&mut Elf);
    let cases: [(Change, LoadError); 5] = [
        (|elf| elf.segment(1, abi::PT_LOAD, 7, TEXT_AT, 0x10, 0x10, 0x1000), LoadError::WritableText),
        // Over the one before.
        (|elf| elf.segment(1, abi::PT_LOAD, 5, 0x800, 0x10, 0x10, 0x1000), LoadError::BadSegments),
        // Behind the end of the file.
        (|elf| elf.segment(2, abi::PT_LOAD, 6, DATA_AT, 0x9000, 0x9000, 0x1000), LoadError::BadSegments),
        // Zeros that would have to be read from the file.
        (|elf| elf.segment(1, abi::PT_LOAD, 5, TEXT_AT, 0x10, 0x20, 0x1000), LoadError::BadSegments),
        // Larger than any program.
        (|elf| elf.segment(2, abi::PT_LOAD, 6, DATA_AT, 0x800, MAX_SPAN, 0x1000), LoadError::BadSegments),
    ];
    for (index, (change, error)) in cases.into_iter().enumerate() {
        let mut elf = Elf::new();
        change(&mut elf);
        assert_eq!(elf.error(), error, "case {index}");
    }
}

#[test]
fn relocations_that_a_program_cannot_have_are_refused() {
    type Change = fn(&mut Elf);
    let relative = abi::R_AARCH64_RELATIVE;
    let cases: [(Change, LoadError); 6] = [
        (|elf| elf.relocation(0, TEXT_AT, abi::R_AARCH64_RELATIVE, 0, 0), LoadError::BadRelocation(relative)),
        (
            |elf| elf.relocation(0, DATA_AT + 0x2ffc, abi::R_AARCH64_RELATIVE, 0, 0),
            LoadError::BadRelocation(relative),
        ),
        (
            |elf| elf.relocation(0, DATA_AT, abi::R_AARCH64_TLS_TPREL, 1, 0),
            LoadError::BadRelocation(abi::R_AARCH64_TLS_TPREL),
        ),
        // A symbol that is not there, and one that the program has itself.
        (|elf| elf.relocation(1, DATA_AT, abi::R_AARCH64_GLOB_DAT, 5000, 0), LoadError::BadDynamic),
        (|elf| elf.put_u16(SYMBOLS_AT + 24 + 6, 1), LoadError::BadDynamic),
        // A table behind the end.
        (|elf| elf.put_u64(DYNAMIC_AT + 24, 0x8000), LoadError::BadDynamic),
    ];
    for (index, (change, error)) in cases.into_iter().enumerate() {
        let mut elf = Elf::new();
        change(&mut elf);
        assert_eq!(elf.error(), error, "case {index}");
    }
}

/// No input makes the reader panic.
#[test]
fn damaged_files_are_refused_or_loaded_but_never_fatal() {
    let good = Elf::new().bytes;
    for at in (0..0x600).chain(DYNAMIC_AT as usize..DYNAMIC_AT as usize + 0x80) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(plan) = Plan::new(&bytes) {
                assert!(
                    plan.relocations.changes().all(|change| plan.is_data(&(change.place..change.place + 8)))
                );
            }
        }
    }
}
