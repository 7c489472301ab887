//! Sixty-four threads that never end, eight of each kind: they wait for a mutex, a read-write lock, a condition, a
//! message, room for a message, an unpark, time; or compute. The program's first word selects what it does itself then:
//! it waits, too (`waits`), exits with 5 (`exits`), or one of its threads panics (`panics`).

use std::hint::spin_loop;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

/// Threads of each kind.
const EACH: usize = 8;
const LONG: Duration = Duration::from_secs(1_000_000);

fn spawn_each(body: impl Fn() + Clone + Send + 'static) {
    for _ in 0..EACH {
        let body = body.clone();
        thread::spawn(move || {
            // Memory and thread-local state of its own, which is never freed.
            let kept = vec![1_u8; 10_000];
            body();
            drop(kept);
        });
    }
}

fn main() {
    let mutex = Arc::new(Mutex::new(()));
    let lock = Arc::new(RwLock::new(()));
    let (held, written) = (mutex.lock().unwrap(), lock.write().unwrap());
    spawn_each({
        let mutex = Arc::clone(&mutex);
        move || drop(mutex.lock())
    });
    spawn_each({
        let lock = Arc::clone(&lock);
        move || drop(lock.read())
    });
    let condition = Arc::new((Mutex::new(()), Condvar::new()));
    spawn_each(move || {
        let mut guard = condition.0.lock().unwrap();
        loop {
            guard = condition.1.wait(guard).unwrap();
        }
    });
    let (sender, receiver) = channel::<()>();
    let receiver = Arc::new(Mutex::new(receiver));
    spawn_each(move || drop(receiver.lock().unwrap().recv()));
    let (full, never_read) = sync_channel(1);
    full.send(()).unwrap();
    spawn_each(move || drop(full.send(())));
    spawn_each(|| {
        loop {
            thread::park();
        }
    });
    spawn_each(|| thread::sleep(LONG));
    spawn_each(|| {
        loop {
            spin_loop();
        }
    });
    match std::env::args().nth(1).as_deref() {
        Some("exits") => std::process::exit(5),
        Some("panics") => {
            let _ = thread::spawn(|| panic!("on purpose")).join();
        }
        _ => {}
    }
    thread::sleep(LONG);
    drop((held, written, sender, never_read));
}
