//! An interrupted context: a copy of what the host has saved for a signal, and the way back to it.
//!
//! The copy has the form that the host's `rt_sigreturn` takes: the context, and behind it the floating-point state. It
//! may be moved to the stack of the thread that was interrupted, and resumed by another CPU, which is another host
//! thread.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use super::frame::TrapFrame;
use super::signal;
use super::words::{MASKED, PENDING, SIGNAL_STACK};

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI, 3.2.2).
pub(super) const RED_ZONE: usize = 128;
/// Alignment that the host requires for the floating-point state.
pub(super) const ALIGNMENT: usize = 64;
/// Bytes of the host's context: flags, link, stack, registers, signal mask.
const CONTEXT: usize = 304;
/// Where the floating-point state holds its size, with a magic number before it (arch/x86, `struct _fpx_sw_bytes`).
const STATE_MAGIC: usize = 464;
const MAGIC: u32 = 0x4650_5853;
/// Bytes of a floating-point state that does not hold its size.
const PLAIN_STATE: usize = 512;
/// EFLAGS.DF, which must be clear at a call.
const DIRECTION: i64 = 1 << 10;
/// Bits of a page fault's error code: the page is there, a write, a fetch.
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;
/// The number of the page fault, the only exception whose context holds the address of the access.
const PAGE_FAULT: u64 = 14;

/// A saved context. Its floating-point state lies behind it.
#[repr(C, align(64))]
pub(super) struct Saved {
    context: [u64; CONTEXT / 8],
    /// The signal that was delivered.
    pub(super) signal: u64,
    /// The CPU's word for masked interrupts, as it was when the signal came.
    pub(super) masked: u64,
    /// Bytes of the floating-point state.
    state: u64,
}

/// The host's context of a signal.
pub(super) type Context = libc::ucontext_t;

fn register(context: &Context, number: i32) -> u64 {
    context.uc_mcontext.gregs[number as usize] as u64
}

/// Returns the bytes that a copy of `context` takes.
///
/// # Safety
/// `context` must have been made by the host for a signal whose handler has not returned.
pub(super) unsafe fn size(context: &Context) -> usize {
    // SAFETY: the caller's guarantee.
    size_of::<Saved>() + unsafe { state_size(context.uc_mcontext.fpregs.cast()) }
}

/// # Safety
/// `state` must be a floating-point state that the host has made.
unsafe fn state_size(state: *const u8) -> usize {
    // SAFETY: every such state has these bytes.
    let [magic, size] = unsafe { state.add(STATE_MAGIC).cast::<[u32; 2]>().read_unaligned() };
    if magic == MAGIC { size as usize } else { PLAIN_STATE }
}

/// Copies `context` to `place`.
///
/// # Safety
/// As for [`size`], which returns how many bytes at `place` must be writable; `place` must be aligned to [`ALIGNMENT`].
pub(super) unsafe fn save(context: &Context, place: *mut Saved, signal: i32) {
    let state = context.uc_mcontext.fpregs.cast::<u8>().cast_const();
    // SAFETY: the caller's guarantee: the host's context has that length, and there is room.
    unsafe {
        let bytes = state_size(state);
        core::ptr::from_ref(context).cast::<u8>().copy_to_nonoverlapping(place.cast(), CONTEXT);
        state.copy_to_nonoverlapping(place.add(1).cast(), bytes);
        (*place).signal = signal as u64;
        (*place).masked = MASKED.get();
        (*place).state = bytes as u64;
        (*place).point_to_state();
    }
}

/// Makes the context that the host resumes when the handler returns call `entry(place)` on the stack below `place`.
pub(super) fn divert(context: &mut Context, entry: extern "C" fn(&mut Saved) -> !, place: *mut Saved) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = entry as usize as i64;
    registers[libc::REG_RDI as usize] = place.addr() as i64;
    // As after a call.
    registers[libc::REG_RSP as usize] = place.addr() as i64 - 8;
    registers[libc::REG_RBP as usize] = 0;
    registers[libc::REG_EFL as usize] &= !DIRECTION;
}

/// Returns where the context continues.
pub(super) fn pc(context: &Context) -> u64 {
    register(context, libc::REG_RIP)
}

/// Returns its stack pointer.
pub(super) fn sp(context: &Context) -> u64 {
    register(context, libc::REG_RSP)
}

/// Restarts the return if the context was interrupted on the way back to another one. Returns `true` if that was so.
pub(super) fn restart_return(context: &mut Context) -> bool {
    let way = asphodel_return as *const () as u64..asphodel_return_end as *const () as u64;
    let restarts = way.contains(&pc(context));
    if restarts {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] = way.start as i64;
    }
    restarts
}

impl Saved {
    fn libc(&self) -> &libc::mcontext_t {
        // SAFETY: the host's context begins like this, and the part of it that is named here is in the copy.
        unsafe { &*(&raw const self.context).cast::<u8>().add(offset_of!(Context, uc_mcontext)).cast() }
    }

    fn registers(&mut self) -> &mut [i64; 23] {
        let offset = offset_of!(Context, uc_mcontext) + offset_of!(libc::mcontext_t, gregs);
        // SAFETY: as above.
        unsafe { &mut *(&raw mut self.context).cast::<u8>().add(offset).cast() }
    }

    /// Sets the pointer by which the host finds the floating-point state to where it lies now.
    fn point_to_state(&mut self) {
        let offset = offset_of!(Context, uc_mcontext) + offset_of!(libc::mcontext_t, fpregs);
        let state = (&raw const *self).addr() + size_of::<Self>();
        self.context[offset / 8] = state as u64;
    }

    /// Returns the part of it that hooks may edit.
    pub(super) fn frame(&self) -> TrapFrame {
        let get = |number: i32| self.libc().gregs[number as usize] as u64;
        TrapFrame {
            pc: get(libc::REG_RIP),
            sp: get(libc::REG_RSP),
            frame_pointer: get(libc::REG_RBP),
            masked: self.masked != 0,
            call: None,
        }
    }

    /// Applies the changes that hooks have made.
    pub(super) fn apply(&mut self, frame: &TrapFrame) {
        let registers = self.registers();
        registers[libc::REG_RSP as usize] = frame.sp as i64;
        if let Some((function, argument)) = frame.call {
            registers[libc::REG_RIP as usize] = function as usize as i64;
            registers[libc::REG_RDI as usize] = argument as i64;
            registers[libc::REG_RSP as usize] = (frame.sp & !15) as i64 - 8;
            registers[libc::REG_EFL as usize] &= !DIRECTION;
        }
    }

    /// Returns the address of the access that faulted, whether it was a write, whether it was a jump, and whether
    /// nothing is mapped there; `None` if the processor does not say, as for an address that cannot be mapped at all:
    /// then CR2 is that of an earlier fault.
    pub(super) fn access(&self) -> Option<(usize, bool, bool, bool)> {
        let get = |number: i32| self.libc().gregs[number as usize] as u64;
        let error = get(libc::REG_ERR);
        let access =
            (get(libc::REG_CR2) as usize, error & WRITE != 0, error & FETCH != 0, error & PRESENT == 0);
        (get(libc::REG_TRAPNO) == PAGE_FAULT).then_some(access)
    }

    /// Returns the bytes that a copy takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.state as usize
    }

    /// Copies it to `place`.
    ///
    /// # Safety
    /// [`Saved::size`] bytes at `place` must be writable, aligned to [`ALIGNMENT`], and must not overlap it.
    pub(super) unsafe fn move_to(&self, place: *mut Self) {
        // SAFETY: the caller's guarantee; the state lies behind it.
        unsafe {
            core::ptr::from_ref(self).cast::<u8>().copy_to_nonoverlapping(place.cast(), self.size());
            (*place).point_to_state();
        }
    }
}

/// Calls `entry(place)` on the stack below `place`, for good.
///
/// # Safety
/// There must be room, and the present stack must not be used any more.
pub(super) unsafe fn call_below(place: *mut Saved, entry: extern "C" fn(&mut Saved) -> !) -> ! {
    // SAFETY: the caller's guarantee; the stack pointer is as after a call.
    unsafe {
        asm!("lea rsp, [rdi - 8]", "xor ebp, ebp", "jmp {entry}",
             entry = in(reg) entry, in("rdi") place, options(noreturn))
    }
}

/// Resumes a saved context, with interrupts as they were when it was interrupted. If they were unmasked, it first takes
/// those that are pending. Called with interrupts masked.
pub(super) fn go_on_with(saved: &mut Saved) -> ! {
    let masked = saved.masked;
    // SAFETY: the copy is complete, and this is the only one that resumes it.
    unsafe { asphodel_return(saved, masked) }
}

unsafe extern "C" {
    fn asphodel_return(saved: *mut Saved, masked: u64) -> !;
    fn asphodel_return_end();
}

// A signal that comes between the first instruction and the system call restarts it (`restart_return`). So no interrupt
// that becomes pending meanwhile is lost, and the stack for signals is that of the host thread that makes the call.
global_asm!(
    r#"
    .pushsection .text.asphodel_return, "ax", @progbits
    .globl asphodel_return, asphodel_return_end
    .hidden asphodel_return, asphodel_return_end
asphodel_return:
    test    rsi, rsi
    jnz     3f
    mov     rax, qword ptr fs:[asphodel_words@TPOFF + {PENDING}]
    cmp     dword ptr [rax], 0
    jne     4f
3:  mov     rax, qword ptr fs:[asphodel_words@TPOFF + {SIGNAL_STACK}]
    mov     qword ptr [rdi + 16], rax
    mov     qword ptr fs:[asphodel_words@TPOFF + {MASKED}], rsi
    mov     rsp, rdi
    mov     eax, 15
    syscall
asphodel_return_end:
    ud2
4:  mov     rsp, rdi
    call    {interrupt}
    ud2
    .popsection
"#,
    PENDING = const PENDING.offset(),
    SIGNAL_STACK = const SIGNAL_STACK.offset(),
    MASKED = const MASKED.offset(),
    interrupt = sym signal::interrupted_again,
);
