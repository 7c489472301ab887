//! The names in a directory, sorted.
//!
//! They lie in chunks of limited length, so that adding one moves few others even in a directory of a million names: in
//! one sorted array it would move half of them. Adding may run out of memory, and then nothing has changed; removing
//! needs none. `BTreeMap` of the standard library has the right shape, but cannot report that memory is short.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::tree::Inode;
use crate::errno::Errno;

/// Most names of a chunk.
const MOST: usize = 256;
/// Names for which a chunk keeps its memory when it is the only one and empty.
const KEPT: usize = 64;

/// A name, and the inode that it names.
pub(super) type Name = (Box<str>, Inode);

/// The names in one directory.
#[derive(Debug)]
pub(super) struct Names {
    /// Sorted; only a single one may be empty.
    chunks: Vec<Vec<Name>>,
    count: usize,
}

impl Names {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), count: 0 }
    }

    /// No names, and room for some.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn with_room() -> Result<Self, Errno> {
        let (mut chunks, mut names) = (Vec::new(), Vec::new());
        chunks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        names.try_reserve_exact(KEPT).map_err(|_| Errno::ENOMEM)?;
        chunks.push(names);
        Ok(Self { chunks, count: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Returns the inode that a name names.
    pub(super) fn get(&self, name: &str) -> Option<Inode> {
        let (chunk, index) = self.find(name).ok()?;
        Some(self.chunks[chunk][index].1)
    }

    /// Returns the names that come after `name`, in their order; all come after an empty one.
    pub(super) fn after(&self, name: &str) -> impl Iterator<Item = &Name> + use<'_> {
        let (chunk, index) = self.find(name).map_or_else(|place| place, |(chunk, index)| (chunk, index + 1));
        let first = self.chunks.get(chunk).map_or(&[][..], |names| &names[index..]);
        first.iter().chain(self.chunks.iter().skip(chunk + 1).flatten())
    }

    /// Returns the chunk and the place in it where a name is, or where to insert it.
    fn find(&self, name: &str) -> Result<(usize, usize), (usize, usize)> {
        let begins_before = |chunk: &Vec<Name>| chunk.first().is_none_or(|(first, _)| **first <= *name);
        let begin_before = self.chunks.partition_point(begins_before);
        let chunk = begin_before.saturating_sub(1);
        let Some(names) = self.chunks.get(chunk) else { return Err((chunk, 0)) };
        let place = names.binary_search_by(|(other, _)| (**other).cmp(name));
        place.map(|index| (chunk, index)).map_err(|index| (chunk, index))
    }

    /// Adds a name.
    ///
    /// # Errors
    /// `EEXIST`; `ENOMEM`. Nothing has changed then.
    pub(super) fn insert(&mut self, name: &str, inode: Inode) -> Result<(), Errno> {
        let Err((chunk, index)) = self.find(name) else { return Err(Errno::EEXIST) };
        let mut own = String::new();
        own.try_reserve_exact(name.len()).map_err(|_| Errno::ENOMEM)?;
        own.push_str(name);
        let (chunk, index) = self.make_room(chunk, index).ok_or(Errno::ENOMEM)?;
        self.chunks[chunk].insert(index, (own.into_boxed_str(), inode));
        self.count += 1;
        Ok(())
    }

    /// Makes room for one more name at that place, if there is memory; returns where the place is then.
    fn make_room(&mut self, chunk: usize, index: usize) -> Option<(usize, usize)> {
        let last = chunk + 1 >= self.chunks.len();
        let kept = match self.chunks.get_mut(chunk) {
            Some(names) if names.len() < MOST => {
                names.try_reserve(1).ok()?;
                return Some((chunk, index));
            }
            // Names that come in their order fill their chunks.
            Some(_) if last && index == MOST => MOST,
            Some(_) => MOST / 2,
            None => 0,
        };
        let new = self.chunks.len().min(chunk + 1);
        let mut upper = Vec::new();
        upper.try_reserve(MOST - kept + 1).ok()?;
        self.chunks.try_reserve(1).ok()?;
        if let Some(names) = self.chunks.get_mut(chunk) {
            upper.extend(names.drain(kept..));
        }
        self.chunks.insert(new, upper);
        Some(if index < kept { (chunk, index) } else { (new, index - kept) })
    }

    /// Removes a name; returns the inode that it named.
    pub(super) fn remove(&mut self, name: &str) -> Option<Inode> {
        let (chunk, index) = self.find(name).ok()?;
        let (_, inode) = self.chunks[chunk].remove(index);
        self.count -= 1;
        let names = &self.chunks[chunk];
        if names.is_empty() && (self.chunks.len() > 1 || names.capacity() > KEPT) {
            self.chunks.remove(chunk);
        } else if !self.join(chunk) && chunk > 0 {
            self.join(chunk - 1);
        }
        Some(inode)
    }

    /// Joins a chunk with the next one if both have few names, so that there are never many chunks with few.
    fn join(&mut self, chunk: usize) -> bool {
        let Some([names, next]) = self.chunks.get_mut(chunk..chunk + 2) else { return false };
        if names.len() + next.len() > MOST / 2 || names.try_reserve(next.len()).is_err() {
            return false;
        }
        names.append(next);
        self.chunks.remove(chunk + 1);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeMap;
    use std::format;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn check(names: &Names, model: &BTreeMap<String, Inode>) {
        assert_eq!(names.len(), model.len());
        assert!(
            names.after("").map(|(name, inode)| (&**name, inode)).eq(model.iter().map(|(n, i)| (&**n, i)))
        );
        let full = |chunk: &Vec<Name>| !chunk.is_empty() && chunk.len() <= MOST;
        assert!(names.chunks.iter().all(full) || names.len() == 0);
        let few = names.chunks.windows(2).filter(|pair| pair[0].len() + pair[1].len() <= MOST / 2).count();
        assert_eq!(few, 0, "two neighbours with few names are joined");
    }

    /// No name moves more than a chunk, and few chunks are moved: what is added in order fills its chunks.
    #[test]
    fn many_names_are_few_chunks() {
        let mut names = Names::new();
        for number in 0..100_000 {
            names.insert(&format!("{number:06}"), number).expect("there is memory");
        }
        assert_eq!(names.chunks.len(), 100_000_usize.div_ceil(MOST));
        let mut backwards = Names::new();
        for number in (0..100_000).rev() {
            backwards.insert(&format!("{number:06}"), number).expect("there is memory");
        }
        assert!(backwards.chunks.len() <= 100_000 / (MOST / 2));
        assert!(names.after("").eq(backwards.after("")));
        assert_eq!(names.insert("077777", 1), Err(Errno::EEXIST));
        assert_eq!((names.get("077777"), names.get("77777"), names.get("")), (Some(77_777), None, None));
        assert_eq!((names.remove("~"), names.len()), (None, 100_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Names come and go as in a sorted map, in any order, in bursts that fill chunks and empty them.
        #[test]
        fn names_are_a_map(
            bursts in prop::collection::vec((0..2000_u32, 1..700_u32, 1..4_u32, any::<bool>()), 1..12),
            room in any::<bool>(),
        ) {
            let mut names = if room { Names::with_room().expect("there is memory") } else { Names::new() };
            let mut model = BTreeMap::new();
            for (first, count, step, adds) in bursts {
                for number in (0..count).map(|index| first + index * step) {
                    let name = format!("{:x}", number.wrapping_mul(0x9e37_79b1) % 4096);
                    if adds {
                        let expected = if model.contains_key(&name) { Err(Errno::EEXIST) } else { Ok(()) };
                        prop_assert_eq!(names.insert(&name, number), expected);
                        model.entry(name).or_insert(number);
                    } else {
                        prop_assert_eq!(names.get(&name), model.get(&name).copied());
                        prop_assert_eq!(names.remove(&name), model.remove(&name));
                    }
                }
                check(&names, &model);
            }
            let all: Vec<_> = model.keys().cloned().collect();
            for name in all {
                names.remove(&name);
            }
            check(&names, &BTreeMap::new());
            prop_assert!(names.chunks.iter().map(Vec::capacity).sum::<usize>() <= KEPT, "memory comes back");
        }
    }
}
