//! The import graph of a crate: which of its files uses which name of which other file. Called by the rules of
//! [`super`].
//!
//! A path is followed to the file that defines its last name, through `use` items of other modules, so that a `mod.rs`
//! that only declares its modules and re-exports their names imports none of them. The output of macros is not
//! expanded: a path inside a macro's arguments is taken literally.

mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

use self::source::{Child, Contents, Use};

/// The most names that are followed for one path, which guards against cycles of names.
const MAX_STEPS: usize = 32;

/// A file that uses a name of another one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Import {
    /// The file that uses it, relative to the root.
    pub(super) from: PathBuf,
    pub(super) line: usize,
    /// The file that defines it.
    pub(super) to: PathBuf,
    /// The path, as it is written.
    pub(super) name: String,
    /// `true` if it is only re-exported, and not used in this file.
    pub(super) is_reexport: bool,
}

/// The modules of a crate.
#[derive(Debug, Default)]
struct Crate {
    modules: Vec<Module>,
    /// The modules that define names which paths reach by the root alone: exported macros.
    macros: BTreeMap<String, usize>,
}

/// A module.
#[derive(Debug)]
struct Module {
    /// Its file, relative to the root of the repository.
    file: PathBuf,
    parent: Option<usize>,
    /// Modules of one name are alternatives.
    children: Vec<(String, usize)>,
    contents: Contents,
}

/// Returns the imports of the crate whose root module is in the file `start`, relative to `root`.
///
/// # Errors
/// Fails when a file cannot be read or parsed.
pub(super) fn of_crate(root: &Path, start: &Path) -> anyhow::Result<Vec<Import>> {
    let mut all = Crate::default();
    let directory = start.parent().unwrap_or(Path::new(""));
    all.read(root, start, directory, None)?;
    Ok(all.imports())
}

impl Crate {
    /// Reads a file and those of its modules, which are in `directory`.
    fn read(
        &mut self,
        root: &Path,
        file: &Path,
        directory: &Path,
        parent: Option<usize>,
    ) -> anyhow::Result<usize> {
        let text =
            fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {}", file.display()))?;
        let contents = Contents::parse(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        self.add(root, file, directory, parent, contents)
    }

    /// Adds a module, with those inside it.
    fn add(
        &mut self,
        root: &Path,
        file: &Path,
        directory: &Path,
        parent: Option<usize>,
        mut contents: Contents,
    ) -> anyhow::Result<usize> {
        let children = std::mem::take(&mut contents.modules);
        let index = self.modules.len();
        self.macros.extend(contents.macros.iter().map(|name| (name.clone(), index)));
        self.modules.push(Module { file: file.to_path_buf(), parent, children: Vec::new(), contents });
        for child in children {
            let inner = directory.join(&child.name);
            let added = if let Some(contents) = child.contents {
                vec![self.add(root, file, &inner, Some(index), contents)?]
            } else {
                let mut added = Vec::new();
                for (file, inner) in files_of(root, file, directory, &child)? {
                    added.push(self.read(root, &file, &inner, Some(index))?);
                }
                added
            };
            self.modules[index].children.extend(added.into_iter().map(|added| (child.name.clone(), added)));
        }
        Ok(index)
    }

    /// Returns all imports, each once.
    fn imports(&self) -> Vec<Import> {
        let mut imports = BTreeSet::new();
        for (index, module) in self.modules.iter().enumerate() {
            let mut add = |path: &[String], line: usize, is_reexport: bool| {
                // A module is imported by the paths that begin with its name, each where it leads.
                if self.is_module(index, path) {
                    return;
                }
                for to in self.targets(index, path) {
                    if to == module.file {
                        continue;
                    }
                    let (from, name) = (module.file.clone(), path.join("::"));
                    imports.insert(Import { from, line, to: to.to_path_buf(), name, is_reexport });
                }
            };
            for import in &module.contents.uses {
                add(&import.path, import.line, import.is_reexport);
            }
            for (path, line) in &module.contents.paths {
                add(path, *line, false);
            }
        }
        imports.into_iter().collect()
    }

    /// Returns the files that define what `path` means in a module.
    fn targets(&self, module: usize, path: &[String]) -> BTreeSet<&Path> {
        let found = self.resolve(module, path, MAX_STEPS);
        found.into_iter().map(|found| self.modules[found].file.as_path()).collect()
    }

    /// Returns whether a path is that of a module.
    fn is_module(&self, module: usize, path: &[String]) -> bool {
        let Some((last, before)) = path.split_last() else { return false };
        let holders = match before {
            [] => vec![module],
            before => self.resolve(module, before, MAX_STEPS),
        };
        holders.iter().any(|holder| self.children(*holder, last).next().is_some())
            || matches!(&**last, "self" | "super" | "crate")
    }

    fn children(&self, module: usize, name: &str) -> impl Iterator<Item = usize> {
        self.modules[module].children.iter().filter(move |(child, _)| child == name).map(|(_, child)| *child)
    }

    /// Returns the modules that define what `path` means in `module`; none if that is no name of this crate.
    fn resolve(&self, module: usize, path: &[String], steps: usize) -> Vec<usize> {
        let mut at = module;
        let mut rest = path;
        while let Some((first, more)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.modules[at].parent.unwrap_or(0),
                _ => break,
            };
            rest = more;
        }
        let found = self.inside(at, rest, steps);
        // What a macro defines is where the path leads.
        if found.is_empty() && rest.len() < path.len() { vec![at] } else { found }
    }

    /// Returns the modules that define the name `path` of the module `at`.
    fn inside(&self, at: usize, path: &[String], steps: usize) -> Vec<usize> {
        let Some((first, rest)) = path.split_first() else { return vec![at] };
        if steps == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for child in self.children(at, first) {
            let inner = self.inside(child, rest, steps - 1);
            if !inner.is_empty() {
                found.extend(inner);
            } else if !self.modules[child].contents.names_crate(rest) {
                // As above.
                found.push(child);
            }
        }
        let module = &self.modules[at];
        if found.is_empty() && module.contents.items.contains(first) {
            found.push(at);
        }
        let follow = |import: &Use, rest: &[String]| {
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            // A name that stands for itself is another crate's.
            if whole == path { Vec::new() } else { self.resolve(at, &whole, steps - 1) }
        };
        if found.is_empty() {
            let named = module.contents.uses.iter().filter(|import| import.name.as_ref() == Some(first));
            found.extend(named.flat_map(|import| follow(import, rest)));
        }
        if found.is_empty() {
            let globs = module.contents.uses.iter().filter(|import| import.name.is_none());
            found.extend(globs.flat_map(|import| follow(import, path)));
        }
        if found.is_empty() && at == 0 {
            found.extend(self.macros.get(first));
        }
        found
    }
}

/// Returns the files of a module that is written elsewhere, each with the directory of its own modules.
///
/// # Errors
/// Fails when there is none.
fn files_of(
    root: &Path,
    declared: &Path,
    directory: &Path,
    child: &Child,
) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let beside = declared.parent().unwrap_or(Path::new(""));
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in &child.paths {
        let file = normal(&beside.join(path));
        // Modules of such a file are beside it.
        let inner = file.parent().unwrap_or(Path::new("")).to_path_buf();
        files.push((file, inner));
    }
    if !child.is_placed {
        let inner = directory.join(&child.name);
        let usual = [inner.with_extension("rs"), inner.join("mod.rs")];
        let exists = |file: &&PathBuf| root.join(file).is_file();
        files.extend(usual.iter().find(exists).map(|file| (file.clone(), inner.clone())));
    }
    anyhow::ensure!(!files.is_empty(), "{}: there is no file of module {}", declared.display(), child.name);
    Ok(files)
}

/// Returns a path without `..` in it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
