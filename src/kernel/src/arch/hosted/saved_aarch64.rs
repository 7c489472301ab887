//! An interrupted context: a copy of what the host has saved for a signal, and the way back to it.
//!
//! The copy has the form that the host's `rt_sigreturn` takes: the signal's description, and the context with the
//! floating-point state in it (arch/arm64, `struct rt_sigframe`). It may be moved to the stack of the thread that was
//! interrupted, and resumed by another CPU, which is another host thread.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use super::frame::TrapFrame;
use super::signal;
use super::word_access::restart;
use super::words::{MASKED, PENDING, SIGNAL_STACK};

/// Bytes below the stack pointer that belong to the interrupted function: none.
pub(super) const RED_ZONE: usize = 0;
/// Alignment of a frame.
pub(super) const ALIGNMENT: usize = 16;
/// Bytes of a signal's description, before the context.
const DESCRIPTION: usize = 128;
/// The magic number of the record that holds the syndrome of a fault, and the end of the records.
const SYNDROME_MAGIC: u32 = 0x4553_5201;
/// Exception classes of ESR_EL1: a jump, and a load or store.
const CLASS_PREFETCH_ABORT: u64 = 0x20;

/// The host's context of a signal.
pub(super) type Context = libc::ucontext_t;

/// A saved context.
#[repr(C, align(16))]
pub(super) struct Saved {
    description: [u64; DESCRIPTION / 8],
    context: Context,
    /// The signal that was delivered.
    pub(super) signal: u64,
    /// The CPU's word for masked interrupts, as it was when the signal came.
    pub(super) masked: u64,
}

const _: () = assert!(offset_of!(Saved, context) == DESCRIPTION);

/// Returns the bytes that a copy of `context` takes.
///
/// # Safety
/// None; as on other hosts otherwise.
pub(super) unsafe fn size(_context: &Context) -> usize {
    size_of::<Saved>()
}

/// Copies `context` to `place`.
///
/// # Safety
/// `context` must have been made by the host for a signal whose handler has not returned; [`size`] bytes at `place`
/// must be writable, aligned to [`ALIGNMENT`].
pub(super) unsafe fn save(context: &Context, place: *mut Saved, signal: i32) {
    // SAFETY: the caller's guarantee; the context is plain data.
    unsafe {
        (&raw mut (*place).context).copy_from_nonoverlapping(context, 1);
        (*place).signal = signal as u64;
        (*place).masked = MASKED.get();
        let pc = &mut (*place).context.uc_mcontext.pc;
        *pc = restart(*pc);
    }
}

/// Makes the context that the host resumes when the handler returns call `entry(place)` on the stack below `place`.
pub(super) fn divert(context: &mut Context, entry: extern "C" fn(&mut Saved) -> !, place: *mut Saved) {
    let registers = &mut context.uc_mcontext;
    registers.pc = entry as usize as u64;
    registers.sp = place.addr() as u64;
    registers.regs[0] = place.addr() as u64;
    registers.regs[29] = 0;
    registers.regs[30] = 0;
}

/// Returns where the context continues.
pub(super) fn pc(context: &Context) -> u64 {
    context.uc_mcontext.pc
}

/// Returns its stack pointer.
pub(super) fn sp(context: &Context) -> u64 {
    context.uc_mcontext.sp
}

/// Restarts the return if the context was interrupted on the way back to another one. Returns `true` if that was so.
pub(super) fn restart_return(context: &mut Context) -> bool {
    let way = asphodel_return as *const () as u64..asphodel_return_end as *const () as u64;
    let restarts = way.contains(&pc(context));
    if restarts {
        context.uc_mcontext.pc = way.start;
    }
    restarts
}

impl Saved {
    /// Returns the part of it that hooks may edit.
    pub(super) fn frame(&self) -> TrapFrame {
        let registers = &self.context.uc_mcontext;
        TrapFrame {
            pc: registers.pc,
            sp: registers.sp,
            frame_pointer: registers.regs[29],
            masked: self.masked != 0,
            call: None,
        }
    }

    /// Applies the changes that hooks have made.
    pub(super) fn apply(&mut self, frame: &TrapFrame) {
        let registers = &mut self.context.uc_mcontext;
        registers.sp = frame.sp;
        if let Some((function, argument)) = frame.call {
            registers.pc = function as usize as u64;
            registers.regs[0] = argument;
            registers.sp = frame.sp & !15;
        }
    }

    /// Returns the address of the access that faulted, whether it was a write, whether it was a jump, and whether
    /// nothing is mapped there.
    pub(super) fn access(&self) -> Option<(usize, bool, bool, bool)> {
        let syndrome = self.syndrome();
        let jumps = syndrome >> 26 & 0x3f == CLASS_PREFETCH_ABORT;
        let writes = !jumps && syndrome & 1 << 6 != 0;
        let missing = syndrome >> 2 & 0xf == 1;
        Some((self.context.uc_mcontext.fault_address as usize, writes, jumps, missing))
    }

    /// Returns the syndrome of a fault, from the records behind the registers; 0 if there is none.
    fn syndrome(&self) -> u64 {
        let end = (&raw const self.context).addr() + size_of::<Context>();
        // The records begin 16-byte aligned behind the registers.
        let mut record = ((&raw const self.context.uc_mcontext.pstate).addr() + 8).next_multiple_of(16);
        while record + 16 <= end {
            // SAFETY: the address is inside the context, of which the records are a part.
            let [magic, size] = unsafe { *(record as *const [u32; 2]) };
            match (magic, size) {
                (0, _) | (_, 0) => break,
                // SAFETY: as above; a syndrome follows its header.
                (SYNDROME_MAGIC, _) => return unsafe { *((record + 8) as *const u64) },
                _ => record += size as usize,
            }
        }
        0
    }

    /// Returns the bytes that a copy takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>()
    }

    /// Copies it to `place`.
    ///
    /// # Safety
    /// [`Saved::size`] bytes at `place` must be writable, aligned to [`ALIGNMENT`], and must not overlap it.
    pub(super) unsafe fn move_to(&self, place: *mut Self) {
        // SAFETY: the caller's guarantee; it is plain data without addresses of its own.
        unsafe { place.copy_from_nonoverlapping(self, 1) };
    }
}

/// Calls `entry(place)` on the stack below `place`, for good.
///
/// # Safety
/// There must be room, and the present stack must not be used any more.
pub(super) unsafe fn call_below(place: *mut Saved, entry: extern "C" fn(&mut Saved) -> !) -> ! {
    // SAFETY: the caller's guarantee.
    unsafe {
        asm!("mov sp, x0", "mov x29, xzr", "mov x30, xzr", "br {entry}",
             entry = in(reg) entry, in("x0") place, options(noreturn))
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
    mrs     x9, tpidr_el0
    add     x9, x9, #:tprel_hi12:asphodel_words
    add     x9, x9, #:tprel_lo12_nc:asphodel_words
    cbnz    x1, 3f
    ldr     x10, [x9, #{PENDING}]
    ldr     w10, [x10]
    cbnz    w10, 4f
3:  ldr     x10, [x9, #{SIGNAL_STACK}]
    str     x10, [x0, #{STACK}]
    str     x1, [x9, #{MASKED}]
    mov     sp, x0
    mov     x8, #139
    svc     #0
asphodel_return_end:
    brk     #0
4:  mov     sp, x0
    bl      {interrupt}
    brk     #0
    .popsection
"#,
    PENDING = const PENDING.offset(),
    SIGNAL_STACK = const SIGNAL_STACK.offset(),
    MASKED = const MASKED.offset(),
    STACK = const DESCRIPTION + offset_of!(Context, uc_stack),
    interrupt = sym signal::interrupted_again,
);
