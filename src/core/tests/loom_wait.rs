//! Wait queues and parking under relaxed memory, on the real `Park` and `Waiters`.
//!
//! A switch is modelled as in the kernel: the thread saves its context, the next context on its CPU commits the sleep,
//! and if that fails puts the thread back; the waker that must enqueue a parked thread loads its context. The context
//! is a loom cell, so running a thread that is not saved yet is a causality violation.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R4, R13 waker behind a thread that left | `r04_waker_meets_timeout_and_death` | end of the wait decided without the lock |
//! | R8 kill against sleep | `r08_kill_meets_sleep` | kill tested before the sleep is announced; woken before killed |
//! | R12 wake-up against sleep | `r12_wake_up_meets_sleep` | condition tested outside the lock |
//! | R17 child exits between scan and sleep | `r17_scan_and_enlist_are_one_step` | lock dropped between scan and sleep |
//! | R12 wake-up against a look without the lock | `r12_wake_up_meets_look_without_lock` | looked before the count is read |
//! | R12 a token's wake-up consumed | `r12_a_free_token_is_had` | the tokens are tried in the order of the list |
//! | R36 a registration is left | `r36_a_registration_is_left` | the wake-up is not counted |
//! | wake-up during the switch | `wake_up_meets_switch` | the thread commits before its context is saved |
//! | two wakers | `two_wakers_enqueue_once` | enqueued because it slept, not because the unpark said so |
//! | timeout before the sleep | `timeout_meets_sleep` | the timer is armed before the sleep is announced |
//! | wake-up without a switch | `remembered_wake_up_brings_its_data` | the state is read without acquire |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Tally, Ordering::Relaxed as Untracked};

use asphodel_core::list::Links;
use asphodel_core::thread::park::{Park, Sleep, Unpark};
use asphodel_core::wait::queue::{Exclusive, Sleepers, Waiters, enqueue_unless, was_woken};
use asphodel_core::wait::wake_ups::{Seen, WakeUps};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use loom::thread;
use models::{Bell, catches, check};

/// The lock of a wait queue.
struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
}

impl<T> Exclusive<T> for Lock<T> {
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().expect("no model panics with the queue locked"))
    }
}

/// A thread that sleeps, its saved context, and the CPU that runs it again.
struct Thread {
    park: Park,
    links: Links,
    context: UnsafeCell<u32>,
    /// The run queue: how often the thread is in it, and its CPU.
    enqueued: Tally,
    runnable: Bell,
    kill_pending: AtomicBool,
}

impl Thread {
    fn new() -> Self {
        Self {
            park: Park::new(),
            links: Links::new(),
            context: UnsafeCell::new(0),
            enqueued: Tally::new(0),
            runnable: Bell::new(),
            kill_pending: AtomicBool::new(false),
        }
    }

    fn touch_context(&self) {
        // SAFETY: loom checks that no other thread uses the context; the pointer is valid inside the closure.
        self.context.with_mut(|context| unsafe { *context += 1 });
    }

    /// Switches away if the announcement stands, until the thread is enqueued.
    fn switch_away(&self) {
        if !self.park.is_parking() {
            return;
        }
        self.touch_context();
        if self.park.commit() {
            self.wait_for_cpu();
        } else {
            self.touch_context();
        }
    }

    fn wait_for_cpu(&self) {
        self.runnable.wait();
        assert_eq!(self.enqueued.swap(0, Untracked), 1, "enqueued more than once");
        self.touch_context();
    }

    /// The duty of the caller of `unpark`.
    fn carry_out(&self, unpark: Unpark) {
        if unpark == Unpark::Enqueue {
            self.enqueue();
        }
    }

    fn enqueue(&self) {
        self.touch_context();
        self.enqueued.fetch_add(1, Untracked);
        self.runnable.ring();
    }
}

/// One wait queue, one condition, and the threads that may sleep on it.
struct Place {
    threads: Vec<Thread>,
    queue: Lock<Waiters>,
    condition: AtomicBool,
}

impl Sleepers for Place {
    fn wait_links(&self, thread: u32) -> &Links {
        &self.threads[thread as usize].links
    }

    fn park(&self, thread: u32) -> &Park {
        &self.threads[thread as usize].park
    }
}

impl Place {
    fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            threads: (0..threads).map(|_| Thread::new()).collect(),
            queue: Lock::new(Waiters::new()),
            condition: AtomicBool::new(false),
        })
    }

    /// One wait of `thread`: returns `true` if a waker ended it or there was nothing to wait for.
    fn wait_once(&self, thread: u32, sleep: Sleep) -> bool {
        if !enqueue_unless(&self.queue, self, thread, sleep, || self.condition.load(Relaxed)) {
            return true;
        }
        self.threads[thread as usize].switch_away();
        was_woken(&self.queue, self, thread)
    }

    /// Sleeps until the condition holds, however a single wait ends.
    fn wait(&self, thread: u32) {
        while !self.condition.load(Relaxed) {
            self.wait_once(thread, Sleep::Uninterruptible);
        }
    }

    fn wake(&self) {
        self.condition.store(true, Relaxed);
        self.wake_one();
    }

    fn wake_one(&self) {
        if let Some((thread, unpark)) = self.queue.with(|waiters| waiters.wake_one(self)) {
            self.threads[thread as usize].carry_out(unpark);
        }
    }
}

/// Thread 0 of a place `sleeps` while another CPU `wakes`.
fn meets(sleeps: fn(&Place), wakes: fn(&Place)) {
    let place = Place::new(1);
    let waker = place.clone();
    let waking = thread::spawn(move || wakes(&waker));
    sleeps(&place);
    waking.join().expect("the waker returns");
    assert!(place.queue.with(|waiters| waiters.is_empty()), "T89: a stale entry");
}

/// T131, reduced.
#[test]
fn r12_wake_up_meets_sleep() {
    check(3, || meets(|place| place.wait(0), Place::wake));
}

#[test]
fn r12_seeded_tested_outside_the_lock() {
    const BUG: fn(&Place) = |place| {
        if !place.condition.load(Relaxed) {
            place.queue.with(|waiters| waiters.prepare(place, 0, Sleep::Uninterruptible));
            place.threads[0].switch_away();
        }
    };
    catches("deadlock", || meets(BUG, Place::wake));
}

/// A parent that scans its children and sleeps, both under the lock that also guards the queue.
struct Parent {
    place: Arc<Place>,
    family: Mutex<(Waiters, bool)>,
}

fn child_dies(wait: fn(&Parent)) {
    let family = Mutex::new((Waiters::new(), false));
    let parent = Arc::new(Parent { place: Place::new(1), family });
    let child = parent.clone();
    let dying = thread::spawn(move || {
        let woken = {
            let mut family = child.family.lock().expect("no model panics with the family locked");
            family.1 = true;
            family.0.wake_one(&*child.place)
        };
        if let Some((thread, unpark)) = woken {
            child.place.threads[thread as usize].carry_out(unpark);
        }
    });
    wait(&parent);
    dying.join().expect("the child dies");
}

/// T131.
#[test]
fn r17_scan_and_enlist_are_one_step() {
    const WAIT: fn(&Parent) = |parent| loop {
        let mut family = parent.family.lock().expect("no model panics with the family locked");
        if family.1 {
            return;
        }
        family.0.prepare(&*parent.place, 0, Sleep::Killable);
        drop(family);
        parent.place.threads[0].switch_away();
        parent.family.lock().expect("no model panics with the family locked").0.withdraw(&*parent.place, 0);
    };
    check(3, || child_dies(WAIT));
}

#[test]
fn r17_seeded_lock_given_up_between_scan_and_sleep() {
    const BUG: fn(&Parent) = |parent| {
        let ready = parent.family.lock().expect("no model panics with the family locked").1;
        if !ready {
            let mut family = parent.family.lock().expect("no model panics with the family locked");
            family.0.prepare(&*parent.place, 0, Sleep::Killable);
            drop(family);
            parent.place.threads[0].switch_away();
        }
    };
    catches("deadlock", || child_dies(BUG));
}

fn post_kill(place: &Place) {
    place.threads[0].kill_pending.store(true, Relaxed);
}

fn wake_killed(place: &Place) {
    let thread = &place.threads[0];
    thread.carry_out(thread.park.unpark_killable());
}

/// A wait that only a kill ends.
fn wait_until_killed(place: &Place) {
    let thread = &place.threads[0];
    while !thread.kill_pending.load(Relaxed) {
        assert!(enqueue_unless(&place.queue, place, 0, Sleep::Killable, || false));
        if thread.kill_pending.load(Relaxed) {
            thread.park.cancel();
        } else {
            thread.switch_away();
        }
        assert!(!was_woken(&place.queue, place, 0), "no waker came");
    }
}

/// T33.
#[test]
fn r08_kill_meets_sleep() {
    check(3, || {
        meets(wait_until_killed, |place| {
            post_kill(place);
            wake_killed(place);
        });
    });
}

#[test]
fn r08_seeded_woken_before_killed() {
    catches("deadlock", || {
        meets(wait_until_killed, |place| {
            wake_killed(place);
            post_kill(place);
        });
    });
}

#[test]
fn r08_seeded_kill_tested_before_the_announcement() {
    const BUG: fn(&Place) = |place| {
        let thread = &place.threads[0];
        if !thread.kill_pending.load(Relaxed) {
            place.queue.with(|waiters| waiters.prepare(place, 0, Sleep::Killable));
            thread.switch_away();
            was_woken(&place.queue, place, 0);
        }
    };
    catches("deadlock", || {
        meets(BUG, |place| {
            post_kill(place);
            wake_killed(place);
        });
    });
}

/// The twin of `Park` without its fences: one word announces the sleep, one the kill.
fn kill_without_fences(ordering: Option<loom::sync::atomic::Ordering>) {
    let words = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let fence = move || ordering.into_iter().for_each(loom::sync::atomic::fence);
    let killer = words.clone();
    let killing = thread::spawn(move || {
        killer.1.store(1, Relaxed);
        fence();
        killer.0.load(Relaxed)
    });
    words.0.store(1, Relaxed);
    fence();
    let kill_seen = words.1.load(Relaxed);
    let sleep_seen = killing.join().expect("the killer returns");
    assert!(kill_seen + sleep_seen > 0, "each missed the other");
}

#[test]
fn r08_seeded_no_fence() {
    check(3, || kill_without_fences(Some(loom::sync::atomic::Ordering::SeqCst)));
    catches("each missed the other", || kill_without_fences(None));
    catches("each missed the other", || kill_without_fences(Some(loom::sync::atomic::Ordering::AcqRel)));
}

/// The waker may come at any point of the switch.
#[test]
fn wake_up_meets_switch() {
    check(3, || {
        meets(
            |place| {
                place.wait_once(0, Sleep::Uninterruptible);
            },
            Place::wake,
        );
    });
}

#[test]
fn wake_up_meets_switch_seeded_commit_before_saving() {
    const BUG: fn(&Place) = |place| {
        let thread = &place.threads[0];
        if enqueue_unless(&place.queue, place, 0, Sleep::Uninterruptible, || place.condition.load(Relaxed)) {
            let committed = thread.park.commit();
            thread.touch_context();
            if committed {
                thread.wait_for_cpu();
            }
        }
    };
    catches("Causality violation", || meets(BUG, Place::wake));
}

/// A sleep that a waker, a kill and a timeout all want to end: the thread is enqueued once.
fn many_wakers(wakers: &[fn(&Place)]) {
    let place = Place::new(1);
    let spawn = |waker: &fn(&Place)| {
        let (place, waker) = (place.clone(), *waker);
        thread::spawn(move || waker(&place))
    };
    let sleeper = place.clone();
    assert!(enqueue_unless(&place.queue, &*place, 0, Sleep::Killable, || false));
    let handles: Vec<_> = wakers.iter().map(spawn).collect();
    sleeper.threads[0].switch_away();
    let _ = was_woken(&sleeper.queue, &*sleeper, 0);
    handles.into_iter().for_each(|handle| handle.join().expect("every waker returns"));
    assert_eq!(place.threads[0].enqueued.load(Untracked), 0, "enqueued while it runs");
}

/// A timeout: makes the thread runnable and leaves the queue alone.
fn time_out(place: &Place) {
    place.threads[0].carry_out(place.threads[0].park.unpark());
}

#[test]
fn two_wakers_enqueue_once() {
    check(3, || many_wakers(&[Place::wake, time_out]));
    check(3, || many_wakers(&[Place::wake, wake_killed]));
    check(2, || many_wakers(&[Place::wake, time_out, wake_killed]));
}

#[test]
fn two_wakers_seeded_judged_before_the_unpark() {
    const BUG: fn(&Place) = |place| {
        let thread = &place.threads[0];
        let asleep = thread.park.sleeping().is_some();
        let _ = thread.park.unpark();
        if asleep {
            thread.enqueue();
        }
    };
    catches("Causality violation", || many_wakers(&[BUG, time_out]));
}

/// A wait with a timeout that comes from another CPU, and nothing else to end it.
fn wait_with_timeout(arm_then_prepare: bool) {
    let place = Place::new(1);
    let timer = place.clone();
    let arm = move || thread::spawn(move || time_out(&timer));
    let prepare = || assert!(enqueue_unless(&place.queue, &*place, 0, Sleep::Uninterruptible, || false));
    let firing = if arm_then_prepare {
        let firing = arm();
        prepare();
        firing
    } else {
        prepare();
        arm()
    };
    place.threads[0].switch_away();
    assert!(!was_woken(&place.queue, &*place, 0), "no waker came");
    firing.join().expect("the timer fires");
}

#[test]
fn timeout_meets_sleep() {
    check(3, || wait_with_timeout(false));
}

#[test]
fn timeout_seeded_armed_too_early() {
    catches("deadlock", || wait_with_timeout(true));
}

/// Thread 0 waits with a timeout and then exits: its record is freed. `ended` finds out how the wait ended.
fn waker_meets_death(ended: fn(&Recorded) -> bool) {
    let recorded =
        Arc::new(Recorded { place: Place::new(1), record: UnsafeCell::new(0), died: AtomicU32::new(0) });
    let (waker, timer) = (recorded.clone(), recorded.clone());
    assert!(enqueue_unless(&recorded.place.queue, &*recorded, 0, Sleep::Killable, || false));
    let waking = thread::spawn(move || {
        let woken = waker.place.queue.with(|waiters| waiters.wake_one(&*waker));
        if let Some((thread, unpark)) = woken {
            waker.place.threads[thread as usize].carry_out(unpark);
        }
    });
    let firing = thread::spawn(move || time_out(&timer.place));
    recorded.place.threads[0].switch_away();
    let _ = ended(&recorded);
    // SAFETY: loom checks that no other thread uses the record; the pointer is valid inside the closure.
    recorded.record.with_mut(|record| unsafe { *record += 1 });
    recorded.died.store(1, Release);
    waking.join().expect("the waker returns");
    firing.join().expect("the timer fires");
    assert_eq!(recorded.died.load(Acquire), 1);
}

/// A place whose wakers use the record of the thread that they wake.
struct Recorded {
    place: Arc<Place>,
    record: UnsafeCell<u32>,
    died: AtomicU32,
}

impl Sleepers for Recorded {
    fn wait_links(&self, thread: u32) -> &Links {
        self.place.wait_links(thread)
    }

    fn park(&self, thread: u32) -> &Park {
        // SAFETY: loom checks that no thread frees the record meanwhile; the pointer is valid inside the closure.
        self.record.with(|record| unsafe { *record });
        self.place.park(thread)
    }
}

/// T90: once the thread knows how its wait ended, no waker uses it any more.
#[test]
fn r04_waker_meets_timeout_and_death() {
    check(2, || waker_meets_death(|recorded| was_woken(&recorded.place.queue, recorded, 0)));
}

#[test]
fn r04_seeded_end_of_the_wait_judged_without_the_lock() {
    catches("Causality violation", || {
        waker_meets_death(|recorded| {
            !recorded.wait_links(0).is_linked() || was_woken(&recorded.place.queue, recorded, 0)
        });
    });
}

/// A waiter that looks at its condition in no queue, and under no lock. `look`: reads the count and the condition.
fn looks_without_lock(place: &Counted, look: fn(&Counted) -> (Seen, bool)) {
    loop {
        let (seen, holds) = look(place);
        if holds {
            return;
        }
        if place.wake_ups.enqueue(&place.place.queue, seen, &*place.place, 0, Sleep::Uninterruptible) {
            place.place.threads[0].switch_away();
            was_woken(&place.place.queue, &*place.place, 0);
        }
    }
}

/// A place whose wake-ups are counted.
struct Counted {
    place: Arc<Place>,
    wake_ups: WakeUps,
    units: AtomicU32,
}

impl Counted {
    fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { place: Place::new(threads), wake_ups: WakeUps::new(), units: AtomicU32::new(0) })
    }

    fn wake_one(&self, counted: bool) {
        let woken = self.place.queue.with(|waiters| {
            if counted {
                self.wake_ups.count();
            }
            waiters.wake_one(&*self.place)
        });
        if let Some((thread, unpark)) = woken {
            self.place.threads[thread as usize].carry_out(unpark);
        }
    }
}

fn wake_up_meets_look(look: fn(&Counted) -> (Seen, bool)) {
    let counted = Counted::new(1);
    let waker = counted.clone();
    let waking = thread::spawn(move || {
        waker.place.condition.store(true, Relaxed);
        waker.wake_one(true);
    });
    looks_without_lock(&counted, look);
    waking.join().expect("the waker returns");
    assert!(counted.place.queue.with(|waiters| waiters.is_empty()), "T89: a stale entry");
}

/// T131.
#[test]
fn r12_wake_up_meets_look_without_lock() {
    check(3, || {
        wake_up_meets_look(|counted| {
            let seen = counted.wake_ups.seen();
            (seen, counted.place.condition.load(Relaxed))
        });
    });
}

#[test]
fn r12_seeded_looked_before_the_count_is_read() {
    catches("deadlock", || {
        wake_up_meets_look(|counted| {
            let holds = counted.place.condition.load(Relaxed);
            (counted.wake_ups.seen(), holds)
        });
    });
}

/// Two consumers, each of which registers, checks for a unit, and sleeps if there is none; a producer makes two units,
/// and wakes one for each. A consumer that has found a unit leaves its registration without a word.
fn consumers_register(counted: bool) {
    let shared = Counted::new(2);
    let consume = move |shared: &Counted, thread: u32| {
        let place = &*shared.place;
        loop {
            let seen = shared.wake_ups.seen();
            if shared.units.fetch_update(Acquire, Relaxed, |units| units.checked_sub(1)).is_ok() {
                return;
            }
            if shared.wake_ups.enqueue(&place.queue, seen, place, thread, Sleep::Killable) {
                place.threads[thread as usize].switch_away();
                was_woken(&place.queue, place, thread);
            }
        }
    };
    let (producer, consumer) = (shared.clone(), shared.clone());
    let producing = thread::spawn(move || {
        for _ in 0..2 {
            producer.units.fetch_add(1, Release);
            producer.wake_one(counted);
        }
    });
    let consuming = thread::spawn(move || consume(&consumer, 1));
    consume(&shared, 0);
    producing.join().expect("the producer returns");
    consuming.join().expect("the other consumer has a unit");
    assert!(shared.place.queue.with(|waiters| waiters.is_empty()), "T89: a stale entry");
}

/// T89: a registration that is left takes no wake-up, and leaves nothing.
#[test]
fn r36_a_registration_is_left() {
    check(2, || consumers_register(true));
}

#[test]
fn r36_seeded_wake_up_not_counted() {
    catches("deadlock", || consumers_register(false));
}

/// A waker that comes before the switch: the sleeper continues without lock or switch and sees the waker's data.
fn remembered(see: fn(&Park) -> bool) {
    let shared = Arc::new((Park::new(), UnsafeCell::new(0_u32)));
    shared.0.prepare(Sleep::Uninterruptible);
    let waker = shared.clone();
    let waking = thread::spawn(move || {
        // SAFETY: loom checks that no other thread uses the data; the pointer is valid inside the closure.
        waker.1.with_mut(|data| unsafe { *data = 1 });
        let _ = waker.0.unpark();
    });
    if see(&shared.0) {
        // SAFETY: loom checks that no thread writes the data meanwhile; the pointer is valid inside the closure.
        assert_eq!(shared.1.with(|data| unsafe { *data }), 1);
    }
    waking.join().expect("the waker returns");
}

#[test]
fn remembered_wake_up_brings_its_data() {
    check(3, || remembered(|park| !park.is_parking()));
    check(3, || remembered(|park| !park.commit()));
}

#[test]
fn remembered_wake_up_seeded_without_acquire() {
    catches("Causality violation", || remembered(|park| park.sleeping().is_none()));
}

/// Two serializing tokens, each with its owner and its waiters, as in the kernel's `sync::token`.
struct Tokens {
    place: Arc<Place>,
    owners: [AtomicU32; 2],
    queues: [Lock<Waiters>; 2],
    /// Rung when a thread has had the second one.
    served: Bell,
}

/// The owner of a token that no thread has.
const FREE: u32 = u32::MAX;

impl Tokens {
    fn try_take(&self, token: usize, thread: u32) -> bool {
        self.owners[token].compare_exchange(FREE, thread, Acquire, Relaxed).is_ok()
    }

    fn give_back(&self, token: usize) {
        self.owners[token].store(FREE, Release);
        if let Some((thread, unpark)) = self.queues[token].with(|waiters| waiters.wake_one(&*self.place)) {
            self.place.threads[thread as usize].carry_out(unpark);
        }
    }

    /// One sleep of a thread that has been enlisted for `token`, or enlists itself unless it is free.
    fn sleep(&self, token: usize, thread: u32, enlisted: bool) {
        let (queue, place) = (&self.queues[token], &*self.place);
        let is_free = || self.owners[token].load(Relaxed) == FREE;
        if enlisted || enqueue_unless(queue, place, thread, Sleep::Uninterruptible, is_free) {
            place.threads[thread as usize].switch_away();
            was_woken(queue, place, thread);
        }
    }

    /// Thread 0 needs both tokens, in the order of its list, and has waited for the second. `awaited_first`: without a
    /// bug.
    fn take_both(&self, awaited_first: bool) {
        let mut awaited = 1;
        let mut enlisted = true;
        loop {
            self.sleep(awaited, 0, enlisted);
            enlisted = false;
            let order = if awaited_first { [awaited, 1 - awaited] } else { [0, 1] };
            let mut had = [false; 2];
            let missing = order.into_iter().find(|&token| {
                had[token] = self.try_take(token, 0);
                !had[token]
            });
            let mine = (0..2).filter(|&token| had[token]);
            mine.for_each(|token| self.give_back(token));
            match missing {
                Some(token) => awaited = token,
                None => return,
            }
        }
    }

    /// Thread 1 needs the second one only, and waits for it.
    fn take_second(&self) {
        self.sleep(1, 1, true);
        while !self.try_take(1, 1) {
            self.sleep(1, 1, false);
        }
        self.give_back(1);
        self.served.ring();
    }
}

/// The second token becomes free while the first one is held until a thread has had the second.
fn second_token_comes_free(awaited_first: bool) {
    let tokens = Arc::new(Tokens {
        place: Place::new(2),
        owners: [AtomicU32::new(2), AtomicU32::new(3)],
        queues: [Lock::new(Waiters::new()), Lock::new(Waiters::new())],
        served: Bell::new(),
    });
    for thread in 0..2 {
        tokens.queues[1].with(|waiters| waiters.prepare(&*tokens.place, thread, Sleep::Uninterruptible));
    }
    let (both, second) = (tokens.clone(), tokens.clone());
    let taking_both = thread::spawn(move || both.take_both(awaited_first));
    let taking_second = thread::spawn(move || second.take_second());
    tokens.give_back(1);
    tokens.served.wait();
    tokens.give_back(0);
    taking_both.join().expect("it has had both");
    taking_second.join().expect("it has had the second one");
}

#[test]
fn r12_a_free_token_is_had() {
    check(2, || second_token_comes_free(true));
}

#[test]
fn r12_seeded_tokens_in_the_order_of_the_list() {
    catches("deadlock", || second_token_comes_free(false));
}
