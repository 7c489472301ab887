//! A plugin of QEMU's translator that measures the sections in which a CPU of the guest has interrupts masked, in
//! instructions of that CPU. `cargo xtask bench` loads it (`-plugin FILE,out=REPORT`).
//!
//! Where several CPUs take turns on a thread, as they do when instructions are counted, the number that QEMU passes to a
//! callback is that of the CPU for which the block was translated, not of the one that executes it. So a CPU is known by
//! the register in which the kernel has the address of the CPU's own data.
//!
//! At the end of the emulator the report has a line `LENGTH FROM TO` for each address at which sections began, with the
//! length of the longest one and where that ended, the longest first.

mod qemu;
mod sections;

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use qemu::{Bytes, PluginId, Register};
use sections::{Block, Cpu, Sections};

/// The version of the interface that this was written for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 3;

/// The bit of the processor state that masks interrupts: PSTATE.I.
const MASKED: u64 = 1 << 7;
/// The instruction WFI.
const WFI: u32 = 0xd503_207f;

/// The registers that are read, and the bytes that they are read into. The same for all CPUs: QEMU reads those of the one
/// that executes.
struct Registers {
    /// The processor state.
    state: *mut Register,
    /// The address of the exception vectors.
    vectors: *mut Register,
    /// The address of the CPU's own data; 0 until the kernel has set it.
    own_data: *mut Register,
    bytes: *mut Bytes,
}

impl Registers {
    /// Finds them.
    fn find() -> Option<Self> {
        let [state, vectors, own_data] = [c"cpsr", c"VBAR", c"TPIDRRO_EL0"].map(register);
        let bytes = qemu::g_byte_array_new();
        Some(Self { state: state?, vectors: vectors?, own_data: own_data?, bytes })
    }

    /// Reads a register, of which only the lowest 64 bits are used.
    fn read(&self, register: *mut Register) -> u64 {
        let mut value = [0; size_of::<u64>()];
        // SAFETY: objects of QEMU's and GLib's that last; the array has as many bytes as QEMU says.
        let bytes = unsafe {
            qemu::g_byte_array_set_size(self.bytes, 0);
            let length = qemu::qemu_plugin_read_register(register, self.bytes).max(0) as usize;
            core::slice::from_raw_parts((*self.bytes).data, length.min(value.len()))
        };
        value[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(value)
    }

    /// Returns whether a block is the entry of an interrupt's exception.
    fn is_interrupt(&self, block: &Block) -> bool {
        // The second of the four entries that each kind of state has.
        block.address & 0x1ff == 0x80 && self.read(self.vectors) == block.address & !0x7ff
    }
}

/// All that is measured.
struct Measurement {
    registers: Option<Registers>,
    /// The CPUs, by the addresses of their own data.
    cpus: BTreeMap<u64, Cpu>,
    sections: Sections,
}

// SAFETY: QEMU's objects are used by the thread that executes a CPU, under the lock.
unsafe impl Send for Measurement {}

static MEASUREMENT: Mutex<Measurement> =
    Mutex::new(Measurement { registers: None, cpus: BTreeMap::new(), sections: Sections::new() });
static REPORT: OnceLock<PathBuf> = OnceLock::new();

fn measurement() -> MutexGuard<'static, Measurement> {
    MEASUREMENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by QEMU when it has loaded the plugin. Returns 0 for success.
///
/// # Safety
/// `arguments` points to `count` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    for index in 0..count as usize {
        // SAFETY: the caller guarantees it.
        let argument = unsafe { CStr::from_ptr(*arguments.add(index)) };
        if let Some(file) = argument.to_str().ok().and_then(|argument| argument.strip_prefix("out=")) {
            REPORT.get_or_init(|| PathBuf::from(file));
        }
    }
    if REPORT.get().is_none() {
        eprintln!("asphodel-masked: which file is the report written to? out=FILE");
        return 1;
    }
    // SAFETY: with the number that QEMU has given to the plugin; the callbacks are never unloaded.
    unsafe {
        qemu::qemu_plugin_register_vcpu_init_cb(id, add_cpu);
        qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
        qemu::qemu_plugin_register_atexit_cb(id, report, core::ptr::null_mut());
    }
    0
}

/// A CPU of the guest begins to exist.
extern "C" fn add_cpu(_id: PluginId, _index: c_uint) {
    let mut measurement = measurement();
    if measurement.registers.is_none() {
        measurement.registers = Registers::find();
    }
    if measurement.registers.is_none() {
        eprintln!("asphodel-masked: this emulator does not show the registers cpsr, VBAR and TPIDRRO_EL0");
    }
}

/// Returns the register of that name.
fn register(name: &CStr) -> Option<*mut Register> {
    let registers = qemu::qemu_plugin_get_registers();
    // SAFETY: QEMU returns an array of descriptors with names that end with a zero byte.
    let registers = unsafe { core::slice::from_raw_parts((*registers).data, (*registers).length as usize) };
    // SAFETY: as above.
    let found = registers.iter().find(|register| unsafe { CStr::from_ptr(register.name) } == name);
    found.map(|register| register.handle)
}

/// A block is translated: it is counted whenever it is executed.
extern "C" fn translate(_id: PluginId, block: *mut qemu::Block) {
    // SAFETY: QEMU passes a block, which has at least one instruction.
    let block_data = unsafe {
        let instructions = qemu::qemu_plugin_tb_n_insns(block);
        let mut last = 0_u32;
        let instruction = qemu::qemu_plugin_tb_get_insn(block, instructions - 1);
        qemu::qemu_plugin_insn_data(instruction, (&raw mut last).cast(), size_of::<u32>());
        Block {
            address: qemu::qemu_plugin_tb_vaddr(block),
            instructions: instructions as u64,
            waits: u32::from_le(last) == WFI,
        }
    };
    // Never freed, because QEMU does not say when it drops the block.
    let data: *mut Block = Box::leak(Box::new(block_data));
    // SAFETY: as above; the data lasts.
    unsafe { qemu::qemu_plugin_register_vcpu_tb_exec_cb(block, execute, qemu::READS_REGISTERS, data.cast()) };
}

/// A CPU executes a block. What masks or unmasks interrupts always ends one, so the state at its beginning is that of
/// all of it.
extern "C" fn execute(_cpu: c_uint, data: *mut c_void) {
    // SAFETY: registered by `translate`.
    let block = unsafe { &*data.cast::<Block>() };
    let mut measurement = measurement();
    let Measurement { registers: Some(registers), cpus, sections } = &mut *measurement else { return };
    let own_data = registers.read(registers.own_data);
    if own_data == 0 {
        return;
    }
    let cpu = cpus.entry(own_data).or_default();
    if registers.is_interrupt(block) {
        sections.interrupt(cpu);
    }
    sections.execute(cpu, block, registers.read(registers.state) & MASKED != 0);
}

/// The emulator ends.
extern "C" fn report(_id: PluginId, _data: *mut c_void) {
    let mut text = String::new();
    for section in measurement().sections.longest() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {:#x} {:#x}", section.instructions, section.from, section.to);
    }
    if let Some(file) = REPORT.get()
        && let Err(error) = fs::write(file, text)
    {
        eprintln!("asphodel-masked: cannot write {}: {error}", file.display());
    }
}
