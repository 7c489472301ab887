//! Booting the default image with programs behind it, and the results.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::arguments::{self, Boot as Arguments};
use super::libtest::{Death, Results, uncaptured};
use super::program::Program;
use crate::build::{self, Choice, Profile};
use crate::console::{self, Line, Word};
use crate::machine::Boot;
use crate::payload::Payload;
use crate::qemu_run::{self, End};
use crate::setup::Environment;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// The image, and how it is booted.
pub(super) struct Booted<'a> {
    workspace: &'a Workspace,
    environment: &'a Environment,
    /// The default image.
    pub(super) kernel: build::Program,
    /// The files and environment of every program.
    payload: Payload,
    /// The boot of the default image.
    boot: Boot,
}

/// The run of a test program.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    /// The results that its harness printed.
    pub(super) results: Results,
    /// How it ended.
    end: End,
    /// How long it took on the host.
    pub(super) took: Duration,
    /// All output of the system, with addresses explained.
    pub(super) console: String,
}

impl<'a> Booted<'a> {
    /// Builds the default image, to be booted as requested.
    ///
    /// # Errors
    /// Fails when it does not build, or there is no such machine or file.
    pub(super) fn new(
        workspace: &'a Workspace,
        environment: &'a Environment,
        arguments: &Arguments,
    ) -> anyhow::Result<Self> {
        let payload = common_payload(arguments)?;
        let kernel = build::chosen(workspace, &environment.toolchain, &Choice::default(), Profile::Release)?;
        let mut boot = arguments.hardware.emulated_boot(&kernel.image)?;
        boot.append.clone_from(&arguments.append);
        Ok(Self { workspace, environment, kernel, payload, boot })
    }

    /// Returns a boot whose first process runs `program` with these words. Its image is written to `directory`.
    ///
    /// # Errors
    /// Fails when the program cannot be loaded, or the image is too large.
    pub(super) fn boot(&self, program: &Program, words: &[&str], directory: &Path) -> anyhow::Result<Boot> {
        let mut payload = self.payload.clone();
        payload.add_program(&program.name, program.read()?);
        payload.add_autorun(&[&[program.name.as_str()], words].concat())?;
        let image = directory.join("kernel8.img");
        payload.write(&self.kernel.image, &image)?;
        let mut boot = self.boot.clone();
        boot.kernel = image;
        boot.word = Some(Word::draw());
        Ok(boot)
    }

    /// Runs a test program; `on_line` gets its output.
    ///
    /// # Errors
    /// Fails as `boot`, or when the emulator cannot be started.
    pub(super) fn run_tests(
        &self,
        program: &Program,
        words: &[&str],
        limit: Duration,
        on_line: &mut dyn FnMut(&Line),
    ) -> anyhow::Result<Ran> {
        let directory = tempfile::tempdir()?;
        let boot = self.boot(program, words, directory.path())?;
        let (mut results, mut begun) = (Results::default(), false);
        let ran = qemu_run::watch(self.environment, &boot, Some(limit), &mut |line| {
            results.read_line(line.text());
            if begun && !console::is_end(line) {
                on_line(line);
            }
            begun |= console::is_init(line);
        })?;
        let symbols = Symbols::load(self.workspace, &self.kernel.elf);
        let console = symbols.map_or_else(|| ran.console(), |symbols| symbols.annotate(&ran.console()));
        Ok(Ran { results, end: ran.end, took: ran.took, console })
    }

    /// Runs a test program that has died once more, with one test after the other and what they print at once; returns
    /// the test that it dies in.
    ///
    /// # Errors
    /// As `run_tests`.
    pub(super) fn find_death(
        &self,
        program: &Program,
        words: &[&str],
        limit: Duration,
    ) -> anyhow::Result<Option<Death>> {
        let words = uncaptured(words);
        let mut said = Vec::new();
        self.run_tests(program, &words, limit, &mut |line| {
            if line.said().is_none() {
                said.push(line.to_string());
            }
        })?;
        // Then process 1 reports its end.
        let end = format!("init: {} was ", program.name);
        Ok(Death::read(said.iter().map(String::as_str).take_while(|line| !line.starts_with(&end))))
    }

    /// Returns the symbols of the system.
    pub(super) fn symbols(&self) -> Option<Symbols> {
        Symbols::load(self.workspace, &self.kernel.elf)
    }
}

impl Ran {
    /// Returns why it failed, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        match self.end {
            End::TimedOut => {
                let last = self.console.trim_end().lines().last().unwrap_or_default();
                Some(format!("it did not end in its time, and said last: {last}"))
            }
            End::Panicked => Some("the system panicked".into()),
            End::EndedEarly => Some("the system ended without a status".into()),
            End::PoweredOff(_) if self.results.failed() != 0 => {
                Some(format!("failed: {}", self.results.failed.join(", ")))
            }
            End::PoweredOff(0) if self.results.complete || !self.results.begun => None,
            End::PoweredOff(0) => Some("it ended before its tests did".into()),
            End::PoweredOff(status) => Some(format!("it ended with status {status}")),
        }
    }

    /// Returns whether the program died before its harness came to its end.
    pub(super) fn died(&self) -> bool {
        matches!(self.end, End::PoweredOff(_)) && self.results.begun && !self.results.complete
    }

    /// Writes the console to a file, and returns its path.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub(super) fn keep(&self, workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
        let directory = workspace.state().join("logs");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("std-{name}.log"));
        fs::write(&path, &self.console).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Returns the files and environment of every program of a command.
fn common_payload(arguments: &Arguments) -> anyhow::Result<Payload> {
    let mut payload = Payload::default();
    for argument in &arguments.file {
        let (host, path) = arguments::file(argument)?;
        let contents = fs::read(&host).with_context(|| format!("cannot read {}", host.display()))?;
        payload.add_file(path, contents)?;
    }
    for variable in &arguments.env {
        payload.add_variable(variable)?;
    }
    Ok(payload)
}
