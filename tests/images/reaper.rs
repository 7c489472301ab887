//! What is done for dead LWPs, on all CPUs: everything, once, and without anybody's waiting for anybody. T99, T100,
//! T101, T105, T106.
//! race: yes
#![no_std]
#![no_main]
use asphodel::api::{self, LwpHandle, census, lwp_spawn, sleep};
use asphodel_test::{
    RACE_DEADLINE_MS, StartLine, cpus, eventually, on_cpu, race_rounds, return_at_once, sleep_for_ever, test,
};

asphodel_test::image!();

/// Stacks given out and taken back so far, by all CPUs.
fn stacks() -> (u64, u64) {
    api::cpus().fold((0, 0), |(taken, returned), cpu| {
        let figures = &cpu.statistics;
        (taken + figures.stacks_taken.get(), returned + figures.stacks_returned.get())
    })
}

const PER_CPU: u32 = 4;

test!(
    /// T99: LWPs die on all CPUs at the same time: as many stacks come back as were given out.
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
    /// T100: LWPs die on one CPU, one right after the other, so that each comes while the last one is disposed of.
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
            // The last join was woken by the one that disposes of the LWP, before it was done.
            eventually("all are disposed of", || census() == counts);
        }
    }
);

test!(
    /// T101: the first corpse of a CPU is held, with its stack; the others of that CPU go.
    t101_a_held_corpse_delays_nobody,
    {
        for cpu in 0..cpus() {
            let held = lwp_spawn(sleep_for_ever, 0, &on_cpu(cpu)).expect("an LWP can be made");
            let pin = held.pin_stack().expect("it sleeps for ever");
            api::kill_lwp(held.tid()).expect("it is there");
            assert_eq!(held.wait(), Ok(()));
            let with_corpse = census();
            for _ in 0..100 {
                drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("an LWP can be made"));
            }
            eventually("all others are disposed of", || census() == with_corpse);
            drop(pin);
            assert_eq!(census().stacks, with_corpse.stacks - 1);
            drop(held);
            eventually("the record is back", || census().threads == with_corpse.threads - 1);
        }
    }
);

test!(
    /// T105: an LWP can die on each CPU there is, first thing. T106: a CPU that goes idle has disposed of it.
    t105_t106_a_cpu_goes_idle_without_corpses,
    {
        for cpu in 0..cpus() {
            let counts = census();
            drop(lwp_spawn(return_at_once, 0, &on_cpu(cpu)).expect("an LWP can be made"));
            // Nothing else is done on that CPU, nor on this one.
            let mut naps = 0;
            while census() != counts {
                naps += 1;
                assert!(naps < 1000, "CPU {cpu} idles with a corpse");
                let _ = sleep(1_000_000);
            }
        }
    }
);
