//! Registries of functions that are called for each process that ends, and that may change during a walk.
//!
//! at_exit(9) and the `process_exit` event handlers. Every entry has a position of its own in the order of calling: its
//! priority, then its order of registration. A walk remembers the position of the entry it called last and looks for
//! the next one after it, so it needs no lock while a function runs, which may block, and entries may be added and
//! removed meanwhile (R29, D16): an entry that is registered during the whole walk is called exactly once. Model:
//! `tests/hooks.rs`.

use crate::shim::guarded::{Cell32, Cell64};

/// The position of an entry in the order of calling. It is never reused for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    priority: i32,
    turn: u64,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The entry is registered already (T180).
    Exists,
    /// There is no room (T183).
    Full,
}

/// Up to `N` entries in the order of calling. Guarded by a lock of its owner, which is held for single calls only.
#[derive(Debug)]
pub struct Registry<T, const N: usize> {
    entries: heapless::Vec<(Place, T), N>,
    turn: u64,
}

impl<T: Copy + PartialEq, const N: usize> Registry<T, N> {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: heapless::Vec::new(), turn: 0 }
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry after all others of its priority; lower priorities are called first. O(entries).
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed.
    pub fn add(&mut self, priority: i32, entry: T) -> Result<(), Refused> {
        if self.entries.iter().any(|(_, known)| *known == entry) {
            return Err(Refused::Exists);
        }
        let place = Place { priority, turn: self.turn };
        let position = self.entries.partition_point(|(known, _)| *known < place);
        self.entries.insert(position, (place, entry)).map_err(|_| Refused::Full)?;
        self.turn += 1;
        Ok(())
    }

    /// Removes `entry`; returns how many were removed, 0 or 1. A walk that has already looked it up still calls it.
    pub fn remove(&mut self, entry: &T) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(_, known)| known != entry);
        before - self.entries.len()
    }

    /// Returns the first entry after `last`, the position of the one called before; `None` starts at the beginning.
    /// O(log entries).
    #[must_use]
    pub fn next(&self, last: Option<Place>) -> Option<(Place, T)> {
        let position = last.map_or(0, |last| self.entries.partition_point(|(place, _)| *place <= last));
        self.entries.get(position).copied()
    }
}

impl<T: Copy + PartialEq, const N: usize> Default for Registry<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// How far the exit of a process has got with its walks, over several registries one after the other. It is kept outside
/// of the walk, because a function need not return: then the exit continues after it. Used by one LWP at a time.
#[derive(Debug)]
pub struct Progress {
    /// The number of the registry, and [`CALLED`].
    stage: Cell32,
    priority: Cell32,
    turn: Cell64,
}

/// Added to a stage: the position is that of the function called last.
const CALLED: u32 = 1 << 31;

impl Progress {
    /// Nothing has been called.
    #[must_use]
    pub const fn new() -> Self {
        Self { stage: Cell32::new(0), priority: Cell32::new(0), turn: Cell64::new(0) }
    }

    /// For a new process.
    #[inline]
    pub fn reset(&self) {
        self.stage.set(0);
    }

    /// Returns whether registry `number` is not done with.
    #[inline]
    #[must_use]
    pub fn is_before_end_of(&self, number: u32) -> bool {
        self.stage.get() & !CALLED <= number
    }

    /// The walk over registry `number` is done.
    #[inline]
    pub fn end(&self, number: u32) {
        self.stage.set(number + 1);
    }

    /// Returns the position of the function that was called last in the registry that is not done with.
    #[must_use]
    pub fn last(&self) -> Option<Place> {
        let place = Place { priority: self.priority.get() as i32, turn: self.turn.get() };
        (self.stage.get() & CALLED != 0).then_some(place)
    }

    /// The function at `place` is called next.
    pub fn set(&self, place: Place) {
        self.priority.set(place.priority as u32);
        self.turn.set(place.turn);
        self.stage.set(self.stage.get() | CALLED);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn walk(registry: &Registry<u32, 4>) -> Vec<u32> {
        let mut last = None;
        let mut called = Vec::new();
        while let Some((place, entry)) = registry.next(last) {
            last = Some(place);
            called.push(entry);
        }
        called
    }

    /// T48: in the order of registration inside one priority.
    #[test]
    fn priorities_then_turns() {
        let mut registry = Registry::<u32, 4>::new();
        assert!(registry.is_empty() && registry.next(None).is_none());
        for (priority, entry) in [(0, 1), (5, 2), (-1, 3), (0, 4)] {
            assert_eq!(registry.add(priority, entry), Ok(()));
        }
        assert_eq!(walk(&registry), [3, 1, 4, 2]);
    }

    /// T180, T181, T183.
    #[test]
    fn doubles_and_too_many_are_refused() {
        let mut registry = Registry::<u32, 4>::new();
        (0..4).for_each(|entry| assert_eq!(registry.add(0, entry), Ok(())));
        assert_eq!(registry.add(0, 3), Err(Refused::Exists));
        assert_eq!(registry.add(0, 4), Err(Refused::Full));
        assert_eq!((registry.remove(&9), registry.remove(&0), registry.remove(&0)), (0, 1, 0));
        assert_eq!(registry.add(0, 4), Ok(()));
        assert_eq!(walk(&registry), [1, 2, 3, 4], "a hook that is added again stands last");
    }
}
