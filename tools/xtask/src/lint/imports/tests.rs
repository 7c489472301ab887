//! Tests of the import graph of small crates.

use super::*;

/// Returns the imports of a crate with these files, each written `FROM -> TO: NAME`; its root is the first.
fn imports(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let show = |import: Import| {
        let mark = if import.is_reexport { " (handed on)" } else { "" };
        format!("{} -> {}: {}{mark}", import.from.display(), import.to.display(), import.name)
    };
    of_crate(directory.path(), Path::new(files[0].0)).unwrap().into_iter().map(show).collect()
}

#[test]
fn a_path_leads_to_the_file_that_defines_its_name() {
    let found = imports(&[
        ("s/lib.rs", "mod a; mod b;"),
        (
            "s/a.rs",
            "use crate::b::{c, One, self};
             fn f() { c::two(); super::b::three(); std::mem::take(); }",
        ),
        ("s/b/mod.rs", "pub mod c; pub use self::c::One; fn three() {}"),
        ("s/b/c.rs", "struct One; fn two() {}"),
    ]);
    assert_eq!(
        found,
        [
            "s/a.rs -> s/b/c.rs: crate::b::One",
            "s/a.rs -> s/b/c.rs: c::two",
            "s/a.rs -> s/b/mod.rs: super::b::three",
            "s/b/mod.rs -> s/b/c.rs: self::c::One (handed on)",
        ]
    );
}

#[test]
fn what_is_handed_on_and_used_is_imported() {
    let found = imports(&[
        ("lib.rs", "mod a; pub use self::a::One; fn f() -> One { One }"),
        ("a.rs", "pub struct One;"),
    ]);
    assert_eq!(found, ["lib.rs -> a.rs: One", "lib.rs -> a.rs: self::a::One (handed on)"]);
}

#[test]
fn tests_comments_and_texts_import_nothing() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
        (
            "a.rs",
            "/// crate::b::One
             fn f() { \"crate::b::One\"; }
             #[cfg(all(test, not(x)))] mod tests { use crate::b::One; }
             pub(in crate::b) struct S;
             #[cfg(test)] use crate::b::One;",
        ),
        ("b.rs", "struct One;"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_tests_leave_out_is_part_of_the_program() {
    let found = imports(&[
        ("lib.rs", "mod a; #[cfg(not(test))] use a::One; #[cfg(any(test, x))] use a::Two;"),
        ("a.rs", "struct One; struct Two;"),
    ]);
    assert_eq!(found, ["lib.rs -> a.rs: a::One", "lib.rs -> a.rs: a::Two"]);
}

#[test]
fn paths_in_macros_and_of_macros_are_seen() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "fn f() { assert!(x.y == crate::b::one::<u8>(), \"{}\", super::b::TWO); crate::three!(); }"),
        (
            "b.rs",
            "fn one() {} const TWO: u8 = 2;
             #[macro_export] macro_rules! three { () => { $crate::a::f() } }",
        ),
    ]);
    assert_eq!(
        found,
        [
            "a.rs -> b.rs: crate::b::one",
            "a.rs -> b.rs: crate::three",
            "a.rs -> b.rs: super::b::TWO",
            "b.rs -> a.rs: crate::a::f",
        ]
    );
}

#[test]
fn modules_elsewhere_and_alternatives_are_followed() {
    let found = imports(&[
        (
            "s/lib.rs",
            "mod user; #[path = \"../t/there.rs\"] mod here; #[cfg_attr(x, path = \"other.rs\")] mod this;",
        ),
        ("s/user.rs", "use crate::here::inner::One; use crate::this::Two;"),
        ("t/there.rs", "pub mod inner;"),
        ("t/inner.rs", "pub struct One;"),
        ("s/this.rs", "pub struct Two;"),
        ("s/other.rs", "pub struct Two;"),
    ]);
    assert_eq!(
        found,
        [
            "s/user.rs -> s/other.rs: crate::this::Two",
            "s/user.rs -> s/this.rs: crate::this::Two",
            "s/user.rs -> t/inner.rs: crate::here::inner::One",
        ]
    );
}

#[test]
fn names_that_stand_for_each_other_end() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b; fn f() { a::x(); }"),
        ("a.rs", "pub use crate::b::x;"),
        ("b.rs", "pub use crate::a::x;"),
    ]);
    assert!(!found.is_empty());
}

#[test]
fn a_module_without_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("lib.rs"), "mod gone;").unwrap();
    let error = of_crate(directory.path(), Path::new("lib.rs")).unwrap_err();
    assert!(error.to_string().contains("module gone"), "{error}");
}

#[test]
fn a_crate_that_a_module_hands_on_is_no_import_of_that_module() {
    let found = imports(&[
        ("lib.rs", "mod a; mod door;"),
        ("a.rs", "#[crate::door::other::mark] fn f() { crate::door::one(); crate::door::other::two(); }"),
        ("door.rs", "pub use other; pub fn one() {}"),
    ]);
    let to_door: Vec<&String> = found.iter().filter(|import| import.contains("-> door.rs")).collect();
    assert_eq!(to_door, ["a.rs -> door.rs: crate::door::one"]);
}

#[test]
fn a_macro_that_a_module_re_exports_is_an_import_of_that_module() {
    let found = imports(&[
        ("lib.rs", "mod a; mod door;"),
        ("a.rs", "use crate::door::check; fn f() { check!(); }"),
        ("door.rs", "macro_rules! check { () => {}; }\npub(crate) use check;"),
    ]);
    assert!(found.iter().any(|import| import.starts_with("a.rs -> door.rs")), "{found:?}");
}
