//! GICv2, such as GIC-400, through the crate `arm-gic` and its register blocks.
//!
//! Used by the parent module only. The crate's GICv2 driver does not fit this system as it is. The differences, and
//! their reasons, are (register names of Arm IHI 0048B):
//!
//! * From the Non-secure side the distributor is enabled by bit 0 of `GICD_CTLR`, also with security extensions;
//!   `setup` sets bit 1, which is ignored there.
//! * Interrupts are always acknowledged and ended through `GICC_IAR` and `GICC_EOIR`, which the crate calls group 0,
//!   because the aliased registers of its group 1 are for Secure software.
//! * An acknowledged SGI carries its sender in bits 12:10, which are masked off to get its number, and are needed to
//!   end it.
//! * Priorities are written for four interrupts at a time, all equal, because the crate's function for one sets those
//!   of its three neighbours to 0.
//! * The crate has no way to route a shared interrupt, so the byte in `GICD_ITARGETSR` is written here.
//! * `setup` must run on every CPU, because the CPU interface and the private interrupts are banked, and it leaves
//!   enabled, pending and active what firmware left so: that is cleared here first.
//! * The crate acknowledges, ends and sends through `&mut self`. A lock around that would serialize the interrupts of
//!   all CPUs, so these three are single register accesses here.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use arm_gic::gicv2::GicV2;
use arm_gic::gicv2::registers::{Gicc, Gicd};
use arm_gic::{IntId, UniqueMmioPointer};
use safe_mmio::field;
use safe_mmio::fields::ReadPureWrite;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use super::{FIRST_SHARED, InitError, PRIORITIES};
use crate::arch::mmu;

/// Size of the distributor and of the CPU interface up to `GICC_DIR`.
const DISTRIBUTOR_SIZE: usize = 0x1000;
const CPU_INTERFACE_SIZE: usize = 0x2000;

register_bitfields! {
    u32,
    /// Software Generated Interrupt Register.
    GICD_SGIR [
        TargetListFilter OFFSET(24) NUMBITS(2) [
            /// To the CPUs in the target list.
            List = 0b00,
            /// To all CPUs but the sender.
            Others = 0b01
        ],
        CPUTargetList OFFSET(16) NUMBITS(8) [],
        SGIINTID OFFSET(0) NUMBITS(4) []
    ],
    /// Interrupt Acknowledge Register.
    GICC_IAR [
        /// The sender of an SGI.
        CPUID OFFSET(10) NUMBITS(3) [],
        InterruptID OFFSET(0) NUMBITS(10) []
    ]
}

register_structs! {
    /// The registers of the distributor that the crate's block leaves out or gives no access to, and the one that sends
    /// (IHI 0048B, table 4-1).
    Uncovered {
        (0x000 => _reserved0),
        (0x800 => gicd_itargetsr: [ReadWrite<u8>; 1020]),
        (0xbfc => _reserved1),
        (0xf00 => gicd_sgir: WriteOnly<u32, GICD_SGIR::Register>),
        (0xf04 => _reserved2),
        (0xf10 => gicd_cpendsgir: [ReadWrite<u32>; 4]),
        (0xf20 => @END),
    }
}

/// The target of all CPUs but the sender in `GICD_SGIR`.
pub(super) const ALL_OTHERS: u64 = GICD_SGIR::TargetListFilter::Others.value as u64;

/// The set-up side of a GICv2. The lock around it makes its pointers unique where that is required.
pub(super) struct Controller {
    distributor: NonNull<Gicd>,
    cpu_interface: NonNull<Gicc>,
}

// SAFETY: the pointers are device mappings, valid on every CPU; all access goes through `&mut self`.
unsafe impl Send for Controller {}

impl Controller {
    /// Maps the controller and sets up its distributor.
    pub(super) fn new(distributor: u64, cpu_interface: u64) -> Result<Self, InitError> {
        let map = |base, size| mmu::map_device(base, size).ok_or(InitError::NotMapped);
        let mut controller = Self {
            distributor: map(distributor, DISTRIBUTOR_SIZE)?.cast(),
            cpu_interface: map(cpu_interface, CPU_INTERFACE_SIZE)?.cast(),
        };
        controller.init_shared();
        Ok(controller)
    }

    pub(super) fn cpu_interface_address(&self) -> usize {
        self.cpu_interface.as_ptr().addr()
    }

    pub(super) fn sgi_register_address(&self) -> usize {
        (&raw const self.uncovered().gicd_sgir).addr()
    }

    /// Returns the crate's driver for one operation.
    fn driver(&mut self) -> GicV2<'_> {
        // SAFETY: both are device mappings that are never undone. `&mut self` excludes other set-up; the lock-free
        // paths touch only their own CPU's interface and GICD_SGIR, which no operation of the driver used here reads or
        // writes, except for `setup` on a CPU that takes no interrupts.
        unsafe { GicV2::new(self.distributor.as_ptr(), self.cpu_interface.as_ptr()) }
    }

    /// Returns the distributor's registers for one operation.
    fn distributor(&mut self) -> UniqueMmioPointer<'_, Gicd> {
        // SAFETY: as in `driver`.
        unsafe { UniqueMmioPointer::new(self.distributor) }
    }

    /// Returns the registers of the distributor that the crate gives no access to.
    fn uncovered(&self) -> &Uncovered {
        // SAFETY: inside the mapping of the distributor, which is never undone. Of these registers only GICD_SGIR is
        // also written without the lock, see `send_sgi`.
        unsafe { self.distributor.cast().as_ref() }
    }

    /// Returns the number of interrupts, private ones included; the last four of 1024 are special.
    pub(super) fn interrupts(&mut self) -> u32 {
        self.driver().typer().num_irqs()
    }

    /// Turns every shared interrupt off, neither pending nor active, level triggered, and the distributor on.
    fn init_shared(&mut self) {
        let lines = self.interrupts() as usize;
        let first = FIRST_SHARED as usize;
        let mut registers = self.distributor();
        for word in first / 32..lines / 32 {
            clear_word(registers.reborrow(), word);
        }
        for word in first / 4..lines / 4 {
            write_element(field!(registers, ipriorityr), word, PRIORITIES);
        }
        for word in first / 16..lines / 16 {
            write_element(field!(registers, icfgr), word, 0);
        }
        self.driver().setup();
        self.driver().enable_group0(true);
    }

    /// Sets up the calling CPU; returns its target in `GICD_SGIR`.
    pub(super) fn init_cpu(&mut self) -> u64 {
        let mut registers = self.distributor();
        clear_word(registers.reborrow(), 0);
        for word in 0..FIRST_SHARED as usize / 4 {
            write_element(field!(registers, ipriorityr), word, PRIORITIES);
        }
        for register in &self.uncovered().gicd_cpendsgir {
            register.set(u32::MAX);
        }
        self.driver().setup();
        // `setup` may have run on this CPU as the last one that touched GICD_CTLR.
        self.driver().enable_group0(true);
        u64::from(GICD_SGIR::CPUTargetList.val(self.own_target().into()).value)
    }

    /// Returns the calling CPU's bit in target lists: what it reads as the target of its private interrupts (IHI 0048B,
    /// 4.3.12). Not every controller has all eight bytes, and one for a single CPU has none.
    fn own_target(&self) -> u8 {
        let private = &self.uncovered().gicd_itargetsr[..8];
        private.iter().map(Readable::get).find(|bits| *bits != 0).unwrap_or(1)
    }

    /// Enables an interrupt; a private one for the calling CPU.
    pub(super) fn enable(&mut self, intid: u32) {
        let id = IntId::try_from(intid).expect("the parent module has checked the range");
        self.driver().enable_interrupt(id, true).expect("the device tree names only interrupts that exist");
    }

    /// Enables a shared interrupt for the CPU with that target.
    pub(super) fn enable_shared(&mut self, intid: u32, target: u64) {
        let cpus = GICD_SGIR::CPUTargetList.read(target as u32);
        self.uncovered().gicd_itargetsr[intid as usize].set(cpus as u8);
        self.enable(intid);
    }
}

/// Turns 32 interrupts off and makes them neither pending nor active.
fn clear_word(mut registers: UniqueMmioPointer<'_, Gicd>, word: usize) {
    write_element(field!(registers, icenabler), word, u32::MAX);
    write_element(field!(registers, icpendr), word, u32::MAX);
    write_element(field!(registers, icactiver), word, u32::MAX);
}

fn write_element<const N: usize>(
    mut registers: UniqueMmioPointer<'_, [ReadPureWrite<u32>; N]>,
    index: usize,
    value: u32,
) {
    registers
        .get(index)
        .expect("GICD_TYPER cannot name more interrupts than there are registers")
        .write(value);
}

/// Sends an SGI: one store.
#[inline]
pub(super) fn send_sgi(register: usize, target: u64, sgi: u32) {
    // What the caller stored becomes visible before the interrupt, on any CPU.
    barrier::dmb(barrier::ISHST);
    let register = register as *const WriteOnly<u32, GICD_SGIR::Register>;
    // SAFETY: `init` stored the address of GICD_SGIR, device memory that stays mapped. The register is
    // written by all CPUs without a lock: each store is one complete command.
    let register = unsafe { &*register };
    register.set(target as u32 | GICD_SGIR::SGIINTID.val(sgi).value);
}

/// Reads `GICC_IAR`; returns the interrupt's number, and the value to end it with.
#[inline]
pub(super) fn acknowledge(interface: usize) -> (u32, u32) {
    let mut registers = own_interface(interface);
    let raw = field!(registers, iar).read();
    // This register must be read before anything that the sender of an SGI stored.
    barrier::dmb(barrier::ISHLD);
    (GICC_IAR::InterruptID.read(raw), raw)
}

/// Writes `GICC_EOIR`.
#[inline]
pub(super) fn end(interface: usize, raw: u32) {
    let mut registers = own_interface(interface);
    field!(registers, eoir).write(raw);
}

/// Returns the calling CPU's interface.
#[inline]
fn own_interface(interface: usize) -> UniqueMmioPointer<'static, Gicc> {
    // SAFETY: `init` stored the address of the CPU interface, device memory that stays mapped. Its
    // registers are banked, so no other CPU accesses these, and the callers have interrupts masked.
    unsafe { UniqueMmioPointer::new(NonNull::new_unchecked(interface as *mut Gicc)) }
}
