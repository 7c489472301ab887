//! One CPU's part of a storm: a spawner, and its children.

use core::sync::atomic::{AtomicU64, Ordering};

use asphodel::api::{
    Arguments, Errno, Pid, Program, Report, SpawnAttributes, now_ticks, println, scale, spawn, wait4,
};
use asphodel_console_parts::histogram::Histogram;

use super::Storm;
use super::reuse::address_of_stack;
use crate::programs::REFUSED;

/// Children that a spawner has at a time.
pub(super) const ABREAST: usize = 4;

/// The data that a spawner and its children share.
pub(super) struct Lane {
    storm: &'static Storm,
    /// The spawner's CPU.
    pub(super) cpu: u32,
    places: [Place; ABREAST],
    /// Nanoseconds from a child's last counter reading to its parent's first after wait4.
    pub(super) to_parent: Histogram,
    /// Nanoseconds from a child's last counter reading to the first of the next child on the same stack.
    pub(super) to_reuse: Histogram,
}

/// The data that one child shares with its spawner.
struct Place {
    number: usize,
    /// Counter value at the child's end.
    ended_at: AtomicU64,
}

impl Lane {
    pub(super) fn new(storm: &'static Storm, cpu: u32) -> Self {
        let mut places = [const { Place { number: 0, ended_at: AtomicU64::new(0) } }; ABREAST];
        for (number, place) in places.iter_mut().enumerate() {
            place.number = number;
        }
        Self { storm, cpu, places, to_parent: Histogram::new(), to_reuse: Histogram::new() }
    }
}

/// The lane and the place of a child.
#[derive(Clone, Copy)]
struct Ticket {
    lane: &'static Lane,
    place: usize,
}

impl Ticket {
    /// Encodes it as the number that a process is started with: a lane is aligned to more than there are places.
    fn number(self) -> usize {
        core::ptr::from_ref(self.lane) as usize | self.place
    }

    /// Decodes the ticket from the number in `arguments`.
    fn of(arguments: &Arguments<'_>) -> Self {
        const { assert!(ABREAST <= align_of::<Lane>()) };
        let number = arguments.number();
        let address = number & !(align_of::<Lane>() - 1);
        // SAFETY: from `Ticket::number`, or a lane's address itself; lanes outlive their processes.
        Self { lane: unsafe { &*(address as *const Lane) }, place: number - address }
    }
}

/// Entry of a spawner.
pub(super) fn run(arguments: &Arguments<'_>) -> i32 {
    let lane = Ticket::of(arguments).lane;
    match storm_away(lane) {
        Ok(()) => 0,
        Err(error) => {
            println!("storm: the spawner of cpu{} gives up: {error}", lane.cpu);
            REFUSED
        }
    }
}

fn storm_away(lane: &'static Lane) -> Result<(), Errno> {
    let life = Program::new("storm-life", live);
    let mut children = [None; ABREAST];
    let mut refused = None;
    loop {
        for (place, child) in children.iter_mut().enumerate() {
            if child.is_some() || refused.is_some() || !lane.storm.take() {
                continue;
            }
            let number = Ticket { lane, place }.number();
            match spawn(&life, &[], &SpawnAttributes { number, ..SpawnAttributes::default() }) {
                Ok(pid) => {
                    lane.storm.spawned.fetch_add(1, Ordering::Relaxed);
                    *child = Some(pid);
                }
                Err(error) => refused = Some(error),
            }
        }
        if children.iter().all(Option::is_none) {
            return refused.map_or(Ok(()), Err);
        }
        let report = wait4(-1, 0)?;
        let now = now_ticks();
        reaped(lane, report.ok_or(Errno::ECHILD)?, now, &mut children);
    }
}

/// Records a reaped child.
fn reaped(lane: &Lane, report: Report, now: u64, children: &mut [Option<Pid>; ABREAST]) {
    let place = children.iter().position(|child| *child == Some(report.pid));
    let expected = place.is_some_and(|place| report.status.code() == Some(exit_code(place) as u8));
    if !expected {
        println!("storm: wait4 reported an unexpected end: {report:?}");
        lane.storm.wrong.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(place) = place {
        let ended_at = lane.places[place].ended_at.load(Ordering::Relaxed);
        lane.to_parent.record(scale().nanoseconds(now.saturating_sub(ended_at)));
        children[place] = None;
    }
    lane.storm.count_reaped();
}

/// A different status for each place, so that mixed-up statuses are noticed.
const fn exit_code(place: usize) -> i32 {
    place as i32 + 1
}

/// Entry of a child. It ends at once.
fn live(arguments: &Arguments<'_>) -> i32 {
    let began = now_ticks();
    let Ticket { lane, place } = Ticket::of(arguments);
    let user = lane.storm.stacks.user_of(address_of_stack());
    if let Some(ended_at) = user.and_then(|user| user.former_end()) {
        lane.to_reuse.record(scale().nanoseconds(began.saturating_sub(ended_at)));
    }
    let ended_at = now_ticks();
    if let Some(user) = user {
        user.ends(ended_at);
    }
    let place = &lane.places[place];
    place.ended_at.store(ended_at, Ordering::Relaxed);
    exit_code(place.number)
}
