//! The mailbox between CPUs, on the real `Mailbox`: no thread is lost, none is handed out twice, and each sender's
//! order is kept.
//!
//! The interrupt is a pending flag and a bell, acknowledged by the owner before it reads the mailbox. The state that
//! makes a thread runnable is a loom cell that the sender writes and the owner uses.
//!
//! | race | seeded bug that must be caught by the model of `no_post_is_lost_or_doubled` |
//! |---|---|
//! | post against drain | `seeded_emptiness_tested_before_the_post` |
//! | interrupt against drain | `seeded_emptied_before_acknowledged` |
//! | interrupt before its message | `seeded_interrupt_before_the_post` |
//! | weak memory | `seeded_post_without_release` |
//!
//! `a_thread_goes_round`: a thread handed out can be in another mailbox before the drain is over.
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::Mutex as Log;

use asphodel_core::mailbox::{Mail, MailLink, Mailbox, Posted};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use models::{Bell, catches, check};

const THREADS: usize = 3;

/// One CPU's mailbox and interrupt line, and the threads that travel.
struct Cpu {
    mailbox: Mailbox,
    links: [MailLink; THREADS],
    contexts: [UnsafeCell<u32>; THREADS],
    pending: AtomicBool,
    line: Bell,
    /// The threads that the owner took out. Not part of the protocol.
    received: Log<Vec<u32>>,
}

impl Mail for Cpu {
    fn mail_link(&self, thread: u32) -> &MailLink {
        &self.links[thread as usize]
    }
}

impl Cpu {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mailbox: Mailbox::new(),
            links: std::array::from_fn(|_| MailLink::new()),
            contexts: std::array::from_fn(|_| UnsafeCell::new(0)),
            pending: AtomicBool::new(false),
            line: Bell::new(),
            received: Log::new(Vec::new()),
        })
    }

    /// The interrupt controller takes one request or acknowledgement after the other, hence the swaps.
    fn interrupt(&self) {
        self.pending.swap(true, Ordering::AcqRel);
        self.line.ring();
    }

    fn touch(&self, thread: u32) {
        // SAFETY: loom checks that no other thread uses the context; the pointer is valid inside the closure.
        self.contexts[thread as usize].with_mut(|context| unsafe { *context += 1 });
    }

    fn send(&self, thread: u32) {
        self.touch(thread);
        if self.mailbox.post(self, thread) == Posted::Interrupt {
            self.interrupt();
        }
    }

    fn wait_for_interrupt(&self) {
        while !self.pending.load(Ordering::Acquire) {
            self.line.wait();
        }
    }

    /// The owner waits for the controller's answer, because an interrupt that comes later than this is another one.
    fn acknowledge(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }

    fn empty(&self) {
        let receive = |thread| {
            self.touch(thread);
            self.received.lock().expect("one owner").push(thread);
        };
        while self.mailbox.drain(self, 1, receive) {}
    }

    fn has_received(&self, count: usize) -> bool {
        self.received.lock().expect("one owner").len() >= count
    }
}

/// The interrupt handler of the owner, without a bug.
fn handle(cpu: &Cpu) {
    cpu.acknowledge();
    cpu.empty();
}

type Send = fn(&Cpu, u32);

/// One CPU sends threads 0 and 1 in this order, another sends 2; the owner handles interrupts until it has all.
fn posts_meet_drain(send: Send, handle: fn(&Cpu)) {
    let owner = Cpu::new();
    let (first, second) = (owner.clone(), owner.clone());
    let sending = thread::spawn(move || {
        send(&first, 0);
        send(&first, 1);
    });
    let also_sending = thread::spawn(move || send(&second, 2));
    while !owner.has_received(THREADS) {
        owner.wait_for_interrupt();
        handle(&owner);
    }
    sending.join().expect("the sender returns");
    also_sending.join().expect("the other sender returns");
    let mut received = owner.received.lock().expect("one owner").clone();
    let place = |thread| received.iter().position(|&other| other == thread);
    assert!(place(0) < place(1), "not in the order of posting");
    received.sort_unstable();
    assert_eq!(received, [0, 1, 2], "lost, or twice");
}

#[test]
fn no_post_is_lost_or_doubled() {
    check(2, || posts_meet_drain(Cpu::send, handle));
}

#[test]
fn seeded_emptiness_tested_before_the_post() {
    const BUG: Send = |cpu, thread| {
        let was_empty = cpu.mailbox.is_empty();
        cpu.touch(thread);
        let _ = cpu.mailbox.post(cpu, thread);
        if was_empty {
            cpu.interrupt();
        }
    };
    catches("deadlock", || posts_meet_drain(BUG, handle));
}

#[test]
fn seeded_emptied_before_acknowledged() {
    const BUG: fn(&Cpu) = |cpu| {
        cpu.empty();
        cpu.acknowledge();
    };
    catches("deadlock", || posts_meet_drain(Cpu::send, BUG));
}

#[test]
fn seeded_interrupt_before_the_post() {
    const BUG: Send = |cpu, thread| {
        cpu.touch(thread);
        if cpu.mailbox.is_empty() {
            cpu.interrupt();
        }
        let _ = cpu.mailbox.post(cpu, thread);
    };
    catches("deadlock", || posts_meet_drain(BUG, handle));
}

/// The twin of a post and a drain of one thread, with the post's `ordering`.
fn twin_post(ordering: Ordering) {
    let shared = Arc::new((AtomicU32::new(0), UnsafeCell::new(0_u32)));
    let sender = shared.clone();
    let sending = thread::spawn(move || {
        // SAFETY: loom checks that no other thread uses the context; the pointer is valid inside the closure.
        sender.1.with_mut(|context| unsafe { *context += 1 });
        let _ = sender.0.compare_exchange(0, 1, ordering, Ordering::Relaxed);
    });
    if shared.0.swap(0, Ordering::Acquire) == 1 {
        // SAFETY: as above.
        shared.1.with_mut(|context| unsafe { *context += 1 });
    }
    sending.join().expect("the sender returns");
}

#[test]
fn seeded_post_without_release() {
    check(3, || twin_post(Ordering::Release));
    catches("Causality violation", || twin_post(Ordering::Relaxed));
}

/// The owner sends a thread that it took out on to another CPU at once, which sends it back.
#[test]
fn a_thread_goes_round() {
    check(2, || {
        let cpus = Arc::new((Cpu::new(), Cpu::new()));
        let other = cpus.clone();
        cpus.0.send(0);
        cpus.0.send(1);
        let sending_back = thread::spawn(move || {
            let (home, away) = (&other.0, &other.1);
            while !away.has_received(1) {
                away.wait_for_interrupt();
                handle(away);
            }
            home.send(0);
        });
        let (home, away) = (&cpus.0, &cpus.1);
        let _more = home.mailbox.drain(&**home, 2, |thread| {
            home.touch(thread);
            home.received.lock().expect("one owner").push(thread);
            if thread == 0 {
                away.touch(0);
                if away.mailbox.post(&**home, 0) == Posted::Interrupt {
                    away.interrupt();
                }
            }
        });
        assert_eq!(*home.received.lock().expect("one owner"), [0, 1], "the second was lost");
        sending_back.join().expect("the other CPU returns");
        handle(home);
        assert_eq!(*home.received.lock().expect("one owner"), [0, 1, 0]);
    });
}
