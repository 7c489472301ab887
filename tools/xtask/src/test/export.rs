//! Test images for other tools: the built files in a directory, with a manifest of how each is booted and judged.
//!
//! `image --tests` writes it; `tools/lab` reads it. The manifest is a JSON list of [`Entry`].

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::declare::{Ending, Expected};
use super::images::{self, TestImage};
use super::runner;
use crate::build::Profile;
use crate::progress::note;
use crate::setup::Environment;
use crate::workspace::Workspace;

/// The name of the manifest in its directory.
const MANIFEST: &str = "manifest.json";

/// The manifest's entry of one image.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    /// Its name.
    name: &'a str,
    /// Its flat image, in the manifest's directory.
    file: String,
    /// Boot arguments that it needs; empty for none.
    append: &'a str,
    /// Its required outcome, in the words of its source's `expect:` lines; empty when all its tests must pass.
    expect: Vec<String>,
    /// Seconds from the start that it may take.
    deadline: u64,
}

/// Builds the test images whose names are `wanted`, and writes them and the manifest.
///
/// # Errors
/// Fails when there is no such image, one does not build, or a file cannot be written.
pub(crate) fn write(
    workspace: &Workspace,
    environment: &Environment,
    out: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let mut images = images::own_tests(workspace)?;
    images.retain(|image| wanted(&image.name));
    anyhow::ensure!(!images.is_empty(), "no test image has such a name");
    let programs = runner::build(workspace, environment, &images, Profile::Images)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let entries: Vec<_> = images.iter().map(entry).collect();
    for (entry, program) in entries.iter().zip(&programs) {
        let to = out.join(&entry.file);
        fs::copy(&program.image, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let manifest = out.join(MANIFEST);
    fs::write(&manifest, serde_json::to_string_pretty(&entries)?)
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    note(&format!("{}: {} images", manifest.display(), entries.len()));
    Ok(())
}

/// Returns the manifest's entry of an image.
fn entry(image: &TestImage) -> Entry<'_> {
    Entry {
        name: &image.name,
        file: format!("{}.img", image.name),
        append: image.declaration.append.as_deref().unwrap_or_default(),
        expect: expectations(&image.declaration.expected),
        deadline: runner::deadline(image, None).as_secs(),
    }
}

/// Returns what is expected, as a source declares it.
fn expectations(expected: &Expected) -> Vec<String> {
    let word = |ending: &Ending| match ending {
        Ending::Pass => "pass",
        Ending::Fail => "fail",
        Ending::Panic => "panic",
        Ending::Hang => "hang",
        Ending::Leak => "leak",
    };
    match expected {
        Expected::Success => Vec::new(),
        Expected::Endings(endings) => {
            endings.iter().map(|(name, ending)| format!("{} {name}", word(ending))).collect()
        }
        Expected::NoReport => vec!["no-report".into()],
        Expected::NoVerdict => vec!["no-verdict".into()],
        Expected::SystemPanic => vec!["system-panic".into()],
        Expected::InitEnds(status) => vec![format!("init-ends {status}")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::declare;
    use super::*;

    #[test]
    fn the_manifest_says_what_the_source_declares() {
        for declared in [
            "fail a.b|hang c|panic d|leak e|pass f",
            "no-verdict",
            "no-report",
            "system-panic",
            "init-ends 134",
        ] {
            let source: String =
                declared.split('|').map(|words| format!("//! expect: {words}\n")).collect::<String>()
                    + "//! append: watchdog=1\n//! deadline: 7\n";
            let image = TestImage {
                name: "i".into(),
                manifest: "/m".into(),
                source: "/s".into(),
                declaration: declare::read(&source).unwrap(),
            };
            let entry = serde_json::to_value(entry(&image)).unwrap();
            let expect: Vec<_> = declared.split('|').collect();
            let right = serde_json::json!({
                "name": "i", "file": "i.img", "append": "watchdog=1", "expect": expect, "deadline": 7
            });
            assert_eq!(entry, right);
        }
    }

    #[test]
    fn nothing_declared_is_nothing_expected_but_success() {
        assert!(expectations(&Expected::Success).is_empty());
    }
}
