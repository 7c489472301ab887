//! The table that `bench` prints: our figures, their bars, and the costs on other systems.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::figures::Figure;
use super::peers::{CAVEATS, LINUX, PEERS, SYSTEMS};
use super::verdict::{Verdict, judge};

/// Returns the table with the notes below it. Figures of a smoke run are not `judged`. What was measured just now
/// `on_linux` replaces the recorded figures.
pub(crate) fn render(figures: &[Figure], on_linux: &[Figure], judged: bool) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    let mut header = vec!["operation", "CPUs", "value", "unit", "at most", ""];
    header.extend(SYSTEMS);
    table.set_header(header);
    for figure in figures {
        table.add_row(row(figure, figures, on_linux, judged));
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.to_string();
    for figure in figures {
        if let Some(place) = &figure.place {
            text.push_str(&format!("\n{} with {} CPUs: {place}", figure.name, figure.cpus));
        }
    }
    text.push_str("\n\nOther systems, measured in the same way (QEMU 10.0.2, virt, cortex-a72, icount); what the figures do not say:\n");
    for caveat in CAVEATS {
        text.push_str(&format!("- {caveat}\n"));
    }
    text
}

/// Returns one figure's row.
fn row(figure: &Figure, figures: &[Figure], on_linux: &[Figure], judged: bool) -> Vec<String> {
    let judgement = judge(figure, figures);
    let has_bar = judgement.at_most.is_some() || !judgement.held_to.is_empty();
    let verdict = match judgement.verdict {
        Some(Verdict::Ok) if judged => "ok",
        Some(Verdict::Over) if judged => "OVER",
        _ if has_bar => "not judged",
        _ => "",
    };
    let held_to = match judgement.at_most {
        Some(most) if judgement.held_to.is_empty() => number(most),
        Some(most) => format!("{} ({})", number(most), judgement.held_to),
        None => judgement.held_to,
    };
    let mut row = vec![
        figure.name.clone(),
        figure.cpus.to_string(),
        number(figure.value),
        figure.unit.clone(),
        held_to,
        verdict.to_string(),
    ];
    let peer = PEERS.iter().find(|peer| peer.name == figure.name && peer.cpus == figure.cpus);
    let mut peers = peer.map_or([""; SYSTEMS.len()], |peer| peer.figures).map(String::from);
    let same = |other: &&Figure| other.name == figure.name && other.cpus == figure.cpus;
    if let Some(other) = on_linux.iter().find(same) {
        peers[LINUX] = number(other.value);
    }
    row.extend(peers);
    row
}

/// Formats a number for people: thousands apart, without meaningless decimals.
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
    fn the_table_has_bar_verdict_and_peers() {
        let figures = [
            figure("bench switch.yield 1 97 instructions"),
            figure("bench process.spawn_exit_wait 1 2000 instructions"),
            figure("bench process.spawn_exit_wait 4 2100 instructions"),
            figure("bench wait.nohang_miss_10000 1 61 instructions"),
            figure("bench lwp.live_10000_ratio 1 1.2 ratio"),
        ];
        let text = render(&figures, &[], true);
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_string();
        assert!(row("switch.yield").contains("| ok "), "{text}");
        assert!(row("switch.yield").contains("89 / 82"), "{text}");
        assert!(row("live_10000").contains("| OVER"), "{text}");
        assert!(text.contains(" 2,300 (1.15 x 1 CPU) | ok"), "{text}");
        assert!(text.contains("100 (= wait.nohang_miss_1)"), "{text}");
        assert!(render(&figures, &[], false).contains("not judged"));
    }

    #[test]
    fn the_place_of_a_figure_stands_below_the_table() {
        let mut longest = figure("bench masked.longest 4 19000 instructions");
        longest.place = Some("in bench_lwp, from a to b".into());
        let text = render(&[longest], &[], true);
        assert!(text.contains("\nmasked.longest with 4 CPUs: in bench_lwp, from a to b\n"), "{text}");
    }

    #[test]
    fn what_linux_needed_just_now_stands_in_its_column() {
        let ours = [figure("bench std.mutex_uncontended 1 18 instructions")];
        let on_linux = [figure("bench std.mutex_uncontended 1 1234567 instructions")];
        let column = |text: String, name: &str| {
            let cells =
                |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_string()).collect() };
            let mut lines = text.lines().map(cells);
            let place = lines.next().unwrap().iter().position(|cell| cell == name).unwrap();
            lines.find(|cells| cells[1] == "std.mutex_uncontended").unwrap()[place].clone()
        };
        assert_eq!(column(render(&ours, &on_linux, true), "Linux"), "1,234,567");
        assert_ne!(column(render(&ours, &[], true), "Linux"), "1,234,567");
        assert_eq!(column(render(&ours, &on_linux, true), "Hermit"), "");
    }
}
