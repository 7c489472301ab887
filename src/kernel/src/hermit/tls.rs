//! Thread-local storage: a block for each LWP of a loaded program, in its process's arena.
//!
//! `asphodel_core::program::tls` decides the layout. The two words that the thread pointer points to belong to the
//! implementation (IHI 0056, 5.6): here they are the process's shared data, and the last error and the last call.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use asphodel_core::program::tls::{CONTROL_BLOCK, Template};

use super::shared::Process;
use crate::arch::cpu;
use crate::thread::Thread;

/// The control block that the thread pointer points to.
#[repr(C)]
struct ControlBlock {
    process: &'static Process,
    errno: Cell<i32>,
    /// The lower half of the frame pointer of the kernel's function that the program has called last.
    frame: Cell<u32>,
}

const _: () = assert!(size_of::<ControlBlock>() == CONTROL_BLOCK);

/// The block of one LWP. It is dropped by that LWP, or by its creator if that could not create the LWP; a killed LWP's
/// is freed with the arena.
#[derive(Debug)]
pub(super) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// Makes a block with the initial contents of the program's variables; `None` if there is no memory. In program
    /// code.
    pub(super) fn new(process: &'static Process) -> Option<Self> {
        Self::with_room::<()>(process).map(|(block, _)| block)
    }

    /// The same, with room for a `T` behind the variables: what a thread begins with needs no memory of its own.
    pub(super) fn with_room<T>(process: &'static Process) -> Option<(Self, NonNull<T>)> {
        let Template { initial, initial_size, offset, size, align } = *process.image.tls();
        let variables = Layout::from_size_align(size, align).ok()?;
        let (layout, room) = variables.extend(Layout::new::<T>()).ok()?;
        // SAFETY: the layout contains at least a control block.
        let start = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })?;
        let initial = (process.base + initial as usize) as *const u8;
        // SAFETY: the control block and the initial contents lie one behind the other inside the layout; the plan
        // guarantees that the latter's origin lies in the program, and it is not written.
        unsafe {
            start.cast::<ControlBlock>().write(ControlBlock {
                process,
                errno: Cell::new(0),
                frame: Cell::new(0),
            });
            start.add(offset).as_ptr().copy_from_nonoverlapping(initial, initial_size);
        }
        // SAFETY: inside of the layout, by `Layout::extend`.
        let room = unsafe { start.add(room) }.cast();
        Some((Self { start, layout }, room))
    }

    /// Makes it the block of the running LWP.
    pub(super) fn enter(&self) {
        let thread = Thread::current();
        // In this order, because from here on a switch saves the register, which is still 0.
        thread.program_registers.set(1);
        cpu::set_tls_pointer(self.start.as_ptr() as u64);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if cpu::tls_pointer() == self.start.as_ptr() as u64 {
            cpu::set_tls_pointer(0);
        }
        // SAFETY: allocated by `new` for this layout; no pointer to it is left.
        unsafe { alloc::alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Returns that of the running LWP, which is one of a loaded program.
fn control_block() -> &'static ControlBlock {
    // SAFETY: only LWPs with a block run such programs, and only they call what calls this.
    unsafe { &*(cpu::tls_pointer() as *const ControlBlock) }
}

/// Returns the data that the LWPs of the running program share.
pub(super) fn process() -> &'static Process {
    control_block().process
}

/// Returns the running LWP's last error.
pub(super) fn errno() -> i32 {
    control_block().errno.get()
}

/// Sets the running LWP's last error.
pub(super) fn set_errno(number: i32) {
    control_block().errno.set(number);
}

/// Notes the frame of the function that the program has called.
#[inline(always)]
pub(super) fn set_frame(frame: u64) {
    control_block().frame.set(frame as u32);
}

/// Returns the address above the frame of the function that the program has called: its own data lies there. `below` is
/// an address in the same stack below that, such as that of a local variable.
pub(super) fn program_data_above(below: usize) -> usize {
    // The frame lies less than 4 GiB above.
    let frame = below + control_block().frame.get().wrapping_sub(below as u32) as usize;
    frame + 2 * size_of::<usize>()
}
