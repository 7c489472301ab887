//! The verdict whether figures keep their bars.

use serde::Serialize;

use super::figures::Figure;
use super::peers::{BARS, Bar, Limit};

/// The verdict on a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// It keeps all of them.
    #[serde(rename = "ok")]
    Ok,
    /// It does not keep one of them.
    #[serde(rename = "OVER")]
    Over,
}

/// A figure with its bar: an entry of the JSON file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judged<'a> {
    /// The figure itself.
    #[serde(flatten)]
    pub(crate) figure: &'a Figure,
    /// The largest value allowed, if it has such a bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
    /// The origin of that value, or the other limit, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) held_to: String,
    /// The verdict; `None` if it has no bar, or if the figure to compare it with was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
}

/// Returns the figure of another row.
fn value(figures: &[Figure], name: &str, cpus: u32) -> Option<f64> {
    figures.iter().find(|figure| figure.name == name && figure.cpus == cpus).map(|figure| figure.value)
}

/// Judges one of `figures`.
pub(crate) fn judge<'a>(figure: &'a Figure, figures: &[Figure]) -> Judged<'a> {
    let mut judged = Judged { figure, at_most: None, held_to: String::new(), verdict: None };
    for bar in BARS.iter().filter(|bar| bar.name == figure.name && bar.cpus == figure.cpus) {
        let kept = match bar.limit {
            Limit::AtMost(most) => {
                judged.at_most = Some(most);
                Some(figure.value <= most)
            }
            Limit::TimesOneCpu(times) => {
                judged.at_most = value(figures, bar.name, 1).map(|one| one * times);
                judged.held_to = format!("{times} x 1 CPU");
                judged.at_most.map(|most| figure.value <= most)
            }
            Limit::SameAs(name) => {
                judged.held_to = format!("= {name}");
                value(figures, name, bar.cpus).map(|other| (figure.value - other).abs() < 1.0)
            }
        };
        judged.verdict = match (judged.verdict, kept) {
            (Some(Verdict::Over), _) | (_, Some(false)) => Some(Verdict::Over),
            (_, Some(true)) => Some(Verdict::Ok),
            (verdict, None) => verdict,
        };
    }
    judged
}

/// Returns the bars whose figures were not measured.
pub(crate) fn without_figure(figures: &[Figure]) -> impl Iterator<Item = &'static Bar> {
    BARS.iter().filter(|bar| value(figures, bar.name, bar.cpus).is_none())
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::*;

    fn verdicts(lines: &[&str]) -> Vec<Option<Verdict>> {
        let figures: Vec<Figure> = lines.iter().map(|line| figures::read(line, "bench_x").unwrap()).collect();
        figures.iter().map(|figure| judge(figure, &figures).verdict).collect()
    }

    #[test]
    fn a_figure_is_over_its_bar_only_with_the_bars_cpus() {
        let lines = [
            "bench switch.yield 1 151 instructions",
            "bench switch.yield 1 150 instructions",
            "bench switch.yield 4 1000 instructions",
            "bench unknown 1 1e9 instructions",
        ];
        assert_eq!(verdicts(&lines), [Some(Verdict::Over), Some(Verdict::Ok), None, None]);
    }

    #[test]
    fn more_cpus_are_held_to_what_one_needs() {
        let one = "bench process.spawn_exit_wait 1 2000 instructions";
        let four = "bench process.spawn_exit_wait 4 2300 instructions";
        let eight = "bench process.spawn_exit_wait 8 2301 instructions";
        assert_eq!(
            verdicts(&[one, four, eight]),
            [Some(Verdict::Ok), Some(Verdict::Ok), Some(Verdict::Over)]
        );
        assert_eq!(verdicts(&[four]), [None], "there is nothing to compare it with");
    }

    #[test]
    fn two_rows_are_the_same_within_rounding() {
        let one = "bench wait.nohang_miss_1 1 61.000 instructions";
        let same = "bench wait.nohang_miss_10000 1 61.410 instructions";
        let other = "bench wait.nohang_miss_10000 1 62.000 instructions";
        assert_eq!(verdicts(&[one, same]), [Some(Verdict::Ok); 2]);
        assert_eq!(verdicts(&[one, other]), [Some(Verdict::Ok), Some(Verdict::Over)]);
        let over = "bench wait.nohang_miss_10000 1 101 instructions";
        assert_eq!(
            verdicts(&["bench wait.nohang_miss_1 1 101 instructions", over]),
            [Some(Verdict::Over); 2]
        );
    }

    #[test]
    fn a_bar_without_its_figure_is_told() {
        assert_eq!(without_figure(&[]).count(), BARS.len());
        let figure = figures::read("bench switch.yield 1 1 instructions", "x").unwrap();
        assert_eq!(without_figure(&[figure]).count(), BARS.len() - 1);
    }

    #[test]
    fn the_json_has_the_figure_and_its_bar() {
        let figure = figures::read("bench switch.yield 1 151 instructions", "x").unwrap();
        assert_eq!(
            serde_json::to_string(&judge(&figure, &[])).unwrap(),
            r#"{"name":"switch.yield","cpus":1,"value":151.0,"unit":"instructions","at_most":150.0,"verdict":"OVER"}"#
        );
        let figure = figures::read("bench a 1 2 ms", "x").unwrap();
        assert_eq!(
            serde_json::to_string(&judge(&figure, &[])).unwrap(),
            r#"{"name":"a","cpus":1,"value":2.0,"unit":"ms"}"#
        );
    }
}
