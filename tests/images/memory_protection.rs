//! W^X, and nothing is mapped where nothing belongs: each forbidden access ends its process with SIGSEGV, and affects
//! no other.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::hint::black_box;

use asphodel::api::{Arguments, LwpAttributes, Signal, lwp_spawn};
use asphodel::testing::machine;
use asphodel_test::{assert_signaled, on_cpu, spawn_child, test, wait_exit};

asphodel_test::image!();

/// `ret`, as data.
static READ_ONLY: [u32; 4] = [0xd65f_03c0; 4];
static mut WRITABLE: [u32; 4] = [0xd65f_03c0; 4];

fn write(address: usize) {
    // SAFETY: none: it is expected to fault. If it does not, it changes nothing, so that the test can report it.
    unsafe {
        let place = address as *mut u32;
        let same = place.read_volatile();
        place.write_volatile(same);
    }
}

fn read(address: usize) {
    // SAFETY: none: it is expected to fault, and a read does no harm.
    black_box(unsafe { (address as *const u32).read_volatile() });
}

fn jump(address: usize) {
    // SAFETY: none: it is expected to fault. There is a `ret` there, if anything.
    let place = unsafe { core::mem::transmute::<usize, extern "C" fn()>(address) };
    black_box(place)();
}

/// Runs `access` in a child of its own, which must not survive it.
fn must_end(access: fn(&Arguments<'_>) -> i32) {
    assert_signaled(wait_exit(spawn_child(access, 0)).status(), Signal::SEGV);
}

/// An access as a program.
macro_rules! ends {
    ($access:expr) => {
        must_end(|_| {
            $access;
            0
        })
    };
}

test!(text_cannot_be_written, {
    ends!(write(write as *const () as usize));
    ends!(write(asphodel::api::getpid as *const () as usize));
});

test!(read_only_data_cannot_be_written, {
    ends!(write(&raw const READ_ONLY as usize));
    ends!(write("a literal".as_ptr() as usize & !3));
});

test!(data_cannot_be_executed, {
    ends!(jump(&raw const READ_ONLY as usize));
    ends!(jump(&raw const WRITABLE as usize));
    ends!({
        let on_the_stack = black_box([0xd65f_03c0_u32; 4]);
        jump(&raw const on_the_stack as usize);
    });
});

// The heap block is allocated here, because what a killed process owns stays allocated.
test!(the_heap_cannot_be_executed, {
    let block = Box::new([0xd65f_03c0_u32; 4]);
    let attributes =
        asphodel::api::SpawnAttributes { number: &raw const *block as usize, ..Default::default() };
    let program = asphodel::api::Program::new("child", |arguments| {
        jump(arguments.number());
        0
    });
    let child = asphodel::api::spawn(&program, &[], &attributes).expect("it can be spawned");
    assert_signaled(wait_exit(child).status(), Signal::SEGV);
});

test!(null_is_nothing, {
    ends!(read(black_box(0)));
    ends!(write(black_box(8)));
    ends!(jump(black_box(0)));
    // A field at a large offset in something that does not exist.
    ends!(read(black_box(0xfff0)));
});

/// Where an image is loaded on `virt`. A host has its break up to 1 GiB above a program there: the address is as much
/// beyond it.
const LOADED_AT: usize = if cfg!(target_os = "none") { 0x4008_0000 } else { 0x40_4008_0000 };

test!(the_low_half_is_empty, {
    for access in [
        |_: &Arguments<'_>| {
            read(LOADED_AT);
            0
        },
        |_: &Arguments<'_>| {
            read(0x0000_007f_ffff_f000);
            0
        },
    ] {
        must_end(access);
    }
    // This is not a valid address.
    ends!(read(black_box(0x00f0_0000_0000_0000)));
});

// The processor does not say which address was accessed, so what the last fault was about must not matter: here a page of
// a lazy stack, which is there now.
test!(an_address_that_cannot_be_mapped_is_nothing_after_a_stack_has_grown, {
    #[inline(never)]
    fn grow() -> u8 {
        let mut frame = [0_u8; 64 * 1024];
        black_box(&mut frame)[0] = 1;
        black_box(&frame)[0]
    }
    fn access(_: usize) -> usize {
        black_box(grow());
        read(black_box(0x00f0_0000_0000_0000));
        0
    }
    must_end(|_| {
        let attributes = LwpAttributes { stack_size: 256 * 1024, lazy_stack: true, ..on_cpu(0) };
        let lwp = lwp_spawn(access, 0, &attributes).expect("an LWP can be made");
        let _ended = lwp.join();
        0
    });
});

test!(unmapped_kernel_addresses_are_nothing, {
    ends!(read(machine::IMAGE_WINDOW));
    ends!(read(machine::LINEAR_BASE - 4096));
    ends!(read(usize::MAX & !3));
    ends!(write(machine::STACKS_WINDOW.end - 4096));
    ends!(jump(machine::STACKS_WINDOW.end - 4096));
});
