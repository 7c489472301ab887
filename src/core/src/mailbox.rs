//! Mailboxes: one CPU passes threads to another without access to its run queue.
//!
//! A mailbox is a lock-free stack of thread indices that any CPU pushes to and only its owner empties. The owner takes
//! the stack as a whole, reverses it, because what was posted first comes first, and passes the threads on. It does so in
//! bounded parts, because it has interrupts masked: what it has taken and not yet passed on is kept in cells of its own.
//! Each thread has one mail link, because the parking protocol guarantees that a thread is enqueued by one CPU only,
//! hence is in one mailbox at a time. The push that finds the mailbox empty must send the interrupt; the owner empties
//! it after acknowledging the interrupt, so no message is left. Model: `tests/loom_mailbox.rs`.

use crate::list::NIL;
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell32;

/// Threads that are reversed in the time for one that is passed on, which costs much more.
const REVERSED_AT_ONCE: u32 = 16;

/// The mail link of one thread.
#[derive(Debug)]
pub struct MailLink(AtomicU32);

impl MailLink {
    const_unless_loom! {
        /// The link of a thread that is in no mailbox.
        pub fn new() -> Self {
            Self(AtomicU32::new(NIL))
        }
    }
}

impl Default for MailLink {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the mail link of a thread by its index.
pub trait Mail {
    /// Returns the link of `thread`.
    fn mail_link(&self, thread: u32) -> &MailLink;
}

/// The result of a post: whether the owner of the mailbox must be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the owner sleeps on if the interrupt is not sent"]
pub enum Posted {
    /// The mailbox was empty: send the interrupt.
    Interrupt,
    /// An interrupt is on its way, or the owner is about to look.
    Silent,
}

/// The mailbox of one CPU.
#[derive(Debug)]
pub struct Mailbox {
    /// What was posted, the newest first.
    posted: AtomicU32,
    /// What the owner has taken and not yet reversed, the newest first.
    taken: Cell32,
    /// What it has reversed of that, the oldest first.
    reversed: Cell32,
    /// What it has reversed as a whole, the oldest first: it is passed on.
    ready: Cell32,
}

impl Mailbox {
    const_unless_loom! {
        /// An empty mailbox.
        pub fn new() -> Self {
            Self {
                posted: AtomicU32::new(NIL),
                taken: Cell32::new(NIL),
                reversed: Cell32::new(NIL),
                ready: Cell32::new(NIL),
            }
        }
    }

    /// Posts `thread`, which is in no mailbox and no run queue. Called by any CPU. Lock-free.
    #[inline]
    pub fn post<M: Mail + ?Sized>(&self, mail: &M, thread: u32) -> Posted {
        let link = mail.mail_link(thread);
        let mut head = self.posted.load(Ordering::Relaxed);
        loop {
            link.0.store(head, Ordering::Relaxed);
            // Release: the link, and all that makes the thread runnable, precedes the owner's load.
            match self.posted.compare_exchange(head, thread, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return if head == NIL { Posted::Interrupt } else { Posted::Silent },
                Err(seen) => head = seen,
            }
        }
    }

    /// Returns whether there is no mail. Called by the owner only.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.posted.load(Ordering::Relaxed) == NIL && !self.has_taken()
    }

    /// Returns whether the owner has taken mail that it has not passed on.
    #[inline]
    fn has_taken(&self) -> bool {
        self.ready.get() != NIL || self.taken.get() != NIL
    }

    /// Takes mail out and passes it to `each` in the order of posting, `most` threads at most. Returns `true` if there
    /// may be more, for which no interrupt comes: the caller must see to it that this is called again. Called by the
    /// owner only.
    #[inline]
    #[must_use = "what is left is passed on by the next call only"]
    pub fn drain<M: Mail + ?Sized>(&self, mail: &M, most: u32, mut each: impl FnMut(u32)) -> bool {
        let mut oldest = self.ready.get();
        for _ in 0..most {
            if oldest == NIL {
                if !self.take(mail) {
                    return false;
                }
                oldest = self.ready.get();
                if oldest == NIL {
                    // So much was taken that it is not reversed yet.
                    continue;
                }
            }
            // `each` may post it again, so its link is read first.
            let next = mail.mail_link(oldest).0.load(Ordering::Relaxed);
            self.ready.set(next);
            each(oldest);
            oldest = next;
        }
        !self.is_empty()
    }

    /// Reverses a part of what was taken, and takes it first if nothing is. Returns `false` if there is no mail.
    #[inline]
    fn take<M: Mail + ?Sized>(&self, mail: &M) -> bool {
        if self.taken.get() == NIL {
            if self.posted.load(Ordering::Relaxed) == NIL {
                return false;
            }
            // Acquire: pairs with the posts. All at once, so no index can come back meanwhile (no ABA).
            self.taken.set(self.posted.swap(NIL, Ordering::Acquire));
        }
        let (mut newest, mut reversed) = (self.taken.get(), self.reversed.get());
        for _ in 0..REVERSED_AT_ONCE {
            let link = mail.mail_link(newest);
            let next = link.0.load(Ordering::Relaxed);
            link.0.store(reversed, Ordering::Relaxed);
            (newest, reversed) = (next, newest);
            if newest == NIL {
                self.ready.set(reversed);
                reversed = NIL;
                break;
            }
        }
        self.taken.set(newest);
        self.reversed.set(reversed);
        true
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<MailLink>);

    impl Mail for Table {
        fn mail_link(&self, thread: u32) -> &MailLink {
            &self.0[thread as usize]
        }
    }

    fn drained(mailbox: &Mailbox, table: &Table) -> Vec<u32> {
        let mut out = Vec::new();
        while mailbox.drain(table, 2, |thread| out.push(thread)) {}
        out
    }

    #[test]
    fn mail_comes_in_the_order_of_posting() {
        let (table, mailbox) = (Table((0..4).map(|_| MailLink::new()).collect()), Mailbox::new());
        assert_eq!(mailbox.post(&table, 2), Posted::Interrupt);
        assert_eq!(mailbox.post(&table, 0), Posted::Silent);
        assert_eq!(mailbox.post(&table, 3), Posted::Silent);
        assert_eq!(drained(&mailbox, &table), [2, 0, 3]);
        assert!(mailbox.is_empty());
        assert_eq!(drained(&mailbox, &table), []);
        assert_eq!(mailbox.post(&table, 0), Posted::Interrupt, "and again after it was emptied");
    }

    #[test]
    fn much_mail_comes_in_parts_and_in_order() {
        let count = 5 * REVERSED_AT_ONCE;
        let (table, mailbox) = (Table((0..count + 1).map(|_| MailLink::new()).collect()), Mailbox::new());
        let posted: Vec<Posted> = (0..count).map(|thread| mailbox.post(&table, thread)).collect();
        assert_eq!(posted.iter().filter(|posted| **posted == Posted::Interrupt).count(), 1);
        let mut out = Vec::new();
        let mut calls = 0;
        while mailbox.drain(&table, 4, |thread| out.push(thread)) {
            calls += 1;
            assert!(out.len() <= 4 * calls && !mailbox.is_empty());
            if calls == 10 {
                assert_eq!(mailbox.post(&table, count), Posted::Interrupt, "the stack has been taken");
            }
        }
        assert_eq!(out, (0..=count).collect::<Vec<_>>());
        assert!(mailbox.is_empty());
    }

    /// A thread may be posted again, also to this mailbox, as soon as it has been passed on.
    #[test]
    fn a_thread_handed_out_can_be_posted_at_once() {
        let (table, mailbox) = (Table((0..2).map(|_| MailLink::new()).collect()), Mailbox::new());
        let _ = (mailbox.post(&table, 0), mailbox.post(&table, 1));
        let mut first = Vec::new();
        let more = mailbox.drain(&table, 2, |thread| {
            first.push(thread);
            let _ = mailbox.post(&table, thread);
        });
        assert!(more);
        assert_eq!(first, [0, 1]);
        assert_eq!(drained(&mailbox, &table), [0, 1]);
    }
}
