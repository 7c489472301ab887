//! Clocks advance, and a sleep takes at least its time.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let mut last = Instant::now();
    for _ in 0..1000 {
        let now = Instant::now();
        assert!(now >= last);
        last = now;
    }
    for milliseconds in [0, 1, 20] {
        let pause = Duration::from_millis(milliseconds);
        let (begun, wall) = (Instant::now(), SystemTime::now());
        thread::sleep(pause);
        assert!(begun.elapsed() >= pause);
        assert!(wall.elapsed().unwrap() + Duration::from_millis(1) >= pause);
    }
    assert!(SystemTime::now() >= UNIX_EPOCH);
}
