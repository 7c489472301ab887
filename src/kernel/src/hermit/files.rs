//! Files, directories and the console, by descriptors.

use core::ffi::{c_char, c_int};

use asphodel_core::errno::Errno;
use asphodel_core::time::scale::NANOSECONDS;

use super::call::{entered, failure, outcome};
use super::own;
use super::symbol::Symbol;
use crate::input;
use crate::proc::state::files::{self, Inode, Kind, Object, OpenFlags, Stat, Whence};
use crate::time::{self, sleep};

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_open", open as *const ()),
    Symbol::new("sys_close", close as *const ()),
    Symbol::new("sys_dup", dup as *const ()),
    Symbol::new("sys_read", read as *const ()),
    Symbol::new("sys_readv", readv as *const ()),
    Symbol::new("sys_write", write as *const ()),
    Symbol::new("sys_writev", writev as *const ()),
    Symbol::new("sys_lseek", lseek as *const ()),
    Symbol::new("sys_stat", stat as *const ()),
    // There are no symbolic links.
    Symbol::new("sys_lstat", stat as *const ()),
    Symbol::new("sys_fstat", fstat as *const ()),
    Symbol::new("sys_unlink", unlink as *const ()),
    Symbol::new("sys_mkdir", mkdir as *const ()),
    Symbol::new("sys_rmdir", rmdir as *const ()),
    Symbol::new("sys_getdents64", getdents64 as *const ()),
    Symbol::new("sys_ioctl", ioctl as *const ()),
    Symbol::new("sys_poll", poll as *const ()),
];

/// Converts a result to the ABI: a number, or a negative error.
fn number(result: Result<usize, Errno>) -> isize {
    match result {
        Ok(number) => number as isize,
        Err(error) => failure(error) as isize,
    }
}

/// Calls `work` with a path that a program gave.
fn with_path<T>(path: *const c_char, work: impl FnOnce(&str) -> Result<T, Errno>) -> Result<T, Errno> {
    work(&own::string(path)?)
}

const ACCESS: c_int = 0o3;
const WRITE_ONLY: c_int = 0o1;
const READ_WRITE: c_int = 0o2;
const CREATE: c_int = 0o100;
const EXCLUSIVE: c_int = 0o200;
const TRUNCATE: c_int = 0o1000;
const APPEND: c_int = 0o2000;
const DIRECTORY: c_int = 0o200_000;

extern "C" fn open(name: *const c_char, flags: c_int, _mode: c_int) -> c_int {
    entered();
    let has = |flag| flags & flag != 0;
    let flags = OpenFlags {
        read: flags & ACCESS != WRITE_ONLY,
        write: matches!(flags & ACCESS, WRITE_ONLY | READ_WRITE),
        append: has(APPEND),
        create: has(CREATE),
        exclusive: has(EXCLUSIVE),
        truncate: has(TRUNCATE),
        directory: has(DIRECTORY),
    };
    match with_path(name, |path| files::open(path, flags)) {
        Ok(descriptor) => descriptor,
        Err(error) => failure(error),
    }
}

extern "C" fn close(descriptor: c_int) -> c_int {
    entered();
    outcome(files::close(descriptor))
}

extern "C" fn dup(descriptor: c_int) -> c_int {
    entered();
    match files::duplicate(descriptor) {
        Ok(descriptor) => descriptor,
        Err(error) => failure(error),
    }
}

extern "C" fn read(descriptor: c_int, start: *mut u8, length: usize) -> isize {
    entered();
    number(own::buffer(start, length).and_then(|mut buffer| files::read(descriptor, &mut buffer)))
}

extern "C" fn write(descriptor: c_int, start: *const u8, length: usize) -> isize {
    entered();
    number(own::bytes(start, length).and_then(|bytes| files::write(descriptor, &bytes)))
}

/// A buffer in a list of them.
#[repr(C)]
struct IoVec {
    start: *mut u8,
    length: usize,
}

/// Most buffers in a list.
const MAX_VECTORS: usize = 1024;

/// Calls `work` with one buffer after the other, by its start and length, until one is not used up; returns the sum.
fn each_vector(
    list: *const IoVec,
    count: usize,
    mut work: impl FnMut(*mut u8, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    if count > MAX_VECTORS {
        return Err(Errno::EINVAL);
    }
    let mut sum = 0;
    for index in 0..count {
        // SAFETY: an element consists of two words.
        let done = unsafe { own::read(list.wrapping_add(index)) }.and_then(|IoVec { start, length }| {
            Ok((if length == 0 { 0 } else { work(start, length)? }, length))
        });
        match done {
            Ok((done, length)) => {
                sum += done;
                if done < length {
                    break;
                }
            }
            Err(error) if sum == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sum)
}

extern "C" fn readv(descriptor: c_int, list: *const IoVec, count: usize) -> isize {
    entered();
    number(each_vector(list, count, |start, length| {
        files::read(descriptor, &mut own::buffer(start, length)?)
    }))
}

extern "C" fn writev(descriptor: c_int, list: *const IoVec, count: usize) -> isize {
    entered();
    number(each_vector(list, count, |start, length| files::write(descriptor, &own::bytes(start, length)?)))
}

extern "C" fn lseek(descriptor: c_int, by: isize, whence: c_int) -> isize {
    entered();
    let whence = match whence {
        0 => Whence::Start,
        1 => Whence::Current,
        2 => Whence::End,
        _ => return failure(Errno::EINVAL) as isize,
    };
    number(files::seek(descriptor, by as i64, whence).map(|at| at as usize))
}

/// The result of stat, in the layout of `hermit-abi`.
#[derive(Default)]
#[repr(C)]
struct StatBuffer {
    device: u64,
    inode: u64,
    links: u64,
    mode: u32,
    user: u32,
    group: u32,
    special: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    times: [(i64, i32); 3],
}

const _: () = assert!(size_of::<StatBuffer>() == 120);

const IS_DIRECTORY: u32 = 0o4_0000;
const IS_FILE: u32 = 0o10_0000;
const IS_CHARACTERS: u32 = 0o2_0000;
/// The size in which a program should read or write.
const BLOCK: i64 = 4096;
/// The unit in which blocks are counted.
const UNIT: u64 = 512;

impl StatBuffer {
    fn of(stat: &Stat) -> Self {
        let time = ((stat.changed / NANOSECONDS) as i64, (stat.changed % NANOSECONDS) as i32);
        Self {
            inode: u64::from(stat.inode) + 1,
            links: u64::from(stat.links),
            mode: if stat.kind == Kind::Directory { IS_DIRECTORY | 0o777 } else { IS_FILE | 0o666 },
            size: stat.size as i64,
            block_size: BLOCK,
            blocks: (stat.allocated / UNIT) as i64,
            times: [time; 3],
            ..Self::default()
        }
    }
}

fn answer(buffer: *mut StatBuffer, answer: Result<StatBuffer, Errno>) -> c_int {
    outcome(answer.and_then(|answer| own::write(buffer, answer)))
}

extern "C" fn stat(name: *const c_char, buffer: *mut StatBuffer) -> c_int {
    entered();
    let answer = with_path(name, files::stat).map(|stat| StatBuffer::of(&stat));
    self::answer(buffer, answer)
}

extern "C" fn fstat(descriptor: c_int, buffer: *mut StatBuffer) -> c_int {
    entered();
    let answer = files::object(descriptor).and_then(|object| match object {
        Object::Console => Ok(StatBuffer { mode: IS_CHARACTERS | 0o666, links: 1, ..StatBuffer::default() }),
        Object::Inode(inode) => files::stat_inode(inode).map(|stat| StatBuffer::of(&stat)),
    });
    self::answer(buffer, answer)
}

extern "C" fn unlink(name: *const c_char) -> c_int {
    entered();
    outcome(with_path(name, files::unlink))
}

extern "C" fn mkdir(name: *const c_char, _mode: u32) -> c_int {
    entered();
    outcome(with_path(name, files::make_directory))
}

extern "C" fn rmdir(name: *const c_char) -> c_int {
    entered();
    outcome(with_path(name, files::remove_directory))
}

/// Bytes of an entry before its name: number, offset, length, kind.
const ENTRY_HEADER: usize = 8 + 8 + 2 + 1;
/// The length of an entry is a multiple of this.
const ENTRY_ALIGN: usize = 8;
const KIND_DIRECTORY: u8 = 4;
const KIND_FILE: u8 = 8;

/// Writes the entry of `name` to the beginning of `room`; returns its length. `None`: there is too little room.
fn write_entry(room: &mut [u8], name: &str, inode: Inode, kind: Kind, next: usize) -> Option<usize> {
    let length = (ENTRY_HEADER + name.len() + 1).next_multiple_of(ENTRY_ALIGN);
    let room = room.get_mut(..length)?;
    room[..8].copy_from_slice(&(u64::from(inode) + 1).to_le_bytes());
    room[8..16].copy_from_slice(&((next + length) as i64).to_le_bytes());
    room[16..18].copy_from_slice(&(length as u16).to_le_bytes());
    room[18] = if kind == Kind::Directory { KIND_DIRECTORY } else { KIND_FILE };
    room[ENTRY_HEADER..].fill(0);
    room[ENTRY_HEADER..][..name.len()].copy_from_slice(name.as_bytes());
    Some(length)
}

/// Writes all names in a directory at once; returns how many bytes. `-EINVAL`: there is too little room.
///
/// `.` and `..` are left out, because `std` would pass them on to the program; only an empty directory has `.`, because
/// `std` takes a result without a byte for a failure.
extern "C" fn getdents64(descriptor: c_int, start: *mut u8, length: usize) -> i64 {
    entered();
    let mut room = match own::buffer(start, length) {
        Ok(room) => room,
        Err(error) => return i64::from(failure(error)),
    };
    let room = &mut *room;
    files::touch(room);
    let mut used = 0;
    let mut fits = true;
    let mut add = |name: &str, inode, kind| {
        let entry = write_entry(&mut room[used..], name, inode, kind, used);
        used += entry.unwrap_or(0);
        fits &= entry.is_some();
        fits
    };
    let mut any = false;
    let listed = files::list(descriptor, |name, inode, kind| {
        any = true;
        add(name, inode, kind)
    });
    if !any {
        add(".", 0, Kind::Directory);
    }
    match listed {
        Ok(()) if fits => used as i64,
        Ok(()) => i64::from(failure(Errno::EINVAL)),
        Err(error) => i64::from(failure(error)),
    }
}

/// Turns blocking off and on: for sockets only, which do not exist.
extern "C" fn ioctl(descriptor: c_int, _request: c_int, _argument: *mut u8) -> c_int {
    entered();
    failure(match files::object(descriptor) {
        Ok(_) => Errno::ENOTTY,
        Err(error) => error,
    })
}

/// A descriptor, and the requested events.
#[repr(C)]
struct PollEntry {
    descriptor: c_int,
    asked: i16,
    returned: i16,
}

const CAN_READ: i16 = 0x1;
const CAN_WRITE: i16 = 0x4;
const NO_DESCRIPTOR: i16 = 0x20;

/// Waits until one of the descriptors is ready for the requested events, or for so many milliseconds; negative: for
/// ever. Returns how many are ready. Killable; blocks.
extern "C" fn poll(list: *mut PollEntry, count: usize, milliseconds: c_int) -> c_int {
    entered();
    // SAFETY: an entry consists of numbers.
    let mut entries = match unsafe { own::items(list, count) } {
        Ok(entries) => entries,
        Err(error) => return failure(error),
    };
    let nanoseconds = u64::try_from(milliseconds).ok().map(|time| time.saturating_mul(1_000_000));
    let ready = look(&mut entries, input::has_some());
    if ready > 0 || nanoseconds == Some(0) {
        return ready;
    }
    // Files are always ready, so only console input is waited for.
    let waits_for_input = entries.iter().any(|entry| entry.descriptor >= 0 && entry.asked & CAN_READ != 0);
    if waits_for_input {
        let deadline = nanoseconds.map_or(u64::MAX, time::deadline_after);
        return look(&mut entries, input::wait_for_some(deadline));
    }
    // TIMED: the caller has requested no event that could occur, and has chosen the time.
    let _slept = sleep::sleep(nanoseconds.unwrap_or(u64::MAX));
    0
}

/// Sets the ready events of each descriptor; returns the number of descriptors with one.
fn look(entries: &mut [PollEntry], input: bool) -> c_int {
    for entry in &mut *entries {
        let possible = match files::object(entry.descriptor) {
            Ok(Object::Console) => CAN_WRITE | if input { CAN_READ } else { 0 },
            Ok(Object::Inode(_)) => CAN_READ | CAN_WRITE,
            Err(_) => NO_DESCRIPTOR,
        };
        entry.returned = possible & (entry.asked | NO_DESCRIPTOR);
        if entry.descriptor < 0 {
            entry.returned = 0;
        }
    }
    entries.iter().filter(|entry| entry.returned != 0).count() as c_int
}
