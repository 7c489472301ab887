//! The table beside this tool, `stack.toml`: what cannot be computed from the code, with the reason why it holds. An
//! entry that matches nothing in the image is an error.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::Deserialize;

use super::image::Place;

/// The table, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The beginnings of the names of programs' functions, which have a program's code behind a service's.
    pub(super) programs: Vec<String>,
    /// The function that preempts a thread, on its stack.
    pub(super) preemption: String,
    /// The functions that run on the stack of exceptions.
    pub(super) exceptions: Vec<String>,
    /// The functions that an exception makes a thread continue with, where there is room for a system call.
    #[serde(default)]
    pub(super) redirected: Vec<String>,
    /// The functions that kernel threads run, and nothing else.
    #[serde(default)]
    pub(super) threads: Vec<String>,
    /// Parts of the names of functions that begin a panic: what they call, and they themselves, need no room.
    #[serde(default)]
    panics: Vec<String>,
    /// Calls of what is in a register.
    #[serde(default)]
    indirect: Vec<Indirect>,
    /// Functions that call themselves, or each other.
    #[serde(default)]
    recursion: Vec<Recursion>,
    /// Calls that need no stack of their caller.
    #[serde(default)]
    cut: Vec<Cut>,
    /// Services that mask interrupts and probe for nothing.
    #[serde(default)]
    unprobed: Vec<Unprobed>,
    /// Public functions that the test of all services does not call.
    #[serde(default)]
    uncalled: Vec<Uncalled>,
    /// What was used, by its text.
    #[serde(skip)]
    used: RefCell<BTreeSet<String>>,
}

/// Where a call is made of what is in a register, or SP is set from one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Indirect {
    /// A part of the path of the file that has the call.
    #[serde(default)]
    file: String,
    /// A part of the name of the function that has it: in the file, or if none is given, in the symbol table.
    #[serde(default)]
    function: String,
    /// Parts of the names of what it calls; programs' functions do not count.
    #[serde(default)]
    to: Vec<String>,
    /// What else it may call needs so much stack, in bytes.
    #[serde(default)]
    stack: u32,
    reason: String,
}

/// Functions that call each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recursion {
    /// Every function of the ring has one of these in its name.
    members: Vec<String>,
    /// The most of them that are on the stack at once.
    frames: u32,
    reason: String,
}

/// A call that is not made on the caller's stack, or not made at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    from: String,
    to: String,
    /// It is made where a service is entered, all the same: only what a service calls does not make it.
    #[serde(default)]
    inner: bool,
    reason: String,
}

/// A service that masks interrupts and need not probe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unprobed {
    /// Its name, as it is reported.
    service: String,
    reason: String,
}

/// Public functions that need not be called at every depth.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Uncalled {
    functions: Vec<String>,
    reason: String,
}

/// What a call of what is in a register may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Targets<'a> {
    /// Parts of names.
    pub(super) to: &'a [String],
    /// Bytes.
    pub(super) stack: u32,
}

impl Table {
    /// Parses it.
    ///
    /// # Errors
    /// Fails when it is malformed, or an entry has no reason.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let table: Self = toml::from_str(text).context("stack.toml is malformed")?;
        let reasons = table.indirect.iter().map(|entry| &entry.reason);
        let reasons = reasons.chain(table.recursion.iter().map(|entry| &entry.reason));
        let reasons = reasons.chain(table.uncalled.iter().map(|entry| &entry.reason));
        let reasons = reasons.chain(table.unprobed.iter().map(|entry| &entry.reason));
        let mut reasons = reasons.chain(table.cut.iter().map(|entry| &entry.reason));
        anyhow::ensure!(
            reasons.all(|reason| !reason.trim().is_empty()),
            "an entry of stack.toml has no reason"
        );
        Ok(table)
    }

    fn use_entry(&self, entry: String) {
        self.used.borrow_mut().insert(entry);
    }

    /// Returns what a call leads to that is made at `places`, in the function `symbol`, if it is listed.
    pub(super) fn indirect(&self, symbol: &str, places: &[Place]) -> Option<Targets<'_>> {
        let is_at = |entry: &&Indirect| {
            let matches = |place: &Place| {
                !entry.file.is_empty()
                    && place.file.contains(&entry.file)
                    && place.function.contains(&entry.function)
            };
            places.iter().any(matches) || entry.file.is_empty() && symbol.contains(&entry.function)
        };
        let entry = self.indirect.iter().find(is_at)?;
        self.use_entry(entry.text());
        Some(Targets { to: &entry.to, stack: entry.stack })
    }

    /// Returns how many functions of a ring can be on the stack at once, if the ring is listed.
    pub(super) fn frames(&self, ring: &[&str]) -> Option<u32> {
        let has_all = |entry: &&Recursion| {
            ring.iter().all(|name| entry.members.iter().any(|member| name.contains(member.as_str())))
        };
        let entry = self.recursion.iter().find(has_all)?;
        self.use_entry(entry.text());
        Some(entry.frames)
    }

    /// Returns whether the call is one that needs no stack of its caller, which is a function behind a probe
    /// (`is_outermost`), or is called by such a function.
    pub(super) fn is_cut(&self, from: &str, to: &str, is_outermost: bool) -> bool {
        if let Some(panics) = self.panics.iter().find(|panics| to.contains(panics.as_str())) {
            self.use_entry(panic_text(panics));
            return true;
        }
        let fits =
            |cut: &&Cut| from.contains(&cut.from) && is_named(to, &cut.to) && !(cut.inner && is_outermost);
        let cut = self.cut.iter().find(fits);
        if let Some(cut) = cut {
            self.use_entry(cut.text());
        }
        cut.is_some()
    }

    /// Returns whether a service may mask interrupts without a probe.
    pub(super) fn needs_no_probe(&self, service: &str) -> bool {
        let entry = self.unprobed.iter().find(|entry| entry.service == service);
        if let Some(entry) = entry {
            self.use_entry(entry.text());
        }
        entry.is_some()
    }

    /// Returns whether a public function need not be called by the test.
    pub(super) fn is_uncalled(&self, function: &str) -> bool {
        let is_listed = self.uncalled.iter().flat_map(|entry| &entry.functions).any(|name| name == function);
        if is_listed {
            self.use_entry(format!("uncalled {function}"));
        }
        is_listed
    }

    /// Returns whether a function is a program's, or an instance of a library's for a program's closure.
    pub(super) fn is_program(&self, function: &str) -> bool {
        let is_own = |name: &str| {
            let name = name.trim_start_matches(['<', '&', '(', '[']);
            self.programs.iter().any(|program| name.starts_with(program.as_str()))
        };
        let has_closure = |name: &str| {
            self.programs.iter().flat_map(|program| name.match_indices(program.as_str())).any(|(start, _)| {
                let path = name[start..].split(['<', '>', ',', ' ', ')']).next().unwrap_or_default();
                path.contains("{closure")
            })
        };
        function.split(" = ").any(|name| is_own(name) || has_closure(name))
    }

    /// Returns the entries that were not used.
    pub(super) fn unused(&self) -> Vec<String> {
        let entries = self.indirect.iter().map(Indirect::text);
        let entries = entries.chain(self.recursion.iter().map(Recursion::text));
        let entries = entries.chain(self.cut.iter().map(Cut::text));
        let entries = entries.chain(self.unprobed.iter().map(Unprobed::text));
        let uncalled = self.uncalled.iter().flat_map(|entry| &entry.functions);
        let entries = entries.chain(uncalled.map(|function| format!("uncalled {function}")));
        let entries = entries.chain(self.panics.iter().map(|name| panic_text(name)));
        let used = self.used.borrow();
        entries.filter(|entry| !used.contains(entry)).collect()
    }
}

/// Returns whether `part` is in `name`: at its end, if `part` ends with `$`.
pub(super) fn is_named(name: &str, part: &str) -> bool {
    // Functions of the same code have all their names.
    match part.strip_suffix('$') {
        Some(end) => name.split(" = ").any(|name| name.ends_with(end)),
        None => name.contains(part),
    }
}

/// The text of an entry of `panics`.
fn panic_text(name: &str) -> String {
    format!("panics {name}")
}

impl Indirect {
    fn text(&self) -> String {
        format!("indirect {} {}", self.file, self.function)
    }
}

impl Recursion {
    fn text(&self) -> String {
        format!("recursion {}", self.members.join(", "))
    }
}

impl Cut {
    fn text(&self) -> String {
        format!("cut from {} to {}", self.from, self.to)
    }
}

impl Unprobed {
    fn text(&self) -> String {
        format!("unprobed {}", self.service)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The beginning of every table.
    pub(in crate::stack) const HEAD: &str =
        "programs = [\"program::\"]\npreemption = \"preempt\"\nexceptions = [\"exception\"]\n";

    #[test]
    fn the_table_of_this_tool_is_well_formed() {
        assert!(Table::parse(super::super::TABLE).is_ok());
    }

    #[test]
    fn every_entry_has_a_reason() {
        let cut = "[[cut]]\nfrom = \"a\"\nto = \"b\"\nreason = \" \"\n";
        assert!(Table::parse(&format!("{HEAD}{cut}")).is_err());
        assert!(Table::parse(&format!("{HEAD}{}", cut.replace("\" \"", "\"it is so\""))).is_ok());
    }

    #[test]
    fn a_call_is_listed_by_its_line_or_by_its_symbol() {
        let entries = "[[indirect]]\nfile = \"mem/charge.rs\"\nfunction = \"free\"\nstack = 8\nreason = \"r\"\n\
            [[indirect]]\nfunction = \"switch\"\nstack = 9\nreason = \"r\"\n";
        let table = Table::parse(&format!("{HEAD}{entries}")).unwrap();
        let place = |function: &str, file: &str| Place { function: function.into(), file: file.into() };
        let inlined = [place("free", "/x/mem/charge.rs"), place("dealloc", "/x/mem/allocator.rs")];
        assert_eq!(table.indirect("dealloc", &inlined).map(|targets| targets.stack), Some(8));
        assert_eq!(table.indirect("dealloc", &[place("grow", "/x/mem/charge.rs")]), None);
        assert_eq!(table.unused(), ["indirect  switch"]);
        assert_eq!(table.indirect("a::switch", &[]).map(|targets| targets.stack), Some(9));
    }

    #[test]
    fn what_is_not_used_is_known() {
        let entries = "[[recursion]]\nmembers = [\"one\", \"other\"]\nframes = 3\nreason = \"r\"\n\
            [[cut]]\nfrom = \"a\"\nto = \"b\"\nreason = \"r\"\n\
            [[unprobed]]\nservice = \"s\"\nreason = \"r\"\n";
        let table = Table::parse(&format!("{HEAD}{entries}")).unwrap();
        assert_eq!(table.frames(&["the one", "the other"]), Some(3));
        assert_eq!(table.frames(&["the one", "a third"]), None);
        assert!(!table.is_cut("a", "c", true) && !table.needs_no_probe("t"));
        assert_eq!(table.unused(), ["cut from a to b", "unprobed s"]);
        assert!(table.is_cut("a", "b", true) && table.needs_no_probe("s") && table.unused().is_empty());
    }

    #[test]
    fn what_is_a_programs() {
        let table = Table::parse(HEAD).unwrap();
        let own =
            ["program::main", "<program::Value as core::fmt::Display>::fmt", "<&program::Value as a::B>::c"];
        assert!(own.iter().all(|name| table.is_program(name)));
        assert!(table.is_program("kernel::with::<program::main::{closure#0}>"));
        assert!(!table.is_program("<kernel::Mutex<program::Value>>::lock::{closure#0}"));
    }

    #[test]
    fn a_call_may_be_cut_inside_only() {
        let entries =
            "panics = [\"panicking\"]\n[[cut]]\nfrom = \"\"\nto = \"b$\"\ninner = true\nreason = \"r\"\n";
        let table = Table::parse(&format!("{HEAD}{entries}")).unwrap();
        assert!(table.is_cut("a", "x::b", false) && table.is_cut("a", "x::b = c", false));
        assert!(!table.is_cut("a", "b", true) && !table.is_cut("a", "b::c", false));
        assert!(table.is_cut("a", "core::panicking::panic", true));
    }
}
