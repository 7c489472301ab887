//! The clock that has the date, if the board has one: a PL031 (Arm DDI 0224).

use arm_pl031::Rtc;

use crate::arch::layout::PAGE_SIZE;
use crate::arch::mmu;

/// Returns the seconds since 1970 of the PL031 at this physical address; `None` if it cannot be mapped. Called once, at
/// boot, because its registers stay mapped.
pub(crate) fn read(base: u64) -> Option<u32> {
    let registers = mmu::map_device(base, PAGE_SIZE)?;
    // SAFETY: just mapped, as device memory, without another user.
    let clock = unsafe { Rtc::new(registers.cast().as_ptr()) };
    Some(clock.get_unix_timestamp())
}
