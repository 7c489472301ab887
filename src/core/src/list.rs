//! Doubly linked lists over indices, which all queues of the kernel use.
//!
//! A node is a record in some table; its [`Links`] are in the record, and a list holds only indices. That keeps this
//! code safe, makes unlinking O(1), and allocates nothing. The owner of the [`List`] value (a lock, or the CPU that
//! alone uses it) guards the links of all its members.

use crate::shim::guarded::Cell32;

/// "No node": the end of a list.
pub const NIL: u32 = u32::MAX;
/// Value of `next` in a node that is in no list.
const UNLINKED: u32 = u32::MAX - 1;

/// The links of one node for one kind of list. Guarded by the owner of the list it is in.
#[derive(Debug)]
pub struct Links {
    next: Cell32,
    prev: Cell32,
}

impl Links {
    /// The links of a node that is in no list.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Cell32::new(UNLINKED), prev: Cell32::new(UNLINKED) }
    }

    /// Returns whether the node is in a list now. Exact only for the owner of that list; for others the result proves
    /// neither that the unlinking is complete nor anything about what came before it.
    #[inline]
    pub fn is_linked(&self) -> bool {
        self.next.get() != UNLINKED
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

/// Finds the links of a node by its index. One implementation for each kind of list a record can be in.
pub trait Nodes {
    /// Returns the links of node `index`. Panics if there is no such node: an index in a list always names one.
    fn links(&self, index: u32) -> &Links;
}

/// A list of nodes, by index. First in, first out unless the caller chooses otherwise. It does not count them: an owner
/// that needs a number keeps one.
#[derive(Debug)]
pub struct List {
    head: u32,
    tail: u32,
}

impl List {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: NIL, tail: NIL }
    }

    /// Returns whether there is no node.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// Returns the first node, which stays in the list.
    #[inline]
    pub fn first(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    /// Returns the last node, which stays in the list.
    #[inline]
    pub fn last(&self) -> Option<u32> {
        (self.tail != NIL).then_some(self.tail)
    }

    /// Returns the node after `index`, which is in this list.
    #[inline]
    pub fn next<N: Nodes + ?Sized>(&self, nodes: &N, index: u32) -> Option<u32> {
        let next = nodes.links(index).next.get();
        (next != NIL).then_some(next)
    }

    /// Returns the node before `index`, which is in this list.
    #[inline]
    pub fn previous<N: Nodes + ?Sized>(&self, nodes: &N, index: u32) -> Option<u32> {
        let previous = nodes.links(index).prev.get();
        (previous != NIL).then_some(previous)
    }

    /// Adds `index`, which is in no list of this kind, at the end.
    #[inline]
    pub fn push_back<N: Nodes + ?Sized>(&mut self, nodes: &N, index: u32) {
        let links = nodes.links(index);
        debug_assert!(!links.is_linked(), "node is in a list already");
        links.next.set(NIL);
        links.prev.set(self.tail);
        if self.tail == NIL {
            self.head = index;
        } else {
            nodes.links(self.tail).next.set(index);
        }
        self.tail = index;
    }

    /// Adds `index`, which is in no list of this kind, at the front.
    #[inline]
    pub fn push_front<N: Nodes + ?Sized>(&mut self, nodes: &N, index: u32) {
        let links = nodes.links(index);
        debug_assert!(!links.is_linked(), "node is in a list already");
        links.prev.set(NIL);
        links.next.set(self.head);
        if self.head == NIL {
            self.tail = index;
        } else {
            nodes.links(self.head).prev.set(index);
        }
        self.head = index;
    }

    /// Removes and returns the first node.
    #[inline]
    pub fn pop_front<N: Nodes + ?Sized>(&mut self, nodes: &N) -> Option<u32> {
        let index = self.first()?;
        let links = nodes.links(index);
        let next = links.next.get();
        self.head = next;
        if next == NIL {
            self.tail = NIL;
        } else {
            nodes.links(next).prev.set(NIL);
        }
        links.next.set(UNLINKED);
        links.prev.set(UNLINKED);
        Some(index)
    }

    /// Adds `index`, which is in no list of this kind, at the end, and removes and returns the first node. Returns
    /// `None`, without a change, if the list is empty.
    #[inline]
    pub fn rotate<N: Nodes + ?Sized>(&mut self, nodes: &N, index: u32) -> Option<u32> {
        let first = self.first()?;
        let (links, first_links) = (nodes.links(index), nodes.links(first));
        debug_assert!(!links.is_linked(), "node is in a list already");
        let second = first_links.next.get();
        first_links.next.set(UNLINKED);
        first_links.prev.set(UNLINKED);
        links.next.set(NIL);
        if second == NIL {
            links.prev.set(NIL);
            self.head = index;
        } else {
            nodes.links(second).prev.set(NIL);
            self.head = second;
            links.prev.set(self.tail);
            nodes.links(self.tail).next.set(index);
        }
        self.tail = index;
        Some(first)
    }

    /// Removes `index`, which is in this very list.
    #[inline]
    pub fn remove<N: Nodes + ?Sized>(&mut self, nodes: &N, index: u32) {
        let links = nodes.links(index);
        debug_assert!(links.is_linked(), "node is in no list");
        let (next, prev) = (links.next.get(), links.prev.get());
        if prev == NIL {
            self.head = next;
        } else {
            nodes.links(prev).next.set(next);
        }
        if next == NIL {
            self.tail = prev;
        } else {
            nodes.links(next).prev.set(prev);
        }
        links.next.set(UNLINKED);
        links.prev.set(UNLINKED);
    }

    /// Iterates over the nodes from first to last; the list must not change meanwhile.
    pub fn iter<'a, N: Nodes + ?Sized>(&self, nodes: &'a N) -> impl Iterator<Item = u32> + use<'a, N> {
        let mut at = self.head;
        core::iter::from_fn(move || {
            let index = (at != NIL).then_some(at)?;
            at = nodes.links(index).next.get();
            Some(index)
        })
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Table(Vec<Links>);

    impl Nodes for Table {
        fn links(&self, index: u32) -> &Links {
            &self.0[index as usize]
        }
    }

    fn filled(count: u32) -> (Table, List) {
        let table = Table((0..count).map(|_| Links::new()).collect());
        let mut list = List::new();
        (0..count).for_each(|index| list.push_back(&table, index));
        (table, list)
    }

    #[test]
    fn first_in_first_out() {
        let (table, mut list) = filled(3);
        assert_eq!(list.iter(&table).collect::<Vec<_>>(), [0, 1, 2]);
        let out: Vec<u32> = core::iter::from_fn(|| list.pop_front(&table)).collect();
        assert_eq!(out, [0, 1, 2]);
        assert!(list.is_empty() && list.first().is_none() && list.last().is_none());
    }

    #[test]
    fn any_node_can_leave() {
        for leaver in 0..3 {
            let (table, mut list) = filled(3);
            list.remove(&table, leaver);
            assert!(!table.links(leaver).is_linked());
            let rest: Vec<u32> = (0..3).filter(|&index| index != leaver).collect();
            assert_eq!(list.iter(&table).collect::<Vec<_>>(), rest);
            assert_eq!((list.first(), list.last()), (Some(rest[0]), Some(rest[1])));
            list.push_front(&table, leaver);
            assert_eq!(list.first(), Some(leaver), "and come back");
        }
    }

    #[test]
    fn both_directions_agree() {
        let (table, list) = filled(4);
        for index in 0..3 {
            assert_eq!(list.next(&table, index), Some(index + 1));
            assert_eq!(list.previous(&table, index + 1), Some(index));
        }
        assert_eq!((list.next(&table, 3), list.previous(&table, 0)), (None, None));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "in a list already")]
    fn a_node_is_in_one_list() {
        let (table, mut list) = filled(1);
        list.push_back(&table, 0);
    }
}
