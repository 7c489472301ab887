//! The kernel has one door for programs: of the modules of `lib.rs`, only `api` is public, and `testing`, which is
//! hidden.
//!
//! What a user of the kernel names is then one of these two, because the compiler refuses everything else.

use std::path::Path;

use syn::spanned::Spanned as _;
use syn::{Attribute, Item, ItemMod, Meta, Visibility};

use super::layers::KERNEL;

/// The module for programs.
const API: &str = "api";

/// The module for boards, tests and macros, which no documentation shows.
const TESTING: &str = "testing";

/// Whether a file is the root of the kernel.
pub(super) fn is_root(path: &Path) -> bool {
    path == Path::new(KERNEL).join("lib.rs")
}

/// The violations in the kernel's root.
pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let parsed = match syn::parse_file(text) {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("{}: it cannot be parsed: {error}", path.display())],
    };
    let wrong = parsed.items.iter().filter_map(|item| {
        let what = violation(item)?;
        Some(format!("{}:{}: {what}", path.display(), item.span().start().line))
    });
    wrong.collect()
}

/// What is wrong with an item of the root.
fn violation(item: &Item) -> Option<&'static str> {
    match item {
        Item::Mod(module) if is_public(&module.vis) => violation_of_module(module),
        Item::Use(item) if is_public(&item.vis) => Some("what programs use is exported by `api`"),
        _ => None,
    }
}

fn violation_of_module(module: &ItemMod) -> Option<&'static str> {
    if module.ident == API {
        None
    } else if module.ident != TESTING {
        Some("a public module: programs use `api` alone, and boards and tests `testing`")
    } else if module.attrs.iter().any(is_hidden) {
        None
    } else {
        Some("`testing` is no interface for programs and must be `#[doc(hidden)]`")
    }
}

/// Whether everybody may name it.
fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether an attribute is `#[doc(hidden)]`.
fn is_hidden(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
        && matches!(attribute.parse_args::<Meta>(), Ok(meta) if meta.path().is_ident("hidden"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        check(&Path::new(KERNEL).join("lib.rs"), text)
    }

    #[test]
    fn api_and_a_hidden_testing_are_public() {
        assert!(
            wrong("pub mod api;\nmod arch;\npub(crate) mod cpu;\n#[doc(hidden)]\npub mod testing;\n")
                .is_empty()
        );
    }

    #[test]
    fn other_doors_are_found() {
        assert!(
            wrong("pub mod api;\n\npub mod arch;\n")[0]
                .starts_with("src/kernel/src/lib.rs:3: a public module")
        );
        assert!(wrong("pub use arch::cpu;")[0].ends_with("exported by `api`"));
        assert!(wrong("pub mod testing;")[0].contains("hidden"));
    }

    #[test]
    fn the_root_is_one_file() {
        assert!(is_root(&Path::new(KERNEL).join("lib.rs")));
        assert!(!is_root(Path::new("tests/support/lib.rs")));
    }
}
