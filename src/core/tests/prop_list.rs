//! The list against a vector, for any sequence of operations.
#![cfg(not(loom))]

use asphodel_core::list::{Links, List, Nodes};
use proptest::prelude::*;

const NODES: u32 = 12;

struct Table(Vec<Links>);

impl Nodes for Table {
    fn links(&self, index: u32) -> &Links {
        &self.0[index as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Puts a node that is in no list at the end; takes one that is in the list out.
    ToggleBack(u32),
    /// The same at the front.
    ToggleFront(u32),
    PopFront,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..NODES).prop_map(Step::ToggleBack),
        2 => (0..NODES).prop_map(Step::ToggleFront),
        1 => Just(Step::PopFront),
    ]
}

fn apply(step: Step, table: &Table, list: &mut List, model: &mut Vec<u32>) {
    match step {
        Step::PopFront => {
            let expected = (!model.is_empty()).then(|| model.remove(0));
            assert_eq!(list.pop_front(table), expected);
        }
        Step::ToggleBack(node) | Step::ToggleFront(node) if model.contains(&node) => {
            list.remove(table, node);
            model.retain(|&member| member != node);
        }
        Step::ToggleBack(node) => {
            list.push_back(table, node);
            model.push(node);
        }
        Step::ToggleFront(node) => {
            list.push_front(table, node);
            model.insert(0, node);
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_vector(steps in prop::collection::vec(step(), 0..200)) {
        let table = Table((0..NODES).map(|_| Links::new()).collect());
        let (mut list, mut model) = (List::new(), Vec::new());
        for step in steps {
            apply(step, &table, &mut list, &mut model);
            prop_assert_eq!(list.iter(&table).collect::<Vec<_>>(), model.clone());
            let backwards = std::iter::successors(list.last(), |&node| list.previous(&table, node));
            prop_assert!(backwards.eq(model.iter().rev().copied()));
            prop_assert!((0..NODES).all(|node| table.links(node).is_linked() == model.contains(&node)));
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
    }
}
