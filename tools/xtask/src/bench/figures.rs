//! One measured figure: as a bench image prints it, and as the JSON file has it.

use serde::Serialize;

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// The number of CPUs.
    pub(crate) cpus: u32,
    /// The median.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: String,
    /// The image that printed it.
    #[serde(skip)]
    pub(crate) image: String,
    /// Where it was measured, for people, if it is the largest of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
}

/// Reads a line of the form `bench NAME CPUS VALUE UNIT`.
pub(crate) fn read(line: &str, image: &str) -> Option<Figure> {
    let mut words = line.strip_prefix("bench ")?.split_whitespace();
    let figure = Figure {
        name: words.next()?.to_string(),
        cpus: words.next()?.parse().ok()?,
        value: words.next()?.parse().ok()?,
        unit: words.next()?.to_string(),
        image: image.to_string(),
        place: None,
    };
    words.next().is_none().then_some(figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_from_its_line() {
        let figure = read("bench switch.yield 4 97.5 instructions", "bench_switch").unwrap();
        assert_eq!((figure.name.as_str(), figure.cpus, figure.value), ("switch.yield", 4, 97.5));
        assert_eq!((figure.unit.as_str(), figure.image.as_str()), ("instructions", "bench_switch"));
    }

    #[test]
    fn other_lines_are_no_figures() {
        for line in
            ["bench", "bench a b c d", "bench a 1 2", "bench a 1 2 u more", "a bench a 1 2 u", "benchmark"]
        {
            assert_eq!(read(line, "x"), None, "{line}");
        }
    }

    #[test]
    fn the_json_has_four_fields() {
        let figure = read("bench a 1 2 ms", "x").unwrap();
        assert_eq!(
            serde_json::to_string(&figure).unwrap(),
            r#"{"name":"a","cpus":1,"value":2.0,"unit":"ms"}"#
        );
    }
}
