//! The worker threads and their queues, one of each for every CPU.

use asphodel_core::shim::atomic::Ordering;

use asphodel_core::errno::Errno;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::wait::reason::Reason;

use crate::arch::lock::InterruptLock;
use crate::cpu::{Cpu, MAX_CPUS};
use crate::sched::{ready, switch};
use crate::sync::wait_queue::{WaitOptions, WaitQueue};
use crate::thread::{Thread, ThreadAttributes};
use crate::work::Task;

/// First and last task of a queue.
struct Queue {
    head: Option<&'static Task>,
    tail: Option<&'static Task>,
}

struct Worker {
    queue: InterruptLock<Queue>,
    work: WaitQueue,
}

static WORKERS: [Worker; MAX_CPUS] = [const {
    Worker { queue: InterruptLock::new(Queue { head: None, tail: None }), work: WaitQueue::new() }
}; MAX_CPUS];

impl Queue {
    fn push(&mut self, task: &'static Task) {
        task.next.store(0, Ordering::Relaxed);
        match self.tail.replace(task) {
            Some(last) => last.next.store(core::ptr::from_ref(task) as usize, Ordering::Relaxed),
            None => self.head = Some(task),
        }
    }

    fn pop(&mut self) -> Option<&'static Task> {
        let task = self.head?;
        let next = task.next.load(Ordering::Relaxed) as *const Task;
        // SAFETY: null, or the address of a `&'static Task` that `push` stored.
        self.head = unsafe { next.as_ref() };
        if self.head.is_none() {
            self.tail = None;
        }
        Some(task)
    }
}

/// Queues a task whose state says so, on this CPU. Interrupts masked.
pub(super) fn link(task: &'static Task) {
    let worker = &WORKERS[Cpu::this().index as usize];
    worker.queue.lock().push(task);
    worker.work.wake_one();
}

/// Starts the worker of CPU `index`, which is online. Thread context.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn start(index: u32) -> Result<(), Errno> {
    let attributes = ThreadAttributes {
        priority: Priority::KERNEL,
        affinity: CpuMask::one(index),
        ..ThreadAttributes::default()
    };
    let thread = Thread::create(&attributes, serve, index as usize)?;
    ready::enqueue(thread.index);
    Ok(())
}

/// Body of a worker: runs tasks in the order of their arrival, for ever.
extern "C" fn serve(index: usize) -> ! {
    switch::enter_thread();
    let worker = &WORKERS[index];
    loop {
        let mut next = None;
        let _ready = worker.work.wait_in(WaitOptions::uninterruptible(Reason::Work), || {
            next = worker.queue.lock().pop();
            next.is_some()
        });
        if let Some(task) = next
            && task.run()
        {
            worker.queue.lock().push(task);
        }
    }
}
