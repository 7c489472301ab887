//! Deriving a package source from the machine's own: for a release's backports, another component, another architecture.
//!
//! Pure text work: no server's name is known here. The server of the release on this machine (a mirror, a cache, with
//! any keys) is also used for the rest.

use deb822_fast::{Deb822, Paragraph};

/// One file of package sources, as found on the machine.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// `true` if it is of the `.sources` form; the other is one line a source.
    pub(super) deb822: bool,
    /// Its text.
    pub(super) text: String,
}

/// The contents of a derived source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    /// The suite.
    pub(super) suite: &'a str,
    /// Its components, separated by spaces.
    pub(super) components: &'a str,
    /// The architecture, if it is not that of the source from which it is derived.
    pub(super) architecture: Option<&'a str>,
}

/// A derived source, which becomes a file of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Derived {
    /// The ending that the file must have.
    pub(super) extension: &'static str,
    /// Its text.
    pub(super) text: String,
}

/// Returns whether any source already serves `suite`.
pub(super) fn serves(files: &[SourceFile], suite: &str) -> bool {
    files.iter().any(|file| {
        if file.deb822 {
            paragraphs(&file.text).iter().any(|paragraph| paragraph_serves(paragraph, suite))
        } else {
            file.text.lines().any(|line| line_serves(line, suite).is_some())
        }
    })
}

/// Returns the source for `wish`, derived from the first source that serves `codename`.
pub(super) fn derive(files: &[SourceFile], codename: &str, wish: Wish<'_>) -> Option<Derived> {
    files.iter().find_map(|file| {
        if file.deb822 {
            let paragraphs = paragraphs(&file.text);
            let paragraph = paragraphs.iter().find(|paragraph| paragraph_serves(paragraph, codename))?;
            Some(Derived { extension: "sources", text: derived_paragraph(paragraph, wish) })
        } else {
            let line = file.text.lines().find_map(|line| line_serves(line, codename))?;
            Some(Derived { extension: "list", text: derived_line(&line, wish) })
        }
    })
}

/// Returns the stanzas of a `.sources` file; none when it is malformed.
fn paragraphs(text: &str) -> Vec<Paragraph> {
    let parsed: Result<Deb822, _> = text.parse();
    parsed.map(|file| file.iter().cloned().collect()).unwrap_or_default()
}

/// Returns whether a stanza is enabled, is for binary packages, and names `suite`.
fn paragraph_serves(paragraph: &Paragraph, suite: &str) -> bool {
    let has = |field: &str, word: &str| {
        paragraph.get(field).is_some_and(|value| value.split_whitespace().any(|found| found == word))
    };
    has("Types", "deb") && has("Suites", suite) && !has("Enabled", "no") && paragraph.get("URIs").is_some()
}

/// Returns a stanza for `wish` with the same servers, trusted by the same keys.
fn derived_paragraph(paragraph: &Paragraph, wish: Wish<'_>) -> String {
    let mut text = String::from("Types: deb\n");
    let mut field = |name: &str, value: &str| {
        // A value of several lines (an embedded key) keeps its lines, each indented as the format requires.
        let value = value.lines().collect::<Vec<_>>().join("\n ");
        text.push_str(&format!("{name}: {value}\n"));
    };
    field("URIs", paragraph.get("URIs").unwrap_or_default());
    field("Suites", wish.suite);
    field("Components", wish.components);
    if let Some(value) = wish.architecture.or(paragraph.get("Architectures")) {
        field("Architectures", value);
    }
    for name in ["Signed-By", "Trusted"] {
        if let Some(value) = paragraph.get(name) {
            field(name, value);
        }
    }
    text
}

/// Returns a one-line source for `wish` with the same server and the same options.
fn derived_line(line: &Line<'_>, wish: Wish<'_>) -> String {
    let mut options: Vec<String> = line.options.split_whitespace().map(String::from).collect();
    if let Some(architecture) = wish.architecture {
        options.retain(|option| !option.starts_with("arch="));
        options.insert(0, format!("arch={architecture}"));
    }
    let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
    format!("deb {options}{} {} {}\n", line.address, wish.suite, wish.components)
}

/// The parts of a one-line source that a derived one keeps.
struct Line<'a> {
    /// The text between the brackets.
    options: &'a str,
    /// Where packages come from.
    address: &'a str,
}

/// Splits a one-line source if it is for binary packages of `suite`.
fn line_serves<'a>(line: &'a str, suite: &str) -> Option<Line<'a>> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (options, rest) = inner.split_once(']')?;
            (options.trim(), rest)
        }
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let address = words.next()?;
    (words.next()? == suite).then_some(Line { options, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanzas(text: &str) -> SourceFile {
        SourceFile { deb822: true, text: text.into() }
    }

    fn lines(text: &str) -> SourceFile {
        SourceFile { deb822: false, text: text.into() }
    }

    fn backports(suite: &str) -> Wish<'_> {
        Wish { suite, components: "main", architecture: None }
    }

    const RELEASE: &str = "\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
";

    #[test]
    fn the_servers_and_keys_of_the_release_are_kept() {
        let derived = derive(&[stanzas(RELEASE)], "bookworm", backports("bookworm-backports")).unwrap();
        assert_eq!(derived.extension, "sources");
        assert_eq!(
            derived.text,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Signed-By: /usr/share/keyrings/a.gpg\n"
        );
        assert!(serves(&[stanzas(&derived.text)], "bookworm-backports"));
        assert!(!serves(&[stanzas(RELEASE)], "bookworm-backports"));
    }

    #[test]
    fn an_embedded_key_keeps_its_lines() {
        let text =
            "Types: deb\nURIs: http://m.example/\nSuites: s\nSigned-By:\n -----BEGIN\n .\n abc\n -----END\n";
        let derived = derive(&[stanzas(text)], "s", backports("s-backports")).unwrap();
        assert!(derived.text.contains("-----BEGIN\n .\n abc\n -----END\n"), "{}", derived.text);
    }

    #[test]
    fn stanzas_that_do_not_serve_the_release_are_passed_over() {
        let source = "Types: deb-src\nURIs: http://a.example/\nSuites: bookworm\n";
        let off = "Types: deb\nURIs: http://b.example/\nSuites: bookworm\nEnabled: no\n";
        assert_eq!(derive(&[stanzas(source), stanzas(off)], "bookworm", backports("x")), None);
    }

    #[test]
    fn one_line_sources_are_understood() {
        let file = lines(
            "# deb http://old.example/debian bookworm main\n\
             deb-src http://m.example/debian bookworm main\n\
             deb [ arch=amd64 signed-by=/k.gpg ] http://m.example/debian bookworm main contrib\n",
        );
        let derived = derive(&[file], "bookworm", backports("bookworm-backports")).unwrap();
        assert_eq!(derived.extension, "list");
        assert_eq!(
            derived.text,
            "deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm-backports main\n"
        );
    }

    #[test]
    fn a_one_line_source_without_options_has_none_derived() {
        let derived =
            derive(&[lines("deb http://m.example/debian bookworm main\n")], "bookworm", backports("b"))
                .unwrap();
        assert_eq!(derived.text, "deb http://m.example/debian b main\n");
        assert_eq!(
            derive(&[lines("deb http://m.example/debian trixie main\n")], "bookworm", backports("b")),
            None
        );
    }

    #[test]
    fn another_component_and_architecture_can_be_wished() {
        let wish =
            Wish { suite: "bookworm", components: "main non-free-firmware", architecture: Some("arm64") };
        let derived = derive(&[stanzas(RELEASE)], "bookworm", wish).unwrap();
        assert_eq!(
            derived.text,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main non-free-firmware\n\
             Architectures: arm64\nSigned-By: /usr/share/keyrings/a.gpg\n"
        );
        let file = lines("deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main\n");
        assert_eq!(
            derive(&[file], "bookworm", wish).unwrap().text,
            "deb [arch=arm64 signed-by=/k.gpg] http://m.example/debian bookworm main non-free-firmware\n"
        );
    }
}
