//! The table that `bench` prints: our figures, their bars, and what other systems need.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::figures::Figure;
use super::peers::{BARS, Bar, CAVEATS, PEERS, SYSTEMS};

/// The bar of a figure, when it has one.
fn bar(figure: &Figure) -> Option<&'static Bar> {
    BARS.iter().find(|bar| bar.name == figure.name && bar.cpus == figure.cpus)
}

/// Whether a figure is over its bar.
pub(crate) fn is_over(figure: &Figure) -> bool {
    bar(figure).is_some_and(|bar| figure.value > bar.at_most)
}

/// The table with the caveats below it. Figures of a smoke run are not `judged`.
pub(crate) fn render(figures: &[Figure], judged: bool) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    let mut header = vec!["operation", "CPUs", "value", "unit", "at most", ""];
    header.extend(SYSTEMS);
    table.set_header(header);
    for figure in figures {
        table.add_row(row(figure, judged));
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.to_string();
    text.push_str("\n\nOther systems, measured in the same way (QEMU 10.0.2, virt, cortex-a72, icount); what the figures do not say:\n");
    for caveat in CAVEATS {
        text.push_str(&format!("- {caveat}\n"));
    }
    text
}

/// One figure's row.
fn row(figure: &Figure, judged: bool) -> Vec<String> {
    let bar = bar(figure);
    let verdict = match bar {
        Some(_) if !judged => "not judged",
        Some(_) if is_over(figure) => "over",
        Some(_) => "ok",
        None => "",
    };
    let mut row = vec![
        figure.name.clone(),
        figure.cpus.to_string(),
        number(figure.value),
        figure.unit.clone(),
        bar.map(|bar| number(bar.at_most)).unwrap_or_default(),
        verdict.to_string(),
    ];
    let peer = PEERS.iter().find(|peer| peer.name == figure.name && peer.cpus == figure.cpus);
    row.extend(peer.map_or([""; 5], |peer| peer.figures).map(String::from));
    row
}

/// A number as people write it: thousands apart, no more decimals than say something.
fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::*;

    fn figure(line: &str) -> Figure {
        figures::read(line, "bench_x").unwrap()
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(number(7.0), "7");
        assert_eq!(number(1.0625), "1.06");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }

    #[test]
    fn a_figure_is_over_its_bar_only_with_the_bars_cpus() {
        assert!(is_over(&figure("bench switch.yield 1 151 instructions")));
        assert!(!is_over(&figure("bench switch.yield 1 150 instructions")));
        assert!(!is_over(&figure("bench switch.yield 4 1000 instructions")));
        assert!(!is_over(&figure("bench unknown 1 1e9 instructions")));
    }

    #[test]
    fn the_table_has_bar_verdict_and_peers() {
        let figures = [
            figure("bench switch.yield 1 97 instructions"),
            figure("bench lwp.live_10000_ratio 1 1.2 ratio"),
        ];
        let text = render(&figures, true);
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_string();
        assert!(row("switch.yield").contains("| ok "), "{text}");
        assert!(row("switch.yield").contains("89 / 82"), "{text}");
        assert!(row("live_10000").contains("| over"), "{text}");
        assert!(render(&figures, false).contains("not judged"));
    }
}
