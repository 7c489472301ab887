//! Properties of the plain values: time conversion, pids, status words, CPU masks, selectors, usage.
#![cfg(not(loom))]

use asphodel_core::errno::Errno;
use asphodel_core::id::{MAX_PROCESSES, Pid};
use asphodel_core::proc::status::{Event, Status};
use asphodel_core::proc::usage::{Account, Usage};
use asphodel_core::sched::place::{CpuMask, choose};
use asphodel_core::time::scale::{NANOSECONDS, Scale};
use asphodel_core::wait::select::{Options, Selector};
use proptest::prelude::*;

/// Returns `a * b / c`, rounded down and limited to 64 bits.
fn exactly(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c)).unwrap_or(u64::MAX)
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<[u64; 5]>().prop_map(|[cpu_ticks, voluntary_switches, involuntary_switches, lwps, peak_memory]| {
        Usage { cpu_ticks, voluntary_switches, involuntary_switches, lwps, peak_memory }
    })
}

proptest! {
    #[test]
    fn ticks_to_nanoseconds_rounds_down(frequency in 1..=u64::MAX, ticks: u64) {
        prop_assert_eq!(Scale::new(frequency).nanoseconds(ticks), exactly(ticks, NANOSECONDS, frequency));
    }

    #[test]
    fn nanoseconds_to_ticks_rounds_up(frequency in 1..=u64::MAX, nanoseconds: u64) {
        let floor = exactly(nanoseconds, frequency, NANOSECONDS);
        let exact = u128::from(nanoseconds) * u128::from(frequency) % u128::from(NANOSECONDS) == 0;
        prop_assert_eq!(Scale::new(frequency).ticks(nanoseconds), floor.saturating_add(u64::from(!exact)));
    }

    /// Converting there and back loses nothing as long as a tick is not shorter than a nanosecond.
    #[test]
    fn ticks_survive_the_way_there_and_back(frequency in 1..=NANOSECONDS, ticks in 0..1_u64 << 40) {
        let scale = Scale::new(frequency);
        prop_assume!(u128::from(ticks) * u128::from(NANOSECONDS) / u128::from(frequency) < u128::from(u64::MAX));
        prop_assert!(scale.ticks(scale.nanoseconds(ticks)) <= ticks);
        prop_assert!(scale.nanoseconds(scale.ticks(ticks)) >= ticks);
    }

    #[test]
    fn pids_keep_slot_and_generation(slot in 1..MAX_PROCESSES, generation in 0..1_u32 << 15) {
        let pid = Pid::new(slot, generation);
        prop_assert!(pid.is_valid() && pid.raw() > 0);
        prop_assert_eq!((pid.slot(), pid.generation()), (slot, generation));
        prop_assert_eq!(Pid::from_raw(pid.raw()), pid);
    }

    /// T2, T3.
    #[test]
    fn exit_keeps_the_low_eight_bits(code: i32) {
        prop_assert_eq!(Status::exited(code).event(), Event::Exited(code as u8));
        prop_assert_eq!(Status::exited(code).shell_code(), code as u8);
    }

    /// T112 to T115: every number is accepted, and none overflows.
    #[test]
    fn every_selector_number_is_read(raw: i32) {
        let expected = match raw {
            -1 => Ok(Selector::Any),
            0 => Ok(Selector::Group(Pid::from_raw(5))),
            i32::MIN => Err(Errno::ESRCH),
            1.. => Ok(Selector::Process(Pid::from_raw(raw))),
            _ => Ok(Selector::Group(Pid::from_raw(-raw))),
        };
        prop_assert_eq!(Selector::from_raw(raw, Pid::from_raw(5)), expected);
    }

    /// T109.
    #[test]
    fn options_are_the_four_known_bits(raw: u32) {
        let known = 0x8000_0007;
        prop_assert_eq!(Options::from_raw(raw).is_ok(), raw & !known == 0);
        prop_assert!(Options::from_raw(raw & known).is_ok());
    }

    #[test]
    fn next_cpu_is_the_nearest_of_the_set(bits: u64, from in 0..64_u32) {
        let mask = CpuMask::from_bits(bits);
        let nearest = (0..64).map(|step| (from + step) % 64).find(|&cpu| mask.contains(cpu));
        prop_assert_eq!(mask.next_from(from), nearest);
    }

    /// A thread is never placed on a CPU that is offline, or that it may not use.
    #[test]
    fn placement_respects_the_masks(last in 0..64_u32, allowed: u64, idle: u64, online: u64) {
        let (allowed, idle) = (CpuMask::from_bits(allowed), CpuMask::from_bits(idle));
        let online = CpuMask::from_bits(online | 1 << last);
        prop_assume!(!allowed.and(online).is_empty());
        let chosen = choose(last, allowed, idle, online);
        prop_assert!(allowed.and(online).contains(chosen));
        let idle_usable = allowed.and(online).and(idle);
        prop_assert!(chosen == last || idle_usable.is_empty() || idle.contains(chosen));
    }

    /// I11: the sum does not depend on the order and place of retirements.
    #[test]
    fn usage_is_conserved(mut parts in prop::collection::vec(usage(), 0..8)) {
        let (forwards, backwards) = (Account::new(), Account::new());
        parts.iter().for_each(|&part| forwards.add(part));
        parts.reverse();
        parts.iter().for_each(|&part| backwards.add(part));
        let sum = parts.iter().fold(Usage::default(), |sum, &part| sum.plus(part));
        prop_assert_eq!(forwards.read(), sum);
        prop_assert_eq!(backwards.read(), sum);
    }
}
