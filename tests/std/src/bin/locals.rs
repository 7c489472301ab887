//! Thread-local variables: each thread has its own, which are dropped at its end.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Counted(u8);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(0x1234_5678_9abc_def0) };
    static COUNTED: Counted = const { Counted(1) };
    // This is an address, which is not known before the program is loaded.
    static SAY: Cell<fn() -> &'static str> = const { Cell::new(say) };
    static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["first".into()]);
}

fn say() -> &'static str {
    "said"
}

fn main() {
    NUMBER.set(1);
    assert_eq!(SAY.get()(), "said");
    for round in 1..=20 {
        thread::spawn(|| {
            assert_eq!(NUMBER.get(), 0x1234_5678_9abc_def0);
            assert_eq!(SAY.get()(), "said");
            NUMBER.set(2);
            WORDS.with_borrow_mut(|words| words.push("second".into()));
            WORDS.with_borrow(|words| assert_eq!(words.concat(), "firstsecond"));
            assert_eq!(COUNTED.with(|counted| counted.0), 1);
        })
        .join()
        .unwrap();
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
    assert_eq!(NUMBER.get(), 1);
    WORDS.with_borrow(|words| assert_eq!(words.concat(), "first"));
}
