//! The clock that knows the date, where a board has one: a PL031 (Arm DDI 0224).

use arm_pl031::Rtc;

use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// Seconds since 1970, as the PL031 at this physical address has them. `None`: there is no room to map it. Once, at
/// boot: its registers stay mapped.
pub(crate) fn read(base: u64) -> Option<u32> {
    let registers = mmu::map_device(base, PAGE_SIZE)?;
    // SAFETY: just mapped, as device memory, and nobody else uses them.
    let clock = unsafe { Rtc::new(registers.cast().as_ptr()) };
    Some(clock.get_unix_timestamp())
}
