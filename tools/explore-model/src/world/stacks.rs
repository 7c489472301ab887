//! Stacks: a free one is used again at once, last in first out, so that a stack freed too early has a new owner soon.

use std::cell::{Cell, RefCell};

/// No thread.
pub(crate) const NOBODY: u32 = 0;

/// All stacks there are.
#[derive(Debug)]
pub(crate) struct Stacks {
    free: RefCell<Vec<u32>>,
    occupants: Vec<Cell<u32>>,
}

impl Stacks {
    /// `count` free stacks, numbered from 1.
    pub(crate) fn new(count: u32) -> Self {
        Self {
            free: RefCell::new((1..=count).rev().collect()),
            occupants: (0..=count).map(|_| Cell::new(NOBODY)).collect(),
        }
    }

    /// A free stack for `thread`.
    pub(crate) fn take(&self, thread: u32) -> Option<u32> {
        let stack = self.free.borrow_mut().pop()?;
        self.occupants[stack as usize].set(thread);
        Some(stack)
    }

    /// Takes a stack back.
    pub(crate) fn give(&self, stack: u32) {
        self.occupants[stack as usize].set(NOBODY);
        self.free.borrow_mut().push(stack);
    }

    /// Whose it is.
    pub(crate) fn occupant(&self, stack: u32) -> u32 {
        self.occupants[stack as usize].get()
    }

    /// How many are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.occupants.len() - 1 - self.free.borrow().len()
    }
}
