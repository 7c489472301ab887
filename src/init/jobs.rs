//! The console's children: starting them, waiting for them, and reporting how they ended.

use alloc::vec::Vec;

use asphodel::api::{
    Errno, Group, Pid, Program, Report, Signal, SpawnAttributes, WNOHANG, kill, println, processes, scale,
    sigwait, spawn, wait4,
};

use crate::keyboard::{INTERRUPT, Interruptible};
use crate::units::{Bytes, Time};

/// A child of the console that has not been reaped.
#[derive(Clone, Copy, Debug)]
struct Job {
    pid: Pid,
    name: &'static str,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// A child was reaped.
    Reaped(Pid),
    /// ^C.
    Interrupted,
}

/// All children of the console.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Vec<Job>);

impl Jobs {
    /// Starts a program in a group of its own.
    pub(crate) fn start(&mut self, program: &Program, words: &[&str]) -> Result<Pid, Errno> {
        // Before the child runs, which may count what is allocated: the list must not grow behind its back.
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
        let pid = spawn(program, words, &attributes)?;
        self.0.push(Job { pid, name: program.name });
        Ok(pid)
    }

    /// Reaps the children that have ended, and reports how.
    pub(crate) fn report_ended(&mut self) {
        while let Ok(Some(report)) = wait4(-1, WNOHANG) {
            self.forget(&report, true);
        }
    }

    /// Returns whether `pid` is a child.
    pub(crate) fn contains(&self, pid: Pid) -> bool {
        self.0.iter().any(|job| job.pid == pid)
    }

    /// Waits until `pid` has ended, or every child for `None`, and reports how they ended. ^C ends the wait.
    pub(crate) fn wait_for(&mut self, pid: Option<Pid>) {
        let _interruptible = Interruptible::new();
        while pid.map_or(!self.0.is_empty(), |pid| self.contains(pid)) {
            if self.wait_for_one(None) == Waited::Interrupted {
                println!("^C");
                return;
            }
        }
    }

    /// Runs a program and waits for its end; reports how it ended unless it was successful. ^C kills it and every
    /// process of its group.
    pub(crate) fn run(&mut self, program: &Program, words: &[&str]) -> Result<(), Errno> {
        let interruptible = Interruptible::new();
        let pid = self.start(program, words)?;
        while self.contains(pid) {
            if self.wait_for_one(Some(pid)) == Waited::Interrupted {
                println!("^C");
                kill_group(pid);
            }
        }
        drop(interruptible);
        Ok(())
    }

    /// Waits for one child, whichever ends first. A successful end of `quiet` is not reported.
    fn wait_for_one(&mut self, quiet: Option<Pid>) -> Waited {
        loop {
            if let Ok(Some(report)) = wait4(-1, WNOHANG) {
                let success = report.status.code() == Some(0);
                self.forget(&report, quiet != Some(report.pid) || !success);
                return Waited::Reaped(report.pid);
            }
            // A child that ends from now on leaves SIGCHLD pending, so no end is missed.
            if sigwait(Signal::CHLD.bit() | INTERRUPT.bit(), None) == Ok(INTERRUPT) {
                return Waited::Interrupted;
            }
        }
    }

    fn forget(&mut self, report: &Report, say: bool) {
        let position = self.0.iter().position(|job| job.pid == report.pid);
        let name = position.map_or("?", |index| self.0.swap_remove(index).name);
        if say {
            let usage = report.usage;
            println!(
                "pid {} ({name}) {}: cpu {}, memory {}, LWPs {}, switches {} voluntary, {} involuntary",
                report.pid,
                report.status,
                Time(scale().nanoseconds(usage.cpu_ticks)),
                Bytes(usage.peak_memory),
                usage.lwps,
                usage.voluntary_switches,
                usage.involuntary_switches,
            );
        }
    }
}

/// Kills every process of the group that `leader` has founded.
fn kill_group(leader: Pid) {
    for process in processes().iter().filter(|process| process.group == leader) {
        // A child that ended meanwhile need not be killed.
        let _ = kill(process.pid, i32::from(Signal::KILL.number()));
    }
}
