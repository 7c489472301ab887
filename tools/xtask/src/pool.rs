//! Running many jobs, some in parallel: emulators, each of which has several busy threads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::thread;

use crate::progress::Progress;

/// The default number of emulators in parallel.
const AT_A_TIME: usize = 2;

/// Returns how many jobs are run in parallel: as requested, else two, or one on a machine with one CPU.
pub(crate) fn width(asked: Option<usize>) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or(AT_A_TIME.min(cores)).max(1)
}

/// Runs the jobs, `width` in parallel, and returns the results in the jobs' order.
///
/// # Errors
/// Returns the first error of `work`; jobs that have not begun by then are not run.
pub(crate) fn run<J: Send, T: Send>(
    what: &str,
    jobs: Vec<J>,
    width: usize,
    work: impl Fn(&J, &Progress) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let progress = Progress::new(what, jobs.len());
    let queue: Mutex<VecDeque<_>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    let worker = || -> anyhow::Result<()> {
        loop {
            let next = lock(&queue).pop_front();
            let Some((index, job)) = next else { return Ok(()) };
            let result = work(&job, &progress).inspect_err(|_| lock(&queue).clear())?;
            progress.advance();
            lock(&done).push((index, result));
        }
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..width).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().try_for_each(|handle| handle.join().expect("a worker does not panic"))
    })?;
    progress.finish();
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Locks, also after a panic elsewhere, because the data is consistent at every moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_jobs_order() {
        let jobs: Vec<u64> = (0..20).collect();
        let doubled = run("jobs", jobs, 3, |job, _| {
            thread::sleep(std::time::Duration::from_millis((20 - job) % 3));
            Ok(job * 2)
        });
        assert_eq!(doubled.unwrap(), (0..20).map(|job| job * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_the_whole() {
        assert!(
            run("jobs", vec![1, 2, 3], 1, |job, _| if *job == 2 { anyhow::bail!("no") } else { Ok(()) })
                .is_err()
        );
    }
}
