//! Contexts, interrupts, and whose step is next.
//!
//! A context is a future: its stack. An interrupt handler is one more, on the CPU's own stack; a preemption is one on
//! top of the thread's. A step polls the innermost one of a CPU once: it goes on to its next point of interleaving.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::event::What;
use crate::glue::{exit, interrupt, lwp, service, spawn, switch};
use crate::world::World;
use crate::world::cpu::NEVER;
use crate::world::thread::Begin;

/// What the end of code on a stack means. The code of a thread itself never ends: it does not come back from its last
/// switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// An interrupt handler, or a preemption: what it interrupted goes on.
    Interruption,
    /// The end of a dead thread, on the idle thread's stack: whoever was chosen goes on.
    DeadThread,
}

/// Code that is somewhere in its middle.
type Frame<'w> = Pin<Box<dyn Future<Output = Ended> + 'w>>;

/// Whose steps come how often: changed every now and then, so that a CPU can fall far behind.
const WEIGHTS: [u32; 6] = [0, 0, 1, 2, 8, 30];
/// Steps for which weights last at most.
const MOOD: u32 = 300;

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// A CPU has done one.
    Done,
    /// No CPU has anything to do, nor a timer to wait for.
    AtRest,
}

/// The contexts of a world.
pub(crate) struct Machine<'w> {
    w: &'w World,
    /// Of each thread: its code, and what interrupted it.
    contexts: Vec<Vec<Frame<'w>>>,
    /// Of each CPU: its interrupt handler.
    handlers: Vec<Option<Frame<'w>>>,
    weights: Vec<u32>,
    mood_ends: u64,
}

impl<'w> Machine<'w> {
    /// The CPUs of `w`, each with its idle thread, and process 1 about to be made on the first of them.
    pub(crate) fn new(w: &'w World) -> Self {
        let threads = w.threads.iter().count() + 1;
        let mut machine = Self {
            w,
            contexts: (0..threads).map(|_| Vec::new()).collect(),
            handlers: w.cpus.iter().map(|_| None).collect(),
            weights: vec![1; w.cpus.len()],
            mood_ends: 0,
        };
        for cpu in &w.cpus {
            let index = w.threads.take().expect("there is a thread for each CPU");
            let stack = w.stacks.take(index).expect("and a stack");
            let thread = w.thread(index);
            thread.occupy(stack, cpu.index);
            thread.begin.set(None);
            thread.seen.place.set(crate::world::thread::Place::Running(cpu.index));
            thread.affinity.set(asphodel_core::sched::place::CpuMask::one(cpu.index));
            cpu.idle.set(index);
            cpu.current.set(index);
            let first = cpu.index == 0;
            machine.contexts[index as usize].push(Box::pin(async move {
                if first {
                    spawn::spawn_init(w).await;
                }
                switch::idle(w).await
            }));
        }
        machine
    }

    /// Does one step of a CPU of the scheduler's choice.
    pub(crate) fn step(&mut self) -> Stepped {
        let Some(cpu) = self.choose() else {
            let next = self.w.cpus.iter().map(|cpu| cpu.timer_at(self.w)).min().unwrap_or(NEVER);
            if next == NEVER {
                return Stepped::AtRest;
            }
            // Nothing happens until then.
            self.w.now.set(self.w.now.get().max(next));
            return Stepped::Done;
        };
        self.w.now.set(self.w.now.get() + 1);
        self.w.steps.set(self.w.steps.get() + 1);
        self.w.this.set(cpu as u32);
        self.step_of(cpu);
        Stepped::Done
    }

    /// A CPU that has something to do, by weight.
    fn choose(&mut self) -> Option<usize> {
        let w = self.w;
        if w.steps.get() >= self.mood_ends {
            self.mood_ends = w.steps.get() + 1 + u64::from(w.below(MOOD));
            w.grudge.set(w.below(What::KINDS));
            for weight in &mut self.weights {
                *weight = WEIGHTS[w.below(WEIGHTS.len() as u32) as usize];
            }
        }
        let busy = |cpu: usize| !w.cpus[cpu].waits_for_interrupt.get() || w.cpus[cpu].is_interrupted(w);
        let weight_of = |cpu: usize, weights: &[u32]| {
            if w.cpus[cpu].held_up_until.get() > w.steps.get() { 0 } else { weights[cpu] }
        };
        let mut busy_cpus = 0_u64;
        let (mut total, mut count) = (0, 0);
        for cpu in 0..w.cpus.len() {
            if busy(cpu) {
                busy_cpus |= 1 << cpu;
                total += weight_of(cpu, &self.weights);
                count += 1;
            }
        }
        if count == 0 {
            return None;
        }
        // Where all who could are held up, each is as good as another.
        let even = total == 0;
        let mut at = w.below(if even { count } else { total });
        (0..w.cpus.len()).filter(|cpu| busy_cpus & 1 << cpu != 0).find(|&cpu| {
            let weight = if even { 1 } else { weight_of(cpu, &self.weights) };
            let found = at < weight;
            at = at.wrapping_sub(weight);
            found
        })
    }

    fn step_of(&mut self, index: usize) {
        let w = self.w;
        let cpu = &w.cpus[index];
        if self.handlers[index].is_none() && !cpu.masked.get() && cpu.is_interrupted(w) {
            cpu.masked.set(true);
            self.handlers[index] = Some(Box::pin(async move {
                interrupt::handle(w).await;
                Ended::Interruption
            }));
        }
        match &mut self.handlers[index] {
            Some(handler) => {
                if poll(handler).is_ready() {
                    self.handlers[index] = None;
                    self.return_from_interrupt(index);
                }
            }
            None => self.step_of_thread(index),
        }
    }

    /// The interrupted thread goes on, or is preempted, or ends.
    fn return_from_interrupt(&mut self, index: usize) {
        let w = self.w;
        let cpu = &w.cpus[index];
        cpu.masked.set(false);
        self.end_if_killed(cpu.current.get());
        if cpu.reschedule.get() {
            cpu.masked.set(true);
            self.contexts[cpu.current.get() as usize].push(Box::pin(async move {
                switch::preempt(w).await;
                Ended::Interruption
            }));
        }
    }

    /// Kill point (c).
    fn end_if_killed(&mut self, index: u32) {
        if service::dies_on_return(self.w.thread(index)) {
            self.contexts[index as usize].clear();
            self.begin(index, Begin::KillPoint);
        }
    }

    fn begin(&mut self, index: u32, begin: Begin) {
        let w = self.w;
        let frame: Frame<'w> = match begin {
            Begin::Start => Box::pin(async move { lwp::start(w).await }),
            Begin::Entry => Box::pin(async move { lwp::run_entry(w).await }),
            Begin::KillPoint => Box::pin(async move { exit::end_at_kill_point(w).await }),
        };
        self.contexts[index as usize].push(frame);
    }

    fn step_of_thread(&mut self, index: usize) {
        let w = self.w;
        let current = w.cpus[index].current.get();
        let thread = w.thread(current);
        if w.stacks.occupant(thread.stack.get()) != current || thread.seen.off_cpu.get() {
            w.violate("I4", format!("thread {current} runs on a stack that was freed"));
            return;
        }
        if let Some(begin) = thread.begin.take() {
            self.contexts[current as usize].clear();
            self.begin(current, begin);
        }
        if let Some(dead) = w.cpus[index].dead.take() {
            self.contexts[current as usize].push(Box::pin(async move {
                switch::finish_dead_and_switch(w, dead).await;
                Ended::DeadThread
            }));
        }
        let frames = &mut self.contexts[current as usize];
        let innermost = frames.last_mut().expect("a thread has a context");
        let Poll::Ready(ended) = poll(innermost) else { return };
        frames.pop();
        if ended == Ended::Interruption {
            w.cpu().masked.set(false);
            self.end_if_killed(current);
        }
    }
}

fn poll(frame: &mut Frame<'_>) -> Poll<Ended> {
    frame.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
