//! Run mode: each CPU a host thread, interrupts are signals to it, timers and waiting are the host's.

use core::mem::{MaybeUninit, zeroed};
use core::ptr::{null, null_mut};
use core::sync::atomic::Ordering;

use super::counter::NEVER;
use super::cpus::{self, Vcpu, vcpu};
use super::signal;
use super::words::{INDEX, MASKED, PENDING};
use crate::arch::layout::PAGE_SIZE;

/// Ticks of the counter in a second: nanoseconds.
pub(super) const FREQUENCY: u64 = 1_000_000_000;

/// The signal that interrupts a CPU.
pub(super) const INTERRUPT: i32 = libc::SIGUSR1;

/// The host's monotonic clock in nanoseconds.
#[inline]
pub(super) fn now() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is a place for what the call writes; the clock exists on every Linux.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * FREQUENCY + time.tv_nsec as u64
}

fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanoseconds / FREQUENCY) as libc::time_t,
        tv_nsec: (nanoseconds % FREQUENCY) as libc::c_long,
    }
}

/// Lets the host run another thread: the CPU that is waited for may be preempted by the host.
pub(super) fn relax() {
    core::hint::spin_loop();
    // SAFETY: has no effect but on the host's scheduler.
    unsafe { libc::sched_yield() };
}

/// Sees to it that `cpu` looks at what is pending for it: wakes it if it waits, else interrupts it.
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
    // A host thread that is no CPU has no such word.
    if PENDING.get() == (&raw const cpu.pending).addr() as u64 {
        if MASKED.get() == 0 {
            cpus::deliver();
        }
        return;
    }
    let thread = cpu.thread.load(Ordering::Relaxed);
    if thread != 0 {
        // SAFETY: sends a signal to a thread of this process, for which there is a handler.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, INTERRUPT) };
    }
}

/// Waits until an interrupt is pending for this CPU. Interrupts masked.
pub(super) fn wait_for_interrupt() {
    let cpu = cpus::this();
    cpu.waiting.store(true, Ordering::SeqCst);
    loop {
        let deadline = cpu.deadline();
        if !cpu.is_online() || cpu.pending.load(Ordering::SeqCst) != 0 || deadline <= now() {
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
        // Stopped for good: nothing is pending for it any more.
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
    signal::use_own_stack();
    // SAFETY: asks for the number of the calling thread.
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
    // SAFETY: both structures live during the call.
    let result = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert!(result == 0, "the host gives no timer");
    cpu.timer.store(timer as usize, Ordering::Relaxed);
}

/// Sets the host's timer of this CPU for `ticks`.
pub(super) fn set_timer(cpu: &Vcpu, ticks: u64) {
    if ticks == NEVER {
        return;
    }
    // SAFETY: all zeros is a value of this plain structure.
    let mut time: libc::itimerspec = unsafe { zeroed() };
    // All zeros would disarm it.
    time.it_value = timespec(ticks.max(1));
    let timer = cpu.timer.load(Ordering::Relaxed) as libc::timer_t;
    // SAFETY: a timer that `make_timer` has made, of this CPU.
    unsafe { libc::timer_settime(timer, libc::TIMER_ABSTIME, &raw const time, null_mut()) };
}

/// What a new host thread is to become.
struct Start {
    index: usize,
    top: usize,
    entry: extern "C" fn(usize) -> !,
}

/// Starts a host thread that runs `entry(index)` as CPU `index` on the stack below `top`. `false`: the host refuses.
pub(super) fn start_cpu(index: usize, top: usize, entry: extern "C" fn(usize) -> !) -> bool {
    static STARTS: [spin::Once<Start>; cpus::MAX_CPUS] = [const { spin::Once::new() }; cpus::MAX_CPUS];
    extern "C" fn thread(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: a `Start` in a static, as below.
        let start = unsafe { &*argument.cast::<Start>() };
        become_cpu(start.index);
        // SAFETY: the stack is the CPU's for good, and of the host's stack nothing is used any more.
        unsafe { super::boot::call_on(start.top, start.index, start.entry) }
    }
    let start = STARTS[index].call_once(|| Start { index, top, entry });
    spawn(thread, core::ptr::from_ref(start).cast_mut().cast())
}

/// Starts a host thread. `false`: the host refuses.
pub(crate) fn spawn(
    entry: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    argument: *mut libc::c_void,
) -> bool {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: initialized by the first call before anything else uses it; a size that is a multiple of the page size.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), 64 * PAGE_SIZE);
        libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), entry, argument) == 0
    }
}
