//! The part of QEMU's plugin interface that this plugin uses, as of version 3 of it (QEMU 9.1), and of GLib's byte
//! arrays, in which QEMU returns the value of a register. QEMU itself has these symbols when it loads the plugin.
//!
//! Written here, because the crate with bindings to all of the interface may only be used under the GPL.

use core::ffi::{c_char, c_int, c_uint, c_void};

/// The number that QEMU has given to the plugin.
pub(crate) type PluginId = u64;

/// Instructions that are translated as one block.
#[repr(C)]
pub(crate) struct Block(c_void);

/// One of them.
#[repr(C)]
pub(crate) struct Instruction(c_void);

/// A register of a CPU.
#[repr(C)]
pub(crate) struct Register(c_void);

/// A register with its name.
#[repr(C)]
pub(crate) struct RegisterDescriptor {
    pub(crate) handle: *mut Register,
    pub(crate) name: *const c_char,
    feature: *const c_char,
}

/// GLib's `GArray`, of register descriptors here.
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) data: *const RegisterDescriptor,
    pub(crate) length: c_uint,
}

/// GLib's `GByteArray`.
#[repr(C)]
pub(crate) struct Bytes {
    pub(crate) data: *const u8,
    length: c_uint,
}

/// A callback at the execution of a block: the CPU, and what was registered with it.
pub(crate) type AtBlock = extern "C" fn(cpu: c_uint, data: *mut c_void);

/// A callback that reads registers.
pub(crate) const READS_REGISTERS: c_int = 1;

unsafe extern "C" {
    pub(crate) fn qemu_plugin_register_vcpu_init_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, cpu: c_uint),
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut Block),
    );
    pub(crate) fn qemu_plugin_register_atexit_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut c_void),
        data: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut Block,
        callback: AtBlock,
        flags: c_int,
        data: *mut c_void,
    );
    pub(crate) safe fn qemu_plugin_get_registers() -> *mut Registers;
    pub(crate) fn qemu_plugin_read_register(register: *mut Register, bytes: *mut Bytes) -> c_int;
    pub(crate) fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub(crate) fn qemu_plugin_tb_vaddr(block: *const Block) -> u64;
    pub(crate) fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub(crate) fn qemu_plugin_insn_data(
        instruction: *const Instruction,
        bytes: *mut c_void,
        length: usize,
    ) -> usize;
    pub(crate) safe fn g_byte_array_new() -> *mut Bytes;
    pub(crate) fn g_byte_array_set_size(bytes: *mut Bytes, length: c_uint) -> *mut Bytes;
}
