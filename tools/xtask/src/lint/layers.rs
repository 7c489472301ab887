//! Inside the kernel, imports go downwards only: every module of `src/kernel/src` is in one layer, and the layers are
//! totally ordered.

use std::collections::BTreeSet;
use std::path::Path;

use super::imports::Import;

/// Where the kernel's sources are.
pub(super) const KERNEL: &str = "src/kernel/src";

/// The layers of the kernel, from the top. A module imports from its own layer and those below.
const LAYERS: &[&[&str]] = &[
    &["boot", "panic", "testing"],
    &["api"],
    &["start"],
    &["payload"],
    &["hermit"],
    &["proc"],
    &["input"],
    &["work"],
    &["random"],
    &["sync", "time"],
    &["sched"],
    &["thread"],
    &["cpu"],
    &["chainload"],
    &["shutdown"],
    &["console", "drivers", "board"],
    &["mem"],
    &["arch"],
];

/// The crate's root, which declares the modules, and holds the names that macros use.
const ROOT: &str = "lib";

/// Returns the violations in the kernel's imports, and of its modules among `files` (relative to the root of the
/// repository).
pub(super) fn check<'a>(files: impl Iterator<Item = &'a Path>, imports: &[Import]) -> Vec<String> {
    let modules: BTreeSet<&str> = files.filter_map(module_of).collect();
    let listed = || LAYERS.iter().copied().flatten().copied();
    let mut violations = Vec::new();
    for unknown in modules.iter().filter(|module| !listed().any(|listed| listed == **module)) {
        violations.push(format!("{KERNEL}: `{unknown}` is in no layer: give it its place in the order"));
    }
    for gone in listed().filter(|listed| !modules.contains(listed)) {
        violations.push(format!("{KERNEL}: `{gone}` has a layer and is no module"));
    }
    violations.extend(imports.iter().filter_map(upward));
    violations
}

/// Returns the violation of an import of a higher layer.
fn upward(import: &Import) -> Option<String> {
    let (own, named) = (module_of(&import.from)?, module_of(&import.to)?);
    (layer_of(named)? < layer_of(own)?).then(|| {
        format!(
            "{}:{}: `{named}`, by {}, is above this module: take a hook or return an effect",
            import.from.display(),
            import.line,
            import.name
        )
    })
}

/// Returns the kernel's module that a source file belongs to.
fn module_of(file: &Path) -> Option<&str> {
    file.extension().filter(|extension| *extension == "rs")?;
    let module = file.strip_prefix(KERNEL).ok()?.iter().next()?.to_str()?;
    Some(module.trim_end_matches(".rs")).filter(|module| *module != ROOT)
}

/// Returns the layer of a module; 0 is the top.
fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Returns the violation of an import of one file of the kernel by another.
    fn import(from: &str, to: &str) -> Option<String> {
        let [from, to] = [from, to].map(|file| PathBuf::from(KERNEL).join(file));
        upward(&Import { from, line: 7, to, name: "crate::x".into(), is_reexport: false })
    }

    #[test]
    fn imports_go_downwards() {
        let upwards = import("sched/queue.rs", "sync/wait.rs").unwrap();
        assert!(upwards.starts_with("src/kernel/src/sched/queue.rs:7: `sync`"), "{upwards}");
        assert!(import("sched/queue.rs", "thread/mod.rs").is_none());
        assert!(import("sched/queue.rs", "proc/mod.rs").is_some());
        assert!(import("arch.rs", "cpu/mod.rs").is_some());
        assert!(import("sync/lock.rs", "time/mod.rs").is_none());
        assert!(import("arch/mod.rs", "lib.rs").is_none());
    }

    #[test]
    fn every_module_has_a_place() {
        let listed: Vec<PathBuf> = LAYERS
            .iter()
            .copied()
            .flatten()
            .map(|module| Path::new(KERNEL).join(module).join("mod.rs"))
            .collect();
        let check = |files: &[PathBuf]| check(files.iter().map(PathBuf::as_path), &[]);
        assert!(check(&listed).is_empty());
        let mut more = listed.clone();
        more.extend(["lib.rs", "signal.rs", "api.md"].map(|file| Path::new(KERNEL).join(file)));
        assert_eq!(check(&more), ["src/kernel/src: `signal` is in no layer: give it its place in the order"]);
        assert_eq!(check(&listed[1..]), ["src/kernel/src: `boot` has a layer and is no module"]);
    }

    #[test]
    fn no_module_is_listed_twice() {
        let listed: Vec<_> = LAYERS.iter().copied().flatten().collect();
        assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len());
    }
}
