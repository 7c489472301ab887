//! Numbered places for values. Their number never shrinks, because a place that was needed once is kept.

use alloc::vec::Vec;

use crate::errno::Errno;

/// Places for values of one type.
#[derive(Debug)]
pub(super) struct Pool<T> {
    places: Vec<Option<T>>,
    /// Free places. Its capacity is never less than the number of places, so that freeing one needs no memory.
    free: Vec<u32>,
}

impl<T> Pool<T> {
    /// Bytes of a place, and of the entry for it among the free ones.
    pub(super) const PLACE: usize = size_of::<Option<T>>() + size_of::<u32>();

    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Reserves room for this many values more: adding them needs no memory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let count = count.saturating_sub(self.free.len());
        if count == 0 {
            return Ok(());
        }
        self.places.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
        self.free.try_reserve(self.places.len() + count).map_err(|_| Errno::ENOMEM)
    }

    /// Puts a value into a free place.
    ///
    /// # Errors
    /// `ENOMEM`; the value is dropped.
    pub(super) fn add(&mut self, value: T) -> Result<u32, Errno> {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(value);
            return Ok(number);
        }
        self.reserve(1)?;
        self.places.push(Some(value));
        Ok(self.places.len() as u32 - 1)
    }

    /// Takes a value out of its place.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.places.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(value)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
