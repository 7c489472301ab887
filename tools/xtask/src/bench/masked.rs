//! The longest sections with interrupts masked, as a plugin of the emulator measures them (`tools/masked`) whenever a
//! bench image runs.
//!
//! Boot and power-off are left out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::figures::Figure;
use crate::build::{self, Program};
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// The plugin's package.
const PACKAGE: &str = "asphodel-masked";

/// The figure's name.
pub(super) const LONGEST: &str = "masked.longest";

/// The plugin, built for this computer.
pub(super) struct Plugin {
    library: PathBuf,
    /// Where the reports are written.
    reports: PathBuf,
}

impl Plugin {
    /// Builds it.
    ///
    /// # Errors
    /// Fails when it does not build.
    pub(super) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        let reports = workspace.state().join("masked");
        fs::create_dir_all(&reports).with_context(|| format!("cannot make {}", reports.display()))?;
        Ok(Self { library: build::host_library(workspace, PACKAGE)?, reports })
    }

    /// Returns where a run's report is written.
    pub(super) fn report_of(&self, image: &str, cpus: u32) -> PathBuf {
        self.reports.join(format!("{image}.{cpus}"))
    }

    /// Returns the emulator's option that makes it write the report there.
    pub(super) fn option(&self, report: &Path) -> OsString {
        // A comma would end the name: it is doubled.
        let name = |path: &Path| path.to_string_lossy().replace(',', ",,");
        format!("{},out={}", name(&self.library), name(report)).into()
    }
}

/// A section with interrupts masked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Section {
    /// How long it was.
    instructions: u64,
    /// The addresses of its first and its last block of instructions.
    ends: [u64; 2],
}

impl Section {
    /// Reads a line of a report.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let instructions = words.next()?.parse().ok()?;
        let mut address = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        Some(Self { instructions, ends: [address()?, address()?] })
    }
}

/// Returns the figure of a run: the longest section in its report, and where that was. `None`: it has none, because the
/// image does nothing but boot and power off.
///
/// # Errors
/// Fails when there is no report: the emulator has not loaded the plugin.
pub(super) fn longest(
    workspace: &Workspace,
    program: &Program,
    cpus: u32,
    report: &Path,
) -> anyhow::Result<Option<Figure>> {
    let text = fs::read_to_string(report).with_context(|| {
        format!(
            "the emulator has not written {}: does it take plugins (QEMU 9.1 or newer)?",
            report.display()
        )
    })?;
    let Some(section) = text.lines().find_map(Section::read) else { return Ok(None) };
    let [from, to] = section.ends.map(|address| format!("{address:#x}"));
    let symbols = Symbols::load(workspace, &program.elf);
    let place = |address: &str| {
        let explained = symbols.as_ref().map(|symbols| symbols.explain(address)).unwrap_or_default();
        explained
            .first()
            .map_or_else(|| address.to_string(), |explained| of_the_project(explained).to_string())
    };
    Ok(Some(Figure {
        name: LONGEST.into(),
        cpus,
        value: section.instructions as f64,
        unit: "instructions".into(),
        image: program.name.clone(),
        place: Some(format!("in {}, from {} to {}", program.name, place(&from), place(&to))),
    }))
}

/// Returns the innermost of the functions at an address that is the project's own, of those that were inlined into each
/// other.
fn of_the_project(explained: &str) -> &str {
    let mut functions = explained.split(", inlined into ");
    let first = functions.clone().next().unwrap_or(explained);
    functions.find(|function| function.contains(" src/")).unwrap_or(first)
}

/// Returns the longest of all runs with the same number of CPUs, for each number.
pub(super) fn longest_of_all(runs: Vec<Figure>) -> Vec<Figure> {
    let mut longest: BTreeMap<u32, Figure> = BTreeMap::new();
    for run in runs {
        if longest.get(&run.cpus).is_none_or(|other| other.value < run.value) {
            longest.insert(run.cpus, run);
        }
    }
    longest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_the_projects_own_code() {
        let chain =
            "load core/src/atomic.rs:1, inlined into take src/kernel/src/a.rs:2, inlined into f src/b.rs:3";
        assert_eq!(of_the_project(chain), "take src/kernel/src/a.rs:2");
        assert_eq!(of_the_project("f core/src/x.rs:1, inlined into g y.rs:2"), "f core/src/x.rs:1");
    }

    #[test]
    fn the_longest_is_found_for_each_number_of_cpus() {
        let run = |cpus, value| Figure {
            name: LONGEST.into(),
            cpus,
            value,
            unit: String::new(),
            image: String::new(),
            place: None,
        };
        let found = longest_of_all(vec![run(4, 7.0), run(1, 3.0), run(4, 9.0), run(1, 2.0)]);
        assert_eq!(found, [run(1, 3.0), run(4, 9.0)]);
    }

    #[test]
    fn a_report_has_a_length_and_two_addresses_in_a_line() {
        let section = Section::read("401836 0xffffffff8008766c 0xffffffff800895e8").unwrap();
        assert_eq!(section.instructions, 401_836);
        assert_eq!(section.ends, [0xffff_ffff_8008_766c, 0xffff_ffff_8008_95e8]);
        for line in ["", "1", "1 0x2", "x 0x2 0x3", "1 2 3"] {
            assert_eq!(Section::read(line), None, "{line}");
        }
    }
}
