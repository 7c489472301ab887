//! The memory that belongs to the running program: what the kernel may read and write for it.
//!
//! A program passes words, which need not be what they should be. Before the kernel reads or writes through one, it must
//! lie in the program itself, in its heap, or in the stack of one of its threads: in the calling one's above the frame
//! of the call, so that the kernel's own frames are not among it, and in another one's as long as that does not end.
//! Otherwise the function fails with `EFAULT`. So no word makes the kernel touch its own memory or another process's.
//! What a program lets the kernel write over its own data, or its own threads, is the program's affair, as if it wrote
//! there itself. Called in program code.

use core::ffi::{CStr, c_char};
use core::ops::{Deref, DerefMut};

use asphodel_core::errno::Errno;

use super::thread_table::Loan;
use super::tls;
use crate::arch::cpu;
use crate::mem::arena;
use crate::mem::program::Use;
use crate::thread::Thread;

/// Most bytes of a path, with its end (PATH_MAX).
const LONGEST_STRING: usize = 4096;

/// Memory of the program, which stays mapped while this exists.
#[derive(Debug)]
pub(super) struct Own<T> {
    memory: T,
    /// If it lies in the stack of another thread.
    _loan: Option<Loan>,
}

impl<T: Deref> Deref for Own<T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.memory
    }
}

impl<T: DerefMut> DerefMut for Own<T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.memory
    }
}

/// Returns the end of the piece of the program's memory around `address`, outside of stacks.
fn end_of_piece(address: usize, access: Use) -> Option<usize> {
    let process = tls::process();
    let end = arena::end_of_piece(process.arena, address, access)?;
    // The program lies above its heap.
    if end <= process.base {
        process.heap.reaches(end);
    }
    Some(end)
}

/// Finds the piece of the program's memory around `address`: its end, and what keeps it.
#[inline(always)]
fn find(address: usize, access: Use) -> Option<(usize, Option<Loan>)> {
    let own = Thread::current().present_stack();
    if own.contains(&address) {
        return (address >= tls::program_data_above(cpu::stack_pointer())).then_some((own.end, None));
    }
    find_elsewhere(address, access)
}

/// The same, outside of the caller's stack.
#[inline(never)]
fn find_elsewhere(address: usize, access: Use) -> Option<(usize, Option<Loan>)> {
    if arena::contains(address) {
        return end_of_piece(address, access).map(|end| (end, None));
    }
    let loan = tls::process().threads.lend(address)?;
    Some((loan.end, Some(loan)))
}

/// Checks that `length` bytes from `address` on may be used so.
///
/// # Errors
/// `EFAULT`.
#[inline(always)]
fn check(address: usize, length: usize, access: Use) -> Result<Option<Loan>, Errno> {
    let (end, loan) = find(address, access).ok_or(Errno::EFAULT)?;
    if length <= end - address { Ok(loan) } else { Err(Errno::EFAULT) }
}

/// Returns whether `address` lies in the program's code.
pub(super) fn is_code(address: usize) -> bool {
    end_of_piece(address, Use::Execute).is_some()
}

/// Returns whether the aligned word at `address` is known to lie in the program's heap, as most do. `false` says nothing.
#[inline(always)]
pub(super) fn is_heap_word(address: *const u32) -> bool {
    tls::process().heap.contains_word(address)
}

/// Returns what keeps the aligned word at `address`.
///
/// # Errors
/// `EFAULT`: it is not the program's, or not aligned.
pub(super) fn word(address: *const u32) -> Result<Option<Loan>, Errno> {
    if !address.is_aligned() {
        return Err(Errno::EFAULT);
    }
    check(address as usize, size_of::<u32>(), Use::Read)
}

/// Returns the bytes that the program wants read.
///
/// # Errors
/// `EFAULT`.
pub(super) fn bytes<'a>(start: *const u8, length: usize) -> Result<Own<&'a [u8]>, Errno> {
    if length == 0 {
        return Ok(Own { memory: &[], _loan: None });
    }
    let loan = check(start as usize, length, Use::Read)?;
    // SAFETY: mapped memory of the program, which promises not to write it meanwhile.
    Ok(Own { memory: unsafe { core::slice::from_raw_parts(start, length) }, _loan: loan })
}

/// Returns the buffer that the program wants filled.
///
/// # Errors
/// `EFAULT`.
pub(super) fn buffer<'a>(start: *mut u8, length: usize) -> Result<Own<&'a mut [u8]>, Errno> {
    if length == 0 {
        return Ok(Own { memory: &mut [], _loan: None });
    }
    let loan = check(start as usize, length, Use::Write)?;
    // SAFETY: mapped memory of the program, which promises not to use it meanwhile.
    Ok(Own { memory: unsafe { core::slice::from_raw_parts_mut(start, length) }, _loan: loan })
}

/// Returns the list of `count` items that the program wants changed.
///
/// # Safety
/// Every pattern of bits is a `T`.
///
/// # Errors
/// `EFAULT`, also if it is not aligned.
pub(super) unsafe fn items<'a, T>(start: *mut T, count: usize) -> Result<Own<&'a mut [T]>, Errno> {
    if count == 0 {
        return Ok(Own { memory: &mut [], _loan: None });
    }
    let bytes = count.checked_mul(size_of::<T>()).ok_or(Errno::EFAULT)?;
    let loan = check(start as usize, bytes, Use::Write)?;
    if !start.is_aligned() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: as in `buffer`; aligned, of that length, and by the caller's promise of that type.
    Ok(Own { memory: unsafe { core::slice::from_raw_parts_mut(start, count) }, _loan: loan })
}

/// Returns a copy of the value that the program has at `place`.
///
/// # Safety
/// Every pattern of bits is a `T`.
///
/// # Errors
/// `EFAULT`.
pub(super) unsafe fn read<T>(place: *const T) -> Result<T, Errno> {
    let _loan = check(place as usize, size_of::<T>(), Use::Read)?;
    // SAFETY: mapped memory of the program; by the caller's promise any bytes are a value.
    Ok(unsafe { place.read_unaligned() })
}

/// Stores `value` where the program wants it.
///
/// # Errors
/// `EFAULT`.
pub(super) fn write<T>(place: *mut T, value: T) -> Result<(), Errno> {
    let _loan = check(place as usize, size_of::<T>(), Use::Write)?;
    if place.is_aligned() {
        // SAFETY: mapped and writable memory of the program.
        unsafe { place.write(value) };
    } else {
        // SAFETY: as above; byte by byte.
        unsafe { place.write_unaligned(value) };
    }
    Ok(())
}

/// Returns the string that the program has at `start`.
///
/// # Errors
/// `EFAULT`; `ENAMETOOLONG`: it has no end within 4096 bytes. `EINVAL`: it is not UTF-8.
pub(super) fn string<'a>(start: *const c_char) -> Result<Own<&'a str>, Errno> {
    let (end, loan) = find(start as usize, Use::Read).ok_or(Errno::EFAULT)?;
    let room = end - start as usize;
    // SAFETY: mapped memory of the program, which promises not to write it meanwhile.
    let bytes = unsafe { core::slice::from_raw_parts(start.cast::<u8>(), room.min(LONGEST_STRING)) };
    let no_end = if room < LONGEST_STRING { Errno::EFAULT } else { Errno::ENAMETOOLONG };
    let string = CStr::from_bytes_until_nul(bytes).map_err(|_| no_end)?;
    Ok(Own { memory: string.to_str().map_err(|_| Errno::EINVAL)?, _loan: loan })
}

/// Returns whether a block of `length` bytes from `start` on may lie in the program's heap.
#[inline(always)]
pub(super) fn is_in_heap(start: usize, length: usize) -> bool {
    tls::process().heap.contains(start, length) || is_in_larger_heap(start, length)
}

/// The same, if the heap has grown.
#[cold]
#[inline(never)]
fn is_in_larger_heap(start: usize, length: usize) -> bool {
    end_of_piece(start, Use::Write).is_some_and(|end| length <= end - start)
}
