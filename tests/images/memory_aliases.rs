//! What cannot be written at the address of the image cannot be written in the linear map, either.
//! machine: not host (the image has one address there)
#![no_std]
#![no_main]

use asphodel::api::{Arguments, Signal};
use asphodel::testing::board::physical_of_image;
use asphodel::testing::machine::linear;
use asphodel_test::{assert_signaled, spawn_child, test, wait_exit};

asphodel_test::image!();

static READ_ONLY: [u32; 4] = [1, 2, 3, 4];

/// Stores the present value to the other address of `address`, which must end the child that does so.
fn write_elsewhere(address: usize) -> i32 {
    let place = linear(physical_of_image(address)).cast::<u32>();
    // SAFETY: none: it is expected to fault. If it does not, it changes nothing, so that the test can report it.
    unsafe { place.write_volatile(place.read_volatile()) };
    0
}

test!(text_cannot_be_written, {
    let child = |_: &Arguments<'_>| write_elsewhere(write_elsewhere as *const () as usize);
    assert_signaled(wait_exit(spawn_child(child, 0)).status(), Signal::SEGV);
});

test!(read_only_data_cannot_be_written, {
    let child = |_: &Arguments<'_>| write_elsewhere(&raw const READ_ONLY as usize);
    assert_signaled(wait_exit(spawn_child(child, 0)).status(), Signal::SEGV);
});
