//! From the set-up of the machine to process 1: scheduler, other CPUs, kernel threads.
//!
//! The boot context of each CPU becomes its idle thread. The rest is done by a kernel thread (`bring_up`): it starts
//! the other CPUs, waits for them, and starts process 1.

use alloc::vec::Vec;
use asphodel_core::shim::atomic::{AtomicU32, Ordering};

use asphodel_core::errno::Errno;
use asphodel_core::sched::priority::Priority;
use asphodel_core::wait::reason::Reason;

use crate::arch::lock::InterruptLock;
use crate::arch::{entry, exception};
use crate::board::{self, BoardInfo};
use crate::console::kernel_println;
use crate::cpu::mask;
use crate::drivers::{gic, smp};
use crate::mem::{charge, frames};
use crate::proc::info::watchdog;
use crate::proc::life::{exit, fault, overdue, spawn};
use crate::proc::state::{files, memory, program};
use crate::sched::{MESSAGE, deadline, idle, ready, switch};
use crate::sync::service;
use crate::sync::wait_queue::{WaitOptions, WaitQueue};
use crate::thread::{Thread, ThreadAttributes, lazy, stack};
use crate::{arch, console, input, payload, random, shutdown, time, work};

/// The time until the next of the other CPUs must be up: 5 s, for emulators with few cores.
const PATIENCE_NANOSECONDS: u64 = 5_000_000_000;

static ARRIVALS: WaitQueue = WaitQueue::new();
static ARRIVED: AtomicU32 = AtomicU32::new(0);

/// Continues after `boot`: the boot CPU, memory and drivers are set up, interrupts masked.
pub(crate) fn boot_cpu(board: &'static BoardInfo) -> ! {
    deadline::init(time::init(board.counter_hz));
    let date = time::realtime::init(board);
    random::init(board);
    let cpu = switch::start_cpu(0);
    charge::start(&memory::ACCOUNTING);
    exception::set_hooks(&fault::HOOKS);
    service::set_kill_handler(exit::die_at_kill_point);
    frames::set_reserve(stack::trim);
    lazy::refill(cpu);
    enable_interrupts();
    let (version, cpus) = (env!("CARGO_PKG_VERSION"), board.cpus.len());
    let memory: u64 = board.memory.iter().map(|region| region.size >> 20).sum();
    let level = entry::level();
    kernel_println!("asphodel {version} on {}, {cpus} CPUs, {memory} MiB, entered at EL{level}", board.model);
    if cpu.perturb.is_on() {
        kernel_println!(
            "asphodel: scheduling is perturbed by seed {}",
            board::boot_argument("seed").unwrap_or("")
        );
    }
    let attributes = ThreadAttributes { priority: Priority::KERNEL, ..ThreadAttributes::default() };
    report_board(board);
    if date.is_err() {
        kernel_println!("asphodel: the boot argument time= is out of range");
    }
    let thread = Thread::create(&attributes, bring_up, 0).expect("boot memory suffices for the first thread");
    ready::enqueue(thread.index);
    idle::run(cpu)
}

/// Prints what the loader passed and is not used, or not as it is.
fn report_board(board: &BoardInfo) {
    if let Some(reason) = board::refusal() {
        kernel_println!("asphodel: the device tree was not used: {reason}");
    }
    board.left_out.each(|line| kernel_println!("asphodel: {line}"));
    let register = arch::counter::frequency();
    if let Some(rate) = board.counter_hz.filter(|rate| *rate != register) {
        kernel_println!(
            "asphodel: the counter runs at {rate} Hz by the device tree, at {register} Hz by its register"
        );
    }
}

/// Entered by every other CPU on its own stack, with interrupts masked.
pub(crate) fn secondary_cpu(index: usize) -> ! {
    static ONE_AT_A_TIME: InterruptLock<()> = InterruptLock::new(());
    let interface = {
        let _guard = ONE_AT_A_TIME.lock();
        gic::init_cpu(index)
    };
    if let Err(error) = interface {
        kernel_println!("asphodel: cpu{index} has no interrupts and stays out: {error}");
        arch::cpu::halt();
    }
    let cpu = switch::start_cpu(index as u32);
    lazy::refill(cpu);
    enable_interrupts();
    // Done by the CPU itself, so that one that comes late has its worker, too.
    if let Err(error) = work::worker::start(cpu.index) {
        shutdown::fatal(format_args!("cpu{index} cannot have a worker: {error}"));
    }
    ARRIVED.fetch_add(1, Ordering::Release);
    ARRIVALS.wake_all();
    idle::run(cpu)
}

/// Enables the interrupts that every CPU takes.
fn enable_interrupts() {
    for number in [MESSAGE, shutdown::STOP, arch::counter::TIMER_INTERRUPT] {
        gic::enable_private(number);
    }
}

/// The kernel thread that brings up everything else, and then serves the call-outs.
extern "C" fn bring_up(_argument: usize) -> ! {
    switch::enter_thread();
    let board = board::info();
    let started = (1..board.cpus.len()).filter(|index| start_secondary(*index)).count() as u32;
    wait_for_secondaries(started);
    for index in 0..board.cpus.len() as u32 {
        if !mask::online().contains(index) {
            kernel_println!("asphodel: cpu{index} did not come up");
        }
    }
    let ready = start_services(board).and_then(|()| start_init());
    if let Err(error) = ready {
        shutdown::fatal(format_args!("the system cannot be started: {error}"));
    }
    // This thread does not end, because a thread that ends is freed a while later, and the first leak check would
    // notice that.
    work::callout::serve()
}

/// Waits until all CPUs that were `started` are online, as long as more of them come up, because an emulator with fewer
/// cores than CPUs is slow.
fn wait_for_secondaries(started: u32) {
    let mut arrived = 0;
    while arrived < started {
        let deadline = time::deadline_after(PATIENCE_NANOSECONDS);
        let patience = WaitOptions::uninterruptible(Reason::Cpu);
        // TIMED: a CPU that comes up wakes it; the deadline is for those that never will.
        let _more_or_late =
            ARRIVALS.wait_in(patience.until(deadline), || ARRIVED.load(Ordering::Acquire) > arrived);
        let now = ARRIVED.load(Ordering::Acquire);
        if now == arrived {
            return;
        }
        arrived = now;
    }
}

fn start_secondary(index: usize) -> bool {
    match smp::start(index) {
        Ok(()) => true,
        Err(error) => {
            kernel_println!("asphodel: cpu{index} cannot be started: {error}");
            false
        }
    }
}

fn start_services(board: &BoardInfo) -> Result<(), Errno> {
    work::worker::start(0)?;
    if !input::start(board.uart.irq) {
        kernel_println!("asphodel: the console has no input: there is no interrupt {}", board.uart.irq);
    }
    overdue::start()?;
    watchdog::start()
}

#[expect(clippy::disallowed_methods, reason = "there is memory at boot, or no system")]
fn start_init() -> Result<(), Errno> {
    files::init()?;
    payload::read()?;
    let Some(program) = program::find_linked("init") else {
        shutdown::fatal(format_args!("the image has no program named init"));
    };
    let words: Vec<&str> = board::words().collect();
    // A host that types waits for this line.
    console::say(format_args!("init: pid 1"));
    spawn::spawn_init(program, &words)
}
