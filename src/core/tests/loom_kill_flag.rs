//! Killing an LWP that computes and never calls the kernel, on the real `KillFlag` and `Running`.
//!
//! A CPU that continues with the LWP publishes that, and then tests the LWP's kill flag once: the kill point after a
//! switch. From then on only an interrupt brings the LWP to a kill point; an LWP that is never interrupted computes for
//! ever, which loom reports as a deadlock.
//!
//! | race | test | seeded bug that must be caught |
//! |---|---|---|
//! | R46 CPU-bound victim | `r46_kill_meets_switch`, `r46_kill_meets_migration` | looked for before it has a kill pending; no fence at the switch; no fence in the killer; published after the kill point; the CPU's number published after the switch |
#![cfg(loom)]
#![expect(clippy::arc_with_non_send_sync, reason = "loom's threads ask for neither")]

mod models;

use std::sync::Arc;

use asphodel_core::thread::kill_flag::{KillFlag, Running, post_kill};
use asphodel_core::thread::park::Park;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use models::{Bell, catches, check};

const IDLE: u32 = 0;
const VICTIM: u32 = 1;

struct Cpu {
    running: Running,
    /// The interrupt that a killer sends, as a store that precedes the interrupt.
    message: Bell,
}

struct Machine {
    cpus: [Cpu; 2],
    kill_flag: KillFlag,
    park: Park,
    /// The CPU that the victim ran on last.
    cpu: AtomicUsize,
    /// The victim is in the run queue of CPU 1.
    queued: Bell,
}

impl Machine {
    fn new(running: [u32; 2]) -> Arc<Self> {
        Arc::new(Self {
            cpus: running.map(|thread| Cpu { running: Running::new(thread), message: Bell::new() }),
            kill_flag: KillFlag::new(),
            park: Park::new(),
            cpu: AtomicUsize::new(0),
            queued: Bell::new(),
        })
    }

    /// CPU `cpu` continues with the victim, which computes until it is killed.
    fn run_victim(&self, cpu: usize) {
        self.cpu.store(cpu, Relaxed);
        self.cpus[cpu].running.switch_to(VICTIM);
        self.compute(cpu);
    }

    /// The kill point after the switch, and then those at interrupts.
    fn compute(&self, cpu: usize) {
        while !self.kill_flag.is_set() {
            self.cpus[cpu].message.wait();
        }
    }

    /// Interrupts the CPU that seems to run the victim.
    fn interrupt(&self) {
        let cpu = &self.cpus[self.cpu.load(Relaxed)];
        if cpu.running.is(VICTIM) {
            cpu.message.ring();
        }
    }
}

fn kill(machine: &Machine) {
    let _runnable = post_kill(&machine.kill_flag, &machine.park);
    machine.interrupt();
}

/// CPU 0 continues with the victim, by `run`, while another CPU kills it.
fn kill_meets_switch(run: fn(&Machine), kill: fn(&Machine)) {
    let machine = Machine::new([IDLE, IDLE]);
    let killer = machine.clone();
    let killing = thread::spawn(move || kill(&killer));
    run(&machine);
    killing.join().expect("the killer returns");
}

/// T35: it is found without a tick.
#[test]
fn r46_kill_meets_switch() {
    check(3, || kill_meets_switch(|machine| machine.run_victim(0), kill));
}

#[test]
fn r46_seeded_looked_for_before_it_is_killed() {
    const BUG: fn(&Machine) = |machine| {
        machine.interrupt();
        let _runnable = post_kill(&machine.kill_flag, &machine.park);
    };
    catches("deadlock", || kill_meets_switch(|machine| machine.run_victim(0), BUG));
}

#[test]
fn r46_seeded_no_fence_at_the_switch() {
    const BUG: fn(&Machine) = |machine| {
        machine.cpus[0].running.start_with(VICTIM);
        machine.compute(0);
    };
    catches("deadlock", || kill_meets_switch(BUG, kill));
}

#[test]
fn r46_seeded_no_fence_in_the_killer() {
    const BUG: fn(&Machine) = |machine| {
        machine.kill_flag.set();
        machine.interrupt();
    };
    catches("deadlock", || kill_meets_switch(|machine| machine.run_victim(0), BUG));
}

#[test]
fn r46_seeded_said_after_the_kill_point() {
    const BUG: fn(&Machine) = |machine| {
        let kill_pending = machine.kill_flag.is_set();
        machine.cpus[0].running.switch_to(VICTIM);
        if !kill_pending {
            machine.cpus[0].message.wait();
            machine.compute(0);
        }
    };
    catches("deadlock", || kill_meets_switch(BUG, kill));
}

/// The victim runs on CPU 0, is preempted there and continues on CPU 1, by `run`; a killer looks for it meanwhile.
fn kill_meets_migration(run: fn(&Machine)) {
    let machine = Machine::new([VICTIM, IDLE]);
    let (killer, other) = (machine.clone(), machine.clone());
    let killing = thread::spawn(move || kill(&killer));
    let going_on = thread::spawn(move || {
        other.queued.wait();
        run(&other);
    });
    machine.cpus[0].running.switch_to(IDLE);
    machine.queued.ring();
    going_on.join().expect("the victim dies");
    killing.join().expect("the killer returns");
}

#[test]
fn r46_kill_meets_migration() {
    check(3, || kill_meets_migration(|machine| machine.run_victim(1)));
}

#[test]
fn r46_seeded_the_cpu_said_after_the_switch() {
    const BUG: fn(&Machine) = |machine| {
        machine.cpus[1].running.switch_to(VICTIM);
        machine.compute_and_say();
    };
    catches("deadlock", || kill_meets_migration(BUG));
}

impl Machine {
    /// (seeded) The kill point comes before the victim's CPU is published.
    fn compute_and_say(&self) {
        let kill_pending = self.kill_flag.is_set();
        self.cpu.store(1, Relaxed);
        if !kill_pending {
            self.cpus[1].message.wait();
        }
    }
}
