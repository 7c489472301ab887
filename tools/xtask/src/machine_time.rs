//! Machine time: the time in which an emulated machine's CPUs could run. Every deadline of an emulated guest counts it.
//!
//! A guest on a busy host is slow through no fault of its own, so a deadline by the wall clock would judge the host's
//! load. The scheduler of the host counts for each thread how long it was ready to run and had no CPU
//! (`/proc/PID/task/TID/schedstat`); the wall clock without the longest of these waits among the emulator's threads, look
//! by look, is the machine time. Time in which the guest sleeps counts, because a thread that sleeps does not wait for a
//! CPU, so that a guest that sleeps for ever meets its deadline like one that computes for ever. Where the host does not
//! count waits, machine time is the wall clock.
//!
//! The counter of the guest goes with the wall clock. A test image therefore learns its machine time from a file, which
//! [`MachineTime::elapsed`] writes and the guest reads by semihosting (`tests/support/machine_time.rs`). Whoever watches
//! an emulator owns its `MachineTime` and looks at it every [`LOOK_EVERY`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often to look: no wait is forgotten in between, but what a guest is told is as old as that.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The machine time of one emulator, from its start on.
#[derive(Debug)]
pub(crate) struct MachineTime {
    started: Instant,
    /// The directory of the emulator's threads.
    threads: PathBuf,
    /// How long each thread had waited at the last look.
    waited: BTreeMap<OsString, Duration>,
    /// The longest waits of all looks, together.
    held_up: Duration,
    /// What the last look gave: time never goes back.
    latest: Duration,
    /// Where the guest reads.
    told: Option<File>,
}

impl MachineTime {
    /// The machine time of the process `emulator`, which has just been started; told in the file `told`, which exists.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub(crate) fn of(emulator: u32, told: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = File::options().write(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self {
            started: Instant::now(),
            threads: format!("/proc/{emulator}/task").into(),
            waited: BTreeMap::new(),
            held_up: Duration::ZERO,
            latest: Duration::ZERO,
            told: told.map(open).transpose()?,
        })
    }

    /// Looks how much machine time has passed, and tells the guest.
    pub(crate) fn elapsed(&mut self) -> Duration {
        // The threads first: a wait that is missed by this look belongs to the next.
        let waited = waits(&self.threads);
        self.held_up += longest(&self.waited, &waited);
        self.waited = waited;
        self.latest = self.latest.max(self.started.elapsed().saturating_sub(self.held_up));
        if let Some(told) = &self.told {
            // Without it the guest takes itself to be faster than it is, and its deadlines are longer.
            let _ = told.write_all_at(written(self.latest).as_bytes(), 0);
        }
        self.latest
    }
}

/// Machine time as the guest reads it: nanoseconds in twenty digits, so that each time replaces the last one whole.
pub(crate) fn written(time: Duration) -> String {
    format!("{:020}\n", time.as_nanos())
}

/// How long each thread has waited for a CPU so far; nothing where that is not counted or the process is gone.
fn waits(threads: &Path) -> BTreeMap<OsString, Duration> {
    let threads = fs::read_dir(threads).into_iter().flatten().flatten();
    let wait = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), wait_in(&text)?))
    };
    threads.filter_map(wait).collect()
}

/// The wait in a line of `schedstat`, which has three numbers: nanoseconds on a CPU, nanoseconds without, time slices.
fn wait_in(line: &str) -> Option<Duration> {
    Some(Duration::from_nanos(line.split_whitespace().nth(1)?.parse().ok()?))
}

/// The longest wait of a thread between two looks. A thread that is new has waited since its start.
fn longest(before: &BTreeMap<OsString, Duration>, now: &BTreeMap<OsString, Duration>) -> Duration {
    let since = |(thread, wait): (&OsString, &Duration)| {
        wait.saturating_sub(before.get(thread).copied().unwrap_or_default())
    };
    now.iter().map(since).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(waits: &[(&str, u64)]) -> BTreeMap<OsString, Duration> {
        waits.iter().map(|(thread, wait)| (OsString::from(thread), Duration::from_millis(*wait))).collect()
    }

    #[test]
    fn the_thread_that_waited_longest_counts() {
        let before = looks(&[("1", 10), ("2", 500), ("3", 7)]);
        let now = looks(&[("1", 40), ("2", 510), ("4", 20)]);
        assert_eq!(longest(&before, &now), Duration::from_millis(30));
        assert_eq!(longest(&before, &before), Duration::ZERO);
        assert_eq!(longest(&before, &BTreeMap::new()), Duration::ZERO);
    }

    #[test]
    fn a_wait_is_the_second_number() {
        assert_eq!(wait_in("106283 6751010 2\n"), Some(Duration::from_nanos(6_751_010)));
        assert_eq!(wait_in(""), None);
        assert_eq!(wait_in("1 x 2"), None);
    }

    #[test]
    fn without_a_process_it_is_the_wall_clock() {
        let mut time = MachineTime::of(u32::MAX, None).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(5) {}
        assert!(time.elapsed() >= Duration::from_millis(5));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_have_no_cpu_do_not_age() {
        // Twice as many threads as CPUs: each waits for about half of the time.
        let mut time = MachineTime::of(std::process::id(), None).unwrap();
        let cpus = std::thread::available_parallelism().unwrap().get();
        let until = Instant::now() + Duration::from_millis(500);
        std::thread::scope(|scope| {
            for _ in 0..2 * cpus {
                scope.spawn(|| while Instant::now() < until {});
            }
            while Instant::now() < until {
                std::thread::sleep(LOOK_EVERY);
                time.elapsed();
            }
        });
        let (machine, wall) = (time.elapsed(), time.started.elapsed());
        assert!(machine < wall * 9 / 10, "{machine:?} of {wall:?}");
    }

    #[test]
    fn the_guest_reads_one_whole_number() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut time = MachineTime::of(u32::MAX, Some(file.path())).unwrap();
        for _ in 0..2 {
            let elapsed = time.elapsed();
            assert_eq!(fs::read_to_string(file.path()).unwrap(), written(elapsed));
        }
        assert_eq!(written(Duration::from_millis(3)), "00000000000003000000\n");
    }
}
