//! Pages of a lazy stack: two CPUs touch one at once, and its stack is freed while another thread makes a stray access;
//! on the real entry. In every case each frame is owned once, and a page reads as zeros.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | two CPUs fault on one page | `two_faults_map_a_page_once` | the entry is stored, not exchanged |
//! | the frame's zeros | `a_mapped_page_is_zero` | the frame is filled after the entry |
//! | a fault and the end of the stack | `a_stray_fault_keeps_no_frame` | the entry is emptied by a load and a store |
#![cfg(loom)]

mod models;

use std::sync::Arc;

use asphodel_core::shim::atomic::{AtomicU64, Ordering};
use asphodel_core::thread::lazy_stack::{Mapped, UNMAPPED, collect, map, revoke};
use loom::cell::UnsafeCell;
use loom::thread;
use models::{catches, check};

/// The descriptor of frame `number`.
const fn descriptor(number: u64) -> u64 {
    number << 12 | 0b11
}

/// Two CPUs fault on one page, each with a frame of its own. Exactly one of them may lose it.
fn two_faults(map_page: fn(&AtomicU64, u64) -> Mapped) {
    let entry = Arc::new(AtomicU64::new(UNMAPPED));
    let other = entry.clone();
    let second = thread::spawn(move || map_page(&other, descriptor(2)));
    let outcomes = [map_page(&entry, descriptor(1)), second.join().expect("it does not panic")];
    let given = outcomes.iter().filter(|outcome| **outcome == Mapped::Now).count();
    assert!(given == 1, "{given} frames for one page");
    let winner = if outcomes[0] == Mapped::Now { 1 } else { 2 };
    assert!(revoke(&entry));
    assert_eq!(collect(&entry), Some(winner << 12), "the frame that was given");
}

#[test]
fn two_faults_map_a_page_once() {
    check(3, || two_faults(map));
}

#[test]
fn seeded_entry_stored() {
    catches("frames for one page", || {
        two_faults(|entry, descriptor| match entry.load(Ordering::Relaxed) {
            UNMAPPED => {
                entry.store(descriptor, Ordering::Release);
                Mapped::Now
            }
            _ => Mapped::Before,
        });
    });
}

/// One CPU maps a page while another one translates by its entry and reads.
fn reader(fill: fn(&UnsafeCell<u64>, &AtomicU64)) {
    let page = Arc::new((UnsafeCell::new(7), AtomicU64::new(UNMAPPED)));
    let other = page.clone();
    let sibling = thread::spawn(move || {
        // Acquire: a translation comes before the access that it is for.
        if other.1.load(Ordering::Acquire) & 1 != 0 {
            // SAFETY: loom checks that no thread writes; the pointer is valid inside the closure.
            other.0.with(|word| assert_eq!(unsafe { *word }, 0));
        }
    });
    fill(&page.0, &page.1);
    sibling.join().expect("it reads zeros or nothing");
}

fn zero(frame: &UnsafeCell<u64>) {
    // SAFETY: loom checks that no other thread uses it; the pointer is valid inside the closure.
    frame.with_mut(|word| unsafe { *word = 0 });
}

#[test]
fn a_mapped_page_is_zero() {
    check(3, || {
        reader(|frame, entry| {
            zero(frame);
            assert_eq!(map(entry, descriptor(1)), Mapped::Now);
        });
    });
}

#[test]
fn seeded_frame_filled_after_the_entry() {
    catches("Causality violation", || {
        reader(|frame, entry| {
            assert_eq!(map(entry, descriptor(1)), Mapped::Now);
            zero(frame);
        });
    });
}

/// A stray access faults while the stack is freed: the frame belongs to the fault, or is returned from the entry.
fn stray(free: fn(&AtomicU64) -> Option<u64>) {
    let entry = Arc::new(AtomicU64::new(UNMAPPED));
    let other = entry.clone();
    let fault = thread::spawn(move || map(&other, descriptor(1)));
    let collected = free(&entry);
    let outcome = fault.join().expect("it does not panic");
    assert!((outcome == Mapped::Now) == collected.is_some(), "a frame is lost, or owned twice");
    assert_eq!(entry.load(Ordering::Relaxed), 0);
}

#[test]
fn a_stray_fault_keeps_no_frame() {
    check(3, || {
        stray(|entry| {
            revoke(entry);
            collect(entry)
        });
    });
}

#[test]
fn seeded_entry_emptied_by_a_look_and_a_store() {
    catches("a frame is lost", || {
        stray(|entry| {
            let before = entry.load(Ordering::Acquire);
            entry.store(0, Ordering::Release);
            (before & 1 != 0).then(|| before & !1)
        });
    });
}
