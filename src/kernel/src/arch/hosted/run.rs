//! Run mode: each CPU is a host thread, interrupts are signals to it, and timers and waiting are the host's.

use core::mem::zeroed;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use super::clock::{host_now, timespec};
use super::cpus::{self, NEVER, Vcpu, vcpu};
use super::host::INTERRUPT;
use super::stack::{self, call_on};
use super::words::{INDEX, MASKED, PENDING};
use super::{host, interrupts};

/// Lets the host run another thread, because the CPU that is waited for may be preempted by the host.
pub(super) fn relax() {
    core::hint::spin_loop();
    // SAFETY: affects only the host's scheduler.
    unsafe { libc::sched_yield() };
}

/// Makes `cpu` check its pending interrupts: wakes it if it waits, and interrupts it otherwise.
pub(super) fn interrupt(cpu: &Vcpu) {
    if cpu.waiting.load(Ordering::SeqCst) {
        // SAFETY: a wake-up of the futex at an address that is always mapped.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                cpu.pending.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            )
        };
        return;
    }
    // A host thread that is not a CPU does not have this word.
    if PENDING.get() == (&raw const cpu.pending).addr() as u64 {
        if MASKED.get() == 0 {
            interrupts::deliver();
        }
        return;
    }
    let thread = cpu.thread.load(Ordering::Relaxed);
    if thread != 0 {
        // SAFETY: sends a signal to a thread of this process, for which there is a handler.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, INTERRUPT) };
    }
}

/// Waits until an interrupt is pending for this CPU. Interrupts must be masked.
pub(super) fn wait_for_interrupt() {
    let cpu = cpus::this();
    cpu.waiting.store(true, Ordering::SeqCst);
    loop {
        let deadline = cpu.deadline();
        if !cpu.is_online() || cpu.pending.load(Ordering::SeqCst) != 0 || deadline <= host_now() {
            break;
        }
        let until = timespec(deadline);
        let until = if deadline == NEVER { null() } else { &raw const until };
        // SAFETY: waits on a word that is always mapped, until the time of the monotonic clock, if there is one.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                cpu.pending.as_ptr(),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                0,
                until,
                null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            )
        };
    }
    cpu.waiting.store(false, Ordering::SeqCst);
    if !cpu.is_online() {
        // Stopped for good: no interrupt becomes pending for it any more.
        // SAFETY: waits for a signal, whose handler returns at once.
        unsafe { libc::pause() };
    }
}

/// Makes the calling host thread CPU `index`: its words, its stack for signals, its timer.
pub(super) fn become_cpu(index: usize) {
    let cpu = vcpu(index);
    MASKED.set(1);
    INDEX.set(index as u64);
    PENDING.set((&raw const cpu.pending).addr() as u64);
    stack::use_own_signal_stack();
    // SAFETY: asks for the id of the calling thread.
    cpu.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    make_timer(cpu);
    cpu.enter();
}

fn make_timer(cpu: &Vcpu) {
    // SAFETY: all zeros is a value of these plain structures; the fields that matter are set.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = INTERRUPT;
    event.sigev_notify_thread_id = cpu.thread.load(Ordering::Relaxed);
    let mut timer: libc::timer_t = null_mut();
    // SAFETY: both structures outlast the call.
    let result = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert!(result == 0, "the host gives no timer");
    cpu.timer.store(timer as usize, Ordering::Relaxed);
}

/// The longest time that the host is believed to take to arm a timer, in nanoseconds; more than that it was busy.
const LONGEST_ARMING: u64 = 1_000_000;

/// What the host has taken lately to arm a timer, in nanoseconds.
static ARMING: AtomicU64 = AtomicU64::new(0);

/// Sets the deadline of this CPU, and the host's timer, for `ticks`, or for some time after the timer is armed.
///
/// Arming takes one microsecond on some hosts and a hundred on others. If a deadline could pass meanwhile, a thread that
/// sleeps for less would be interrupted again and again before any other has run at all.
pub(super) fn set_timer(cpu: &Vcpu, ticks: u64) {
    if ticks == NEVER {
        return cpu.set_deadline(NEVER);
    }
    let before = host_now();
    let usual = ARMING.load(Ordering::Relaxed);
    let ticks = ticks.max(before + 3 * usual);
    cpu.set_deadline(ticks);
    arm(cpu, ticks);
    let took = (host_now() - before).min(LONGEST_ARMING);
    // An average, so that one time that the host was busy counts for little.
    ARMING.store(usual - usual / 8 + took / 8, Ordering::Relaxed);
}

/// Arms the host's timer of this CPU for `ticks`.
fn arm(cpu: &Vcpu, ticks: u64) {
    // SAFETY: all zeros is a value of this plain structure.
    let mut time: libc::itimerspec = unsafe { zeroed() };
    // All zeros would disarm it.
    time.it_value = timespec(ticks.max(1));
    let timer = cpu.timer.load(Ordering::Relaxed) as libc::timer_t;
    // SAFETY: a timer that `make_timer` has made, of this CPU.
    unsafe { libc::timer_settime(timer, libc::TIMER_ABSTIME, &raw const time, null_mut()) };
}

/// The CPU that a new host thread becomes.
struct Start {
    index: usize,
    top: usize,
    entry: extern "C" fn(usize) -> !,
}

/// Starts a host thread that runs `entry(index)` as CPU `index` on the stack below `top`. Returns `false` if the host
/// refuses.
pub(super) fn start_cpu(index: usize, top: usize, entry: extern "C" fn(usize) -> !) -> bool {
    static STARTS: [spin::Once<Start>; cpus::MAX_CPUS] = [const { spin::Once::new() }; cpus::MAX_CPUS];
    extern "C" fn thread(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: a `Start` in a static, as below.
        let start = unsafe { &*argument.cast::<Start>() };
        become_cpu(start.index);
        // SAFETY: the stack belongs to the CPU for good, and the host's stack is not used any more.
        unsafe { call_on(start.top, start.index, start.entry) }
    }
    let start = STARTS[index].call_once(|| Start { index, top, entry });
    host::spawn(thread, core::ptr::from_ref(start).cast_mut().cast())
}
