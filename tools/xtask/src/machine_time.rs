//! Machine time: the time in which an emulated machine's CPUs could run. Every deadline of an emulated guest counts it.
//!
//! A guest on a busy host is slow for no reason of its own, so a deadline by the wall clock would depend on the host's
//! load. The scheduler of the host counts for each thread how long it ran, and how long it was ready to run and had no
//! CPU (`/proc/PID/task/TID/schedstat`). Of the time in which the emulator's threads were runnable, machine time is the
//! part in which they ran; time in which they all slept counts fully, so that a guest that sleeps for ever reaches its
//! deadline like one that computes for ever. If the host does not count, machine time is the wall clock.
//!
//! The counter of the guest follows the wall clock. A test image therefore reads its machine time from a file, which
//! [`MachineTime::elapsed`] writes and the guest reads by semihosting (`tests/support/machine_time.rs`). The code that
//! watches an emulator owns its `MachineTime` and calls it every [`LOOK_EVERY`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The interval of updates: the time that a guest reads is at most that old.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The span over which runs and waits are compared. A wait is counted when it ends, so it must be short against this
/// span.
const SPAN: Duration = Duration::from_secs(2);

/// The host's counts of a thread.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counted {
    /// How long it has run.
    ran: Duration,
    /// How long it has waited for a CPU.
    waited: Duration,
}

/// Each thread, by its id.
type Threads = BTreeMap<OsString, Counted>;

/// The processes whose threads count.
#[derive(Clone, Copy, Debug)]
enum Processes {
    One(u32),
    Group(u32),
}

/// The machine time of one emulator, or of a group of processes, from its start on.
#[derive(Debug)]
pub(crate) struct MachineTime {
    started: Instant,
    processes: Processes,
    /// When the span began, by the wall clock and in machine time, and the counts at that point.
    span: (Duration, Duration, Threads),
    /// The last result, because time never decreases.
    latest: Duration,
    /// The file that the guest reads.
    published: Option<File>,
}

impl MachineTime {
    /// Returns the machine time of the process `emulator`, which has just been started; it is written to the file
    /// `published`, which must exist.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub(crate) fn of(emulator: u32, published: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = File::options().write(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self { published: published.map(open).transpose()?, ..Self::from(Processes::One(emulator)) })
    }

    /// Returns the machine time of all processes of the group `group`, which has just been made.
    pub(crate) fn of_group(group: u32) -> Self {
        Self::from(Processes::Group(group))
    }

    /// Waits until `child`, which is or leads what this counts, has ended; returns its status. `None`: `limit` has
    /// passed first.
    ///
    /// # Errors
    /// Fails when the child cannot be waited for.
    pub(crate) fn wait(&mut self, child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = child.try_wait()?;
            if status.is_some() || self.elapsed() > limit {
                return Ok(status);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns how much machine time has passed, and writes it to the guest's file.
    pub(crate) fn elapsed(&mut self) -> Duration {
        let (wall, counted) = (self.started.elapsed(), count(self.processes));
        let (begun, machine, before) = &self.span;
        let span = wall - *begun;
        let Counted { ran, waited } = together(before, &counted);
        let now = *machine + granted(span, ran, waited);
        if span >= SPAN {
            self.span = (wall, now, counted);
        }
        self.latest = self.latest.max(now);
        if let Some(published) = &self.published {
            // Without it the guest takes itself to be faster than it is, and its deadlines are longer.
            let _ = published.write_all_at(written(self.latest).as_bytes(), 0);
        }
        self.latest
    }
}

/// Returns the machine time in a span of `wall` in which all threads together `ran`, and `waited` for a CPU, for these
/// times.
fn granted(wall: Duration, ran: Duration, waited: Duration) -> Duration {
    let wanted = ran + waited;
    if wanted <= wall {
        // At most one thread at a time was runnable, so all of its waiting is lost.
        wall - waited
    } else {
        wall.mul_f64(ran.as_secs_f64() / wanted.as_secs_f64())
    }
}

/// Formats machine time for the guest: nanoseconds in twenty digits, so that each time replaces the last one
/// completely.
pub(crate) fn written(time: Duration) -> String {
    format!("{:020}\n", time.as_nanos())
}

impl From<Processes> for MachineTime {
    fn from(processes: Processes) -> Self {
        Self {
            started: Instant::now(),
            processes,
            span: Default::default(),
            latest: Duration::ZERO,
            published: None,
        }
    }
}

/// Returns the counts of each thread; nothing if the host does not count or the processes have ended.
fn count(processes: Processes) -> Threads {
    match processes {
        Processes::One(process) => threads_of(Path::new(&format!("/proc/{process}"))).collect(),
        Processes::Group(group) => {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
            let belongs = |process: &PathBuf| {
                fs::read_to_string(process.join("stat")).is_ok_and(|text| group_in(&text) == Some(group))
            };
            entries.filter(belongs).flat_map(|process| threads_of(&process)).collect()
        }
    }
}

/// Returns the counts of each thread of the process with this directory.
fn threads_of(process: &Path) -> impl Iterator<Item = (OsString, Counted)> + use<> {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), counted_in(&text)?))
    })
}

/// Parses a line of `stat`: the process's number, its name in parentheses, its state, its parent and its group.
fn group_in(line: &str) -> Option<u32> {
    let (_, rest) = line.rsplit_once(')')?;
    rest.split_whitespace().nth(2)?.parse().ok()
}

/// Returns what the present threads have done since `before`, all together.
fn together(before: &Threads, now: &Threads) -> Counted {
    now.iter().fold(Counted::default(), |sum, (thread, now)| {
        let before = before.get(thread).copied().unwrap_or_default();
        Counted {
            ran: sum.ran + now.ran.saturating_sub(before.ran),
            waited: sum.waited + now.waited.saturating_sub(before.waited),
        }
    })
}

/// Parses a line of `schedstat`: nanoseconds on a CPU, nanoseconds ready without one, and the number of time slices.
fn counted_in(line: &str) -> Option<Counted> {
    let mut numbers = line.split_whitespace().map(|number| number.parse().ok().map(Duration::from_nanos));
    Some(Counted { ran: numbers.next()??, waited: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_threads_got_of_what_they_wanted_counts() {
        let granted = |wall, ran, waited| {
            let [wall, ran, waited] = [wall, ran, waited].map(Duration::from_millis);
            granted(wall, ran, waited).as_millis()
        };
        assert_eq!(granted(1000, 0, 0), 1000, "all sleep");
        assert_eq!(granted(1000, 1000, 0), 1000, "one computes");
        assert_eq!(granted(1000, 4000, 0), 1000, "four compute");
        assert_eq!(granted(1000, 100, 900), 100, "one computes on a busy host, wherever it runs");
        assert_eq!(granted(1000, 400, 3600), 100, "four do");
        assert_eq!(granted(1000, 10, 90), 910, "one computes now and then");
        assert_eq!(granted(1000, 2000, 2000), 500, "four on two CPUs");
        assert_eq!(granted(50, 0, 200), 0, "a wait that began before");
    }

    #[test]
    fn runs_and_waits_are_the_first_two_numbers() {
        let counted = Counted { ran: Duration::from_nanos(106_283), waited: Duration::from_nanos(6_751_010) };
        assert_eq!(counted_in("106283 6751010 2\n"), Some(counted));
        assert_eq!(counted_in(""), None);
        assert_eq!(counted_in("1 x 2"), None);
    }

    #[test]
    fn without_a_process_it_is_the_wall_clock() {
        let mut time = MachineTime::of(u32::MAX, None).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(5) {}
        assert!(time.elapsed() >= Duration::from_millis(5));
    }

    #[test]
    fn a_thread_that_has_ended_takes_nothing_back() {
        let threads = |threads: &[(&str, u64, u64)]| -> Threads {
            let one = |(name, ran, waited): &(&str, u64, u64)| {
                let [ran, waited] = [ran, waited].map(|time| Duration::from_millis(*time));
                (OsString::from(name), Counted { ran, waited })
            };
            threads.iter().map(one).collect()
        };
        let (before, now) =
            (threads(&[("1", 10, 20), ("2", 900, 900)]), threads(&[("1", 15, 40), ("3", 1, 2)]));
        let expected = Counted { ran: Duration::from_millis(6), waited: Duration::from_millis(22) };
        assert_eq!(together(&before, &now), expected);
    }

    #[test]
    fn the_group_is_behind_the_name() {
        assert_eq!(group_in("17 (a (b) 1 2) R 3 4 5 6"), Some(4));
        assert_eq!(group_in("17 (cargo"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_group_counts_with_its_children() {
        use std::os::unix::process::CommandExt as _;
        let script = "sh -c 'while :; do :; done'";
        let mut shell =
            std::process::Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let group = rustix::process::Pid::from_child(&shell);
        let ran = || count(Processes::Group(shell.id())).values().map(|thread| thread.ran).sum::<Duration>();
        while ran() < Duration::from_millis(50) {
            thread::yield_now();
        }
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        assert!(!shell.wait().unwrap().success());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_have_no_cpu_do_not_age() {
        // Twice as many threads as CPUs, so each waits for about half of the time.
        let mut time = MachineTime::of(std::process::id(), None).unwrap();
        let cpus = thread::available_parallelism().unwrap().get();
        let until = Instant::now() + Duration::from_millis(800);
        let (machine, wall) = thread::scope(|scope| {
            for _ in 0..2 * cpus {
                scope.spawn(|| while Instant::now() < until {});
            }
            thread::sleep(Duration::from_millis(600));
            (time.elapsed(), time.started.elapsed())
        });
        assert!(machine < wall * 9 / 10 && machine > wall / 100, "{machine:?} of {wall:?}");
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
