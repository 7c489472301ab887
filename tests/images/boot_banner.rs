//! The system comes up on every board: memory, clock, boot arguments, and process 1.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;

use asphodel::api::{Pid, State, boot_argument, getpid, getppid, gettid, memory, now_ns, process};
use asphodel_test::test;

asphodel_test::image!();

test!(a_test_is_a_child_of_process_1, {
    assert_eq!(getppid(), Pid::INIT);
    assert_ne!(getpid(), Pid::INIT);
    assert_eq!(gettid(), 1);
});

test!(process_1_is_init_and_has_no_parent, {
    let init = process(Pid::INIT).expect("process 1 is there");
    assert_eq!((init.name, init.parent), ("init", Pid::NONE));
    assert!(matches!(init.state, State::Sleeping | State::Running));
});

test!(most_of_the_memory_is_free, {
    let (total, free, heap) = memory();
    // The smallest board of the tests has 256 MiB of RAM, of which a quarter and some more is not in frames.
    assert!(total >= 128 << 20, "{total} bytes in all");
    assert!(free > total / 2 && free < total, "{free} of {total} bytes are free");
    assert!(heap > 0);
});

test!(the_heap_holds_what_is_put_there, {
    let blocks: [_; 16] = core::array::from_fn(|index| vec![index as u8; 1 << index]);
    for (index, block) in blocks.iter().enumerate() {
        assert!(block.len() == 1 << index && block.iter().all(|byte| *byte == index as u8));
    }
});

test!(the_clock_goes_forward, {
    let start = now_ns();
    let mut last = start;
    while last < start + 1_000_000 {
        let now = now_ns();
        assert!(now >= last, "{now} came after {last}");
        last = now;
    }
});

test!(a_boot_argument_that_was_not_given_is_absent, {
    assert_eq!(boot_argument("never-given"), None);
});
