//! The heap, tested by its contents: maps, strings, vectors that grow, alignments.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::thread;

#[repr(align(4096))]
struct Page([u8; 4096]);

fn main() {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let of_one = RandomState::new().hash_one(1);
    let of_others = (0..8).map(|_| thread::spawn(|| RandomState::new().hash_one(1)).join().unwrap());
    assert!(of_others.into_iter().any(|hash| hash != of_one), "keys are random");
}

fn work() {
    let mut hashed = HashMap::new();
    let mut ordered = BTreeMap::new();
    let mut queue = VecDeque::new();
    for number in 0..10_000_u64 {
        let name = format!("number {number}");
        hashed.insert(name.clone(), number);
        ordered.insert(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), name.clone());
        queue.push_back(name);
        if number % 3 == 0 {
            queue.pop_front();
        }
    }
    assert_eq!(hashed["number 777"], 777);
    assert!(ordered.keys().is_sorted());
    assert_eq!(queue.len(), 6666);
    let mut grown = Vec::new();
    for number in 0..1_000_000_u32 {
        grown.push(number);
    }
    assert!(grown.iter().copied().eq(0..1_000_000));
    let pages: Vec<Box<Page>> = (0..32).map(|number| Box::new(Page([number; 4096]))).collect();
    for (number, page) in pages.iter().enumerate() {
        assert!(std::ptr::from_ref(&**page).addr().is_multiple_of(4096));
        assert!(page.0.iter().all(|byte| usize::from(*byte) == number));
    }
}
