//! The heap of an isolated process: blocks are sound as long as the process leaves its lists alone, and whatever it writes
//! over them, no operation panics, hangs, or leaves the heap's memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use asphodel_core::heap::{Broken, GRANULE, Heap, LISTS_SIZE, Lists, Memory, Words, bytes_for};
use proptest::prelude::*;

/// Bytes by which the memory grows.
const GRAIN: usize = 8192;

/// Memory that counts how often it was looked at.
#[derive(Debug)]
struct Granules {
    lists: Lists,
    /// The words of each granule after the lists.
    blocks: Vec<Words>,
    looks: Cell<u32>,
}

const LISTS: usize = LISTS_SIZE / GRANULE;

impl Memory for Granules {
    fn granules(&self) -> u32 {
        (LISTS + self.blocks.len()) as u32
    }

    fn lists(&self) -> &Lists {
        self.looks.set(self.looks.get() + 1);
        &self.lists
    }

    fn block(&self, number: u32) -> Result<&Words, Broken> {
        self.looks.set(self.looks.get() + 1);
        // One among the lists is another one here.
        let place = (number as usize).saturating_sub(LISTS);
        self.blocks.get(place).filter(|_| number != 0).ok_or(Broken)
    }
}

impl Granules {
    /// Adds `bytes`, and returns how many granules there were.
    fn extend(&mut self, bytes: usize) -> u32 {
        let before = self.granules();
        self.blocks.resize_with(self.blocks.len() + bytes / GRANULE, Words::default);
        before
    }

    fn write(&self, word: usize, value: u32) {
        let of_lists = self.lists.words().count();
        let place = word % (of_lists + self.blocks.len() * 4);
        let written = match place.checked_sub(of_lists) {
            None => self.lists.words().nth(place),
            Some(place) => self.blocks[place / 4].words().nth(place % 4),
        };
        written.expect("it is below their number").store(value, Ordering::Relaxed);
    }
}

fn heap() -> Heap<Granules> {
    let mut heap = Heap(Granules { lists: Lists::default(), blocks: Vec::new(), looks: Cell::new(0) });
    heap.0.extend(GRAIN);
    (0..1000).for_each(|word| heap.0.write(word, 0xdead_beef));
    heap.init().expect("there is memory");
    heap
}

/// Allocates a block; the memory grows if it must.
fn allocate(heap: &mut Heap<Granules>, size: usize, align: usize) -> usize {
    if let Some(block) = heap.allocate(size, align).expect("nothing is broken") {
        return block;
    }
    let least = bytes_for(size, align).expect("it is not so large").next_multiple_of(GRAIN);
    let before = heap.0.extend(least);
    heap.grow(before).expect("nothing is broken");
    heap.allocate(size, align).expect("nothing is broken").expect("it has grown enough")
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate { size: usize, align: usize },
    Free(usize),
    Write { word: usize, value: u32 },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..200, 0_usize..5000, (3_u32..17).prop_map(|power| 1 << power)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (sizes(), prop_oneof![4 => Just(8), 1 => (0_u32..13).prop_map(|power| 1 << power)])
            .prop_map(|(size, align)| Step::Allocate { size, align }),
        2 => any::<usize>().prop_map(Step::Free),
    ]
}

/// What is written: anything, or what looks like the heap's own.
fn spoiling_step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![any::<u32>(), 0_u32..2000, (0_u32..32).prop_map(|bit| 1 << bit), Just(u32::MAX)];
    let word = prop_oneof![any::<usize>(), 0_usize..LISTS_SIZE / 4 + 64];
    prop_oneof![3 => step(), 2 => (word, value).prop_map(|(word, value)| Step::Write { word, value })]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Blocks are aligned, lie apart, and outside of the lists; when all are free they are one again.
    #[test]
    fn blocks_are_sound(steps in prop::collection::vec(step(), 1..200)) {
        let mut heap = heap();
        let mut blocks = BTreeMap::new();
        for step in steps {
            match step {
                Step::Allocate { size, align } => {
                    let block = allocate(&mut heap, size, align);
                    prop_assert!(block.is_multiple_of(align.max(GRANULE)));
                    prop_assert!(block >= LISTS_SIZE && block + size <= heap.0.granules() as usize * GRANULE);
                    if let Some((other, length)) = blocks.range(..=block).next_back() {
                        prop_assert!(other + length <= block);
                    }
                    if let Some((other, _)) = blocks.range(block..).next() {
                        prop_assert!(block + size <= *other);
                    }
                    blocks.insert(block, size);
                }
                Step::Free(which) if !blocks.is_empty() => {
                    let block = *blocks.keys().nth(which % blocks.len()).expect("it is below their number");
                    blocks.remove(&block);
                    prop_assert_eq!(heap.free(block), Ok(()));
                    prop_assert_eq!(heap.free(block), Err(Broken), "it is free already");
                }
                _ => {}
            }
        }
        for block in blocks.into_keys() {
            prop_assert_eq!(heap.free(block), Ok(()));
        }
        let all = heap.0.granules() as usize * GRANULE - LISTS_SIZE;
        prop_assert!(heap.allocate(all - all / 16 - 4 * GRANULE, 8).expect("nothing is broken").is_some());
    }

    /// Each operation looks at few words, whatever they are, and what it returns lies in the memory.
    #[test]
    fn words_that_are_overwritten_do_no_harm(steps in prop::collection::vec(spoiling_step(), 1..200)) {
        let mut heap = heap();
        let mut blocks = Vec::new();
        for step in steps {
            heap.0.looks.set(0);
            match step {
                Step::Allocate { size, align } => match heap.allocate(size, align) {
                    Ok(Some(block)) => {
                        prop_assert!(block + size <= heap.0.granules() as usize * GRANULE);
                        blocks.push(block);
                    }
                    Ok(None) => {
                        if heap.0.granules() < 1 << 16 {
                            let before = heap.0.extend(GRAIN);
                            let _broken = heap.grow(before);
                        }
                    }
                    Err(Broken) => {}
                },
                // Twice, too.
                Step::Free(which) if !blocks.is_empty() => _ = heap.free(blocks[which % blocks.len()]),
                Step::Free(which) => _ = heap.free(which % (heap.0.granules() as usize * GRANULE * 2)),
                Step::Write { word, value } => heap.0.write(word, value),
            }
            prop_assert!(heap.0.looks.get() < 500);
        }
    }
}
