//! The command `run`: a guest with the user's terminal, or another standard input, on its console.
//!
//! Standard output carries the guest's bytes and nothing else, without the word of the boot; on a terminal without
//! anybody who types, control characters are made visible. The exit status is the guest's.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::build::{self, Choice, Profile, Program};
use crate::console::{self, Line, Lines};
use crate::gdb;
use crate::hardware::Hardware;
use crate::machine::{Boot, Clock};
use crate::machine_time::{LOOK_EVERY, MachineTime};
use crate::output;
use crate::progress::note;
use crate::qemu_run::{self, Emulator, Input};
use crate::screen::Screen;
use crate::setup::{self, Environment};
use crate::stdin_relay::StdinRelay;
use crate::symbols::Symbols;
use crate::terminal::{self, Raw};
use crate::workspace::Workspace;

/// Input is sent this long after the first output of a guest that never reports that its console reads input.
const QUIET_GUEST: Duration = Duration::from_secs(2);

/// How long the emulator may take to end after the guest's last line.
const GRACE: Duration = Duration::from_secs(5);

/// The exit status after Ctrl-A X and after a signal, as shells use it for an interrupt.
const INTERRUPTED: u8 = 130;

/// The events that the threads of a run send to the waiting one.
enum Event {
    /// The guest printed this.
    Output(Vec<u8>),
    /// The guest's serial line is closed.
    Closed,
    /// The user wants the machine to end.
    Quit,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The machine.
    #[command(flatten)]
    pub(crate) hardware: Hardware,
    /// Wait for a debugger before the first instruction, and print the line to type
    #[arg(long)]
    pub(crate) gdb: bool,
    /// End the machine after this many seconds (that is a failure)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Boot arguments, words of the form key=value
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// A device tree to pass instead of the machine's own (raspi4b has none of its own)
    #[arg(long, value_name = "FILE")]
    pub(crate) dtb: Option<PathBuf>,
    /// Deterministic execution: one instruction is one nanosecond of virtual time
    #[arg(long)]
    pub(crate) icount: bool,
    /// The image that is booted
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Words for the first process, which follow ` -- ` in the boot arguments; the default image runs the program that
    /// the first one names, instead of the console, and ends with its status
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const HELP: &str = "\
With a terminal as standard input every key goes to the guest (^C too); Ctrl-A X ends the machine.
With a pipe its bytes are sent once the guest reads input:
    printf 'storm 10000\\npoweroff\\n' | cargo xtask run
The end of the pipe is typed as ^D, as often as it is read: an end of input for a program, and the end of the console.
The exit status is that with which the guest powers off; a guest that ends without one is a failure.";

/// The command `run`.
///
/// # Errors
/// Fails when the image does not build, the guest ends without a status, or the time limit is reached.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    let profile = Profile::Release.on(arguments.hardware.machine);
    let program = build::chosen(workspace, &environment.toolchain, &arguments.choice, profile)?;
    let boot = boot(arguments, &program)?;
    if let Some(port) = boot.gdb_port {
        gdb::announce(&program.elf, port);
    }
    let limit = arguments.timeout.map(Duration::from_secs);
    attached(&environment, &boot, limit, || Symbols::load(workspace, &program.elf))
}

/// Boots the guest, with the user's terminal or another standard input on its console, and ends with its status.
///
/// # Errors
/// Fails when the emulator cannot be started, the guest ends without a status, or takes more machine time than `limit`.
pub(crate) fn attached(
    environment: &Environment,
    boot: &Boot,
    limit: Option<Duration>,
    symbols: impl Fn() -> Option<Symbols>,
) -> anyhow::Result<ExitCode> {
    match attach(environment, boot, limit, symbols)? {
        Some(status) => Ok(ExitCode::from(status)),
        None => bail!("the guest ended without `asphodel: power off, status N`"),
    }
}

/// Returns the boot that the arguments describe.
fn boot(arguments: &Arguments, program: &Program) -> anyhow::Result<Boot> {
    let mut boot = arguments.hardware.boot(&program.image)?;
    boot.append = boot_arguments(arguments.append.as_deref(), &arguments.words)?;
    boot.dtb.clone_from(&arguments.dtb);
    boot.restarts = true;
    if arguments.icount {
        boot.clock = Clock::Instructions;
    }
    if arguments.gdb {
        boot.gdb_port = Some(gdb::free_port()?);
    }
    Ok(boot)
}

/// Returns the boot arguments: the words of the system, then the first process's after two dashes.
///
/// # Errors
/// Fails when a word would not be one among the boot arguments.
fn boot_arguments(append: Option<&str>, words: &[String]) -> anyhow::Result<String> {
    let append = append.unwrap_or_default();
    if words.is_empty() {
        return Ok(append.to_string());
    }
    for word in words {
        let is_one = !word.is_empty() && !word.contains(|letter: char| letter.is_ascii_whitespace());
        ensure!(is_one, "{word:?}: a word for the first process is not empty and has no blanks");
    }
    Ok(format!("{append} -- {}", words.join(" ")).trim().to_string())
}

/// Boots the guest and relays its console until it ends; returns the status that it powered off with.
fn attach(
    environment: &Environment,
    boot: &Boot,
    limit: Option<Duration>,
    symbols: impl Fn() -> Option<Symbols>,
) -> anyhow::Result<Option<u8>> {
    let (events, inbox) = mpsc::channel();
    let quit = events.clone();
    ctrlc::set_handler(move || ask_to_quit(&quit)).context("cannot catch signals")?;
    let raw = if terminal::is_terminal() {
        note("the terminal is the guest's console; Ctrl-A X ends the machine");
        Some(Raw::enter().context("cannot use the terminal")?)
    } else {
        None
    };
    let mut emulator = Emulator::start(environment, boot, Input::Pipe, Stdio::inherit())?;
    let mut time = emulator.time(boot)?;
    let output = emulator.child.stdout.take().context("the serial line is a pipe")?;
    let input = emulator.child.stdin.take().context("the serial line is a pipe")?;
    let quit = events.clone();
    let typing = StdinRelay::start(input, raw.is_some(), move || ask_to_quit(&quit));
    thread::spawn(move || listen(output, &events));

    let word = boot.word();
    let screen = Screen::new(word.as_ref(), raw.is_none() && io::stdout().is_terminal());
    let lines = Lines::new(word.as_ref());
    let (listening, loaded, status) = (false, None, None);
    let mut session =
        Session { typing: &typing, listening, screen, lines, symbols: &symbols, loaded, status };
    session.attend(&inbox, limit, &mut time)?;
    emulator.end_within(if session.status.is_some() { GRACE } else { Duration::ZERO });
    Ok(session.status)
}

/// Notifies the waiting thread that the user wants to end.
fn ask_to_quit(events: &Sender<Event>) {
    // The receiver is gone only when the run is over anyway.
    let _ = events.send(Event::Quit);
}

/// Passes the output of the guest on.
fn listen(output: impl io::Read + Send + 'static, events: &Sender<Event>) {
    for piece in qemu_run::read_in_background(output) {
        if events.send(Event::Output(piece)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Closed);
}

/// The state of a running guest.
struct Session<'a> {
    typing: &'a StdinRelay,
    listening: bool,
    screen: Screen,
    lines: Lines,
    symbols: &'a dyn Fn() -> Option<Symbols>,
    loaded: Option<Option<Symbols>>,
    status: Option<u8>,
}

impl Session<'_> {
    /// Copies the guest's output until it ends or its machine time is over.
    fn attend(
        &mut self,
        inbox: &Receiver<Event>,
        mut limit: Option<Duration>,
        time: &mut MachineTime,
    ) -> anyhow::Result<()> {
        let mut quiet_until: Option<Duration> = None;
        let mut looked = Instant::now();
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(Event::Output(bytes)) => {
                    quiet_until.get_or_insert_with(|| time.elapsed() + QUIET_GUEST);
                    copy(&self.screen.feed(&bytes))?;
                    for line in self.lines.feed(&bytes) {
                        self.read_line(&line);
                    }
                    if self.status.is_some() {
                        limit = Some(time.elapsed() + GRACE);
                    }
                }
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => return copy(&self.screen.idle()),
                Ok(Event::Quit) => {
                    terminal::restore();
                    note("ended by the user");
                    self.status = Some(INTERRUPTED);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => copy(&self.screen.idle())?,
            }
            if looked.elapsed() < LOOK_EVERY {
                continue;
            }
            looked = Instant::now();
            let now = time.elapsed();
            if limit.is_some_and(|limit| limit <= now) {
                return if self.status.is_some() { Ok(()) } else { Err(too_long()) };
            }
            if !self.listening && quiet_until.is_some_and(|until| until <= now) {
                self.listen();
            }
        }
    }

    /// Called when the guest's console reads input: sends what was typed so far.
    fn listen(&mut self) {
        self.listening = true;
        self.typing.open();
    }

    /// Reacts to a line of the guest.
    fn read_line(&mut self, line: &Line) {
        if console::is_init(line) {
            self.listen();
        }
        if line.text().trim_start().starts_with("backtrace:") {
            let symbols = self.loaded.get_or_insert_with(self.symbols).as_ref();
            for place in symbols.map(|symbols| symbols.explain(line.text())).unwrap_or_default() {
                eprintln!("      at {place}");
            }
        }
        if let Some(status) = console::power_off_status(line) {
            self.status = Some(status);
        }
    }
}

/// Returns the error of a run that did not end in time.
fn too_long() -> anyhow::Error {
    anyhow::anyhow!("the guest did not end in the time given with --timeout")
}

/// Writes the guest's bytes to standard output at once.
fn copy(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    output::noted(written).context("standard output is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_has_its_words_after_two_dashes() {
        let words = ["storm".to_string(), "5".to_string()];
        let joined = |append, words| boot_arguments(append, words).unwrap();
        assert_eq!(joined(None, &[]), "");
        assert_eq!(joined(Some("seed=1"), &[]), "seed=1");
        assert_eq!(joined(Some("seed=1"), &words), "seed=1 -- storm 5");
        assert_eq!(joined(None, &words), "-- storm 5");
    }

    #[test]
    fn a_word_that_would_be_cut_is_refused() {
        for word in ["a b", "", "a\nb"] {
            let error = boot_arguments(None, &["echo".into(), word.into()]).unwrap_err().to_string();
            assert!(error.contains("no blanks"), "{error}");
        }
    }
}
