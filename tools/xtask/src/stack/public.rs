//! The public functions of the kernel's `api`, and whether the test image calls each of them at every depth of the stack.
//!
//! What that image calls is also what is found in its code, with a probe or without. A `const fn` makes a value and
//! needs neither.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use syn::{ImplItem, Item, ItemFn, ItemImpl, Signature, Type, UseTree, Visibility};

use super::table::Table;

/// The kernel's sources, its interface, and the module of that which is exported whole.
const KERNEL: &str = "src/kernel/src";
const API: &str = "api.rs";
const FILES: &str = "proc/state/files.rs";

/// The list of what the test image calls.
const TEST: &str = "tests/images/stack_end.rs";
const LIST: (&str, &str) = ("const SERVICES", "\n];");

/// Returns a problem for each public function that is neither called nor listed.
///
/// # Errors
/// Fails when a source cannot be read or parsed.
pub(super) fn uncalled(root: &Path, table: &Table) -> anyhow::Result<Vec<String>> {
    let kernel = root.join(KERNEL);
    let exported = Exported::of(&parsed(&kernel.join(API))?);
    let mut functions: BTreeSet<String> = exported.functions.clone();
    functions.extend(free_functions(&parsed(&kernel.join(FILES))?).map(|name| format!("files::{name}")));
    for path in sources(&kernel)? {
        let methods = methods(&parsed(&path)?, &exported.types);
        functions.extend(methods);
    }
    let test = std::fs::read_to_string(root.join(TEST)).with_context(|| format!("cannot read {TEST}"))?;
    let called = called(&test)?;
    let is_called = |function: &&String| {
        let name = function.rsplit("::").next().unwrap_or_default();
        !called.contains(name) && !table.is_uncalled(function)
    };
    let missing = functions.iter().filter(is_called);
    Ok(missing.map(|function| format!("api: {TEST} does not call {function} at every depth")).collect())
}

/// What `api` exports of the kernel, with the functions of its own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Exported {
    functions: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Exported {
    fn of(file: &syn::File) -> Self {
        let mut exported = Self::default();
        exported.functions.extend(free_functions(file));
        for item in &file.items {
            if let Item::Use(item) = item
                && is_public(&item.vis)
                && let UseTree::Path(path) = &item.tree
                && path.ident == "crate"
            {
                exported.add(&path.tree);
            }
        }
        // The functions of this module are counted one by one.
        exported.functions.remove("files");
        exported
    }

    /// Adds what a declaration exports.
    fn add(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.add(&path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree)),
            UseTree::Name(name) => self.add_name(&name.ident.to_string()),
            UseTree::Rename(rename) => self.add_name(&rename.rename.to_string()),
            UseTree::Glob(_) => {}
        }
    }

    /// Adds one name: functions have no capital, constants nothing else.
    fn add_name(&mut self, name: &str) {
        if !name.contains(|letter: char| letter.is_ascii_uppercase()) {
            self.functions.insert(name.into());
        } else if name.contains(|letter: char| letter.is_ascii_lowercase()) {
            self.types.insert(name.into());
        }
    }
}

/// Returns the public functions of a file that are not `const`.
fn free_functions(file: &syn::File) -> impl Iterator<Item = String> {
    file.items.iter().filter_map(|item| match item {
        Item::Fn(ItemFn { vis, sig, .. }) => public_name(vis, sig),
        _ => None,
    })
}

/// Returns the public methods of these types in a file that are not `const`.
fn methods(file: &syn::File, types: &BTreeSet<String>) -> Vec<String> {
    let of_types = |item: &Item| match item {
        Item::Impl(item @ ItemImpl { trait_: None, .. }) => {
            let name = type_name(&item.self_ty).filter(|name| types.contains(name))?;
            let names = item.items.iter().filter_map(|item| match item {
                ImplItem::Fn(function) => public_name(&function.vis, &function.sig),
                _ => None,
            });
            Some(names.map(|function| format!("{name}::{function}")).collect::<Vec<String>>())
        }
        _ => None,
    };
    file.items.iter().filter_map(of_types).flatten().collect()
}

fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

fn public_name(visibility: &Visibility, signature: &Signature) -> Option<String> {
    (is_public(visibility) && signature.constness.is_none()).then(|| signature.ident.to_string())
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Returns the names in the list of what the test image calls.
fn called(test: &str) -> anyhow::Result<BTreeSet<String>> {
    let (_, rest) = test.split_once(LIST.0).context("the test has no list of services")?;
    let (list, _) = rest.split_once(LIST.1).context("the list of services has no end")?;
    let (_, list) = list.split_once("= &[").context("the list of services is malformed")?;
    let tokens = TokenStream::from_str(list).map_err(|error| anyhow::anyhow!("the services: {error}"))?;
    let mut names = BTreeSet::new();
    add_names(tokens, &mut names);
    Ok(names)
}

fn add_names(tokens: TokenStream, names: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                names.insert(name.to_string());
            }
            TokenTree::Group(group) => add_names(group.stream(), names),
            _ => {}
        }
    }
}

fn parsed(path: &Path) -> anyhow::Result<syn::File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))
}

/// Returns the Rust files below a directory.
fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn what_is_exported() {
        let file = syn::parse_file(
            "pub use asphodel_core::id::Pid; pub use crate::a::{b as c, Type, MAX}; use crate::d; \
             pub use crate::p::files; pub fn e() {} pub const fn f() {} fn g() {}",
        )
        .unwrap();
        let expected = Exported { functions: set(&["c", "e"]), types: set(&["Type"]) };
        assert_eq!(Exported::of(&file), expected);
    }

    #[test]
    fn methods_of_exported_types_that_are_public() {
        let file = syn::parse_file(
            "impl<T> Type<T> { pub fn a(&self) {} pub const fn b() -> Self {} pub(crate) fn c() {} } \
             impl Other { pub fn d() {} } impl Drop for Type<u8> { fn drop(&mut self) {} }",
        )
        .unwrap();
        assert_eq!(methods(&file, &set(&["Type"])), ["Type::a"]);
    }

    #[test]
    fn what_the_test_calls() {
        let test = "use a::unused;\nconst SERVICES: &[fn()] = &[\n    || ignore(kill(1)),\n    || QUEUE.len(),\n];\nfn other() {}\n";
        assert_eq!(called(test).unwrap(), set(&["QUEUE", "ignore", "kill", "len"]));
        assert!(called("const OTHER").is_err());
    }
}
