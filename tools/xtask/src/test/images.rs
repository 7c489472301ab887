//! The list of images: the binaries of a package, with what their sources declare, and a filter over them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cargo_metadata::{Metadata, TargetKind};

use super::declare::{self, Declaration, Expected};
use crate::process;
use crate::workspace::Workspace;

/// The package on which a package with test images depends.
const TEST_LIBRARY: &str = "asphodel-test";

/// The beginning of the names of bench images, which are measured, not tested.
const BENCH_PREFIX: &str = "bench_";

/// The beginning of the names of images that are declared to end badly.
const SELF_TEST_PREFIX: &str = "selftest_";

/// An image that can be built and run.
#[derive(Clone, Debug)]
pub(crate) struct TestImage {
    /// The name of the binary.
    pub(crate) name: String,
    /// The manifest of its package.
    pub(crate) manifest: PathBuf,
    /// Its source.
    pub(crate) source: PathBuf,
    /// What its source declares.
    pub(crate) declaration: Declaration,
}

impl TestImage {
    /// Returns why it cannot run on the hosted machine, if it cannot.
    pub(crate) fn not_host(&self) -> Option<&str> {
        let loads = (!self.declaration.programs.is_empty()).then_some("it loads programs for aarch64");
        let counts = self
            .declaration
            .counts_instructions
            .then_some("it counts instructions, and CPUs of Linux do not");
        self.declaration.not_host.as_deref().or(loads).or(counts)
    }
}

/// Returns the project's own test images.
///
/// # Errors
/// Fails when a file of `tests/images` is not a binary of the package, or a declaration is not understood.
pub(crate) fn own_tests(workspace: &Workspace) -> anyhow::Result<Vec<TestImage>> {
    let images = binaries(workspace, &workspace.images_manifest())?;
    let forgotten = unlisted(&workspace.root().join("tests/images"), &images);
    if !forgotten.is_empty() {
        bail!("tests/Cargo.toml has no [[bin]] for: {}", forgotten.join(", "));
    }
    Ok(images.into_iter().filter(|image| !is_bench(image)).collect())
}

/// Returns the project's own bench images.
///
/// # Errors
/// Fails when the package cannot be read.
pub(crate) fn own_benches(workspace: &Workspace) -> anyhow::Result<Vec<TestImage>> {
    Ok(binaries(workspace, &workspace.images_manifest())?.into_iter().filter(is_bench).collect())
}

/// Returns the test images of another crate.
///
/// # Errors
/// Fails when the manifest cannot be read or has no test images.
pub(crate) fn of_manifest(workspace: &Workspace, manifest: &Path) -> anyhow::Result<Vec<TestImage>> {
    let manifest =
        fs::canonicalize(manifest).with_context(|| format!("there is no {}", manifest.display()))?;
    let images: Vec<TestImage> =
        binaries(workspace, &manifest)?.into_iter().filter(|image| !is_bench(image)).collect();
    if images.is_empty() {
        bail!("{}: no package depends on {TEST_LIBRARY} and has a binary", manifest.display());
    }
    Ok(images)
}

/// Returns whether an image is measured, not tested.
fn is_bench(image: &TestImage) -> bool {
    image.name.starts_with(BENCH_PREFIX)
}

/// Returns the files of the project's image directories that its package does not list.
///
/// # Errors
/// Fails when the package cannot be read.
pub(crate) fn forgotten(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let images = binaries(workspace, &workspace.images_manifest())?;
    let directories = ["tests/images", "tests/bench"].map(|directory| workspace.root().join(directory));
    Ok(directories.iter().flat_map(|directory| unlisted(directory, &images)).collect())
}

/// Returns the test images of a manifest's package, or of all packages of its workspace when it has no tests itself.
fn binaries(workspace: &Workspace, manifest: &Path) -> anyhow::Result<Vec<TestImage>> {
    let metadata = metadata(workspace, manifest)?;
    let own = |package: &cargo_metadata::Package| package.manifest_path.as_std_path() == manifest;
    let one = metadata.packages.iter().any(|package| own(package) && has_tests(package));
    let mut images = Vec::new();
    for package in metadata.packages.iter().filter(|package| has_tests(package) && (!one || own(package))) {
        for target in package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Bin)) {
            let source = target.src_path.clone().into_std_path_buf();
            let declaration = declaration(&target.name, &source)?;
            let manifest = package.manifest_path.clone().into_std_path_buf();
            images.push(TestImage { name: target.name.clone(), manifest, source, declaration });
        }
    }
    images.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(images)
}

/// Returns whether the binaries of a package are test images.
fn has_tests(package: &cargo_metadata::Package) -> bool {
    package.dependencies.iter().any(|dependency| dependency.name == TEST_LIBRARY)
}

/// Returns cargo's description of a manifest.
///
/// # Errors
/// Fails when cargo cannot read it.
pub(crate) fn metadata(workspace: &Workspace, manifest: &Path) -> anyhow::Result<Metadata> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!(
            "cargo cannot read {}:\n{}",
            manifest.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns what an image's source declares.
fn declaration(name: &str, source: &Path) -> anyhow::Result<Declaration> {
    let text = fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
    let declaration = declare::read(&text).with_context(|| source.display().to_string())?;
    if name.starts_with(SELF_TEST_PREFIX) && declaration.expected == Expected::Success {
        bail!("{} has no `//! expect:` line", source.display());
    }
    Ok(declaration)
}

/// Returns the `.rs` files of a directory that are the source of no image.
fn unlisted(directory: &Path, images: &[TestImage]) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.retain(|path| !images.iter().any(|image| image.source == *path));
    files.sort();
    files.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

/// The beginning of a test in the source of an image.
pub(crate) const TEST_MACRO: &str = "test!(";

/// Returns the names of the tests in the source of an image, in order.
pub(crate) fn tests_in(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begun = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix(TEST_MACRO)?)));
    begun.filter_map(|(at, rest)| Some(test_in_macro(rest, &lines[at + 1..])?.0)).collect()
}

/// Returns the name and the comment of a test in `test!(..)`; `rest` follows the parenthesis on its line.
pub(crate) fn test_in_macro<'a>(rest: &'a str, after: &[&'a str]) -> Option<(String, Vec<&'a str>)> {
    let mut comment = Vec::new();
    for line in std::iter::once(&rest).chain(after) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if !(line.is_empty() || line.starts_with("//") || line.starts_with("#[")) {
            return Some((identifier(line)?, comment));
        }
    }
    None
}

/// Returns the identifier that a text begins with.
pub(crate) fn identifier(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_string())
}

/// Returns whether a character may be part of a test's name. All of them can be part of a boot argument.
fn is_of_a_name(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// The selection by `--filter`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Filter {
    image: Option<String>,
    test: Option<String>,
}

impl Filter {
    /// Parses `IMAGE` or `IMAGE/TEST`; either part may be empty.
    pub(crate) fn new(pattern: Option<&str>) -> Self {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_string());
        match pattern.map(|pattern| pattern.split_once('/').unwrap_or((pattern, ""))) {
            Some((image, test)) => Self { image: part(image), test: part(test) },
            None => Self::default(),
        }
    }

    /// Returns whether it selects tests inside images.
    pub(crate) fn is_inside_images(&self) -> bool {
        self.test.is_some()
    }

    /// Returns the images that match.
    ///
    /// # Errors
    /// Fails when tests inside images are requested and no image is left, or no test can have such a name.
    pub(crate) fn select(&self, images: Vec<TestImage>) -> anyhow::Result<Vec<TestImage>> {
        if let Some(test) = self.test.as_ref().filter(|test| !test.chars().all(is_of_a_name)) {
            bail!("--filter: no test has {test:?} in its name, because that is the name of a function");
        }
        let Some(pattern) = &self.image else { return Ok(images) };
        let left: Vec<TestImage> = images.into_iter().filter(|image| image.name.contains(pattern)).collect();
        if left.is_empty() && self.test.is_some() {
            bail!("no image has {pattern:?} in its name");
        }
        Ok(left)
    }

    /// Returns whether a test inside an image matches.
    pub(crate) fn selects(&self, test: &str) -> bool {
        self.test.as_ref().is_none_or(|pattern| test.contains(pattern))
    }

    /// Returns the boot argument that makes the guest select its tests.
    pub(crate) fn boot_argument(&self) -> Option<String> {
        self.test.as_ref().map(|test| format!("filter={test}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> TestImage {
        let source = PathBuf::from(format!("/p/{name}.rs"));
        TestImage {
            name: name.into(),
            manifest: "/p/Cargo.toml".into(),
            source,
            declaration: Declaration::default(),
        }
    }

    #[test]
    fn what_loads_programs_cannot_run_on_the_host() {
        let mut image = image("i");
        assert_eq!(image.not_host(), None);
        image.declaration.programs.push("hello".into());
        assert!(image.not_host().is_some_and(|reason| reason.contains("aarch64")));
        image.declaration.not_host = Some("why".into());
        assert_eq!(image.not_host(), Some("why"));
    }

    fn names(images: &[TestImage]) -> Vec<&str> {
        images.iter().map(|image| image.name.as_str()).collect()
    }

    #[test]
    fn a_pattern_selects_images_by_name() {
        let images = vec![image("exit_code"), image("wait_any")];
        assert_eq!(names(&Filter::new(Some("exit")).select(images.clone()).unwrap()), ["exit_code"]);
        assert_eq!(Filter::new(None).select(images.clone()).unwrap().len(), 2);
        assert!(Filter::new(Some("nothing")).select(images).unwrap().is_empty());
    }

    #[test]
    fn a_pattern_with_a_slash_goes_inside() {
        let filter = Filter::new(Some("exit/code"));
        assert!(filter.is_inside_images());
        assert_eq!(filter.boot_argument().as_deref(), Some("filter=code"));
        assert!(filter.select(vec![image("wait_any")]).is_err());
        for test in ["second is", "a=b ", "a\tb", "--"] {
            let filter = Filter::new(Some(&format!("exit/{test}")));
            let error = filter.select(vec![image("exit_code")]).unwrap_err().to_string();
            assert!(error.contains("no test has"), "{error}");
        }
        assert_eq!(Filter::new(Some("/code")).select(vec![image("wait_any")]).unwrap().len(), 1);
    }

    #[test]
    fn the_tests_of_a_source_are_found() {
        let source = "test!(one, {});\ntest!(\n    /// Why.\n    #[x]\n    two -> Result<(), E>,\n    {}\n);\n// test!(no)";
        assert_eq!(tests_in(source), ["one", "two"]);
        let filter = Filter::new(Some("/tw"));
        assert!(filter.selects("two") && !filter.selects("one") && Filter::default().selects("one"));
    }

    #[test]
    fn files_that_are_no_binary_are_found() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.rs", "b.rs", "notes.txt"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let mut listed = image("a");
        listed.source = directory.path().join("a.rs");
        assert_eq!(unlisted(directory.path(), &[listed]), ["b.rs"]);
    }

    #[test]
    fn a_self_test_must_declare_its_ending() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("selftest_x.rs");
        fs::write(&source, "//! Fails.\n").unwrap();
        assert!(declaration("selftest_x", &source).is_err());
        fs::write(&source, "//! Fails.\n//! expect: fail x\n").unwrap();
        assert!(declaration("selftest_x", &source).is_ok());
    }
}
