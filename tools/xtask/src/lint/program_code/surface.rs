//! The public items of the kernel that take code of programs: what `api` exports, and the functions of `hermit`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericParam, Generics, ImplItem, Item, ItemImpl, Pat, Signature, Type, TypeParamBound, UseTree,
    Visibility, WherePredicate,
};

/// The file that exports what programs use, and the folder of the functions that loaded programs use.
const API: &str = "api.rs";
const HERMIT: &str = "hermit";

/// Traits that have no code.
const MARKERS: &[&str] = &["Copy", "Send", "Sized", "Sync", "Unpin"];

/// One public item that takes code of programs.
#[derive(Debug)]
struct Found {
    /// The file, and the line.
    place: (PathBuf, usize),
    /// The name of the function, and its parameters that are code; none for a type.
    function: Option<(String, Option<String>, Vec<String>)>,
}

/// All of them, by the names that the table has.
#[derive(Debug, Default)]
pub(super) struct Surface {
    found: BTreeMap<String, Found>,
    /// Names of types that stand for function pointers.
    aliases: BTreeSet<String>,
}

/// A parameter that is code of a program.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The item, as in the table.
    pub(super) item: String,
    /// The type whose method it is of, if it is one.
    pub(super) owner: Option<String>,
    pub(super) function: String,
    pub(super) parameters: Vec<String>,
}

impl Surface {
    /// Finds them in the kernel's files.
    pub(super) fn of(files: &[(PathBuf, syn::File)]) -> Self {
        let mut surface = Self { found: BTreeMap::new(), aliases: aliases(files) };
        let mut exports = Exports::default();
        for (path, file) in files {
            if path == Path::new(API) {
                exports.read(file);
                exports.own(file);
            }
        }
        for (path, file) in files {
            surface.add_macros(path, file);
            for (name, exported) in exports.in_file(path, file) {
                surface.add(path, file, &name, &exported);
            }
            if path.starts_with(HERMIT) {
                surface.add_abi(path, file);
            }
        }
        surface
    }

    /// Returns all items with their places.
    pub(super) fn items(&self) -> impl Iterator<Item = (&String, String)> {
        self.found
            .iter()
            .map(|(name, found)| (name, format!("{}:{}", found.place.0.display(), found.place.1)))
    }

    /// Returns the functions of a file that take code, with the parameters.
    pub(super) fn parameters_in(&self, path: &Path) -> Vec<Taken> {
        let here = self.found.iter().filter(|(_, found)| found.place.0 == path);
        here.filter_map(|(item, found)| {
            let (function, owner, parameters) = found.function.clone()?;
            Some(Taken { item: item.clone(), owner, function, parameters })
        })
        .collect()
    }

    fn insert(
        &mut self,
        name: String,
        path: &Path,
        line: usize,
        function: Option<(String, Option<String>, Vec<String>)>,
    ) {
        self.found.insert(name, Found { place: (path.to_path_buf(), line), function });
    }

    /// Adds an item of a file, and the methods of a type, if they take code.
    fn add(&mut self, path: &Path, file: &syn::File, name: &str, exported: &str) {
        for item in &file.items {
            match item {
                Item::Fn(function) if function.sig.ident == name => {
                    self.add_function(path, &function.sig, exported, None);
                }
                Item::Struct(item) if item.ident == name && has_types(&item.generics) => {
                    self.insert(exported.to_owned(), path, item.span().start().line, None);
                }
                Item::Enum(item) if item.ident == name && has_types(&item.generics) => {
                    self.insert(exported.to_owned(), path, item.span().start().line, None);
                }
                Item::Impl(item) if item.trait_.is_none() && type_name(item).as_deref() == Some(name) => {
                    for method in &item.items {
                        if let ImplItem::Fn(method) = method
                            && is_public(&method.vis)
                        {
                            let listed = format!("{exported}::{}", method.sig.ident);
                            self.add_function(path, &method.sig, &listed, Some(name.to_owned()));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add_function(&mut self, path: &Path, signature: &Signature, listed: &str, owner: Option<String>) {
        let parameters = self.code_of(signature);
        if !parameters.is_empty() {
            let function = Some((signature.ident.to_string(), owner, parameters));
            self.insert(listed.to_owned(), path, signature.span().start().line, function);
        }
    }

    /// Adds the macros that a file exports: what they get can be anything.
    fn add_macros(&mut self, path: &Path, file: &syn::File) {
        for item in &file.items {
            if let Item::Macro(item) = item
                && item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
                && let Some(name) = &item.ident
            {
                self.insert(format!("{name}!"), path, name.span().start().line, None);
            }
        }
    }

    /// Adds the functions of the ABI that take code.
    fn add_abi(&mut self, path: &Path, file: &syn::File) {
        let module = path.with_extension("");
        let module: Vec<String> = module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        for item in &file.items {
            if let Item::Fn(function) = item
                && function.sig.abi.is_some()
            {
                let listed = format!("{}::{}", module.join("::"), function.sig.ident);
                self.add_function(path, &function.sig, &listed, None);
            }
        }
    }

    /// Returns the parameters of a function that are code.
    fn code_of(&self, signature: &Signature) -> Vec<String> {
        let generics = code_generics(&signature.generics);
        let inputs = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(input) => Some(input),
            FnArg::Receiver(_) => None,
        });
        let mut names = Vec::new();
        for input in inputs {
            let mut search = Search { aliases: &self.aliases, generics: &generics, found: false };
            search.visit_type(&input.ty);
            search.found |= is_own_value(&input.ty, &signature.generics);
            if search.found
                && let Pat::Ident(name) = &*input.pat
            {
                names.push(name.ident.to_string());
            }
        }
        names
    }
}

/// Looks for code in a type.
struct Search<'a> {
    aliases: &'a BTreeSet<String>,
    generics: &'a BTreeSet<String>,
    found: bool,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_type(&mut self, node: &'ast Type) {
        match node {
            Type::FnPtr(_) => self.found = true,
            Type::ImplTrait(item) => self.found |= item.bounds.iter().any(has_code),
            Type::TraitObject(item) => self.found |= item.bounds.iter().any(has_code),
            Type::Path(item) => {
                if let Some(last) = item.path.segments.last() {
                    let name = last.ident.to_string();
                    // The one of `core::fmt`; that of a program's words has no `fmt`.
                    let is_text = name == "Arguments"
                        && item.path.segments.iter().any(|segment| segment.ident == "fmt");
                    self.found |= is_text || self.aliases.contains(&name) || self.generics.contains(&name);
                }
            }
            _ => {}
        }
        visit::visit_type(self, node);
    }
}

/// Returns whether a bound names a trait that has code.
fn has_code(bound: &TypeParamBound) -> bool {
    matches!(bound, TypeParamBound::Trait(bound)
        if bound.path.segments.last().is_some_and(|last| !MARKERS.iter().any(|marker| last.ident == marker)))
}

/// Returns whether a parameter is a value of any type that the program chooses, but for those that have no `Drop`.
fn is_own_value(node: &Type, generics: &Generics) -> bool {
    generics.type_params().any(|parameter| {
        let is_copy = |bound: &TypeParamBound| matches!(bound, TypeParamBound::Trait(bound) if bound.path.is_ident("Copy"));
        is_named(node, &parameter.ident) && !parameter.bounds.iter().any(is_copy)
    })
}

/// Returns the type parameters of a function that are bound to have code, such as closures.
fn code_generics(generics: &Generics) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for parameter in &generics.params {
        let GenericParam::Type(parameter) = parameter else { continue };
        let bounds: Vec<&TypeParamBound> = parameter
            .bounds
            .iter()
            .chain(generics.where_clause.iter().flat_map(|clause| &clause.predicates).flat_map(|predicate| {
                match predicate {
                    WherePredicate::Type(item) if is_named(&item.bounded_ty, &parameter.ident) => {
                        item.bounds.iter().collect()
                    }
                    _ => Vec::new(),
                }
            }))
            .collect();
        if bounds.into_iter().any(has_code) {
            names.insert(parameter.ident.to_string());
        }
    }
    names
}

fn is_named(node: &Type, name: &syn::Ident) -> bool {
    matches!(node, Type::Path(item) if item.path.is_ident(name))
}

/// Returns whether a type has parameters that are types.
fn has_types(generics: &Generics) -> bool {
    generics.params.iter().any(|parameter| matches!(parameter, GenericParam::Type(_)))
}

/// Returns the names of the types that stand for function pointers.
fn aliases(files: &[(PathBuf, syn::File)]) -> BTreeSet<String> {
    let items = files.iter().flat_map(|(_, file)| &file.items);
    items
        .filter_map(|item| match item {
            Item::Type(item) if matches!(*item.ty, Type::FnPtr(_)) => Some(item.ident.to_string()),
            _ => None,
        })
        .collect()
}

/// Returns the name of the type that an `impl` is of.
fn type_name(item: &ItemImpl) -> Option<String> {
    match &*item.self_ty {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// What `api` exports: each path in the kernel, with the name that programs use.
#[derive(Debug, Default)]
struct Exports(Vec<(Vec<String>, String)>);

impl Exports {
    /// Adds what `pub use` items export.
    fn read(&mut self, file: &syn::File) {
        for item in &file.items {
            if let Item::Use(item) = item
                && is_public(&item.vis)
            {
                self.read_tree(&mut Vec::new(), &item.tree);
            }
        }
    }

    /// Adds what the file itself defines.
    fn own(&mut self, file: &syn::File) {
        for item in &file.items {
            let (visibility, name) = match item {
                Item::Fn(item) => (&item.vis, &item.sig.ident),
                Item::Struct(item) => (&item.vis, &item.ident),
                Item::Enum(item) => (&item.vis, &item.ident),
                _ => continue,
            };
            if is_public(visibility) {
                self.0.push((vec!["crate".into(), "api".into(), name.to_string()], name.to_string()));
            }
        }
    }

    fn read_tree(&mut self, prefix: &mut Vec<String>, tree: &UseTree) {
        let mut add = |name: String, exported: String| {
            self.0.push((prefix.iter().cloned().chain([name]).collect(), exported));
        };
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.read_tree(prefix, &path.tree);
                prefix.pop();
            }
            UseTree::Name(name) => add(name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => add(rename.ident.to_string(), rename.rename.to_string()),
            UseTree::Glob(_) => add("*".into(), "*".into()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.read_tree(prefix, tree)),
        }
    }

    /// Returns the names in a file that are exported, with the names that programs use. A module that hands names on is the
    /// folder of the files that define them; a module that is exported itself exports all that is public in it.
    fn in_file(&self, path: &Path, file: &syn::File) -> Vec<(String, String)> {
        let mut names = Vec::new();
        let module = module_of(path);
        for (exported, name) in &self.0 {
            let Some(("crate", rest)) = exported.split_first().map(|(first, rest)| (first.as_str(), rest))
            else {
                continue;
            };
            if rest == module {
                let public = file.items.iter().filter_map(public_name);
                names.extend(public.map(|item| (item.clone(), format!("{name}::{item}"))));
            } else if let Some((last, holder)) = rest.split_last()
                // Of the root's names only macros are exported, which are found by themselves.
                && !holder.is_empty()
                && (module == holder || module.split_last().is_some_and(|(_, folder)| folder == holder))
            {
                names.push((last.clone(), name.clone()));
            }
        }
        names
    }
}

/// Returns the module of a file: its folders and its own name.
fn module_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let mut module: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// Returns the name of a public function or type.
fn public_name(item: &Item) -> Option<String> {
    let (visibility, name) = match item {
        Item::Fn(item) => (&item.vis, &item.sig.ident),
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    is_public(visibility).then(|| name.to_string())
}
