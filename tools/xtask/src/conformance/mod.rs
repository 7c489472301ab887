//! The command `conformance`: every number that the system must satisfy, with the tests that cover it and their latest
//! outcome, or the reason why there is none.
//!
//! The requirements, their sources and the reasons are data (`tests/requirements.toml`). The tests are found in the
//! sources by the numbers that they claim, and the outcomes are those of the last runs of `test`.

pub(crate) mod claims;
mod file;
pub(crate) mod number;
pub(crate) mod reasons;
pub(crate) mod requirements;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use self::number::Number;
use self::table::{Kind, Table};
use crate::test::results;
use crate::workspace::Workspace;

/// Arguments of `conformance`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Only numbers with this standing
    #[arg(long, value_enum)]
    pub(crate) only: Option<Kind>,
    /// Only this number, such as T16 or A-h07
    #[arg(long, value_name = "NUMBER")]
    pub(crate) number: Option<String>,
    /// Write the whole table as a JSON list of {number, statement, source, standing, why, tests}
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const HELP: &str = "\
A test claims the numbers that its name begins with (`t16_..`, `r05_t16_..`, `a_h07_..`), those of its doc comment, and
those of a row of its file's `//!` table that names it; the rest of a test file's `//!` lines claim for all its tests.
A paragraph that begins with `not shown:` claims nothing. Requirements, their sources, and the reasons for those without a
test are in tests/requirements.toml. Results are those of the last `cargo xtask test` of each test on each
machine.
Ends with the line `N shown, N reasoned, N open, N missing`, and fails when anything is missing or contradicts itself.";

/// The command `conformance`. Ends with the line `N shown, N reasoned, N open, N missing`.
///
/// # Errors
/// Fails when one of its files cannot be read; what is missing or contradictory is reported by the exit status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = match &arguments.number {
        Some(text) => {
            Some(Number::parse(text).with_context(|| format!("`{text}` is no number such as T16 or A-h07"))?)
        }
        None => None,
    };
    let table = table(workspace)?;
    if let Some(path) = &arguments.json {
        fs::write(path, table.json()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!(
        "{}",
        table.render(|number, kind| {
            wanted.is_none_or(|wanted| wanted == number) && arguments.only.is_none_or(|only| only == kind)
        })
    );
    close(&table);
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the table of the present sources and outcomes.
///
/// # Errors
/// Fails when one of them cannot be read.
fn table(workspace: &Workspace) -> anyhow::Result<Table> {
    let requirements = requirements::read(workspace)?;
    let claims = claims::read(workspace)?;
    let reasons = reasons::read(workspace)?;
    Ok(Table::new(&requirements, &claims, &reasons, &results::read(workspace)?))
}

/// Prints the problems, and the closing line.
fn close(table: &Table) {
    for problem in table.problems() {
        println!("problem: {problem}");
    }
    println!("{}", table.closing_line());
}

/// The step of `ci`: prints what is missing and what is wrong, and the closing line.
///
/// # Errors
/// Fails when there is any.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let table = table(workspace)?;
    print!("{}", table.render(|_, kind| kind == Kind::Missing));
    close(&table);
    anyhow::ensure!(table.is_good(), "{}", table.closing_line());
    Ok(())
}
