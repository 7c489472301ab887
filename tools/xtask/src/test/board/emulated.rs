//! An emulated board: a pseudo-terminal instead of the serial device, between the two a line that loses, changes and
//! adds bytes and stalls, and a power switch.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode};
use rustix::pty::{self, OpenptFlags};

use crate::machine::Boot;
use crate::machine_time::MachineTime;
use crate::qemu_run::{Emulator, Input};
use crate::setup::Environment;

/// Number of bytes to the board after which the line is good, because the output of images is judged unchanged.
pub(super) const BAD: usize = 64 << 10;

/// The board; it is turned off when this value is dropped.
#[derive(Debug)]
pub(super) struct EmulatedBoard {
    /// The path that replaces the serial device.
    pub(super) path: PathBuf,
    /// A shell command that turns the board off and on.
    pub(super) power_command: String,
    shared: Arc<Shared>,
}

/// State that the threads of a board share.
#[derive(Debug)]
struct Shared {
    environment: Environment,
    boot: Boot,
    /// The board's side of the pseudo-terminal.
    host: File,
    /// `None` while it is off.
    machine: Mutex<Option<Running>>,
    /// The board's time at the last power switch, and when that was.
    switched: Mutex<(Duration, Instant)>,
    /// Bytes that have been passed to the board.
    passed: AtomicUsize,
    faults: AtomicUsize,
    power_cycles: AtomicUsize,
}

/// The machine while it is on.
#[derive(Debug)]
struct Running {
    _emulator: Emulator,
    /// The connection to its receiver.
    to_board: ChildStdin,
    time: MachineTime,
}

/// The time of a board since it was created: its machine time, and the wall clock while it is off.
#[derive(Debug)]
pub(super) struct BoardClock(Arc<Shared>);

impl BoardClock {
    /// Returns the present time.
    pub(super) fn now(&self) -> Duration {
        self.0.time(lock(&self.0.machine).as_mut())
    }
}

/// Locks, also after a panic elsewhere, because the data is consistent at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmulatedBoard {
    /// Turns a board on that boots like this; its power switch is in `directory`.
    ///
    /// # Errors
    /// Fails when the emulator cannot be started.
    pub(super) fn start(environment: &Environment, boot: &Boot, directory: &Path) -> anyhow::Result<Self> {
        let (host, path) = pseudo_terminal()?;
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            boot: boot.clone(),
            host,
            machine: Mutex::default(),
            switched: Mutex::new((Duration::ZERO, Instant::now())),
            passed: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            power_cycles: AtomicUsize::new(0),
        });
        shared.turn_on()?;
        let to_board = Arc::clone(&shared);
        let from_host = shared.host.try_clone()?;
        thread::spawn(move || to_board.pass(from_host, 1, &mut |bytes| to_board.receive(bytes)));
        let power_command = shared.power_switch(directory)?;
        Ok(Self { path, power_command, shared })
    }

    /// Returns the board's clock.
    pub(super) fn clock(&self) -> BoardClock {
        BoardClock(Arc::clone(&self.shared))
    }

    /// Returns how often the line injected an error.
    pub(super) fn faults(&self) -> usize {
        self.shared.faults.load(Ordering::Relaxed)
    }

    /// Returns how often the board was turned off and on.
    pub(super) fn power_cycles(&self) -> usize {
        self.shared.power_cycles.load(Ordering::Relaxed)
    }
}

impl Drop for EmulatedBoard {
    fn drop(&mut self) {
        self.shared.turn_off();
    }
}

impl Shared {
    fn turn_on(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut emulator = Emulator::start(&self.environment, &self.boot, Input::Pipe, Stdio::null())?;
        let to_board = emulator.child.stdin.take().context("the emulator's input is a pipe")?;
        let from_board = emulator.child.stdout.take().context("the emulator's output is a pipe")?;
        let time = emulator.time(&self.boot)?;
        self.switch(Some(Running { _emulator: emulator, to_board, time }));
        let mut to_host = self.host.try_clone()?;
        let shared = Arc::clone(self);
        thread::spawn(move || shared.pass(from_board, 2, &mut |bytes| to_host.write_all(bytes).is_ok()));
        Ok(())
    }

    fn turn_off(&self) {
        self.switch(None);
    }

    /// Returns the board's time while it has this machine.
    fn time(&self, machine: Option<&mut Running>) -> Duration {
        let (before, at) = *lock(&self.switched);
        before + machine.map_or_else(|| at.elapsed(), |machine| machine.time.elapsed())
    }

    /// Uses this machine from now on.
    fn switch(&self, next: Option<Running>) {
        let mut machine = lock(&self.machine);
        let time = self.time(machine.as_mut());
        *lock(&self.switched) = (time, Instant::now());
        *machine = next;
    }

    /// Passes bytes to the board's receiver; they are lost while it is off.
    fn receive(&self, bytes: &[u8]) -> bool {
        self.passed.fetch_add(bytes.len(), Ordering::Relaxed);
        if let Some(Running { to_board, .. }) = &mut *lock(&self.machine) {
            // A machine that has just ended takes none.
            let _ = to_board.write_all(bytes).and_then(|()| to_board.flush());
        }
        true
    }

    /// Makes the power switch, a pipe in `directory` at whose other end a thread waits; returns the command that uses
    /// it.
    fn power_switch(self: &Arc<Self>, directory: &Path) -> anyhow::Result<String> {
        let pipe = directory.join("power");
        match fs::remove_file(&pipe) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let command =
            format!("echo cycle > {}", shlex::try_quote(pipe.to_str().context("a name in UTF-8")?)?);
        let shared = Arc::downgrade(self);
        thread::spawn(move || {
            // Opening waits for the command, reading for its end.
            while let Ok(_asked @ 1..) = File::open(&pipe).and_then(|mut pipe| pipe.read(&mut [0; 16])) {
                let Some(shared) = shared.upgrade() else { break };
                shared.turn_off();
                shared.power_cycles.fetch_add(1, Ordering::Relaxed);
                if shared.turn_on().is_err() {
                    break;
                }
            }
        });
        Ok(command)
    }

    /// Passes bytes on, with errors at first.
    fn pass(&self, mut from: impl Read, seed: u64, to: &mut dyn FnMut(&[u8]) -> bool) {
        let mut random = Random(seed);
        let mut buffer = [0; 512];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut bytes = buffer[..length].to_vec();
            if self.passed.load(Ordering::Relaxed) < BAD && random.below(24) == 0 {
                self.faults.fetch_add(1, Ordering::Relaxed);
                spoil(&mut bytes, &mut random);
            }
            if !to(&bytes) {
                break;
            }
        }
    }
}

/// Returns a pseudo-terminal: the board's side, and the device of the host.
pub(super) fn pseudo_terminal() -> anyhow::Result<(File, PathBuf)> {
    let board: OwnedFd = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    pty::grantpt(&board)?;
    pty::unlockpt(&board)?;
    let path = PathBuf::from(pty::ptsname(&board, Vec::new())?.into_string()?);
    Ok((File::from(board), path))
}

/// Injects an error into bytes on the line.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.extend(bytes.clone()),
        3 => drop(bytes.splice(at..at, [0xa5, 0x5a, 2, 0, 0, 0, 0, 0, 4, 0xff])),
        _ => thread::sleep(Duration::from_millis(500)),
    }
}

/// The same numbers each time: xorshift64*.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
