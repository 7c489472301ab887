//! What an observer of the whole system sees: the views of `testing`, here of a system that runs, so that a state is
//! awaited where it is another LWP's.
#![no_std]
#![no_main]

extern crate alloc;

use asphodel::api::{
    Arguments, Group, Pid, Program, Semaphore, Signal, SpawnAttributes, WaitResult, getpid, kill, killpg,
    lwp_spawn, preempt_disable, set_affinity, sleep, spawn, tsleep, wakeup,
};
use asphodel::testing::{self, ProcessView, ThreadView};
use asphodel_test::{
    assert_exited, assert_signaled, await_asleep, await_sleeping, cpus, eventually, on_cpu, return_at_once,
    sleep_for_ever, spawn_child, test, wait_exit,
};

asphodel_test::image!();

const HOUR: u64 = 3_600_000_000_000;

/// Returns the records in use of the LWPs of `pid`.
fn threads_of(pid: Pid) -> impl Iterator<Item = ThreadView> {
    (1..testing::threads())
        .map(testing::thread)
        .filter(move |thread| thread.is_in_use() && thread.process() == pid.slot())
}

/// Returns the record of `pid`, which has not been reaped.
fn record_of(pid: Pid) -> ProcessView {
    assert!(pid.slot() < testing::processes(), "its record is one of those that were ever used");
    let record = testing::process(pid.slot());
    assert_eq!(record.pid(), pid);
    record
}

fn end(pid: Pid) {
    kill(pid, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(pid).status(), Signal::KILL);
}

test!(a_thread_that_sleeps_in_a_queue, {
    let pid = spawn_child(|_| sleep_for_ever(0) as i32, 0);
    eventually("its only thread waits", || {
        threads_of(pid).count() == 1
            && threads_of(pid)
                .all(|thread| thread.is_waiting() && thread.is_killable() && !thread.has_timer())
    });
    assert!(threads_of(pid).all(|thread| !thread.is_queued() && !thread.is_kill_pending()));
    end(pid);
    eventually("its record is free", || threads_of(pid).count() == 0);
});

test!(a_thread_that_sleeps_for_a_time, {
    let pid = spawn_child(|_| i32::from(sleep(HOUR) == WaitResult::TimedOut), 0);
    eventually("a deadline is armed", || {
        threads_of(pid).any(|thread| thread.has_timer() && !thread.is_waiting())
    });
    end(pid);
});

test!(a_thread_that_waits_for_its_cpu, {
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let guard = preempt_disable();
    let lwp = lwp_spawn(return_at_once, 3, &on_cpu(0)).expect("an LWP can be made");
    let queued = threads_of(getpid()).filter(|thread| thread.is_queued()).count();
    drop(guard);
    assert_eq!(queued, 1, "the new one, and not the one that runs");
    assert_eq!(lwp.join(), Ok(Some(3)));
    assert_eq!(threads_of(getpid()).filter(|thread| thread.is_queued()).count(), 0);
});

test!(a_parent_that_waits, {
    static GO: Semaphore = Semaphore::new(0);
    let parent = spawn_child(
        |_| {
            let child = spawn_child(|_| i32::from(GO.wait() == WaitResult::Killed), 0);
            i32::from(wait_exit(child).status().code() != Some(0))
        },
        0,
    );
    await_sleeping(parent);
    eventually("it waits for its child", || record_of(parent).has_sleepers());
    let record = record_of(parent);
    assert_eq!(
        (record.children(), record.has_no_lwps(), record.has_peers()),
        (Some(1), Some(false), Some(false))
    );
    assert_eq!((record.gate().live, record.gate().exiting, record.parent()), (1, false, getpid().slot()));
    assert!(!record.is_peer() && !record.has_dead_lwps() && !record.in_progress());
    let text = alloc::format!("{record:?}");
    assert!(text.starts_with(&alloc::format!("process {parent} in slot {}:", parent.slot())), "{text}");
    assert!(text.ends_with("last step none"), "{text}");
    GO.post();
    assert_exited(wait_exit(parent).status(), 0);
});

test!(a_spawner_that_waits_for_a_borrower, {
    static GO: Semaphore = Semaphore::new(0);
    fn borrower(_: &Arguments<'_>) -> i32 {
        i32::from(GO.wait() == WaitResult::Killed)
    }
    let spawner = spawn_child(
        |_| {
            let attributes = SpawnAttributes { vfork: true, ..SpawnAttributes::default() };
            let child = spawn(&Program::new("borrower", borrower), &[], &attributes);
            i32::from(wait_exit(child.expect("a child can be spawned")).status().code() != Some(0))
        },
        0,
    );
    let borrowers = || {
        (1..testing::processes())
            .map(testing::process)
            .filter(move |record| record.in_progress() && record.parent() == spawner.slot())
    };
    eventually("the spawner sleeps in the borrower's queue", || borrowers().any(ProcessView::has_sleepers));
    assert_eq!(borrowers().count(), 1);
    GO.post();
    assert_exited(wait_exit(spawner).status(), 0);
});

test!(sleepers_on_channels, {
    static CHANNELS: [u32; 2] = [0; 2];
    let address = |index: usize| &raw const CHANNELS[index] as usize;
    let before = testing::channels_in_use();
    let sleeps =
        |index: usize| usize::from(tsleep(&raw const CHANNELS[index] as usize, None) == WaitResult::Ready);
    let lwps = [0, 1].map(|index| lwp_spawn(sleeps, index, &on_cpu(0)).expect("an LWP can be made"));
    await_asleep(2);
    eventually("each has a queue", || testing::channels_in_use() == before + 2);
    assert_eq!([0, 1].map(|index| wakeup(address(index))), [1, 1]);
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(1)));
    }
    eventually("no queue is left", || testing::channels_in_use() == before);
});

test!(no_walk_outlasts_its_kill, {
    static READY: Semaphore = Semaphore::new(0);
    fn leader(_: &Arguments<'_>) -> i32 {
        drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(1 % cpus())).expect("an LWP can be made"));
        READY.post();
        sleep_for_ever(0) as i32
    }
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let pid = spawn(&Program::new("leader", leader), &[], &attributes).expect("a child can be spawned");
    assert_eq!(READY.wait(), WaitResult::Ready);
    killpg(pid, i32::from(Signal::TERM.number())).expect("it has a member");
    eventually("no walk is left", || testing::kill_walks() == Some(false));
    assert_signaled(wait_exit(pid).status(), Signal::TERM);
});
