//! A running emulator, and watching one to its end: the console line by line, a deadline in machine time, and no
//! emulator left behind in any case.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::console::{self, Line, Lines, Word};
use crate::hosted;
use crate::machine::{Boot, Machine};
use crate::machine_time::{LOOK_EVERY, MachineTime};
use crate::setup::Environment;

/// How long the emulator may take to end after the last output of the guest.
const GRACE: Duration = Duration::from_secs(5);

/// A longer console is cut, because a guest that prints without end must not fill the host's memory.
const CONSOLE_LIMIT: usize = 16 << 20;

/// The standard input of the emulator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Input {
    /// None: nothing is ever typed.
    Nothing,
    /// A pipe that the caller writes to.
    Pipe,
}

/// An emulator that ends, at the latest, when this value is dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    pub(crate) child: Child,
}

impl Emulator {
    /// Starts QEMU, or the image itself if that is a program, with its serial line on a pipe.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub(crate) fn start(
        environment: &Environment,
        boot: &Boot,
        input: Input,
        errors: Stdio,
    ) -> anyhow::Result<Self> {
        let mut command = command(environment, boot)?;
        command.stdout(Stdio::piped()).stderr(errors);
        command.stdin(match input {
            Input::Nothing => Stdio::null(),
            Input::Pipe => Stdio::piped(),
        });
        end_with_parent(&mut command);
        let program = command.get_program().to_os_string();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child })
    }

    /// Returns the machine time of the guest that was booted like this.
    ///
    /// # Errors
    /// Fails when the file in which the guest reads it cannot be written.
    pub(crate) fn time(&self, boot: &Boot) -> anyhow::Result<MachineTime> {
        MachineTime::of(self.child.id(), boot.time_file.as_deref())
    }

    /// Waits for the end at most that long, then ends it; returns the exit status of one that ended by itself.
    pub(crate) fn end_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
                _ => break,
            }
        }
        self.kill();
        None
    }

    /// Ends the emulator now.
    fn kill(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the command that starts the machine.
fn command(environment: &Environment, boot: &Boot) -> anyhow::Result<Command> {
    boot.check_arguments()?;
    if boot.configuration.machine == Machine::Host {
        let mut command = Command::new(&boot.kernel);
        command.args(hosted::words(boot)?);
        return Ok(command);
    }
    let mut command = Command::new(&environment.qemu);
    command.args(boot.arguments());
    Ok(command)
}

/// Makes the system end the command when the thread that starts it ends, even by a kill.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    use rustix::process::{Signal, set_parent_process_death_signal};

    // SAFETY: the closure runs between fork and exec in the child and makes one system call, which is
    // async-signal-safe; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into));
    }
}

/// Elsewhere only `Drop` ends the emulator.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}

/// How a watched run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The guest powered off, or restarted its machine, with this status.
    PoweredOff(u8),
    /// The emulator ended and the guest had not reported an end.
    EndedEarly,
    /// The deadline passed.
    TimedOut,
    /// The system panicked and did not power off.
    Panicked,
}

/// The result of a watched run.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// All output of the guest.
    pub(crate) lines: Vec<Line>,
    /// How it ended.
    pub(crate) end: End,
    /// How long it took on the host.
    pub(crate) took: Duration,
    /// The messages of the emulator itself.
    pub(crate) complaints: String,
}

impl Ran {
    /// Returns the console as one text, as it is shown, with the emulator's own messages at its end.
    pub(crate) fn console(&self) -> String {
        let mut text = console(&self.lines);
        if !self.complaints.trim().is_empty() {
            text.push_str("\n[the emulator says] ");
            text.push_str(self.complaints.trim());
        }
        text
    }
}

/// Returns the lines of a console as one text, as it is shown.
pub(crate) fn console(lines: &[Line]) -> String {
    lines.iter().map(Line::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs a guest to its end or its deadline, which counts machine time, and passes each line to `on_line` as it arrives.
///
/// # Errors
/// Fails when the emulator cannot be started; nothing that the guest does is an error.
pub(crate) fn watch(
    environment: &Environment,
    boot: &Boot,
    deadline: Option<Duration>,
    on_line: &mut dyn FnMut(&Line),
) -> anyhow::Result<Ran> {
    let started = Instant::now();
    let mut emulator = Emulator::start(environment, boot, Input::Nothing, Stdio::piped())?;
    let mut time = emulator.time(boot)?;
    let output = emulator.child.stdout.take().context("the serial line is a pipe")?;
    let errors = emulator.child.stderr.take().context("the error output is a pipe")?;
    let pieces = read_in_background(output);
    let complaints = read_in_background(errors);

    let mut now = || time.elapsed();
    let received = listen(&pieces, &[], boot.word().as_ref(), &mut now, deadline, GRACE, on_line);
    emulator.end_within(if received.timed_out { Duration::ZERO } else { GRACE });
    drop(emulator);

    let complaints: Vec<u8> = complaints.iter().flatten().collect();
    let complaints = String::from_utf8_lossy(&complaints).into_owned();
    Ok(Ran { lines: received.lines, end: received.end, took: started.elapsed(), complaints })
}

/// The output that was received from a guest.
#[derive(Debug)]
pub(crate) struct Received {
    /// All its lines.
    pub(crate) lines: Vec<Line>,
    /// How it ended.
    pub(crate) end: End,
    /// `true` if listening ended while the line was open.
    pub(crate) timed_out: bool,
}

/// Receives the output of a guest that got this word and has printed `first` already, until the line is closed, `clock` is at `limit`, or
/// `grace` after the guest's end. The clock is read every [`LOOK_EVERY`].
pub(crate) fn listen(
    pieces: &mpsc::Receiver<Vec<u8>>,
    first: &[u8],
    word: Option<&Word>,
    clock: &mut dyn FnMut() -> Duration,
    mut limit: Option<Duration>,
    grace: Duration,
    on_line: &mut dyn FnMut(&Line),
) -> Received {
    let mut watched = Watched { lines: Lines::new(word), said: Vec::new(), bytes: 0, end: None };
    let mut timed_out = false;
    let mut next = Ok(first.to_vec());
    let mut next_look = Instant::now() + LOOK_EVERY;
    loop {
        match next {
            Ok(piece) => {
                let was_ending = watched.end.is_some();
                watched.take(&piece, on_line);
                if watched.bytes > CONSOLE_LIMIT {
                    watched
                        .said
                        .push(Line::program("[the console is cut here: the guest prints without end]"));
                    timed_out = true;
                    break;
                }
                if watched.end.is_some() && !was_ending {
                    let soon = clock() + grace;
                    limit = Some(limit.map_or(soon, |limit| limit.min(soon)));
                    next_look = next_look.min(Instant::now() + grace);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= next_look {
            if limit.is_some_and(|limit| clock() >= limit) {
                timed_out = true;
                break;
            }
            next_look = Instant::now() + LOOK_EVERY;
        }
        next = pieces.recv_timeout(next_look.saturating_duration_since(Instant::now()));
    }
    watched.said.extend(std::mem::take(&mut watched.lines).rest());
    let end = watched.end.unwrap_or(if timed_out { End::TimedOut } else { End::EndedEarly });
    Received { lines: watched.said, end, timed_out }
}

/// The output of a guest so far.
struct Watched {
    lines: Lines,
    said: Vec<Line>,
    bytes: usize,
    end: Option<End>,
}

impl Watched {
    /// Takes the next piece of the console.
    fn take(&mut self, piece: &[u8], on_line: &mut dyn FnMut(&Line)) {
        self.bytes += piece.len();
        for line in self.lines.feed(piece) {
            on_line(&line);
            if let Some(status) = console::end_status(&line) {
                self.end = Some(End::PoweredOff(status));
            } else if console::is_panic(&line) && self.end.is_none() {
                self.end = Some(End::Panicked);
            }
            self.said.push(line);
        }
    }
}

/// Reads to the end on a thread of its own; the channel delivers the pieces.
pub(crate) fn read_in_background(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is received of a guest that got a word, that says `text` and closes the line a second later.
    fn received(text: impl Fn(&str) -> String) -> Received {
        let word = Word::draw();
        let (guest, pieces) = mpsc::channel();
        let text = text(&word.prefix());
        thread::spawn(move || {
            for line in text.split_inclusive('\n') {
                guest.send(line.as_bytes().to_vec()).unwrap();
            }
            thread::sleep(Duration::from_secs(1));
        });
        let started = Instant::now();
        let (limit, grace) = (Some(Duration::from_secs(60)), Duration::ZERO);
        listen(&pieces, &[], Some(&word), &mut || started.elapsed(), limit, grace, &mut |_| ())
    }

    #[test]
    fn a_guest_ends_when_the_system_says_so() {
        let ended = received(|word| format!("{word}asphodel: power off, status 5\n"));
        assert_eq!((ended.end, ended.timed_out), (End::PoweredOff(5), true), "the rest is not waited for");
    }

    #[test]
    fn a_program_that_prints_an_end_goes_on() {
        let text = "asphodel: power off, status 0\nasphodel: PANIC on CPU 0x0: no\n";
        let ended = received(|_| text.into());
        assert_eq!((ended.end, ended.timed_out), (End::EndedEarly, false));
        let ended = received(|word| format!("{text}{word}asphodel: power off, status 5\n"));
        assert_eq!(ended.end, End::PoweredOff(5));
    }
}
