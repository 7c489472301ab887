//! Task groups: a leader and its peers, which share what the leader owns and do not outlive it.
//!
//! RFTHREAD, `p_peers`. The list hangs off the leader and is guarded by the leader's lock (D15, R28). A leader that
//! ends closes the group, so that no peer joins any more; it kills every peer, a few at a time, and waits until the
//! last one has unlinked itself (T74). A peer unlinks itself in its own exit, when it no longer uses anything of the
//! leader's, and the last one of a closed group wakes the leader. Model: `tests/peers.rs`.

use crate::list::{Links, List, Nodes};
use crate::shim::guarded::Cell32;

/// The links of a record that can be a peer. Guarded by its leader's lock.
#[derive(Debug)]
pub struct PeerLinks {
    links: Links,
    notified: Cell32,
}

impl PeerLinks {
    /// The links of a process that is not a peer.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Links::new(), notified: Cell32::new(0) }
    }
}

impl Default for PeerLinks {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the links of a process by its table slot.
pub trait Peering {
    /// Returns the links of the record in `slot`.
    fn peer_links(&self, slot: u32) -> &PeerLinks;
}

struct PeerNodes<'a, P: ?Sized>(&'a P);

impl<P: Peering + ?Sized> Nodes for PeerNodes<'_, P> {
    fn links(&self, index: u32) -> &Links {
        &self.0.peer_links(index).links
    }
}

/// The group is closed: its leader is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// The peers of one leader.
#[derive(Debug, Default)]
pub struct Peers {
    /// Peers that the leader has not killed yet.
    unnotified: List,
    notified: List,
    closed: bool,
}

impl Peers {
    /// An open group without peers.
    #[must_use]
    pub const fn new() -> Self {
        Self { unnotified: List::new(), notified: List::new(), closed: false }
    }

    /// Returns whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unnotified.is_empty() && self.notified.is_empty()
    }

    /// Makes `slot` a peer. It must not be a peer already.
    ///
    /// # Errors
    /// [`Closed`]: the leader is ending.
    pub fn join<P: Peering + ?Sized>(&mut self, peering: &P, slot: u32) -> Result<(), Closed> {
        if self.closed {
            return Err(Closed);
        }
        peering.peer_links(slot).notified.set(0);
        self.unnotified.push_back(&PeerNodes(peering), slot);
        Ok(())
    }

    /// Removes the peer `slot`. Returns `true` if it was the last one of a closed group: the caller must wake the
    /// leader.
    #[must_use = "the leader sleeps for ever if it is not woken"]
    pub fn leave<P: Peering + ?Sized>(&mut self, peering: &P, slot: u32) -> bool {
        let notified = peering.peer_links(slot).notified.get() != 0;
        let list = if notified { &mut self.notified } else { &mut self.unnotified };
        list.remove(&PeerNodes(peering), slot);
        self.closed && self.is_empty()
    }

    /// Closes the group, because the leader ends: no peer can join from here on.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Returns the next peer that the leader must kill. Called until it returns `None`; the lock may be dropped in
    /// between, because peers only leave a closed group.
    pub fn tell_next<P: Peering + ?Sized>(&mut self, peering: &P) -> Option<u32> {
        let nodes = PeerNodes(peering);
        let slot = self.unnotified.pop_front(&nodes)?;
        peering.peer_links(slot).notified.set(1);
        self.notified.push_back(&nodes, slot);
        Some(slot)
    }

    /// Opens the group again, for a record that is reused. It must be empty.
    pub fn reset(&mut self) {
        debug_assert!(self.is_empty(), "a leader outlives its peers");
        self.closed = false;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<PeerLinks>);

    impl Peering for Table {
        fn peer_links(&self, slot: u32) -> &PeerLinks {
            &self.0[slot as usize]
        }
    }

    fn table() -> Table {
        Table((0..5).map(|_| PeerLinks::new()).collect())
    }

    fn group(table: &Table, peers: &[u32]) -> Peers {
        let mut group = Peers::new();
        peers.iter().for_each(|slot| assert_eq!(group.join(table, *slot), Ok(())));
        group
    }

    /// T75: a peer that leaves an open group wakes no thread.
    #[test]
    fn peers_come_and_go() {
        let table = table();
        let mut group = group(&table, &[1, 2, 3]);
        for slot in [2, 1, 3] {
            assert!(!group.leave(&table, slot));
        }
        assert!(group.is_empty());
        assert_eq!(group.join(&table, 2), Ok(()));
    }

    /// T74: each peer is killed once, and the last to leave wakes the leader.
    #[test]
    fn a_closed_group_runs_out() {
        let table = table();
        let mut group = group(&table, &[1, 2, 3]);
        group.close();
        assert_eq!(group.join(&table, 4), Err(Closed));
        assert_eq!(group.tell_next(&table), Some(1));
        assert!(!group.leave(&table, 2), "one that was not notified yet");
        assert_eq!(group.tell_next(&table), Some(3));
        assert_eq!(group.tell_next(&table), None);
        assert!(!group.leave(&table, 1));
        assert!(group.leave(&table, 3));
        group.reset();
        assert_eq!(group.join(&table, 1), Ok(()));
    }
}
