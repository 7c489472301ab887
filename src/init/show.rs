//! Tables for people: processes, CPUs, memory.

use alloc::format;
use alloc::string::String;

use asphodel::api::{self, State, cpu_reports, memory_report, now_ns, println, scale};

use crate::units::{Bytes, Seconds};

/// `ps`.
pub(crate) fn processes() {
    println!(
        "{:>10} {:>10} {:<8} {:>5} {:>3} {:>12} {:>12} {:>12} NAME",
        "PID", "PPID", "STATE", "LWPS", "CPU", "TIME", "MEMORY", "PEAK"
    );
    for process in api::processes() {
        let waits_for = process.waits_for.map_or(String::new(), |tid| format!(" (waits for its LWP {tid})"));
        println!(
            "{:>10} {:>10} {:<8} {:>5} {:>3} {:>12} {:>12} {:>12} {}{waits_for}",
            process.pid,
            process.parent,
            state(process.state),
            process.lwps,
            process.cpu,
            Seconds(scale().nanoseconds(process.usage.cpu_ticks)),
            Bytes(process.memory),
            Bytes(process.usage.peak_memory),
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
            "cpu{:<3} online  switches {:>9}  interrupts {:>7}  idle {:>12}  queue {:>3}  {runs}",
            cpu.index,
            cpu.switches,
            cpu.interrupts,
            Seconds(scale().nanoseconds(cpu.idle_ticks)),
            cpu.queue,
        );
    }
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
    println!("stacks   {} in use, {} cached for reuse", memory.stacks_used, memory.stacks_cached);
}

/// `uptime`.
pub(crate) fn uptime() {
    let processes = api::processes().len();
    let online = cpu_reports().iter().filter(|cpu| cpu.online).count();
    println!("up {}, {online} CPUs online, {processes} processes", Seconds(now_ns()));
}
