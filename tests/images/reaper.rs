//! The work for dead LWPs, on all CPUs: everything is done, once, and without any thread waiting for another. T99 to
//! T102, T105, T106; T103 is in `counted_times.rs`.
//! race: yes
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{self, LwpHandle, census, exit, getpid, lwp_spawn, process};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, assert_exited, cpus, eventually, on_cpu, race_rounds, return_at_once,
    sleep_for_ever, test, wait_exit, within,
};

asphodel_test::image!();

/// Returns the stacks that all CPUs have assigned and taken back so far.
fn stacks() -> (u64, u64) {
    api::cpus().fold((0, 0), |(taken, returned), cpu| {
        let figures = &cpu.statistics;
        (taken + figures.stacks_taken(), returned + figures.stacks_returned.get())
    })
}

const PER_CPU: u32 = 4;

test!(
    /// T99: LWPs end on all CPUs at the same time: as many stacks are taken back as were assigned.
    t099_deaths_on_all_cpus,
    deadline_ms = RACE_DEADLINE_MS,
    {
        static LINE: StartLine = StartLine::new();
        let number = PER_CPU * cpus();
        for _ in race_rounds() {
            let (before, counts) = (stacks(), census());
            LINE.reset();
            for index in 0..number {
                let die = |runners| {
                    LINE.cross(runners as u32);
                    0
                };
                drop(lwp_spawn(die, number as usize, &on_cpu(index % cpus())).expect("an LWP can be made"));
            }
            eventually("all are disposed of", || census() == counts);
            let after = stacks();
            assert_eq!((after.0 - before.0, after.1 - before.1), (number.into(), number.into()));
        }
    }
);

test!(
    /// T100: LWPs end on one CPU, one right after the other, so that each ends while the last one is disposed of.
    t100_deaths_one_after_the_other,
    deadline_ms = RACE_DEADLINE_MS,
    {
        for round in race_rounds() {
            let counts = census();
            let handles: [LwpHandle; 16] = core::array::from_fn(|_| {
                let cpu = round as u32 % cpus();
                lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("an LWP can be made")
            });
            for handle in handles {
                assert_eq!(handle.join(), Ok(Some(0)));
            }
            // The last join was woken by the context that disposes of the LWP, before it was done.
            eventually("all are disposed of", || census() == counts);
        }
    }
);

test!(
    /// T101, D8: the first dead LWP of a CPU is referenced, with its stack; the others of that CPU are freed.
    t101_a_held_dead_lwp_delays_nobody,
    {
        for cpu in 0..cpus() {
            let held = lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu)).expect("an LWP can be made");
            let pin = held.pin_stack().expect("it sleeps for ever");
            api::kill_lwp(held.tid()).expect("it is there");
            assert_eq!(held.wait(), Ok(()));
            let with_dead_lwp = census();
            for _ in 0..100 {
                drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("an LWP can be made"));
            }
            eventually("all others are disposed of", || census() == with_dead_lwp);
            drop(pin);
            assert_eq!(census().stacks, with_dead_lwp.stacks - 1);
            drop(held);
            eventually("the record is back", || census().threads == with_dead_lwp.threads - 1);
        }
    }
);

test!(
    /// T105: an LWP can end on each CPU, as its first action. T106: a CPU that becomes idle has disposed of it. T197:
    /// so nothing is left behind on a CPU that is deactivated right after the end.
    t105_t106_a_cpu_goes_idle_without_dead_lwps,
    {
        for cpu in 0..cpus() {
            let counts = census();
            drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("an LWP can be made"));
            // Nothing else is done on that CPU, nor on this one.
            assert!(within(1_000_000_000, || census() == counts), "CPU {cpu} idles with a dead LWP");
        }
    }
);

/// Returns sums of all CPUs: how often stacks were moved between a CPU's cache and what all share, and interrupts that
/// CPUs sent each other.
fn shared_work() -> (u64, u64) {
    api::cpus().fold((0, 0), |(moves, messages), cpu| {
        let figures = &cpu.statistics;
        (moves + figures.stack_moves.get(), messages + figures.messages.get())
    })
}

test!(
    /// T102, D7: hundreds of LWPs of one CPU end together: shared data is touched once for each batch of stacks that
    /// one CPU cannot keep, and no other CPU is interrupted for it.
    t102_shared_work_is_done_in_batches,
    deadline_ms = 30_000,
    {
        const LWPS: u32 = 600;
        const BATCH: u64 = asphodel::testing::machine::STACK_CACHE as u64 / 2;
        static BEFORE: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));
        let entry = |_: &api::Arguments<'_>| {
            for _ in 0..LWPS {
                drop(lwp_spawn(sleep_for_ever, 0, &on_cpu(0)).expect("there is room"));
            }
            eventually("they sleep", || process(getpid()).is_some_and(|report| report.sleeping == LWPS));
            let (moves, messages) = shared_work();
            BEFORE.0.store(moves, Ordering::Release);
            BEFORE.1.store(messages, Ordering::Release);
            exit(1)
        };
        let attributes = api::SpawnAttributes { lwp: on_cpu(0), ..Default::default() };
        let pid = api::spawn(&api::Program::new("child", entry), &[], &attributes).expect("it can be spawned");
        assert_exited(wait_exit(pid).status(), 1);
        let (moves, messages) = shared_work();
        let moves = moves - BEFORE.0.load(Ordering::Acquire);
        let messages = messages - BEFORE.1.load(Ordering::Acquire);
        api::println!("# {LWPS} deaths: {moves} moves of up to {BATCH} stacks, {messages} messages");
        assert!(moves <= u64::from(LWPS) / BATCH + 2, "{moves} moves");
        // The messages of idle CPUs that ask for work while there is some are not caused by the dead LWPs.
        assert!(messages < u64::from(LWPS) / 10, "{messages} messages");
    }
);
