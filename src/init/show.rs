//! Tables for people: processes, their ends, CPUs, memory.

use alloc::format;
use alloc::string::{String, ToString};

use asphodel::api::{
    self, ExitRecord, LwpState, Pid, State, Step, cpu_reports, memory_report, now_ns, now_ticks, println,
    scale,
};

use crate::units::{Bytes, Megahertz, Seconds, Time};

/// `ps`.
pub(crate) fn processes() {
    println!(
        "{:>10} {:>10} {:<8} {:>5} {:>3} {:>12} {:>12} {:>12} {:>12} NAME",
        "PID", "PPID", "STATE", "LWPS", "CPU", "TIME", "MEMORY", "PEAK", "ARENA"
    );
    for process in api::processes() {
        let waits_for = process.waits_for.map_or(String::new(), |(tid, reason)| {
            format!(" (waits for its LWP {tid}, which waits for {reason})")
        });
        println!(
            "{:>10} {:>10} {:<8} {:>5} {:>3} {:>12} {:>12} {:>12} {:>12} {}{waits_for}",
            process.pid,
            process.parent,
            state(process.state),
            process.lwps,
            process.cpu,
            Seconds(scale().nanoseconds(process.usage.cpu_ticks)),
            Bytes(process.memory),
            Bytes(process.usage.peak_memory),
            process.arena.map_or(String::from("-"), |arena| Bytes(arena).to_string()),
            process.name,
        );
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Sleeping => "sleeping",
        State::Exiting => "exiting",
        State::Zombie => "zombie",
    }
}

/// `lwps`.
pub(crate) fn lwps(pid: Pid) {
    println!("{:>8} {:<15} {:>3} {:>5} {:>12} DOES", "TID", "STATE", "CPU", "DEPTH", "FOR");
    let now = now_ticks();
    for lwp in api::lwps(pid) {
        let since = lwp.since.map_or(String::new(), |since| format!("{}", time(now.saturating_sub(since))));
        println!(
            "{:>8} {:<15} {:>3} {:>5} {since:>12} {lwp}",
            lwp.tid,
            lwp_state(lwp.state),
            lwp.cpu,
            lwp.kernel_depth,
        );
    }
}

const fn lwp_state(state: LwpState) -> &'static str {
    match state {
        LwpState::Running => "running",
        LwpState::Ready => "ready",
        LwpState::Sleeping => "sleeping",
        LwpState::Uninterruptible => "uninterruptible",
    }
}

/// Formats counter ticks.
fn time(ticks: u64) -> Time {
    Time(scale().nanoseconds(ticks))
}

/// `trace exit`: oldest first, so that the newest stands above the prompt.
pub(crate) fn exits() {
    println!(
        "{:>10} {:<20} {:>5} {:>12} {:<19} {:>12} NAME",
        "PID", "STATUS", "LWPS", "TOTAL", "LONGEST STEP", ""
    );
    for record in api::exit_records().iter().rev() {
        let (name, took) = record.longest().map_or(("", 0), |step| (step.step.name(), step.took));
        println!(
            "{:>10} {:<20} {:>5} {:>12} {name:<19} {:>12} {}",
            record.pid,
            format!("{}", record.status),
            record.lwps,
            time(record.total()),
            time(took),
            record.name,
        );
    }
}

/// `trace exit PID`.
pub(crate) fn exit(record: &ExitRecord) {
    println!("pid {} ({}) {}, {} LWPs have ended", record.pid, record.name, record.status, record.lwps);
    println!("{:<20} {:>12} {:>12}", "STEP", "AT", "TOOK");
    let longest = record.longest().map(|longest| longest.step);
    for done in record.steps() {
        let mark = if Some(done.step) == longest { "  longest" } else { "" };
        println!("{:<20} {:>12} {:>12}{mark}", done.step.name(), time(done.at), time(done.took));
    }
    if let Some(latest) = record.latest()
        && latest.step != Step::Reaped
        && let Some(stamp) = record.at(latest.step)
    {
        println!("that was {} ago", time(now_ticks().saturating_sub(stamp)));
    }
}

/// `cpus`.
pub(crate) fn cpus() {
    for cpu in cpu_reports() {
        if !cpu.online {
            println!("cpu{:<3} offline", cpu.index);
            continue;
        }
        let runs = match cpu.runs {
            Some((pid, name)) => format!("runs {name} (pid {pid})"),
            None => "idle".into(),
        };
        println!(
            "cpu{:<3} {:<7} switches {:>9}  interrupts {:>7}  idle {:>12}  queue {:>3}  {runs}",
            cpu.index,
            if cpu.inactive { "inactive" } else { "online" },
            cpu.switches,
            cpu.interrupts,
            Seconds(scale().nanoseconds(cpu.idle_ticks)),
            cpu.queue,
        );
    }
    board();
}

/// The last line of `cpus`: the board and its readings.
fn board() {
    let readings = api::board_readings();
    let mut line = format!("board   {}", api::board_model());
    if let Some(revision) = readings.revision {
        line += &format!(", revision {revision:#x}");
    }
    if let Some(temperature) = readings.temperature {
        line += &format!(", {}.{} °C", temperature / 1000, temperature.abs() % 1000 / 100);
    }
    line += &format!(", timer {}", Megahertz(api::ticks_per_second()));
    for (name, rate) in [("CPUs", readings.cpu_hz), ("core", readings.core_hz), ("UART", readings.uart_hz)] {
        if let Some(rate) = rate {
            line += &format!(", {name} {}", Megahertz(rate.into()));
        }
    }
    println!("{line}");
}

/// `free`.
pub(crate) fn memory() {
    let memory = memory_report();
    let row = |name: &str, used: u64, free: u64| {
        println!("{name:<8} {:>12} {:>12} {:>12}", Bytes(used + free), Bytes(used), Bytes(free));
    };
    println!("{:<8} {:>12} {:>12} {:>12}", "", "TOTAL", "USED", "FREE");
    row("frames", memory.total - memory.free, memory.free);
    row("heap", memory.heap_used, memory.heap_free);
    println!("arenas   {} in use", Bytes(memory.arenas));
    println!("stacks   {} in use, {} cached for reuse", memory.stacks_used, memory.stacks_cached);
}

/// `uptime`.
pub(crate) fn uptime() {
    let processes = api::processes().len();
    let online = cpu_reports().iter().filter(|cpu| cpu.online).count();
    println!("up {}, {online} CPUs online, {processes} processes", Seconds(now_ns()));
}
