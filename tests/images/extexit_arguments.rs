//! extexit refuses bad arguments before anything has happened. T4, T5, T6, T7, T8.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::boxed::Box;
use core::ptr::{null_mut, without_provenance_mut};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use asphodel::api::{
    Arguments, EXTEXIT_LWP, EXTEXIT_PROC, EXTEXIT_SETINT, EXTEXIT_SIMPLE, Errno, Program, Signal,
    SpawnAttributes, extexit, extexit_at, getpid, kill, lwp_spawn, process, spawn,
};
use asphodel_test::{assert_signaled, eventually, sleep_for_ever, spawn_child, test, wait_exit};

asphodel_test::image!();

/// A `who` that does not exist.
const BAD_WHO: u32 = 2 << 16;
/// An action that does not exist.
const BAD_ACTION: u32 = 2;

/// LWPs of the calling process that have not left.
fn lwps() -> u32 {
    process(getpid()).expect("the caller exists").lwps
}

/// Calls extexit with the status 5 and an address that need not be one.
fn at(how: u32, address: *mut i32) -> Errno {
    // SAFETY: the addresses that this image passes with SETINT are refused.
    unsafe { extexit_at(how, 5, address) }
}

test!(
    /// T4: bad who; the word is not stored, and no LWP ends.
    t004_bad_who,
    {
        static WORD: AtomicI32 = AtomicI32::new(1);
        for who in [BAD_WHO, 3 << 16, 0x8000 << 16, 0xffff << 16] {
            assert_eq!(extexit(who | EXTEXIT_SIMPLE, 5, Some(&WORD)), Errno::EINVAL);
            assert_eq!(extexit(who | EXTEXIT_SETINT, 5, Some(&WORD)), Errno::EINVAL);
        }
        assert_eq!((WORD.load(Ordering::Relaxed), lwps()), (1, 1));
    }
);

test!(
    /// T5: bad action.
    t005_bad_action,
    {
        static WORD: AtomicI32 = AtomicI32::new(1);
        for action in [BAD_ACTION, 3, 0x8000, 0xffff] {
            assert_eq!(extexit(EXTEXIT_PROC | action, 5, Some(&WORD)), Errno::EINVAL);
            assert_eq!(extexit(EXTEXIT_LWP | action, 5, Some(&WORD)), Errno::EINVAL);
        }
        assert_eq!((WORD.load(Ordering::Relaxed), lwps()), (1, 1));
    }
);

test!(
    /// T6, A-b16: both bad.
    t006_bad_who_and_bad_action,
    {
        assert_eq!(extexit(BAD_WHO | BAD_ACTION, 5, None), Errno::EINVAL);
        assert_eq!(extexit(u32::MAX, 5, None), Errno::EINVAL);
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
                assert_eq!(at(EXTEXIT_SETINT | EXTEXIT_LWP, address), Errno::EFAULT, "{address:?}");
                assert_eq!(at(EXTEXIT_SETINT | EXTEXIT_PROC, address), Errno::EFAULT, "{address:?}");
            }
            assert_eq!(extexit(EXTEXIT_SETINT | EXTEXIT_LWP, 5, None), Errno::EFAULT);
            assert_eq!(extexit(EXTEXIT_SETINT | EXTEXIT_PROC, 5, None), Errno::EFAULT);
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
                let _ = at(EXTEXIT_SIMPLE | EXTEXIT_PROC, bad_addresses()[1]);
                0
            },
            0,
        );
        assert_eq!(wait_exit(pid).status().code(), Some(5));
    }
);

test!(
    /// T8: bad address and bad who: who is checked first.
    t008_bad_who_comes_before_bad_address,
    {
        for address in bad_addresses() {
            assert_eq!(at(BAD_WHO | EXTEXIT_SETINT, address), Errno::EINVAL);
            assert_eq!(extexit(BAD_WHO | EXTEXIT_SETINT, 5, None), Errno::EINVAL);
        }
    }
);

test!(
    /// T7: a word in another process's arena may be gone when it is stored, so it is refused while it is there, too.
    t007_a_word_in_anothers_arena,
    {
        static LENT: AtomicPtr<AtomicI32> = AtomicPtr::new(null_mut());
        fn lends(_: &Arguments<'_>) -> i32 {
            LENT.store(Box::leak(Box::new(AtomicI32::new(1))), Ordering::Release);
            sleep_for_ever(0) as i32
        }
        let isolated = SpawnAttributes { memory: asphodel_test::ISOLATED, ..SpawnAttributes::default() };
        let pid = spawn(&Program::new("lends", lends), &[], &isolated).expect("an isolated process can be made");
        eventually("the word is lent", || !LENT.load(Ordering::Acquire).is_null());
        // SAFETY: leaked by `lends`, which is alive.
        let word: &'static AtomicI32 = unsafe { &*LENT.load(Ordering::Acquire) };
        for who in [EXTEXIT_LWP, EXTEXIT_PROC] {
            assert_eq!(extexit(EXTEXIT_SETINT | who, 5, Some(word)), Errno::EFAULT);
            assert_eq!(at(EXTEXIT_SETINT | who, word.as_ptr()), Errno::EFAULT);
        }
        assert_eq!(word.load(Ordering::Relaxed), 1);
        kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
        assert_signaled(wait_exit(pid).status(), Signal::KILL);
    }
);
