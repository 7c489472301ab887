//! Interrupts: the hooks acknowledge, dispatch, and return whether to preempt the thread; an idle CPU calls the
//! dispatch itself.

use spin::Once;

use crate::arch::counter;
use crate::cpu::{Cpu, RAISE, RECHECK_ACTIVE};
use crate::drivers::gic;
use crate::sched::{MESSAGE, active, balance, raise, ready, switch, timer};
use crate::shutdown;
use crate::thread::lazy;

/// Handlers of shared device interrupts, by interrupt number; few and fixed at boot.
const DEVICES: usize = 8;

/// The interrupt, and its handler.
type Handler = (u32, fn());

static HANDLERS: [Once<Handler>; DEVICES] = [const { Once::new() }; DEVICES];

/// Registers the handler of a device interrupt. Called on the boot CPU, before the interrupt is enabled. The handler
/// runs in interrupt context.
pub(crate) fn set_handler(number: u32, handler: fn()) {
    let free = HANDLERS.iter().find(|entry| !entry.is_completed());
    free.expect("more device interrupts than the table has room for").call_once(|| (number, handler));
}

/// Handles one pending interrupt, if there is one. Interrupts masked, on `cpu`.
///
/// Others that are pending interrupt again when interrupts are unmasked, so that a timer that is always due, because
/// more sleepers are due than one interrupt wakes, does not keep interrupts masked.
#[inline(always)]
pub(crate) fn handle_next(cpu: &'static Cpu) {
    let Some(interrupt) = gic::acknowledge() else { return };
    cpu.statistics.interrupts.set(cpu.statistics.interrupts.get() + 1);
    match interrupt.intid {
        MESSAGE => {
            cpu.statistics.messages.set(cpu.statistics.messages.get() + 1);
            // Ended first, so that a message that comes while the mailbox is emptied interrupts again.
            gic::end(interrupt);
            if cpu.has_requests() {
                serve_requests(cpu);
            }
            ready::drain_mailbox(cpu);
            balance::answer(cpu);
            lazy::refill(cpu);
            return;
        }
        counter::TIMER_INTERRUPT => timer::fired(cpu),
        shutdown::STOP => shutdown::stop_here(),
        number => device(number),
    }
    gic::end(interrupt);
}

/// Does what other CPUs have asked for besides taking in their mail. Interrupts masked, on `cpu`.
#[cold]
fn serve_requests(cpu: &'static Cpu) {
    let requests = cpu.take_requests();
    if requests & RECHECK_ACTIVE != 0 {
        active::recheck(cpu);
    }
    if requests & RAISE != 0 {
        raise::take_in(cpu);
    }
}

/// Requests a refill of the reserve for lazy stacks as soon as interrupts are unmasked, when no spin lock is held, if
/// it is short. Interrupts masked, on `cpu`; takes no lock.
pub(crate) fn fill_reserve_soon(cpu: &Cpu) {
    if cpu.reserve.is_short() {
        gic::send_sgi(MESSAGE, cpu.index as usize);
    }
}

fn device(number: u32) {
    let mut handlers = HANDLERS.iter().filter_map(Once::get);
    if let Some((_, handler)) = handlers.find(|(known, _)| *known == number) {
        handler();
    }
}

/// The `preempt` hook. The interrupted thread's own stack, interrupts masked.
pub(crate) fn preempt() {
    switch::preempt();
}
