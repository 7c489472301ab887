//! Shared by the loom models: running one, checking that a seeded bug is caught, and a bell to sleep on.

#![allow(dead_code, reason = "no model uses all of it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use loom::sync::{Condvar, Mutex};

thread_local! {
    /// `true` if a panic on this thread is expected and must not be printed.
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Explores `model` with at most `preemptions` involuntary switches in a run.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Asserts that loom finds a failure in `model` whose message contains `expected`.
pub(crate) fn catches(expected: &str, model: impl Fn() + Sync + Send + 'static) {
    hush_expected_panics();
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| check(3, model)));
    QUIET.set(false);
    let failure = outcome.expect_err("the seeded bug was not found");
    let text = failure.downcast_ref::<String>().map(String::as_str);
    let text = text.or(failure.downcast_ref::<&str>().copied()).unwrap_or_default();
    println!("caught: {text}");
    assert!(text.contains(expected), "another failure than the seeded one: {text}");
}

fn hush_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
}

/// A sleep that lasts until the next ring; a ring before the sleep is kept.
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Creates a bell that has not been rung.
    pub(crate) fn new() -> Self {
        Self { rung: Mutex::new(false), changed: Condvar::new() }
    }

    /// Ends the sleep.
    pub(crate) fn ring(&self) {
        *self.rung.lock().expect("no model panics with the bell locked") = true;
        self.changed.notify_one();
    }

    /// Sleeps until the next ring. One sleeper at a time.
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().expect("no model panics with the bell locked");
        while !*rung {
            rung = self.changed.wait(rung).expect("no model panics with the bell locked");
        }
        *rung = false;
    }
}
