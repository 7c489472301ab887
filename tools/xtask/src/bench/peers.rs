//! The same operations on other systems, and the bars of our own figures.
//!
//! All were measured on one machine with one method: QEMU 10.0.2, `virt`, cortex-a72, `-icount shift=0` (one
//! nanosecond of virtual time is one executed instruction), medians of 5 to 11 rounds, each system in its optimised
//! default build: Linux 6.12 (a distribution's kernel, a static C program at EL0), Hermit (2026-08), ArceOS
//! (2026-04), NuttX (2026-08), ThreadX 6.4.2 (one CPU; "tuned" is without stack filling and error checking).

/// The notes that must accompany the figures wherever they are printed.
pub(crate) const CAVEATS: &[&str] = &[
    "icount counts instructions only: no cache, TLB, barrier or system-register cost; with 4 CPUs it is the sum over all.",
    "Linux crosses between EL0 and EL1, isolates address spaces and runs a distribution's configuration; the others call \
     the kernel directly.",
    "ThreadX ran with MMU, FP and tick off; ArceOS saves no FP state and has no guard pages; Hermit maps and zeroes every \
     stack page eagerly.",
    "Linux medians vary by 1 to 5 % from boot to boot, its 1,000-thread figures by up to 25 %; the others repeat to about \
     1 %. NuttX was measured to 500 threads, ArceOS to 256.",
    "std's operations on Linux: the same source, linked with the distribution's C library, as the only program of its \
     kernel 6.1.",
];

/// The systems, in the order of the columns.
pub(crate) const SYSTEMS: [&str; 5] = ["Linux", "Hermit", "ArceOS", "NuttX", "ThreadX / tuned"];

/// The place of Linux among them.
pub(crate) const LINUX: usize = 0;

/// One operation on other systems.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The name of our figure.
    pub(crate) name: &'static str,
    /// The number of CPUs.
    pub(crate) cpus: u32,
    /// The cost on each system; empty if it has no such operation or was not measured.
    pub(crate) figures: [&'static str; 5],
}

/// The costs on other systems.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "switch.yield",
        cpus: 1,
        figures: ["2,329 FIFO, 3,033 default", "702", "150", "266", "89 / 82"],
    },
    Peer {
        name: "switch.semaphore_round_trip",
        cpus: 1,
        figures: ["9,229", "15,628 own, 6,602 std condvar", "2,224", "802", "536 / 482"],
    },
    Peer {
        name: "switch.semaphore_round_trip_remote",
        cpus: 4,
        figures: ["17,170", "32,660", "10,000,000 (tick)", "1,970", ""],
    },
    Peer {
        name: "lwp.create_exit_join",
        cpus: 1,
        figures: [
            "32,000 clone, 41,300 pthread",
            "21,070 (32 KiB stack)",
            "3,340 to 3,810",
            "3,160",
            "4,302 / 964",
        ],
    },
    Peer { name: "lwp.create_exit_join", cpus: 4, figures: ["47,050", "34,160", "7,500,000", "4,202", ""] },
    Peer {
        name: "process.spawn_exit_wait",
        cpus: 1,
        figures: ["47,900 vfork, 201,900 fork", "", "", "7,136 (task_create, waitpid)", ""],
    },
    Peer {
        name: "process.kill_1000_per_lwp",
        cpus: 1,
        figures: ["12,700", "", "", "2,882 (500 threads)", "250 / 216 (terminate, delete)"],
    },
    Peer { name: "mutex.lock_unlock", cpus: 1, figures: ["75 to 99", "17", "40", "103", "108 / 73"] },
    Peer { name: "boot.to_init_ms", cpus: 1, figures: ["957 to 1,047", "25.1", "31.6", "0.39", "0.41"] },
    Peer { name: "boot.to_init_ms", cpus: 4, figures: ["963 to 1,181", "98.9", "93.6", "1.25", ""] },
    Peer { name: "std.thread_spawn_join", cpus: 1, figures: ["241,600", "", "", "", ""] },
    Peer { name: "std.mutex_uncontended", cpus: 1, figures: ["49", "", "", "", ""] },
    Peer { name: "std.allocate_free", cpus: 1, figures: ["431", "", "", "", ""] },
    Peer { name: "std.channel_round_trip", cpus: 1, figures: ["50,850", "", "", "", ""] },
    Peer { name: "std.park_unpark_round_trip", cpus: 1, figures: ["49,630", "", "", "", ""] },
    Peer { name: "std.thread_spawn_join", cpus: 4, figures: ["259,700", "", "", "", ""] },
    Peer { name: "std.mutex_uncontended", cpus: 4, figures: ["49", "", "", "", ""] },
    Peer { name: "std.allocate_free", cpus: 4, figures: ["431", "", "", "", ""] },
    Peer { name: "std.channel_round_trip", cpus: 4, figures: ["55,620", "", "", "", ""] },
    Peer { name: "std.park_unpark_round_trip", cpus: 4, figures: ["54,400", "", "", "", ""] },
];

/// The limit of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// At most this, in the figure's own unit.
    AtMost(f64),
    /// At most this many times the figure of the same name with one CPU.
    TimesOneCpu(f64),
    /// The same as the figure of another name with as many CPUs: they differ by less than one.
    SameAs(&'static str),
}

/// A figure and its limit; there may be several for one figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// The name of the figure.
    pub(crate) name: &'static str,
    /// The number of CPUs.
    pub(crate) cpus: u32,
    /// Its limit.
    pub(crate) limit: Limit,
}

/// Creates a bar, to write it in one line.
const fn bar(name: &'static str, cpus: u32, limit: Limit) -> Bar {
    Bar { name, cpus, limit }
}

/// The bars.
pub(crate) const BARS: &[Bar] = &[
    bar("switch.yield", 1, Limit::AtMost(150.0)),
    bar("switch.semaphore_round_trip", 1, Limit::AtMost(600.0)),
    bar("lwp.create_exit_join", 1, Limit::AtMost(1_000.0)),
    bar("lwp.live_10000_ratio", 1, Limit::AtMost(1.1)),
    bar("process.spawn_exit_wait", 1, Limit::AtMost(3_000.0)),
    bar("process.spawn_exit_wait", 4, Limit::TimesOneCpu(1.15)),
    bar("process.spawn_exit_wait", 8, Limit::TimesOneCpu(1.15)),
    bar("process.kill_1000_per_lwp", 1, Limit::AtMost(800.0)),
    bar("exit.to_stack_cached", 1, Limit::AtMost(500.0)),
    bar("exit.to_parent_other_cpu", 4, Limit::AtMost(3_000.0)),
    bar("wait.nohang_miss_1", 1, Limit::AtMost(100.0)),
    bar("wait.nohang_miss_10000", 1, Limit::AtMost(100.0)),
    bar("wait.nohang_miss_10000", 1, Limit::SameAs("wait.nohang_miss_1")),
    bar("wait.zombie_of_10000", 1, Limit::AtMost(600.0)),
    bar("std.thread_spawn_join", 1, Limit::AtMost(6_000.0)),
    bar("std.mutex_uncontended", 1, Limit::AtMost(40.0)),
    bar("std.channel_round_trip", 1, Limit::AtMost(2_500.0)),
    bar("std.park_unpark_round_trip", 1, Limit::AtMost(1_500.0)),
    bar("masked.longest", 1, Limit::AtMost(20_000.0)),
    bar("masked.longest", 4, Limit::AtMost(20_000.0)),
    bar("masked.longest", 8, Limit::AtMost(20_000.0)),
    bar("boot.to_init_ms", 1, Limit::AtMost(10.0)),
    bar("boot.to_init_ms", 4, Limit::AtMost(10.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_there_twice() {
        for (index, peer) in PEERS.iter().enumerate() {
            assert!(!PEERS[..index].iter().any(|other| other.name == peer.name && other.cpus == peer.cpus));
        }
        for (index, bar) in BARS.iter().enumerate() {
            let same = |other: &Bar| {
                let kind = core::mem::discriminant(&other.limit) == core::mem::discriminant(&bar.limit);
                other.name == bar.name && other.cpus == bar.cpus && kind
            };
            assert!(!BARS[..index].iter().any(same));
        }
    }
}
