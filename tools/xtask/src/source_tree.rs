//! Copies of source trees, with a few places changed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// A change to a file of a tree: `old`, which occurs once, becomes `new`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit<'a> {
    pub(crate) file: &'a str,
    pub(crate) old: &'a str,
    pub(crate) new: &'a str,
}

impl Edit<'_> {
    /// Makes the change in `tree`.
    ///
    /// # Errors
    /// Fails when the file is not the expected one.
    pub(crate) fn apply(&self, tree: &Path) -> anyhow::Result<()> {
        let path = tree.join(self.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = self.changed(&text).with_context(|| path.display().to_string())?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the text of the file with the change.
    ///
    /// # Errors
    /// Fails when `old` does not occur once.
    pub(crate) fn changed(&self, text: &str) -> anyhow::Result<String> {
        let found = text.matches(self.old).count();
        ensure!(found == 1, "it has {found} times `{}`: this version of it is not known", self.old.trim());
        Ok(text.replace(self.old, self.new))
    }
}

/// Copies a directory with all its contents; links are followed.
///
/// # Errors
/// Fails when something cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            // Permissions are copied, so that a script stays executable.
            fs::copy(&source, &target)
                .with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))?;
        }
    }
    Ok(())
}

/// Makes the file or directory `to` like `from`: writes what differs, and removes what is not there. Files that are
/// the same keep their times, which cargo compares.
///
/// # Errors
/// Fails when something cannot be read, written or removed.
pub(crate) fn mirror(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        let text = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        if fs::read(to).is_ok_and(|old| old == text) {
            return Ok(());
        }
        return fs::write(to, text).with_context(|| format!("cannot write {}", to.display()));
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(to)? {
        let (old, source) = entry.map(|entry| (entry.path(), from.join(entry.file_name())))?;
        if old.is_dir() && !source.is_dir() {
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        } else if old.is_file() && !source.is_file() {
            fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        mirror(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Changes every text file of a tree.
///
/// # Errors
/// Fails when something cannot be read or written.
pub(crate) fn change_texts(tree: &Path, change: &dyn Fn(&str) -> String) -> anyhow::Result<()> {
    for entry in fs::read_dir(tree).with_context(|| format!("cannot read {}", tree.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            change_texts(&path, change)?;
        } else if let Ok(text) = String::from_utf8(fs::read(&path)?) {
            write_if_changed(&path, &change(&text))?;
        }
    }
    Ok(())
}

/// Makes `tree` by `make`, unless it was made by the same `recipe` before.
///
/// # Errors
/// Fails as `make`, or when the existing tree cannot be removed.
pub(crate) fn ensure_made(
    tree: &Path,
    recipe: &str,
    make: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = tree.join(".recipe");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == recipe) {
        return Ok(());
    }
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    make()?;
    write_if_changed(&stamp, recipe)
}

/// Writes a file, and does not touch one that already has these contents, because cargo checks the time.
///
/// # Errors
/// Fails when it cannot be written.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    replace(path, text.as_bytes())
}

/// Writes a file in one step: a process that reads it meanwhile gets the former contents or these. Steps of `ci` that run side
/// by side make the same files.
///
/// # Errors
/// Fails when it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut partial = path.to_path_buf().into_os_string();
    partial.push(format!(".{}", std::process::id()));
    let written = fs::write(&partial, bytes).and_then(|()| {
        if let Ok(former) = fs::metadata(path) {
            fs::set_permissions(&partial, former.permissions())?;
        }
        fs::rename(&partial, path)
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(replace(&path.join("none"), b"").is_err());
    }

    #[test]
    fn an_edit_that_does_not_fit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let edit = Edit { file: "a", old: "one", new: "two" };
        let path = directory.path().join("a");
        for (text, fits) in [("one three", true), ("three", false), ("one one", false)] {
            fs::write(&path, text).unwrap();
            assert_eq!(edit.apply(directory.path()).is_ok(), fits, "{text}");
        }
        fs::write(&path, "one three").unwrap();
        edit.apply(directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two three");
    }

    #[test]
    fn a_copy_has_everything() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "text").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("inner/file")).unwrap(), "text");
    }

    #[test]
    fn a_mirror_has_what_is_there_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        for (file, text) in
            [("from/same", "s"), ("from/a/b", "new"), ("to/same", "s"), ("to/a/b/c", "o"), ("to/d", "o")]
        {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let time = || fs::metadata(to.join("same")).unwrap().modified().unwrap();
        let before = time();
        mirror(&from, &to).unwrap();
        assert_eq!((time(), fs::read_to_string(to.join("a/b")).unwrap().as_str()), (before, "new"));
        assert!(!to.join("d").exists());
    }

    #[test]
    fn a_tree_is_made_anew_for_another_recipe_only() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("a-1.2");
        let make = |recipe: &str| {
            let mut made = false;
            ensure_made(&tree, recipe, || {
                assert!(!tree.exists());
                made = true;
                Ok(fs::create_dir(&tree)?)
            })
            .unwrap();
            made
        };
        assert_eq!([make("one"), make("one"), make("two"), make("two")], [true, false, true, false]);
    }
}
