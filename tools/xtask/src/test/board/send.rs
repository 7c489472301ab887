//! Sending an image to a board: it is called until it answers, and recovered by its power switch; every wait is
//! bounded.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use asphodel_core::boot::transfer::{Decoder, Reply, Sender, Step};

use super::line::{CONSOLE_BAUD, Line, Outcome};
use crate::progress::{Bytes, note};
use crate::qemu_run::Emulator;

/// The time limits of the parts of a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until a frame is repeated, beyond the time that the line needs for it.
    pub(super) repeat: Duration,
    /// Until a running loader answers.
    pub(super) answer: Duration,
    /// From power on to the loader's first answer.
    pub(super) boot: Duration,
    /// Without any progress, once it has answered, until it is asked again for its state: longer than a loader takes to
    /// find that it receives nothing, and to reset the line to its first speed.
    pub(super) anew: Duration,
    /// Without any progress, once it has answered, until the transfer is given up.
    pub(super) progress: Duration,
    /// For the power command.
    pub(super) power: Duration,
}

/// The limits for a board.
pub(super) const PATIENCE: Patience = Patience {
    repeat: Duration::from_millis(300),
    answer: Duration::from_secs(5),
    boot: Duration::from_secs(60),
    anew: Duration::from_secs(3),
    progress: Duration::from_secs(10),
    power: Duration::from_secs(30),
};

/// Sends the image with `baud` bits per second and has it started; returns what it has printed already. A board that
/// does not answer is recovered once by `power`, a command of the shell.
///
/// # Errors
/// Fails when the board does not answer, stops answering, or refuses the image.
pub(super) fn send(
    line: &mut Line,
    image: &[u8],
    baud: u32,
    power: Option<&str>,
    patience: Patience,
) -> anyhow::Result<Vec<u8>> {
    let first = attempt(line, image, baud, patience.answer, patience);
    let (Err(error), Some(power)) = (&first, power) else { return first };
    note(&format!("{error:#}; running the power command"));
    switch(power, patience.power)?;
    attempt(line, image, baud, patience.boot, patience).context("also after the power command")
}

/// Makes one attempt; afterwards the line has the speed of the console, whatever the result.
fn attempt(
    line: &mut Line,
    image: &[u8],
    baud: u32,
    answer: Duration,
    patience: Patience,
) -> anyhow::Result<Vec<u8>> {
    let text = transfer(line, image, baud, answer, patience);
    line.set_baud(CONSOLE_BAUD)?;
    text
}

/// Exchanges the frames of one attempt.
fn transfer(
    line: &mut Line,
    image: &[u8],
    baud: u32,
    answer: Duration,
    patience: Patience,
) -> anyhow::Result<Vec<u8>> {
    let session = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    let speed = if baud == CONSOLE_BAUD { 0 } else { baud };
    let mut sender = Sender::new(image, session, speed).context("the image is too large")?;
    let mut decoder = Decoder::new();
    let mut text = Vec::new();
    let mut bar = None;
    let mut sent = 0;
    let mut progressed = line.now();
    let (mut answered, mut asked_to_start) = (false, false);
    while let Some(frame) = sender.frame() {
        line.set_baud(sender.speed().unwrap_or(CONSOLE_BAUD))?;
        let bytes = frame.bytes();
        line.send(&bytes)?;
        asked_to_start |= sender.step() == Step::Starting;
        // Ten bits a byte.
        let on_the_line = Duration::from_secs_f64(bytes.len() as f64 * 10.0 / f64::from(line.baud()));
        let until = Instant::now() + on_the_line + patience.repeat;
        let mut progress = false;
        while !progress {
            let outcome = line.receive(until.saturating_duration_since(Instant::now()))?;
            let mut frames = Vec::new();
            let mut keep = |byte| text.push(byte);
            match &outcome {
                Outcome::Bytes(bytes) => {
                    frames.extend(bytes.iter().filter_map(|byte| decoder.push(*byte, &mut keep)));
                }
                Outcome::Nothing => frames.extend(std::iter::from_fn(|| decoder.quiet(&mut keep))),
            }
            for reply in frames.iter().filter_map(Reply::read) {
                progress |= sender.take(reply);
            }
            if outcome == Outcome::Nothing {
                break;
            }
        }
        if progress {
            progressed = line.now();
            answered = true;
        }
        match sender.step() {
            Step::Sending(chunk) => {
                let bar = bar.get_or_insert_with(|| Bytes::new("sending", image.len() as u64));
                let done = (chunk as usize * asphodel_core::boot::transfer::MAX_PAYLOAD).min(image.len());
                bar.advance(done.saturating_sub(sent) as u64);
                sent = done;
                // What arrived before belongs to the loader.
                text.clear();
            }
            Step::Refused(refusal) => bail!("the board does not take the image: {refusal}"),
            _ => {}
        }
        match line.now().saturating_sub(progressed) {
            // The reply was lost, and the image prints already.
            _ if asked_to_start && has_banner(&text) => break,
            silence if !answered && silence > answer => {
                bail!("no loader answers on the serial line within {} s", answer.as_secs_f64());
            }
            silence if answered && silence > patience.progress => {
                bail!("the board has stopped answering ({:?})", sender.step());
            }
            silence if answered && silence > patience.anew => sender.announce_again(),
            _ => {}
        }
    }
    take_farewells(line, &mut decoder, &mut text)?;
    Ok(text)
}

/// How long the loader's last reply, which it repeats, may take to arrive.
const FAREWELL: Duration = Duration::from_millis(100);

/// Removes the replies that are still on the line from the output of the image.
fn take_farewells(line: &Line, decoder: &mut Decoder, text: &mut Vec<u8>) -> anyhow::Result<()> {
    let until = Instant::now() + FAREWELL;
    while let Outcome::Bytes(bytes) = line.receive(until.saturating_duration_since(Instant::now()))? {
        for byte in bytes {
            // There can only be replies among it, and they change nothing any more.
            let _ = decoder.push(byte, &mut |byte| text.push(byte));
        }
        if Instant::now() >= until {
            break;
        }
    }
    while decoder.quiet(&mut |byte| text.push(byte)).is_some() {}
    Ok(())
}

/// Returns whether a text contains the first line of a kernel.
fn has_banner(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| line.starts_with("asphodel ") && !line.starts_with("asphodel loader"))
}

/// Runs the power command.
fn switch(command: &str, patience: Duration) -> anyhow::Result<()> {
    let child = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).spawn();
    let mut child = Emulator { child: child.context("cannot run the power command")? };
    match child.end_within(patience) {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("the power command failed: {status}"),
        None => bail!("the power command does not end within {} s", patience.as_secs_f64()),
    }
}
