//! One source file as the import graph needs it: its modules, and the names that their code uses. Called by the parent only.
//!
//! What is compiled for tests only is left out, because an import of a test ties no two files of the program.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, Meta, Token, UseTree, Visibility};

/// One module of a file, as it is written.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The names that it defines itself, except for macros and modules.
    pub(super) items: BTreeSet<String>,
    /// Its macros that paths reach by the crate's root.
    pub(super) macros: Vec<String>,
    /// Its other macros, which a `use` item re-exports by their names alone, like crates.
    own_macros: BTreeSet<String>,
    /// Its `use` items, and those of its functions.
    pub(super) uses: Vec<Use>,
    /// The paths that its code names, with the lines.
    pub(super) paths: Vec<(Vec<String>, usize)>,
    /// Its modules.
    pub(super) modules: Vec<Child>,
}

/// One name that a `use` item introduces.
#[derive(Debug)]
pub(super) struct Use {
    /// The name; none for all names of a module.
    pub(super) name: Option<String>,
    /// The path that it stands for.
    pub(super) path: Vec<String>,
    /// `true` if other modules may use it from here.
    pub(super) is_reexport: bool,
    pub(super) line: usize,
}

/// A module inside a module.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    /// Its contents if they follow; otherwise they are in another file.
    pub(super) contents: Option<Contents>,
    /// The files that `#[path]` names.
    pub(super) paths: Vec<String>,
    /// `true` if one of these is used in every build.
    pub(super) is_placed: bool,
}

impl Contents {
    /// Returns the contents of a whole file.
    ///
    /// # Errors
    /// Fails when it cannot be parsed.
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        Ok(Self::of(&syn::parse_file(text)?.items))
    }

    fn of(items: &[Item]) -> Self {
        let mut contents = Self::default();
        for item in items {
            contents.visit_item(item);
            contents.items.extend(defined_name(item));
        }
        contents
    }

    /// Returns whether `path` begins with another crate, which a `use` item re-exports by its own name.
    pub(super) fn names_crate(&self, path: &[String]) -> bool {
        let Some(first) = path.first().filter(|first| !self.own_macros.contains(*first)) else {
            return false;
        };
        self.uses.iter().any(|import| import.name.as_ref() == Some(first) && import.path == [first.clone()])
    }

    /// Adds what a `use` item introduces.
    fn add_use(&mut self, prefix: &mut Vec<String>, tree: &UseTree, is_reexport: bool) {
        let mut add = |name: Option<String>, path: Vec<String>, line: usize| {
            self.uses.push(Use { name, path, is_reexport, line });
        };
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_use(prefix, &path.tree, is_reexport);
                prefix.pop();
            }
            UseTree::Name(name) if name.ident == "self" => {
                add(prefix.last().cloned(), prefix.clone(), line_of(&name.ident));
            }
            UseTree::Name(name) => {
                let path = prefix.iter().cloned().chain([name.ident.to_string()]).collect();
                add(Some(name.ident.to_string()), path, line_of(&name.ident));
            }
            UseTree::Rename(rename) => {
                let last = (rename.ident != "self").then(|| rename.ident.to_string());
                let path = prefix.iter().cloned().chain(last).collect();
                add(Some(rename.rename.to_string()), path, line_of(&rename.ident));
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                add(None, prefix.clone(), line);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(prefix, tree, is_reexport);
                }
            }
        }
    }

    /// Adds the paths among tokens, as in a macro's arguments.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        // Colons since the last name, and whether that name is a field or method.
        let (mut colons, mut is_member) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 && !path.is_empty() {
                        self.paths.push((std::mem::take(&mut path), line));
                    }
                    if !is_member {
                        line = line_of(&name);
                        path.push(name.to_string());
                    }
                    (colons, is_member) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    // Two points are a range.
                    is_member =
                        !is_member && matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '.');
                    if !path.is_empty() {
                        self.paths.push((std::mem::take(&mut path), line));
                    }
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        if !path.is_empty() {
            self.paths.push((path, line));
        }
    }

    /// Adds a module; its contents belong to it.
    fn add_module(&mut self, module: &ItemMod) {
        let (mut paths, mut is_placed) = (Vec::new(), false);
        for attribute in &module.attrs {
            is_placed |= attribute.path().is_ident("path");
            paths.extend(path_of(&attribute.meta));
        }
        let contents = module.content.as_ref().map(|(_, items)| Self::of(items));
        self.modules.push(Child { name: module.ident.to_string(), contents, paths, is_placed });
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_for_tests) {
            return;
        }
        match item {
            Item::Mod(module) => self.add_module(module),
            Item::Use(item) => {
                // A path that begins with `::` leaves the crate.
                if item.leading_colon.is_none() {
                    let is_reexport = !matches!(item.vis, Visibility::Inherited);
                    self.add_use(&mut Vec::new(), &item.tree, is_reexport);
                }
            }
            Item::Macro(item) => {
                if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                    self.macros.extend(item.ident.as_ref().map(ToString::to_string));
                } else {
                    self.own_macros.extend(item.ident.as_ref().map(ToString::to_string));
                }
                visit::visit_item_macro(self, item);
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !function.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.paths.push((names, line_of(&first.ident)));
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(in crate::x)` imports nothing.
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.add_tokens(list.tokens.clone());
    }
}

fn line_of(name: &proc_macro2::Ident) -> usize {
    name.span().start().line
}

/// Returns the attributes of an item.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the name that an item defines for paths.
fn defined_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Returns whether an attribute restricts its item to tests.
fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_tests(&condition))
}

/// Returns whether a condition holds in tests only.
fn needs_tests(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let Ok(parts) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
        return false;
    };
    if list.path.is_ident("all") {
        parts.iter().any(needs_tests)
    } else {
        list.path.is_ident("any") && parts.iter().all(needs_tests)
    }
}

/// Returns the file that a `path` attribute names, also inside `cfg_attr`.
fn path_of(meta: &Meta) -> Option<String> {
    match meta {
        Meta::NameValue(value) if value.path.is_ident("path") => match &value.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
            parts.iter().skip(1).find_map(path_of)
        }
        _ => None,
    }
}
