//! extexit refuses bad arguments before anything has happened. T4, T5, T6, T7, T8.
#![no_std]
#![no_main]
use core::ptr::{null_mut, without_provenance_mut};

use asphodel::api::{
    EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Errno, extexit, getpid, lwp_spawn, process,
};
use asphodel_test::{sleep_for_ever, spawn_child, test, wait_exit};

asphodel_test::image!();

/// A `who` that does not exist.
const BAD_WHO: u32 = 2 << 16;
/// An action that does not exist.
const BAD_ACTION: u32 = 2;

/// LWPs of the calling process that have not left.
fn lwps() -> u32 {
    process(getpid()).expect("the caller exists").lwps
}

test!(
    /// T4: bad who; the word is not stored, and no LWP ends.
    t004_bad_who,
    {
        let mut word = 1;
        for who in [BAD_WHO, 3 << 16, 0x8000 << 16, 0xffff << 16] {
            assert_eq!(extexit(who | EXTEXIT_SIMPLE, 5, &mut word), Errno::EINVAL);
            assert_eq!(extexit(who | EXTEXIT_SETINT, 5, &mut word), Errno::EINVAL);
        }
        assert_eq!((word, lwps()), (1, 1));
    }
);

test!(
    /// T5: bad action.
    t005_bad_action,
    {
        let mut word = 1;
        for action in [BAD_ACTION, 3, 0x8000, 0xffff] {
            assert_eq!(extexit(EXTEXIT_PROC | action, 5, &mut word), Errno::EINVAL);
            assert_eq!(extexit(EXTEXIT_LWP | action, 5, &mut word), Errno::EINVAL);
        }
        assert_eq!((word, lwps()), (1, 1));
    }
);

test!(
    /// T6, A-b16: both bad.
    t006_bad_who_and_bad_action,
    {
        assert_eq!(extexit(BAD_WHO | BAD_ACTION, 5, null_mut()), Errno::EINVAL);
        assert_eq!(extexit(u32::MAX, 5, null_mut()), Errno::EINVAL);
    }
);

/// Addresses where no `i32` can be stored: null, unmapped, misaligned, read-only.
fn bad_addresses() -> [*mut i32; 5] {
    static READ_ONLY: i32 = 3;
    static mut WORDS: [i32; 2] = [0; 2];
    let misaligned = (&raw mut WORDS).cast::<u8>().wrapping_add(2).cast();
    let text = t006_bad_who_and_bad_action as *const () as usize;
    [
        null_mut(),
        without_provenance_mut(0xdead_0000),
        misaligned,
        (&raw const READ_ONLY).cast_mut(),
        without_provenance_mut(text & !3),
    ]
}

test!(
    /// T7: a bad address is found before the LWP leaves, with another LWP and without, and for either who.
    t007_bad_address,
    {
        let check = || {
            let before = lwps();
            for address in bad_addresses() {
                assert_eq!(extexit(EXTEXIT_SETINT | EXTEXIT_LWP, 5, address), Errno::EFAULT, "{address:?}");
                assert_eq!(extexit(EXTEXIT_SETINT | EXTEXIT_PROC, 5, address), Errno::EFAULT, "{address:?}");
            }
            assert_eq!(lwps(), before);
        };
        check();
        drop(lwp_spawn(sleep_for_ever, 0, &Default::default()).expect("an LWP can be made"));
        check();
    }
);

test!(
    /// T7: without SETINT the address is not checked.
    t007_address_is_ignored_without_setint,
    {
        let pid = spawn_child(
            |_| {
                let _ = extexit(EXTEXIT_SIMPLE | EXTEXIT_PROC, 6, bad_addresses()[1]);
                0
            },
            0,
        );
        assert_eq!(wait_exit(pid).status.code(), Some(6));
    }
);

test!(
    /// T8: bad address and bad who: who is checked first.
    t008_bad_who_comes_before_bad_address,
    {
        for address in bad_addresses() {
            assert_eq!(extexit(BAD_WHO | EXTEXIT_SETINT, 5, address), Errno::EINVAL);
        }
    }
);
