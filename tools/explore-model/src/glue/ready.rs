//! Making threads runnable: here, or on another CPU by message.

use asphodel_core::mailbox::Posted;
use asphodel_core::sched::place::{self, CpuMask};
use asphodel_core::thread::park::Unpark;
use asphodel_core::wait::queue::Waiters;

use crate::event::What;
use crate::world::World;
use crate::world::queue::QueueId;
use crate::world::thread::{Place, Thread};

/// Does what `unpark` asked for.
pub(crate) async fn complete_unpark(w: &World, thread: u32, unpark: Unpark) {
    if unpark == Unpark::Enqueue {
        enqueue(w, thread).await;
    }
}

/// A sleeper that was unparked is in its waker's hands from this very step on.
pub(crate) fn take_in_hand(w: &World, thread: u32, unpark: Unpark) {
    if unpark == Unpark::Enqueue {
        let place = w.thread(thread).seen.place.replace(Place::InHand);
        w.expect(place == Place::Parked, "I4", || format!("thread {thread} was woken where it is {place:?}"));
    }
}

/// Takes a sleeper out of `queue` by `take` and lets it run. `false`: nobody was taken. The better thread than the
/// running one takes over when the caller calls `check_preemption`, or interrupts are unmasked.
pub(crate) async fn wake_from(
    w: &World,
    queue: QueueId,
    take: impl FnOnce(&mut Waiters) -> Option<(u32, Unpark)>,
) -> bool {
    use asphodel_core::wait::queue::Exclusive as _;
    let masked = w.mask();
    w.at(What::Wake, 0).await;
    let taken = w.queue(queue).with(take);
    if let Some((thread, unpark)) = taken {
        take_in_hand(w, thread, unpark);
        w.thread(thread).seen.taken.set(Some(queue));
        let flying = &w.queue(queue).in_flight;
        flying.set(flying.get() + 1);
        complete_unpark(w, thread, unpark).await;
    }
    w.restore(masked);
    taken.is_some()
}

/// Queues a thread that is runnable and in no queue.
pub(crate) async fn enqueue(w: &World, thread: u32) {
    let masked = w.mask();
    w.at(What::Enqueue, thread).await;
    let record = w.thread(thread);
    let (last, allowed) = (record.cpu.get(), record.affinity.get());
    let target = if allowed.contains(last) { last } else { place::choose(last, allowed, idle(w), online(w)) };
    if target == w.cpu().index {
        enqueue_here(w, record);
    } else {
        post(w, target, thread).await;
    }
    w.restore(masked);
}

/// Sends a runnable thread to another CPU.
pub(crate) async fn post(w: &World, target: u32, thread: u32) {
    w.at(What::Post, thread).await;
    let place = w.thread(thread).seen.place.replace(Place::Mail(target));
    w.expect(place == Place::InHand, "I4", || format!("thread {thread} was posted where it is {place:?}"));
    let cpu = &w.cpus[target as usize];
    if cpu.mailbox.post(&w.threads, thread) == Posted::Interrupt {
        w.at(What::SendMessage, target).await;
        cpu.message.set(true);
    }
}

/// Queues a runnable thread on this CPU.
pub(crate) fn enqueue_here(w: &World, thread: &Thread) {
    let cpu = w.cpu();
    let place = thread.seen.place.replace(Place::Queued(cpu.index));
    w.expect(place == Place::InHand, "I4", || {
        format!("thread {} was queued where it is {place:?}", thread.index)
    });
    {
        let mut queue = cpu.run_queue.borrow_mut();
        queue.push_back(&w.threads, thread.index, thread.priority.get());
        cpu.ready.set(queue.len());
    }
    let current = cpu.current.get();
    if current == cpu.idle.get() || thread.priority.get() > w.peek_thread(current).priority.get() {
        cpu.reschedule.set(true);
        return;
    }
    if !idle(w).is_empty() {
        cpu.share_at.set(cpu.share_at.get().min(w.now.get() + 50));
    }
}

/// CPUs that have nothing to do.
pub(crate) fn idle(w: &World) -> CpuMask {
    let bits = w.cpus.iter().filter(|cpu| cpu.is_idle.get()).fold(0, |bits, cpu| bits | 1 << cpu.index);
    CpuMask::from_bits(bits)
}

/// All CPUs.
pub(crate) fn online(w: &World) -> CpuMask {
    CpuMask::from_bits(u64::MAX >> (64 - w.cpus.len()))
}
