//! The progress of long work: a bar and a line per worker on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of a set of jobs. Lines that stay are printed above the bars, on standard output.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
}

impl Progress {
    /// Starts printing the progress of `jobs` jobs called `what`.
    pub(crate) fn new(what: &str, jobs: usize) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = bars.add(ProgressBar::new(jobs as u64));
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos} of {len}, {elapsed} {wide_msg}")
            .expect("the template is well formed")
            .progress_chars("=> ");
        total.set_style(style);
        total.set_prefix(what.to_string());
        total.enable_steady_tick(Duration::from_millis(250));
        Self { bars, total }
    }

    /// Returns a line of its own for one running job; it is removed when it is dropped.
    pub(crate) fn job(&self, name: &str) -> Job {
        let bar = self.bars.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("  {spinner} {elapsed:>4} {wide_msg}")
            .expect("the template is well formed");
        bar.set_style(style);
        bar.set_message(name.to_string());
        bar.enable_steady_tick(Duration::from_millis(250));
        Job { bar }
    }

    /// Counts one job as done.
    pub(crate) fn advance(&self) {
        self.total.inc(1);
    }

    /// Prints lines that stay.
    pub(crate) fn say(&self, text: &str) {
        self.bars.suspend(|| println!("{text}"));
    }

    /// Removes all bars.
    pub(crate) fn finish(&self) {
        self.total.finish_and_clear();
    }
}

/// One running job's line.
#[derive(Debug)]
pub(crate) struct Job {
    bar: ProgressBar,
}

impl Job {
    /// Prints the current step of the job.
    pub(crate) fn at(&self, text: &str) {
        self.bar.set_message(text.to_string());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The progress of bytes that are transferred; the bar is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Bytes {
    bar: ProgressBar,
}

impl Bytes {
    /// Starts printing the progress of `length` bytes.
    pub(crate) fn new(what: &'static str, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template(
            "{prefix} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        )
        .expect("the template is well formed")
        .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what);
        Self { bar }
    }

    /// Counts `length` more bytes as done.
    pub(crate) fn advance(&self, length: u64) {
        self.bar.inc(length);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line about the current work on standard error (standard output belongs to the guest or the results).
pub(crate) fn note(text: &str) {
    eprintln!("xtask: {text}");
}
