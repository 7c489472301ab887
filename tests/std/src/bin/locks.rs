//! Locks, conditions, channels: everything that waits for a futex.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, OnceLock, RwLock};
use std::thread;
use std::time::{Duration, Instant};

static LAZY: LazyLock<usize> = LazyLock::new(|| {
    thread::sleep(Duration::from_millis(2));
    7
});

fn main() {
    mutual_exclusion();
    conditions();
    channels();
    once();
}

fn mutual_exclusion() {
    let count = Mutex::new(0_u32);
    let table = RwLock::new(vec![0_u32; 16]);
    thread::scope(|scope| {
        for writer in 0..8_usize {
            let (count, table) = (&count, &table);
            scope.spawn(move || {
                for round in 0..2000_usize {
                    *count.lock().unwrap() += 1;
                    if round % 8 == 0 {
                        let mut table = table.write().unwrap();
                        table.iter_mut().for_each(|number| *number += 1);
                    } else {
                        let table = table.read().unwrap();
                        assert!(table.iter().all(|number| *number == table[writer]));
                    }
                }
            });
        }
    });
    assert_eq!(count.into_inner().unwrap(), 16_000);
    assert_eq!(table.into_inner().unwrap(), [2000; 16]);
}

fn conditions() {
    let turn = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let players: Vec<_> = (0..4)
        .map(|player| {
            let turn = Arc::clone(&turn);
            thread::spawn(move || {
                let (number, changed) = &*turn;
                for _ in 0..100 {
                    let mut number =
                        changed.wait_while(number.lock().unwrap(), |number| *number % 4 != player).unwrap();
                    *number += 1;
                    changed.notify_all();
                }
            })
        })
        .collect();
    players.into_iter().for_each(|player| player.join().unwrap());
    assert_eq!(*turn.0.lock().unwrap(), 400);

    let begun = Instant::now();
    let (lock, never) = (Mutex::new(()), Condvar::new());
    let mut waited = never.wait_timeout(lock.lock().unwrap(), Duration::from_millis(20)).unwrap();
    while !waited.1.timed_out() {
        waited = never.wait_timeout(waited.0, Duration::from_millis(20)).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(20));

    let barrier = Barrier::new(4);
    let leaders = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| barrier.wait().is_leader())).collect();
        threads.into_iter().filter(|_| true).map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
    });
    assert_eq!(leaders, 1);
}

fn channels() {
    let (sender, receiver) = mpsc::channel();
    for number in 0..4_u32 {
        let sender = sender.clone();
        thread::spawn(move || (0..100).for_each(|_| sender.send(number).unwrap()));
    }
    drop(sender);
    assert_eq!(receiver.iter().sum::<u32>(), 600);

    let (sender, receiver) = mpsc::sync_channel(0);
    let meeting = thread::spawn(move || (0..50).for_each(|number| sender.send(number).unwrap()));
    assert!(receiver.iter().eq(0..50));
    meeting.join().unwrap();

    let (sender, receiver) = mpsc::channel::<()>();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    drop(sender);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Err(RecvTimeoutError::Disconnected));
}

fn once() {
    let cell = OnceLock::new();
    let values = thread::scope(|scope| {
        let cell = &cell;
        let threads: Vec<_> =
            (0..8_usize).map(|number| scope.spawn(move || *cell.get_or_init(|| number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(values.iter().all(|value| Some(value) == cell.get()));
    let lazy = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| *LAZY)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(lazy, 56);
}
