//! The kernel's atomics are those of the shim (`asphodel_core::shim::atomic`), so that each access is a point of
//! interleaving when the hosted kernel is explored.
//!
//! Against the rule is every path to `core::sync::atomic`, and whatever brings `core::sync` itself under a name,
//! because the atomics could be reached through it. The files of [`ALLOWED`] may name them, each for the reason that
//! is given there; an entry that allows nothing is against the rule too.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::findings::Findings;
use super::layers::KERNEL;

/// What may name the atomics of `core`, relative to the kernel's sources, with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("arch/hosted", "it is the machine that takes the steps between which the explorer interleaves"),
    (
        "arch/saved_context.rs",
        "the switch of the hosted machine stores there past the buffers of the explorer",
    ),
    ("drivers/hosted", "its words are the devices of that machine, which are no memory of the kernel"),
    ("proc/life/exit.rs", "the word of extexit belongs to the program, which has an atomic of `core` there"),
    ("sync/futex.rs", "the word belongs to the program, which has an atomic of `core` there"),
    (
        "hermit/memory.rs",
        "the seal of a block lies in the program's memory, where an atomic of `core` is made",
    ),
    ("hermit/futex.rs", "the word belongs to the program, which has an atomic of `core` there"),
];

/// The crates that have the atomics, and the modules that lead to them.
const CRATES: &[&str] = &["core", "std"];
const SYNC: &str = "sync";
const ATOMIC: &str = "atomic";

/// The rule, while the files of the kernel are read.
#[derive(Debug, Default)]
pub(super) struct Atomics {
    violations: Vec<String>,
    /// The entries of [`ALLOWED`] that were needed.
    needed: BTreeSet<&'static str>,
}

impl Atomics {
    /// Takes a source file of the kernel; `path` is relative to the root of the repository.
    pub(super) fn take(&mut self, path: &Path, text: &str) {
        let mut lines = BTreeSet::new();
        match text.parse::<TokenStream>() {
            Ok(tokens) => find(tokens, &mut lines),
            Err(error) => self.violations.push(format!("{}: it cannot be parsed: {error}", path.display())),
        }
        if lines.is_empty() {
            return;
        }
        let module = path.strip_prefix(KERNEL).unwrap_or(path);
        match ALLOWED.iter().find(|(allowed, _)| module.starts_with(allowed)) {
            Some((allowed, _)) => drop(self.needed.insert(allowed)),
            None => self.violations.extend(lines.iter().map(|line| {
                format!(
                    "{}:{line}: an atomic of `core`, which the explorer does not see: take that of \
                     `asphodel_core::shim::atomic`",
                    path.display()
                )
            })),
        }
    }

    /// What was found, after all files.
    pub(super) fn finish(self) -> Findings {
        let Self { mut violations, needed } = self;
        let mut allowed = Vec::new();
        for (place, reason) in ALLOWED {
            if needed.contains(place) {
                allowed.push(format!("{KERNEL}/{place}: atomics of `core`: {reason}"));
            } else {
                violations.push(format!("{KERNEL}/{place} is allowed the atomics of `core` and has none"));
            }
        }
        Findings { violations, allowed }
    }
}

/// Adds the lines that name the atomics.
fn find(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => find(group.stream(), lines),
            TokenTree::Ident(name) if CRATES.iter().any(|path| name == path) => {
                let rest = &tokens[at + 1..];
                let is_renamed = is_use(&tokens[..at]) && matches!(rest.first(), Some(TokenTree::Ident(_)));
                if is_renamed || leads_to(rest, &[SYNC, ATOMIC]) {
                    lines.insert(name.span().start().line);
                }
            }
            _ => (),
        }
    }
}

/// Whether `before` ends where a `use` or `extern crate` begins its path.
fn is_use(before: &[TokenTree]) -> bool {
    let last =
        before.iter().rfind(|token| !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':'));
    matches!(last, Some(TokenTree::Ident(name)) if name == "use" || name == "crate")
}

/// Whether `rest`, which follows a module's name, goes on with `::` to the first of the `wanted` modules inside it, and
/// from there to the last one or to a name that stands for a module on the way.
fn leads_to(rest: &[TokenTree], wanted: &[&str]) -> bool {
    let [TokenTree::Punct(first), TokenTree::Punct(second), next, rest @ ..] = rest else { return false };
    if first.as_char() != ':' || second.as_char() != ':' {
        return false;
    }
    match next {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            let names: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_comma =
                |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            names.split(is_comma).any(|name| is_name(name, wanted))
        }
        next => is_name(&[std::slice::from_ref(next), rest].concat(), wanted),
    }
}

/// Whether a name in a module, with what follows it, is that of the first `wanted` one, and leads on to the others.
fn is_name(name: &[TokenTree], wanted: &[&str]) -> bool {
    let Some((first, wanted)) = wanted.split_first() else { return true };
    match name {
        [TokenTree::Ident(found), rest @ ..] if found == first => {
            let is_end = !matches!(rest.first(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
            wanted.is_empty() || is_end || leads_to(rest, wanted)
        }
        // The module itself, or all that is in it.
        [TokenTree::Ident(found), ..] => found == "self",
        [TokenTree::Punct(found), ..] => found.as_char() == '*',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text` that name the atomics.
    fn lines(text: &str) -> Vec<usize> {
        let mut lines = BTreeSet::new();
        find(text.parse().unwrap(), &mut lines);
        lines.into_iter().collect()
    }

    #[test]
    fn every_way_to_the_atomics_is_found() {
        for text in [
            "use core::sync::atomic::AtomicU32;",
            "use core::sync::atomic::{AtomicU32, Ordering};",
            "use core::sync::atomic::*;",
            "use core::sync::{atomic, Exclusive};",
            "use core::sync::{atomic::{AtomicBool, fence}};",
            "use core::{fmt, sync::atomic::AtomicU8};",
            "use core::{fmt, sync::{atomic::AtomicU8}};",
            "use core::{fmt, sync};",
            "use core::{self as rust, fmt};",
            "use core::sync;",
            "use core::sync::{self};",
            "use core::sync as library;",
            "use core::sync::*;",
            "use core::*;",
            "use core as rust;",
            "use ::core as rust;",
            "extern crate core as rust;",
            "use ::core::sync::atomic::AtomicU32;",
            "use std::sync::atomic::AtomicU32;",
            "fn f() { core::sync::atomic::fence(core::mem::drop); }",
            "static X: ::core::sync::atomic::AtomicBool = new();",
            "println!(\"{}\", core::sync::atomic::AtomicU8::new(1).into_inner());",
            "mod tests { fn f() -> Option<core::sync::atomic::Ordering> { None } }",
        ] {
            assert_eq!(lines(text), [1], "{text}");
        }
        assert_eq!(lines("use core::fmt;\n\nuse core::sync::atomic::fence;\n"), [3]);
    }

    #[test]
    fn other_names_are_free() {
        for text in [
            "use asphodel_core::shim::atomic::{AtomicU32, Ordering};",
            "use core::{fmt, mem};",
            "use core::sync::Exclusive;",
            "use crate::sync::{Mutex, Token};",
            "use alloc::sync::Arc;",
            "//! See `core::sync::atomic`.\nfn f() { let core = 1; core as u32; }",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn files_of_the_table_may_name_them_and_no_others() {
        let text = "use core::sync::atomic::AtomicU32;\n";
        let mut atomics = Atomics::default();
        for (place, _) in ALLOWED {
            atomics.take(&Path::new(KERNEL).join(place), text);
        }
        atomics.take(&Path::new(KERNEL).join("arch/hosted/run.rs"), text);
        atomics.take(&Path::new(KERNEL).join("sync/futex_more.rs"), text);
        let Findings { violations, allowed } = atomics.finish();
        assert_eq!(allowed.len(), ALLOWED.len());
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].starts_with("src/kernel/src/sync/futex_more.rs:1: "), "{violations:?}");
    }

    #[test]
    fn an_entry_that_allows_nothing_is_found() {
        let Findings { violations, allowed } = Atomics::default().finish();
        assert!(allowed.is_empty());
        assert_eq!(violations.len(), ALLOWED.len());
        assert!(violations[0].contains("arch/hosted is allowed"), "{violations:?}");
    }
}
