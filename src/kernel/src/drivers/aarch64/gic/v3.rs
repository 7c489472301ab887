//! GICv3 (and v4 without its additions), through the crate `arm-gic`.
//!
//! Used by the parent module only. Each CPU has a redistributor for its private interrupts. The affinity in its
//! `GICR_TYPER` identifies it, not its position, so the regions are walked once and each redistributor is passed to the
//! crate's driver on its own: the driver's functions for "all redistributors" would touch those of running CPUs. The
//! CPU interface is a set of system registers, so it needs no lock. Register names are those of Arm IHI 0069.

use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, GicRedistributor, GicV3};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use arm_sysregs::el1::accessors::{write_icc_eoir1_el1, write_icc_sgi1r_el1};
use arm_sysregs::el1::registers::{IccEoir1El1, IccSgi1rEl1};
use asphodel_core::boot::board::{CpuInfo, MAX_CPUS, Region};
use safe_mmio::field;

use super::{FIRST_SHARED, InitError};
use crate::arch::{cpu, mmu};

const DISTRIBUTOR_SIZE: usize = 0x1_0000;

/// Size of a redistributor's two frames, and of what it takes of its region if it has two more (GICv4).
const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
const REDISTRIBUTOR_SIZE_V4: u64 = 0x4_0000;

/// `ICC_SGI1R_EL1`: the position of the interrupt's number, and the target "all but the sender" (IRM).
const SGI_SHIFT: u32 = 24;
pub(super) const ALL_OTHERS: u64 = 1 << 40;

/// One CPU and its redistributor.
#[derive(Clone, Copy)]
struct Private {
    mpidr: u64,
    redistributor: Option<NonNull<GicrSgi>>,
}

/// The set-up side of a GICv3. The lock around it makes its pointers unique.
pub(super) struct Controller {
    distributor: NonNull<Gicd>,
    cpus: heapless::Vec<Private, MAX_CPUS>,
}

// SAFETY: the pointers are device mappings, valid on every CPU; all access goes through `&mut self`.
unsafe impl Send for Controller {}

impl Controller {
    /// Maps the controller, finds each CPU's redistributor and sets up the distributor.
    pub(super) fn new(
        distributor: u64,
        redistributors: &[Region],
        cpus: &[CpuInfo],
    ) -> Result<Self, InitError> {
        let distributor = mmu::map_device(distributor, DISTRIBUTOR_SIZE).ok_or(InitError::NotMapped)?;
        let cpus = cpus.iter().map(|cpu| Private { mpidr: cpu.mpidr, redistributor: None });
        let mut controller = Self { distributor: distributor.cast(), cpus: heapless::Vec::from_iter(cpus) };
        for region in redistributors {
            controller.find_redistributors(region)?;
        }
        controller.init_shared();
        Ok(controller)
    }

    /// Maps the redistributors of one region, up to the one that is marked as the last.
    fn find_redistributors(&mut self, region: &Region) -> Result<(), InitError> {
        let mut base = region.base;
        while base + REDISTRIBUTOR_SIZE <= region.end() {
            let frames: NonNull<GicrSgi> =
                mmu::map_device(base, REDISTRIBUTOR_SIZE as usize).ok_or(InitError::NotMapped)?.cast();
            // SAFETY: the device mapping was just made and has no other user yet.
            let redistributor = GicRedistributor::new(unsafe { UniqueMmioPointer::new(frames) });
            let kind = redistributor.typer();
            if let Some(private) = self.cpus.iter_mut().find(|private| private.mpidr == kind.core_mpidr()) {
                private.redistributor = Some(frames);
            }
            if kind.last_redistributor() {
                break;
            }
            let v4 = kind.virtual_lpis_supported();
            base += if v4 { REDISTRIBUTOR_SIZE_V4 } else { REDISTRIBUTOR_SIZE };
        }
        Ok(())
    }

    fn distributor(&mut self) -> UniqueMmioPointer<'_, Gicd> {
        // SAFETY: a device mapping that is never undone; `&mut self` makes the pointer unique.
        unsafe { UniqueMmioPointer::new(self.distributor) }
    }

    /// Returns the number of interrupts, private ones included.
    pub(super) fn interrupts(&mut self) -> u32 {
        FIRST_SHARED + GicDistributor::new(self.distributor()).typer().num_spis()
    }

    /// Turns every shared interrupt off, neither pending nor active, level triggered, and the distributor on.
    fn init_shared(&mut self) {
        let mut driver = GicDistributor::new(self.distributor());
        driver.enable_all_interrupts(false);
        driver.wait_for_pending_write();
        let last = self.interrupts();
        let mut registers = self.distributor();
        for word in FIRST_SHARED as usize / 32..last as usize / 32 {
            // The crate's driver leaves pending and active what firmware left so.
            if let Some(mut register) = field!(registers, icpendr).get(word) {
                register.write(u32::MAX);
            }
            if let Some(mut register) = field!(registers, icactiver).get(word) {
                register.write(u32::MAX);
            }
        }
        GicDistributor::new(registers).configure_default_settings();
    }

    /// Sets up the calling CPU; returns its target in `ICC_SGI1R_EL1`.
    pub(super) fn init_cpu(&mut self, index: usize) -> Result<u64, InitError> {
        let frames = self.cpus[index].redistributor.ok_or(InitError::NoRedistributor(index))?;
        // SAFETY: device mappings that are never undone; `&mut self` makes the pointers unique. The one redistributor
        // that the driver gets is this CPU's.
        let driver = unsafe { GicV3::new(self.distributor(), frames, 1) };
        let mut driver = driver.map_err(|_| InitError::UnknownLayout(index))?;
        driver.init_cpu(0);
        let mut redistributor = driver.redistributor(0).expect("the driver has one redistributor");
        redistributor.configure_default_settings();
        GicCpuInterface::set_priority_mask(0xff);
        GicCpuInterface::enable_group1(true);
        Ok(target(self.cpus[index].mpidr))
    }

    /// Enables a private interrupt on the calling CPU.
    pub(super) fn enable_private(&mut self, intid: u32) {
        let own = cpu::affinity();
        let private = self.cpus.iter().find(|private| private.mpidr == own);
        let frames = private.and_then(|private| private.redistributor).expect("this CPU has been set up");
        // SAFETY: as in `init_cpu`.
        let mut redistributor = GicRedistributor::new(unsafe { UniqueMmioPointer::new(frames) });
        redistributor.enable_interrupt(number(intid), true).expect("the parent module has checked the range");
    }

    /// Enables a shared interrupt for CPU `index`.
    pub(super) fn enable_shared(&mut self, intid: u32, index: usize) {
        let affinity = self.cpus[index].mpidr;
        let mut driver = GicDistributor::new(self.distributor());
        driver.set_routing(number(intid), Some(affinity)).expect("the parent module has checked the range");
        driver.enable_interrupt(number(intid), true).expect("the parent module has checked the range");
    }
}

fn number(intid: u32) -> IntId {
    IntId::try_from(intid).expect("the parent module has checked the range")
}

/// Returns a CPU's target in `ICC_SGI1R_EL1` (IHI 0069, 12.2.30): its affinity fields spread out, the lowest one as a
/// bit in one of sixteen lists of sixteen.
const fn target(mpidr: u64) -> u64 {
    let [aff0, aff1, aff2, _, aff3, ..] = mpidr.to_le_bytes();
    (aff3 as u64) << 48
        | (aff0 as u64 >> 4) << 44
        | (aff2 as u64) << 32
        | (aff1 as u64) << 16
        | 1 << (aff0 & 15)
}

const _: () = assert!(target(0x01_0002_0325) == 0x0001_2002_0003_0020);

/// Sends an SGI with one system register write. The crate's function for it takes the target apart into fields and has
/// no range of lists; here the register's value is prepared in advance.
#[inline]
pub(super) fn send_sgi(target: u64, sgi: u32) {
    // What the caller stored becomes visible before the interrupt, on any CPU. A register write is not a memory access,
    // so a completed DSB is needed to order them (IHI 0069, 12.1.6).
    barrier::dsb(barrier::ISHST);
    write_icc_sgi1r_el1(IccSgi1rEl1::from_bits_retain(target | u64::from(sgi) << SGI_SHIFT));
    // Makes the interrupt be sent now, not before some later instruction.
    barrier::isb(barrier::SY);
}

/// Reads `ICC_IAR1_EL1`; returns the interrupt's number, which is also the value to end it with.
#[inline]
pub(super) fn acknowledge() -> (u32, u32) {
    let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)
        .unwrap_or(IntId::SPECIAL_NONE)
        .raw_value();
    // This register must be read before anything that the sender of an SGI stored.
    barrier::dsb(barrier::SY);
    (intid, intid)
}

/// Writes `ICC_EOIR1_EL1`.
#[inline]
pub(super) fn end(raw: u32) {
    write_icc_eoir1_el1(IccEoir1El1::from_bits_retain(raw.into()));
}
