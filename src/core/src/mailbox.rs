//! Mailboxes: one CPU passes threads to another without access to its run queue.
//!
//! A mailbox is a lock-free stack of thread indices that any CPU pushes to and only its owner empties, all at once.
//! Each thread has one mail link, because the parking protocol guarantees that a thread is enqueued by one CPU only,
//! hence is in one mailbox at a time. The push that finds the mailbox empty must send the interrupt; the owner empties
//! it after acknowledging the interrupt, so no message is left. Model: `tests/loom_mailbox.rs`.

use crate::list::NIL;
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::const_unless_loom;

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
pub struct Mailbox(AtomicU32);

impl Mailbox {
    const_unless_loom! {
        /// An empty mailbox.
        pub fn new() -> Self {
            Self(AtomicU32::new(NIL))
        }
    }

    /// Posts `thread`, which is in no mailbox and no run queue. Called by any CPU. Lock-free.
    #[inline]
    pub fn post<M: Mail + ?Sized>(&self, mail: &M, thread: u32) -> Posted {
        let link = mail.mail_link(thread);
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            link.0.store(head, Ordering::Relaxed);
            // Release: the link, and all that makes the thread runnable, precedes the owner's load.
            match self.0.compare_exchange_weak(head, thread, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return if head == NIL { Posted::Interrupt } else { Posted::Silent },
                Err(seen) => head = seen,
            }
        }
    }

    /// Returns whether there is mail. Called by the owner only.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NIL
    }

    /// Takes everything out and passes it to `each` in the order of posting. Called by the owner only.
    #[inline]
    pub fn drain<M: Mail + ?Sized>(&self, mail: &M, mut each: impl FnMut(u32)) {
        if self.is_empty() {
            return;
        }
        // Acquire: pairs with the posts. All at once, so no index can come back meanwhile (no ABA).
        let mut newest = self.0.swap(NIL, Ordering::Acquire);
        let mut oldest = NIL;
        while newest != NIL {
            let link = mail.mail_link(newest);
            let next = link.0.load(Ordering::Relaxed);
            link.0.store(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = next;
        }
        while oldest != NIL {
            let next = mail.mail_link(oldest).0.load(Ordering::Relaxed);
            each(oldest);
            oldest = next;
        }
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
        mailbox.drain(table, |thread| out.push(thread));
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

    /// A thread may be posted again, also to this mailbox, as soon as it has been passed on.
    #[test]
    fn a_thread_handed_out_can_be_posted_at_once() {
        let (table, mailbox) = (Table((0..2).map(|_| MailLink::new()).collect()), Mailbox::new());
        let _ = (mailbox.post(&table, 0), mailbox.post(&table, 1));
        let mut first = Vec::new();
        mailbox.drain(&table, |thread| {
            first.push(thread);
            let _ = mailbox.post(&table, thread);
        });
        assert_eq!(first, [0, 1]);
        assert_eq!(drained(&mailbox, &table), [0, 1]);
    }
}
