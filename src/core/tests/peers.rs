//! Model of R28: a leader ends while its peers end by themselves and one more joins, explored exhaustively on the real
//! `Peers`.
//!
//! | race, requirements | test | seeded bug that must be caught |
//! |---|---|---|
//! | R28, T74, T75, T76 | `r28_leader_and_peers_exit_together` | the leader continues from a peer that it has kept |
//! | R28, T74 | `r28_leader_and_peers_exit_together` | the group is not closed before the peers are killed |
//! | R28, T74 | `r28_leader_and_peers_exit_together` | the leader checks whether all have gone, and sleeps later |
//!
//! Properties: when the leader has ended there is no peer (T74); the leader does not wait for ever (I13); each section
//! under the lock finds the list intact.
#![cfg(not(loom))]

mod explore;

use asphodel_core::proc::peers::{PeerLinks, Peering, Peers};
use explore::{World, explore};

const PEERS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    RemembersNext,
    NotClosed,
    LookThenSleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Leader {
    Close,
    Tell,
    /// (seeded) It has chosen this peer without taking it out of the list, and kills it without another check.
    TellThis(u32),
    Look,
    /// (seeded) It has seen that some are left and is about to sleep.
    AboutToSleep,
    Asleep(bool),
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer {
    /// Being spawned: not in the group yet.
    Joins,
    Lives,
    /// It ends: by itself, or because it was killed.
    Leaves,
    Gone,
    Refused,
}

struct Table([PeerLinks; PEERS as usize]);

impl Peering for Table {
    fn peer_links(&self, slot: u32) -> &PeerLinks {
        &self.0[slot as usize]
    }
}

struct Group {
    bug: Bug,
    table: Table,
    group: Peers,
    leader: Leader,
    peers: [Peer; PEERS as usize],
}

impl Group {
    /// Two peers and one that joins.
    fn new(bug: Bug) -> Self {
        let table = Table(core::array::from_fn(|_| PeerLinks::new()));
        let mut group = Peers::new();
        for slot in 0..2 {
            group.join(&table, slot).expect("the group is open");
        }
        Self { bug, table, group, leader: Leader::Close, peers: [Peer::Lives, Peer::Lives, Peer::Joins] }
    }

    fn tell(&mut self, slot: u32) {
        let peer = &mut self.peers[slot as usize];
        if *peer == Peer::Lives {
            *peer = Peer::Leaves;
        }
    }

    fn step_leader(&mut self) -> Result<Leader, String> {
        Ok(match self.leader {
            Leader::Close => {
                if self.bug != Bug::NotClosed {
                    self.group.close();
                }
                Leader::Tell
            }
            Leader::Tell => match self.group.tell_next(&self.table) {
                Some(slot) if self.bug == Bug::RemembersNext => Leader::TellThis(slot),
                Some(slot) => {
                    self.tell(slot);
                    Leader::Tell
                }
                None => Leader::Look,
            },
            Leader::TellThis(slot) => {
                if self.peers[slot as usize] == Peer::Gone {
                    return Err(format!("R28: the record of {slot} is another's by now"));
                }
                self.tell(slot);
                Leader::Tell
            }
            Leader::Look | Leader::Asleep(_) if self.group.is_empty() => Leader::Gone,
            Leader::Look | Leader::Asleep(_) if self.bug == Bug::LookThenSleep => Leader::AboutToSleep,
            Leader::Look | Leader::Asleep(_) | Leader::AboutToSleep => Leader::Asleep(false),
            Leader::Gone => unreachable!("it does no step"),
        })
    }

    fn step_peer(&mut self, slot: u32) -> Peer {
        match self.peers[slot as usize] {
            Peer::Joins => match self.group.join(&self.table, slot) {
                Ok(()) => Peer::Lives,
                Err(_) => Peer::Refused,
            },
            Peer::Lives => Peer::Leaves,
            Peer::Leaves => {
                let last = self.group.leave(&self.table, slot)
                    || self.bug == Bug::NotClosed && self.group.is_empty();
                if last && matches!(self.leader, Leader::Asleep(_)) {
                    self.leader = Leader::Asleep(true);
                }
                Peer::Gone
            }
            other => unreachable!("{other:?} does no step"),
        }
    }
}

impl World for Group {
    type Fingerprint = (Leader, [Peer; PEERS as usize]);

    fn actors(&self) -> usize {
        1 + PEERS as usize
    }

    fn can_step(&self, actor: usize) -> bool {
        match actor {
            0 => !matches!(self.leader, Leader::Asleep(false) | Leader::Gone),
            // The last one runs until it is killed.
            peer if self.peers[peer - 1] == Peer::Lives => peer != 2,
            peer => !matches!(self.peers[peer - 1], Peer::Gone | Peer::Refused),
        }
    }

    fn step(&mut self, actor: usize) -> Result<(), String> {
        if actor == 0 {
            self.leader = self.step_leader()?;
        } else {
            self.peers[actor - 1] = self.step_peer(actor as u32 - 1);
        }
        let left = self.peers.iter().any(|peer| matches!(peer, Peer::Lives | Peer::Leaves));
        if self.leader == Leader::Gone && left {
            return Err("T74: a peer outlives its leader".into());
        }
        Ok(())
    }

    fn at_rest(&self) -> Result<(), String> {
        if self.leader == Leader::Gone {
            Ok(())
        } else {
            Err(format!("I13: the leader is left {:?}", self.leader))
        }
    }

    fn fingerprint(&self) -> Self::Fingerprint {
        (self.leader, self.peers)
    }
}

#[test]
fn r28_leader_and_peers_exit_together() {
    let explored = explore(|| Group::new(Bug::None)).unwrap_or_else(|what| panic!("{what}"));
    assert!(explored.states > 20 && explored.ends > 0, "hardly anything explored");
}

fn caught(property: &str, bug: Bug) {
    let found = explore(|| Group::new(bug)).expect_err("the seeded bug was not found");
    assert!(found.starts_with(property), "another violation than the seeded one: {found}");
}

#[test]
fn r28_seeded_leader_remembers_the_next_peer() {
    caught("R28", Bug::RemembersNext);
}

#[test]
fn r28_seeded_group_not_closed() {
    caught("T74", Bug::NotClosed);
}

#[test]
fn r28_seeded_leader_looks_then_sleeps() {
    caught("I13", Bug::LookThenSleep);
}
