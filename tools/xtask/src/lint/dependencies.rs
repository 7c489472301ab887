//! Every dependency must be used: the code of a package must name what its manifest names, some package must name what
//! the workspace declares, and the required crates must be among them.
//!
//! A dependency counts as used if a path in the package's code begins with its name, also within a macro's tokens. Text
//! in a comment or a string does not count. A module of the package that has the name of a dependency hides that it is
//! unused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ItemExternCrate, ItemUse, Macro, MetaList, UseTree};
use toml::{Table, Value};

use crate::workspace::Workspace;

/// The required crates, each to be used for its job.
const GIVEN: &[&str] = &["aarch64-cpu", "tock-registers", "spin", "embedded-alloc", "arm-gic", "smccc"];

/// The tables of a manifest that name dependencies.
const TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// The name of a manifest, including the workspace's.
const MANIFEST: &str = "Cargo.toml";

/// Returns the unused dependencies of the whole workspace, a line each.
///
/// # Errors
/// Fails when a manifest or a source cannot be read or understood.
pub(crate) fn unused(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let root = manifest(&workspace.root().join(MANIFEST))?;
    let shared = root.get("workspace").and_then(Value::as_table).context("Cargo.toml has no workspace")?;
    let members = shared.get("members").and_then(Value::as_array).context("the workspace has no members")?;
    let mut packages = BTreeMap::new();
    for member in members.iter().filter_map(Value::as_str) {
        packages.insert(PathBuf::from(member), manifest(&workspace.root().join(member).join(MANIFEST))?);
    }
    let mut named = named_by_packages(workspace)?;
    let mut unused = Vec::new();
    for (directory, manifest) in &packages {
        let named = named.remove(directory).unwrap_or_default();
        let place = directory.join(MANIFEST);
        unused
            .extend(unused_by(manifest, &named).map(|name| {
                format!("{}: the package does not use its dependency `{name}`", place.display())
            }));
    }
    unused.extend(unused_of_workspace(shared, packages.values()));
    Ok(unused)
}

/// Returns what the code of each package names, by the package's directory. A source belongs to the nearest manifest
/// above it.
fn named_by_packages(workspace: &Workspace) -> anyhow::Result<BTreeMap<PathBuf, BTreeSet<String>>> {
    let files = super::sources(workspace)?;
    let directories: BTreeSet<&Path> =
        files.iter().filter(|file| file.ends_with(MANIFEST)).filter_map(|file| file.parent()).collect();
    let mut named: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(workspace.root().join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let code = syn::parse_file(&text).with_context(|| format!("{} cannot be parsed", file.display()))?;
        let Some(package) = file.ancestors().skip(1).find(|directory| directories.contains(directory)) else {
            continue;
        };
        let mut names = Names(named.remove(package).unwrap_or_default());
        names.visit_file(&code);
        named.insert(package.to_path_buf(), names.0);
    }
    Ok(named)
}

/// Reads a manifest.
fn manifest(path: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
}

/// Returns the dependencies of a manifest, for all targets: name and value.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let tables =
        targets.chain([manifest]).flat_map(|part| TABLES.iter().filter_map(|table| part.get(*table)));
    tables.filter_map(Value::as_table).flatten()
}

/// Returns the dependencies that a package does not use, if its code names `named`.
fn unused_by(manifest: &Table, named: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let declared: BTreeSet<&String> = dependencies(manifest).map(|(name, _)| name).collect();
    declared.into_iter().filter(|name| !named.contains(&name.replace('-', "_"))).cloned()
}

/// Returns what the workspace declares and no member names, and the required crates that no member has.
fn unused_of_workspace<'a>(shared: &Table, members: impl Iterator<Item = &'a Table>) -> Vec<String> {
    let inherits = |said: &Value| said.get("workspace").and_then(Value::as_bool) == Some(true);
    let inherited: BTreeSet<&str> = members
        .flat_map(dependencies)
        .filter(|(_, said)| inherits(said))
        .map(|(name, _)| name.as_str())
        .collect();
    let declared = shared.get("dependencies").and_then(Value::as_table);
    let declared =
        declared.into_iter().flat_map(Table::keys).filter(|name| !inherited.contains(name.as_str()));
    let unused =
        declared.map(|name| format!("{MANIFEST}: no package takes the workspace's dependency `{name}`"));
    let given = GIVEN.iter().filter(|name| !inherited.contains(**name));
    let missing = given.map(|name| format!("{MANIFEST}: no package uses the given crate `{name}`"));
    unused.chain(missing).collect()
}

/// The first names of all paths in code.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn add(&mut self, name: &dyn ToString) {
        self.0.insert(name.to_string());
    }

    /// Adds the first names in an import.
    fn import(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.add(&path.ident),
            UseTree::Name(name) => self.add(&name.ident),
            UseTree::Rename(renamed) => self.add(&renamed.ident),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree)),
            UseTree::Glob(_) => {}
        }
    }

    /// Adds the first names of what looks like a path in tokens that are not parsed: `name::` that follows no `::`.
    fn tokens(&mut self, tokens: &TokenStream) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let colons = |at: usize| {
            let colon =
                |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
            colon(at) && colon(at + 1)
        };
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                // After a leading `::` the name is the first one, too.
                TokenTree::Ident(name) if colons(at + 1) => {
                    let continues =
                        at >= 3 && colons(at - 2) && matches!(tokens[at - 3], TokenTree::Ident(_));
                    if !continues {
                        self.add(name);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.add(&item.ident);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(&path.segments[0].ident);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.tokens(&called.tokens);
        visit::visit_macro(self, called);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(&list.tokens);
        visit::visit_meta_list(self, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<String> {
        let mut names = Names::default();
        names.visit_file(&syn::parse_file(code).unwrap());
        names.0.into_iter().collect()
    }

    #[test]
    fn a_path_names_what_it_begins_with() {
        assert_eq!(named("use a::{b::c, d};\nuse {e::f, g as h};\nextern crate i;"), ["a", "e", "g", "i"]);
        assert_eq!(named("fn f(x: a::B<c::D>) -> ::e::F { h(); i::j() }"), ["a", "c", "e", "i"]);
        assert_eq!(named("#[a::b]\n#[derive(c::D, E)]\nstruct S;"), ["a", "c"]);
        assert_eq!(named("fn f() { x!(a::b::c(1), [::d::e]; g: h) }"), ["a", "d"]);
    }

    #[test]
    fn text_names_nothing() {
        assert!(named("//! a::b\n/// See [`c::d`].\nfn f() { g(\"e::f\"); /* h::i */ }").is_empty());
    }

    #[test]
    fn an_unused_dependency_is_found() {
        let manifest = toml::from_str(
            "[dependencies]\na-b = \"1\"\nc.workspace = true\n[dev-dependencies]\nd = \"1\"\n\
             [target.'cfg(x)'.dependencies]\ne = { version = \"1\" }\n",
        );
        let manifest = manifest.unwrap();
        let unused = |names: &[&str]| -> Vec<String> {
            unused_by(&manifest, &names.iter().map(ToString::to_string).collect()).collect()
        };
        assert!(unused(&["a_b", "c", "d", "e"]).is_empty());
        assert_eq!(unused(&["c"]), ["a-b", "d", "e"]);
    }

    #[test]
    fn what_the_workspace_declares_is_taken() {
        let member: Table = toml::from_str("[dependencies]\na.workspace = true\nb = \"1\"\n").unwrap();
        let shared: Table = toml::from_str("[dependencies]\na = \"1\"\nb = \"1\"\n").unwrap();
        let found = unused_of_workspace(&shared, [&member].into_iter());
        assert_eq!(found[0], "Cargo.toml: no package takes the workspace's dependency `b`");
        assert_eq!(found[1..].len(), GIVEN.len());
    }

    #[test]
    fn the_given_crates_are_asked_for() {
        let mut dependencies = Table::new();
        let taken: Table = toml::from_str("workspace = true").unwrap();
        for name in &GIVEN[1..] {
            dependencies.insert((*name).into(), taken.clone().into());
        }
        let member = Table::from_iter([("dependencies".to_string(), dependencies.into())]);
        let found = unused_of_workspace(&Table::new(), [&member].into_iter());
        assert_eq!(found, [format!("Cargo.toml: no package uses the given crate `{}`", GIVEN[0])]);
    }
}
