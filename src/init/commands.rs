//! The console's commands: a table, and the look-up in it.
//!
//! Words are separated by blanks; there is no quoting. The name of a program is a command, too: the console runs it and
//! waits for it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use asphodel::api::{self, Pid, Program, Signal, find_program, println};

use crate::jobs::Jobs;
use crate::units::number;
use crate::{programs, show};

/// The console's next step after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It reads the next line.
    Line,
    /// It ends with this status.
    End(i32),
}

/// Why a command was not carried out: a sentence for the user.
type Refusal = String;

/// A command of the console.
struct Command {
    name: &'static str,
    /// What follows the name.
    usage: &'static str,
    help: &'static str,
    /// Most words after the name.
    words: usize,
    run: fn(&[&str], &mut Jobs) -> Result<Next, Refusal>,
}

const ANY: usize = usize::MAX;

/// All commands, in the order of `help`.
const COMMANDS: [Command; 15] = [
    Command { name: "help", usage: "", help: "shows this", words: 0, run: help },
    Command { name: "ps", usage: "", help: "lists the processes", words: 0, run: ps },
    Command {
        name: "lwps",
        usage: "PID",
        help: "lists the LWPs of a process: what each does, or waits for, and for how long",
        words: 1,
        run: lwps,
    },
    Command {
        name: "spawn",
        usage: "PROGRAM [WORDS]",
        help: "starts a program in the background, prints its pid",
        words: ANY,
        run: spawn,
    },
    Command {
        name: "kill",
        usage: "PID [SIGNAL]",
        help: "sends a signal, by number or name; TERM if none is given",
        words: 2,
        run: kill,
    },
    Command {
        name: "wait",
        usage: "[PID]",
        help: "waits for one child of the console, or for all; ^C gives up",
        words: 1,
        run: wait,
    },
    Command {
        name: "trace",
        usage: "exit [PID]",
        help: "shows the steps of a process's end, or the last ends, a line each",
        words: 2,
        run: trace,
    },
    Command { name: "cpus", usage: "", help: "shows what each CPU does", words: 0, run: cpus },
    Command {
        name: "deactivate",
        usage: "CPU",
        help: "keeps a CPU from taking work",
        words: 1,
        run: deactivate,
    },
    Command { name: "activate", usage: "CPU", help: "lets it take work again", words: 1, run: activate },
    Command { name: "free", usage: "", help: "shows memory: frames, heap, stacks", words: 0, run: free },
    Command {
        name: "uptime",
        usage: "",
        help: "shows for how long the system has run",
        words: 0,
        run: uptime,
    },
    Command { name: "echo", usage: "[WORDS]", help: "prints the words", words: ANY, run: echo },
    Command {
        name: "poweroff",
        usage: "[STATUS]",
        help: "ends the system with an exit status, 0 if none is given; so does ^D",
        words: 1,
        run: poweroff,
    },
    Command {
        name: "reboot",
        usage: "",
        help: "ends the system at once and starts it anew",
        words: 0,
        run: reboot,
    },
];

/// Carries out one line. Errors are reported on the console.
pub(crate) fn execute(line: &str, jobs: &mut Jobs) -> Next {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let Some((name, words)) = words.split_first() else { return Next::Line };
    let outcome = match COMMANDS.iter().find(|command| command.name == *name) {
        Some(command) if words.len() > command.words => {
            Err(format!("usage: {name} {}", command.usage).trim_end().into())
        }
        Some(command) => (command.run)(words, jobs),
        None => run_program(name, words, jobs),
    };
    outcome.unwrap_or_else(|refusal| {
        println!("{name}: {refusal}");
        Next::Line
    })
}

fn run_program(name: &str, words: &[&str], jobs: &mut Jobs) -> Result<Next, Refusal> {
    let program = find_program(name).ok_or("no such command or program; `help` lists them")?;
    jobs.run(program, words).map_err(|error| error.to_string())?;
    Ok(Next::Line)
}

fn help(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    let line = |name: &str, usage: &str, help: &str| println!("  {:<26} {help}", format!("{name} {usage}"));
    println!("Commands:");
    for command in &COMMANDS {
        line(command.name, command.usage, command.help);
    }
    println!("Programs, for `spawn`, or to be run and waited for (^C kills):");
    for (name, usage, help) in programs::LIST {
        line(name, usage, help);
    }
    // Programs that the image has besides those of this package.
    let known = |program: &&Program| programs::LIST.iter().any(|(name, ..)| *name == program.name);
    for program in api::programs().filter(|program| !known(program) && program.name != "init") {
        line(program.name, "[WORDS]", "");
    }
    Ok(Next::Line)
}

fn ps(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    show::processes();
    Ok(Next::Line)
}

fn lwps(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    let pid = pid(words.first().ok_or("usage: lwps PID")?)?;
    api::process(pid).ok_or_else(|| format!("{pid}: no such process"))?;
    show::lwps(pid);
    Ok(Next::Line)
}

fn spawn(words: &[&str], jobs: &mut Jobs) -> Result<Next, Refusal> {
    let (name, words) = words.split_first().ok_or("usage: spawn PROGRAM [WORDS]")?;
    let program =
        find_program(name).ok_or_else(|| format!("there is no program '{name}'; `help` lists them"))?;
    let pid = jobs.start(program, words).map_err(|error| format!("{name}: {error}"))?;
    println!("pid {pid}");
    Ok(Next::Line)
}

fn kill(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    let (pid, signal) = match *words {
        [pid] => (pid, "TERM"),
        [pid, signal] => (pid, signal),
        _ => return Err("usage: kill PID [SIGNAL]".into()),
    };
    let pid = self::pid(pid)?;
    let signal = self::signal(signal)?;
    if pid == Pid::INIT {
        return Err("process 1 takes no fatal signal; `poweroff` ends the system".into());
    }
    api::kill(pid, signal).map_err(|error| format!("{pid}: {error}"))?;
    Ok(Next::Line)
}

fn wait(words: &[&str], jobs: &mut Jobs) -> Result<Next, Refusal> {
    let pid = words.first().map(|word| pid(word)).transpose()?;
    if let Some(pid) = pid
        && !jobs.contains(pid)
    {
        return Err(format!("{pid} is no child of the console"));
    }
    jobs.wait_for(pid);
    Ok(Next::Line)
}

fn trace(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    match *words {
        ["exit"] => show::exits(),
        ["exit", word] => {
            let pid = pid(word)?;
            let record = api::exit_trace(pid).ok_or_else(|| match api::process(pid) {
                Some(_) => format!("{pid} does not end yet"),
                None => format!("there is no record of an exit of {pid}"),
            })?;
            show::exit(&record);
        }
        _ => return Err("usage: trace exit [PID]".into()),
    }
    Ok(Next::Line)
}

fn cpus(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    show::cpus();
    Ok(Next::Line)
}

fn deactivate(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    api::cpu_deactivate(cpu(words)?).map_err(|error| error.to_string())?;
    Ok(Next::Line)
}

fn activate(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    api::cpu_activate(cpu(words)?).map_err(|error| error.to_string())?;
    Ok(Next::Line)
}

/// Returns the CPU that the only word names.
fn cpu(words: &[&str]) -> Result<u32, Refusal> {
    number(words.first().ok_or("which CPU?")?, 0, 63).map(|index| index as u32)
}

fn free(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    show::memory();
    Ok(Next::Line)
}

fn uptime(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    show::uptime();
    Ok(Next::Line)
}

fn echo(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    println!("{}", words.join(" "));
    Ok(Next::Line)
}

fn poweroff(words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    let status = words.first().map_or(Ok(0), |word| number(word, 0, 255))?;
    Ok(Next::End(status as i32))
}

fn reboot(_words: &[&str], _jobs: &mut Jobs) -> Result<Next, Refusal> {
    api::restart()
}

fn pid(word: &str) -> Result<Pid, Refusal> {
    let number: i32 = word.parse().map_err(|_| format!("'{word}' is not a pid"))?;
    Some(Pid::from_raw(number)).filter(|pid| pid.is_valid()).ok_or_else(|| format!("'{word}' is not a pid"))
}

/// Reads a signal by its number, or by its name with or without SIG.
fn signal(word: &str) -> Result<i32, Refusal> {
    let named = |number: &i32| {
        let name = Signal::new(*number).map_or("", Signal::name);
        name.eq_ignore_ascii_case(word) || name.trim_start_matches("SIG").eq_ignore_ascii_case(word)
    };
    let number = word.parse().ok().filter(|number| (0..=31).contains(number));
    number.or_else(|| (1..=31).find(named)).ok_or_else(|| format!("'{word}' is no signal"))
}
