//! How a file uses code of programs: what becomes of its parameters, and what it calls by a value.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Expr, ExprCall, ExprMethodCall, ExprStruct, FnArg, Ident, ImplItemFn, ItemFn, ItemMod, Local, Pat,
    PatIdent, Signature, Type, UseName, UseRename,
};

use super::Kept;
use super::surface::Taken;

/// The module of the door.
const DOOR: &str = "program_code";

/// The method that returns the text of a panic, which the program formats.
const MESSAGE: &str = "message";

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Uses of a parameter beside the door, with the lines.
    pub(super) strays: Vec<(usize, String)>,
    /// Entries of the list of what is kept that were needed.
    pub(super) kept: BTreeSet<(&'static str, &'static str)>,
    /// Values that are called beside the door and are no parameters, with the lines.
    pub(super) calls: Vec<(usize, String)>,
}

/// Parameters that are to be followed: the item, the function, the type that it is of if that is known, and their names.
type Task = (String, String, Option<Option<String>>, BTreeSet<String>);

/// Returns what a file does with the parameters `taken`.
pub(super) fn check(file: &syn::File, taken: &[Taken], kept: &'static [Kept]) -> Found {
    let mut functions = Functions::default();
    functions.visit_file(file);
    let mut found = Found::default();
    let mut tasks: Vec<Task> = taken
        .iter()
        .map(|taken| {
            let parameters = taken.parameters.iter().cloned().collect();
            (taken.item.clone(), taken.function.clone(), Some(taken.owner.clone()), parameters)
        })
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(task) = tasks.pop() {
        if !seen.insert(task.clone()) {
            continue;
        }
        let (item, function, of, parameters) = task;
        for body in functions.named(&function, of.as_ref()) {
            let mut flow = Flow {
                item: &item,
                parameters: &parameters,
                functions: &functions,
                kept,
                through: None,
                found: &mut found,
                next: Vec::new(),
            };
            flow.visit_block(&body.block);
            tasks.extend(flow.next);
        }
    }
    for body in functions.bodies.values() {
        let mut calls = Calls { body, door: 0, functions: &functions, found: &mut found };
        calls.visit_block(&body.block);
    }
    found
}

/// A function of the file.
struct Body {
    block: syn::Block,
    /// Its parameters, in their order, the receiver left out.
    parameters: Vec<String>,
    /// Those that are closures: their callers are checked.
    closures: BTreeSet<String>,
    /// All names that are bound in it.
    bound: BTreeSet<String>,
}

/// The functions of the file, and what it imports.
#[derive(Default)]
struct Functions {
    /// By name and type.
    bodies: BTreeMap<(String, Option<String>), Body>,
    imports: BTreeSet<String>,
}

impl Functions {
    fn add(&mut self, owner: Option<String>, signature: &Signature, block: &syn::Block) {
        let mut bound = Bound::default();
        bound.visit_block(block);
        let (mut parameters, mut closures) = (Vec::new(), BTreeSet::new());
        for input in &signature.inputs {
            let FnArg::Typed(input) = input else { continue };
            let mut names = Bound::default();
            names.visit_pat(&input.pat);
            let name = names.0.iter().next().cloned().unwrap_or_default();
            if is_closure(&input.ty, signature) {
                closures.insert(name.clone());
            }
            bound.0.extend(names.0);
            parameters.push(name);
        }
        let body = Body { block: block.clone(), parameters, closures, bound: bound.0 };
        self.bodies.insert((signature.ident.to_string(), owner), body);
    }

    /// Returns the functions with this name, of a type or not as `of` says, if it says anything.
    fn named(&self, name: &str, of: Option<&Option<String>>) -> impl Iterator<Item = &Body> {
        let is_named =
            move |(other, owner): &(String, Option<String>)| other == name && of.is_none_or(|of| of == owner);
        self.bodies.iter().filter(move |(key, _)| is_named(key)).map(|(_, body)| body)
    }

    /// Returns whether `name` is a function, not a value.
    fn has(&self, name: &str) -> bool {
        self.imports.contains(name) || self.bodies.contains_key(&(name.to_owned(), None))
    }

    /// Returns whether a closure that is passed to the function `name` of this file reaches the door only: it is called
    /// nowhere else.
    fn is_door(&self, name: &str) -> bool {
        let mut bodies = self.named(name, None).peekable();
        bodies.peek().is_some()
            && bodies.all(|body| {
                let mut found = Found::default();
                let mut flow = Flow {
                    item: "",
                    parameters: &body.closures,
                    functions: self,
                    kept: &[],
                    through: None,
                    found: &mut found,
                    next: Vec::new(),
                };
                flow.visit_block(&body.block);
                !body.closures.is_empty() && flow.next.is_empty() && found.strays.is_empty()
            })
    }
}

/// Returns whether a parameter's type is a closure's: `impl Fn`, or a generic one.
fn is_closure(node: &Type, signature: &Signature) -> bool {
    match node {
        Type::ImplTrait(_) => true,
        Type::Path(path) => {
            signature.generics.type_params().any(|parameter| path.path.is_ident(&parameter.ident))
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(None, &function.sig, &function.block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let owner = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        for function in &item.items {
            if let syn::ImplItem::Fn(ImplItemFn { sig, block, .. }) = function {
                self.add(owner.clone(), sig, block);
            }
        }
    }

    fn visit_use_name(&mut self, name: &'ast UseName) {
        self.imports.insert(name.ident.to_string());
    }

    fn visit_use_rename(&mut self, name: &'ast UseRename) {
        self.imports.insert(name.rename.to_string());
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let is_test = |attribute: &syn::Attribute| attribute.path().is_ident("cfg");
        if !module.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, module);
        }
    }
}

/// Names that are bound by patterns, but for those of closures that the function makes itself.
#[derive(Default)]
struct Bound(BTreeSet<String>);

impl<'ast> Visit<'ast> for Bound {
    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        self.0.insert(pattern.ident.to_string());
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        let value = local.init.as_ref().map(|init| &*init.expr);
        if let (Pat::Ident(_), Some(Expr::Closure(closure))) = (&local.pat, value) {
            self.visit_expr_closure(closure);
        } else {
            visit::visit_local(self, local);
        }
    }
}

/// What a path that is called names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    Door,
    /// A function of the same file.
    Own,
    Other,
}

/// Returns the last name of a call's function, and what it is.
fn callee(call: &ExprCall, functions: &Functions) -> Option<(String, Callee)> {
    let Expr::Path(path) = &*call.func else { return None };
    let mut names = path.path.segments.iter().rev().map(|segment| segment.ident.to_string());
    let last = names.next()?;
    let is_owner = |name: &String| functions.bodies.keys().any(|(_, owner)| owner.as_ref() == Some(name));
    let callee = match names.next() {
        None => Callee::Own,
        Some(module) if module == DOOR => Callee::Door,
        Some(owner) if owner == "Self" || is_owner(&owner) => Callee::Own,
        Some(_) => Callee::Other,
    };
    Some((last, callee))
}

/// Follows the parameters of one function that are code of a program.
struct Flow<'a> {
    item: &'a str,
    parameters: &'a BTreeSet<String>,
    functions: &'a Functions,
    kept: &'static [Kept],
    /// What is being called or built, whether it is of this file, and the position of the argument.
    through: Option<(String, Callee, usize)>,
    found: &'a mut Found,
    /// Functions of the file to which they are passed.
    next: Vec<Task>,
}

impl Flow<'_> {
    /// A parameter is used.
    fn take(&mut self, name: &Ident) {
        let Some((to, callee, position)) = self.through.clone() else { return self.stray(name) };
        if let Some(kept) = self.kept.iter().find(|kept| kept.item == self.item && kept.to == to) {
            self.found.kept.insert((kept.item, kept.to));
            return;
        }
        let own = self.functions.named(&to, None).filter(|_| callee == Callee::Own);
        let parameters: Vec<String> = own.filter_map(|body| body.parameters.get(position).cloned()).collect();
        if parameters.is_empty() {
            return self.stray(name);
        }
        for parameter in parameters {
            self.next.push((self.item.to_owned(), to.clone(), None, BTreeSet::from([parameter])));
        }
    }

    fn stray(&mut self, name: &Ident) {
        let what = format!(
            "`{name}` of {} is code of a program and is used beside the door (`program_code::call`)",
            if self.item.is_empty() { "a function" } else { self.item }
        );
        self.found.strays.push((name.span().start().line, what));
    }

    /// Visits the arguments of a call of `to`.
    fn arguments<'ast>(&mut self, to: &str, callee: Callee, arguments: impl Iterator<Item = &'ast Expr>) {
        for (position, argument) in arguments.enumerate() {
            let before = self.through.replace((to.to_owned(), callee, position));
            self.visit_expr(argument);
            self.through = before;
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(name) if self.parameters.contains(&name.to_string()) => self.take(&name),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Flow<'_> {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        match callee(call, self.functions) {
            // What the door gets is called there.
            Some((_, Callee::Door)) => {}
            Some((name, _)) if self.parameters.contains(&name) => {
                if let Expr::Path(path) = &*call.func
                    && let Some(name) = path.path.get_ident()
                {
                    self.stray(name);
                }
            }
            Some((name, callee)) => self.arguments(&name, callee, call.args.iter()),
            None => visit::visit_expr_call(self, call),
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.visit_expr(&call.receiver);
        let is_own = matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self"));
        let callee = if is_own { Callee::Own } else { Callee::Other };
        self.arguments(&call.method.to_string(), callee, call.args.iter());
    }

    fn visit_expr_struct(&mut self, value: &'ast ExprStruct) {
        let name = value.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        for (position, field) in value.fields.iter().enumerate() {
            let before = self.through.replace((name.clone(), Callee::Other, position));
            self.visit_expr(&field.expr);
            self.through = before;
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let Some(name) = path.path.get_ident()
            && self.parameters.contains(&name.to_string())
        {
            self.take(name);
        }
    }
}

/// Finds the values that a function calls beside the door.
struct Calls<'a> {
    body: &'a Body,
    /// How many calls of the door stand around.
    door: u32,
    functions: &'a Functions,
    found: &'a mut Found,
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let is_door = match callee(call, self.functions) {
            Some((_, Callee::Door)) => true,
            Some((name, Callee::Own)) => self.functions.is_door(&name),
            _ => false,
        };
        if self.door == 0
            && let Some(name) = value_of(&call.func)
            && (!matches!(&*call.func, Expr::Path(_))
                || self.body.bound.contains(&name) && !self.functions.has(&name))
            && !self.body.closures.contains(&name)
        {
            self.found.calls.push((call.span().start().line, name));
        }
        self.door += u32::from(is_door);
        visit::visit_expr_call(self, call);
        self.door -= u32::from(is_door);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if self.door == 0 && call.method == MESSAGE {
            self.found.calls.push((call.span().start().line, format!(".{MESSAGE}()")));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if self.door == 0 && item.tokens.to_string().contains(&format!(". {MESSAGE} ()")) {
            self.found.calls.push((item.span().start().line, format!(".{MESSAGE}()")));
        }
    }
}

/// Returns the name of a binding or field that is called.
fn value_of(function: &Expr) -> Option<String> {
    match function {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::Paren(inner) => match &*inner.expr {
            Expr::Field(field) => match &field.member {
                syn::Member::Named(name) => Some(name.to_string()),
                syn::Member::Unnamed(index) => Some(index.index.to_string()),
            },
            inner => value_of(inner),
        },
        _ => None,
    }
}
