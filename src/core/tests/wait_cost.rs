//! A search for a child takes the same number of steps, whatever the number of children. D36.
#![cfg(not(loom))]

use std::cell::Cell;

use asphodel_core::id::Pid;
use asphodel_core::proc::family::{Children, FamilyLinks, FamilyTable, Found};
use asphodel_core::wait::select::Selector;

const PARENT: u32 = 1;

/// A table that counts the accesses to its records.
struct Counting {
    records: Vec<FamilyLinks>,
    looks: Cell<u32>,
}

impl FamilyTable for Counting {
    fn family_links(&self, slot: u32) -> Option<&FamilyLinks> {
        self.looks.set(self.looks.get() + 1);
        self.records.get(slot as usize)
    }
}

/// Returns the steps that it takes to find nothing ready among that many children, to find any zombie and take it out,
/// and to find one by its pid, when the last half of the children have ended.
fn looks(children: u32) -> [u32; 3] {
    let table =
        Counting { records: (0..children + 2).map(|_| FamilyLinks::new()).collect(), looks: Cell::new(0) };
    let mut child_list = Children::new();
    for slot in 2..children + 2 {
        table.records[slot as usize].init(Pid::new(slot, 0), Pid::new(9, 0), false);
        child_list.add(&table, PARENT, slot);
    }
    let count = |work: &mut dyn FnMut()| {
        table.looks.set(0);
        work();
        table.looks.get()
    };
    let miss = count(&mut || {
        assert_eq!(child_list.find(&table, PARENT, Selector::Any, false), Found::NotYet);
    });
    for slot in children / 2 + 2..children + 2 {
        child_list.ready(&table, slot);
    }
    let first = children / 2 + 2;
    let reap = count(&mut || {
        assert_eq!(child_list.find(&table, PARENT, Selector::Any, false), Found::Ready(first));
        child_list.remove(&table, first);
    });
    let by_pid = count(&mut || {
        let last = children + 1;
        let selector = Selector::Process(Pid::new(last, 0));
        assert_eq!(child_list.find(&table, PARENT, selector, false), Found::Ready(last));
    });
    [miss, reap, by_pid]
}

/// D36: there is no scan, so the counts for ten children are those for ten thousand.
#[test]
fn a_look_does_not_depend_on_the_number_of_children() {
    let few = looks(10);
    assert!(few.iter().all(|looks| *looks < 20), "{few:?}");
    assert_eq!(few, looks(10_000));
}
