//! What a board reports about itself, and that its pins were connected: on a Raspberry Pi by its firmware and its
//! registers; an emulated board, which has neither, reports nothing.
#![no_std]
#![no_main]

use asphodel::api::{
    Readings, WaitResult, board_model, board_readings, lwp_run, now_ticks, scale, sleep, ticks_per_second,
};
use asphodel::testing::board::map_device;
use asphodel_test::{cpus, on_cpu, test};

asphodel_test::image!();

fn is_raspberry_pi() -> bool {
    board_model().contains("Raspberry Pi")
}

test!(readings_are_plausible_or_absent, {
    let readings = board_readings();
    if !is_raspberry_pi() {
        assert_eq!(readings, Readings::default());
        return;
    }
    let temperature = readings.temperature.expect("the firmware knows it");
    assert!((-20_000..110_000).contains(&temperature), "{temperature}");
    // New-style codes have the processor in bits 15 to 12: 3 is the BCM2711.
    let revision = readings.revision.expect("the firmware knows it");
    assert_eq!((revision >> 23 & 1, revision >> 12 & 0xf), (1, 3), "{revision:#x}");
    for rate in [readings.cpu_hz, readings.core_hz, readings.uart_hz] {
        let rate = rate.expect("the firmware knows it");
        assert!((1_000_000..4_000_000_000).contains(&rate), "{rate}");
    }
});

test!(all_cpus_may_ask_at_once, {
    fn asks() {
        for _ in 0..100 {
            let readings = board_readings();
            assert_eq!(readings.revision.is_some(), is_raspberry_pi());
            assert_eq!(readings.uart_hz.is_some(), is_raspberry_pi());
        }
    }
    let lwps: [_; 8] = core::array::from_fn(|index| {
        lwp_run(asks, &on_cpu(index as u32 % cpus())).expect("an LWP can be made")
    });
    for lwp in lwps {
        lwp.join().expect("it asserts nothing that does not hold");
    }
});

test!(the_timer_has_the_rate_that_is_told, {
    let before = now_ticks();
    assert_eq!(sleep(20_000_000), WaitResult::TimedOut);
    let ticks = now_ticks() - before;
    assert!(ticks >= ticks_per_second() / 50, "{ticks} ticks in 20 ms");
    assert!(scale().nanoseconds(ticks_per_second()).abs_diff(1_000_000_000) < 1_000);
});

test!(the_console_has_its_pins, {
    if !is_raspberry_pi() {
        return;
    }
    const GPIO: u64 = 0xfe20_0000;
    let registers = map_device(GPIO, 0x100).expect("there is room for a device").cast::<u32>();
    let read = |offset: usize| {
        // SAFETY: mapped above; reading function and pull registers has no effects.
        unsafe { registers.add(offset / 4).read_volatile() }
    };
    let function = |pin: usize| read(pin / 10 * 4) >> (pin % 10 * 3) & 0b111;
    let pull = |pin: usize| read(0xe4 + pin / 16 * 4) >> (pin % 16 * 2) & 0b11;
    // TXD and RXD of UART0 are alternative 0; the pins to the Bluetooth module are inputs.
    assert_eq!([14, 15].map(function), [0b100; 2]);
    assert_eq!([32, 33].map(function), [0b000; 2]);
    assert_eq!([14, 15].map(pull), [0b00, 0b01], "an open receive line idles high");
});
