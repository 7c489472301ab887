//! The command `new`: a project outside this repository, made from a template in `tools/template`, which is run and
//! tested with the same two commands.
//!
//! The templates are projects themselves, called `hello` and `count-primes`, that expect Asphodel at `../asphodel`;
//! here they get another name and the path to this checkout.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::source_tree;
use crate::workspace::Workspace;

/// Where the templates expect Asphodel.
const ASPHODEL: &str = "../asphodel";

/// The template of a project.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Template {
    /// A program linked with the kernel, and a test image.
    Kernel,
    /// A program for `std`, with its tests.
    Std,
}

impl Template {
    /// Returns its directory in `tools/template`, and the name that it has there: in code, a `-` of the name is written
    /// `_`.
    fn directory_and_name(self) -> (&'static str, &'static str) {
        match self {
            Self::Kernel => ("kernel", "hello"),
            Self::Std => ("std", "count-primes"),
        }
    }
}

/// Arguments of `new`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where it is made; the last component is its name
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,
    /// A program for Rust's `std`, instead of one that is linked with the kernel
    #[arg(long)]
    pub(crate) std: bool,
}

/// The command `new`.
///
/// # Errors
/// Fails when the name is not valid for a crate, when the path exists, or it cannot be written; nothing is left then.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let template = if arguments.std { Template::Std } else { Template::Kernel };
    make(workspace, &arguments.path, template)?;
    let path = arguments.path.display();
    println!("made {path}; in it:\n    cargo xtask run\n    cargo xtask test\n{path}/README.md has the rest");
    Ok(ExitCode::SUCCESS)
}

/// Makes a project at `path`, named by its last component.
///
/// # Errors
/// Same as `run`.
pub(crate) fn make(workspace: &Workspace, path: &Path, template: Template) -> anyhow::Result<()> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("the path has no name in UTF-8 at its end")?;
    check_name(name)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent).with_context(|| format!("there is no {}", parent.display()))?;
    let target = parent.join(name);
    ensure!(fs::symlink_metadata(&target).is_err(), "{} is there already", target.display());
    let root = fs::canonicalize(workspace.root())?;
    ensure!(
        !target.starts_with(&root),
        "{} lies inside Asphodel itself: take a place outside",
        target.display()
    );

    // Made beside the target, and moved there when it is complete.
    let place = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(&parent);
    let place = place.with_context(|| format!("cannot write to {}", parent.display()))?;
    let made = place.path().join(name);
    let (directory, old) = template.directory_and_name();
    source_tree::copy(&root.join("tools/template").join(directory), &made)?;
    let way = way(&target, &root);
    let way = way.to_str().context("the way to Asphodel is not UTF-8")?;
    ensure!(!way.contains(['"', '\\', '\n']), "the way to Asphodel, {way}, cannot be written in TOML");
    let (old_identifier, identifier) = (old.replace('-', "_"), name.replace('-', "_"));
    source_tree::change_texts(&made, &|text| {
        let text = text.replace(ASPHODEL, way).replace(old, name);
        if old == old_identifier { text } else { text.replace(&old_identifier, &identifier) }
    })?;
    if template == Template::Kernel {
        // The very versions with which Asphodel was tested; cargo drops those that the project does not use.
        fs::copy(root.join("Cargo.lock"), made.join("Cargo.lock"))?;
    }
    fs::rename(&made, &target).with_context(|| format!("cannot make {}", target.display()))
}

/// Returns the path from a project at `target` to `root`, both absolute: a relative one, so that both can be moved
/// together.
fn way(target: &Path, root: &Path) -> PathBuf {
    let common = target.components().zip(root.components()).take_while(|(one, other)| one == other).count();
    let up = target.components().skip(common).map(|_| Component::ParentDir);
    up.chain(root.components().skip(common)).collect()
}

/// Names that a crate cannot have: keywords, and crates that every program has.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv proc_macro pub ref return self static std \
    struct super test trait true try type typeof unsafe unsized use virtual where while yield";

/// Checks that a crate can have this name, by cargo's rules and beside Asphodel's own.
fn check_name(name: &str) -> anyhow::Result<()> {
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let consists = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    if !begins || !consists {
        bail!(
            "a crate cannot be called `{name}`: letters, digits, `-` and `_`, and no digit or `-` at the beginning"
        );
    }
    let taken = TAKEN.split_whitespace().any(|word| word == name.replace('-', "_"));
    ensure!(!taken && name != "_", "a crate cannot be called `{name}`: the name has a meaning in Rust");
    ensure!(!name.starts_with("asphodel"), "`{name}` could be one of Asphodel's own crates");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["hello", "my-program", "_x", "a1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "1a", "-a", "a b", "a.b", "größe", "fn", "std", "test", "_", "asphodel-x", "proc-macro"]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_way_is_relative() {
        let way = |target: &str, root: &str| way(Path::new(target), Path::new(root)).display().to_string();
        assert_eq!(way("/a/b/project", "/a/b/asphodel"), "../asphodel");
        assert_eq!(way("/a/project", "/c/asphodel"), "../../c/asphodel");
        assert_eq!(way("/a/b/c/project", "/a"), "../../..");
    }

    #[test]
    fn a_project_has_its_name_and_finds_asphodel() {
        let workspace = Workspace::find().unwrap();
        let directory = tempfile::tempdir().unwrap();
        for (template, name) in [(Template::Kernel, "my-kernel"), (Template::Std, "my-std")] {
            let project = directory.path().join(name);
            make(&workspace, &project, template).unwrap();
            let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{manifest}");
            let configuration = fs::read_to_string(project.join(".cargo/config.toml")).unwrap();
            let configuration: toml::Table = configuration.parse().unwrap();
            let way = configuration["alias"]["xtask"][3].as_str().unwrap().to_string();
            assert!(project.join(&way).is_file(), "{way}");
            let (_, old) = template.directory_and_name();
            source_tree::change_texts(&project, &|text| {
                assert!(way == ASPHODEL || !text.contains(&format!("\"{ASPHODEL}")), "{text}");
                assert!(!text.contains(old) || text.contains("[[package]]"), "{text}");
                text.to_string()
            })
            .unwrap();
        }
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left() {
        let workspace = Workspace::find().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        fs::write(&there, "mine").unwrap();
        assert!(make(&workspace, &there, Template::Kernel).is_err());
        assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
        assert!(make(&workspace, &directory.path().join("none/project"), Template::Kernel).is_err());
        assert!(make(&workspace, &workspace.root().join("tools/project"), Template::Kernel).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
