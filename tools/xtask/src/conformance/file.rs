//! The layout of `tests/requirements.toml`: one table for each letter, and the two lists of numbers that no test
//! covers.
//!
//! [`requirements`](super::requirements) and [`reasons`](super::reasons) check the contents of the file.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use super::requirements::Requirement;
use crate::workspace::Workspace;

/// Where the file is, relative to the root.
pub(crate) const PATH: &str = "tests/requirements.toml";

/// The file as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct File {
    /// `[[without-counterpart]]`
    #[serde(default)]
    pub(crate) without_counterpart: Vec<WithoutCounterpart>,
    /// `[[not-yet]]`
    #[serde(default)]
    pub(crate) not_yet: Vec<NotYet>,
    /// `[T]`, `[R]`, `[I]`, `[D]`, `[A]`: the lines by the rest of their number.
    #[serde(flatten)]
    pub(crate) numbers: BTreeMap<String, BTreeMap<String, Requirement>>,
}

/// Numbers that cannot exist in this system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithoutCounterpart {
    /// A list with ranges: `T62 to T65, R33`.
    pub(crate) numbers: String,
    /// The reason, and what takes their place.
    pub(crate) why: String,
}

/// Numbers that wait for an ability of the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotYet {
    /// One of [`ABILITIES`](super::reasons::ABILITIES).
    pub(crate) ability: String,
    /// A list with ranges.
    pub(crate) numbers: String,
}

/// Reads the file.
///
/// # Errors
/// Fails when it is missing or malformed.
pub(crate) fn read(workspace: &Workspace) -> anyhow::Result<File> {
    let path = workspace.root().join(PATH);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).context(PATH)
}

/// Parses the text of the file.
pub(crate) fn parse(text: &str) -> anyhow::Result<File> {
    Ok(toml::from_str(text)?)
}
