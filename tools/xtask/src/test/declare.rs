//! What a test image declares about itself, in the `//!` lines that its source begins with:
//!
//! - `expect: fail NAME`, `expect: panic NAME`, `expect: hang NAME`, `expect: leak NAME`, `expect: pass NAME`: how
//!   that test must come out; then each test must be declared, and the image passes when exactly that was told;
//! - `expect: no-verdict`: the whole system hangs; `expect: system-panic`: it panics;
//! - `expect: init-ends STATUS`: process 1 ends, the system says so, and powers off with this status;
//! - `deadline: SECONDS`: how long the image may take on the host.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// How a test is declared to come out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// It passes.
    Pass,
    /// It says that it failed.
    Fail,
    /// It panics.
    Panic,
    /// It does not end in its deadline.
    Hang,
    /// It leaves something behind.
    Leak,
}

impl Ending {
    /// The word with which the reason of a failed test begins.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Pass => None,
            Self::Fail => Some("failed"),
            Self::Panic => Some("panicked"),
            Self::Hang => Some("timed out"),
            Self::Leak => Some("leaked"),
        }
    }
}

/// What an image is declared to do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Expected {
    /// All its tests pass.
    #[default]
    Success,
    /// Its tests end like this.
    Endings(Vec<(String, Ending)>),
    /// The system hangs before the verdict.
    NoVerdict,
    /// The system panics.
    SystemPanic,
    /// Process 1 ends, and the system powers off with this status.
    InitEnds(u8),
}

/// Everything that an image declares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Declaration {
    /// What it is to do.
    pub(crate) expected: Expected,
    /// How long it may take.
    pub(crate) deadline: Option<Duration>,
}

/// Reads the declaration out of an image's source.
///
/// # Errors
/// Fails when a line of it cannot be understood.
pub(crate) fn read(source: &str) -> anyhow::Result<Declaration> {
    let mut declaration = Declaration::default();
    let mut endings = Vec::new();
    for line in source.lines().map_while(|line| line.trim().strip_prefix("//!")) {
        if let Some(expected) = line.trim().strip_prefix("expect:") {
            match expected.split_whitespace().collect::<Vec<_>>()[..] {
                ["no-verdict"] => declaration.expected = Expected::NoVerdict,
                ["system-panic"] => declaration.expected = Expected::SystemPanic,
                ["init-ends", status] => {
                    let status = status.parse().with_context(|| format!("`{status}` is no status"))?;
                    declaration.expected = Expected::InitEnds(status);
                }
                [word, name] => endings.push((name.to_string(), ending(word)?)),
                _ => bail!("`expect:{expected}` is not understood"),
            }
        } else if let Some(seconds) = line.trim().strip_prefix("deadline:") {
            let seconds =
                seconds.trim().parse().with_context(|| format!("`deadline:{seconds}` is no number"))?;
            declaration.deadline = Some(Duration::from_secs(seconds));
        }
    }
    if !endings.is_empty() {
        if declaration.expected != Expected::Success {
            bail!("the whole image and single tests cannot both be expected to end in a way");
        }
        declaration.expected = Expected::Endings(endings);
    }
    Ok(declaration)
}

/// The ending that a word names.
fn ending(word: &str) -> anyhow::Result<Ending> {
    Ok(match word {
        "pass" => Ending::Pass,
        "fail" => Ending::Fail,
        "panic" => Ending::Panic,
        "hang" => Ending::Hang,
        "leak" => Ending::Leak,
        _ => bail!("`{word}` is no way to end: there are pass, fail, panic, hang and leak"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_declares_nothing_is_to_succeed() {
        let declaration = read("//! A test image.\n//!\n//! More.\nuse x;\n").unwrap();
        assert_eq!(declaration, Declaration::default());
    }

    #[test]
    fn endings_are_read_from_the_first_lines_only() {
        let source =
            "//! Shows it.\n//! expect: fail a.b\n//! expect: leak c\n\nfn f() {}\n//! expect: nonsense\n";
        let expected = vec![("a.b".to_string(), Ending::Fail), ("c".to_string(), Ending::Leak)];
        assert_eq!(read(source).unwrap().expected, Expected::Endings(expected));
    }

    #[test]
    fn whole_images_may_hang_or_panic_with_a_deadline() {
        let declaration = read("//! expect: no-verdict\n//! deadline: 8\n").unwrap();
        assert_eq!(declaration.expected, Expected::NoVerdict);
        assert_eq!(declaration.deadline, Some(Duration::from_secs(8)));
        assert_eq!(read("//! expect: system-panic").unwrap().expected, Expected::SystemPanic);
        assert_eq!(read("//! expect: init-ends 134").unwrap().expected, Expected::InitEnds(134));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(read("//! expect: explode a").is_err());
        assert!(read("//! expect: fail").is_err());
        assert!(read("//! deadline: soon").is_err());
        assert!(read("//! expect: init-ends 256").is_err());
        assert!(read("//! expect: fail a\n//! expect: no-verdict").is_err());
    }
}
