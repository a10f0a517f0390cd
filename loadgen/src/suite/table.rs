//! The suite's outcome as a Markdown table.

use super::RowOutcome;
use crate::compare::pairs::SideOutcome;
use crate::compare::ratio::Spread;
use crate::output::{text::WAITED_PERCENT, units};
use crate::result::RunResult;

/// A table with a line for each figure of each row.
///
/// Values are medians over the runs with the lowest and highest in parentheses. Processor time is
/// the server's for each message received. A generator that was 95 % busy or more in a closed loop
/// is marked as full: there the figure may be its own limit. One that had to wait for its core for
/// 1 % of the time or more (median over the runs) is marked as disturbed: such figures are not
/// worth much.
pub fn markdown(rows: &[RowOutcome]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let labels: Vec<&str> = first.outcome.sides.iter().map(|side| side.label.as_str()).collect();
    let mut lines = Vec::new();
    let mut head = vec!["row".to_owned(), "figure".to_owned()];
    head.extend(labels.iter().map(|label| (*label).to_owned()));
    if let [a, b] = labels[..] {
        head.push(format!("{a}/{b} (pairs: lowest..highest)"));
    }
    head.push("floor (relay asleep / awake)".to_owned());
    head.extend(labels.iter().map(|label| format!("CPU/msg {label}")));
    head.extend(labels.iter().map(|label| format!("generator busy, {label}")));
    lines.push(line(&head));
    lines.push(line(&vec!["---".to_owned(); head.len()]));
    lines.extend(rows.iter().flat_map(row_lines));
    lines.join("\n") + "\n"
}

fn row_lines(row: &RowOutcome) -> Vec<String> {
    let sides = &row.outcome.sides;
    let mut lines = Vec::new();
    for (index, figure) in row.figures.iter().enumerate() {
        let mut cells = vec![if index == 0 { row.name.clone() } else { String::new() }];
        cells.push(figure.clone());
        cells.extend(sides.iter().map(|side| spread_cell(figure, side.spread(figure))));
        if sides.len() == 2 {
            let ratio = row.outcome.ratios.get(figure);
            cells.push(ratio.map_or_else(dash, |r| {
                format!("**{:.2}** ({:.2}..{:.2}, n={})", r.median, r.min, r.max, r.count)
            }));
        }
        let floor = row.floor.as_ref().and_then(|floor| {
            let both = floor.asleep.metric(figure).zip(floor.awake.metric(figure));
            let show = |value| units::metric(figure, value);
            both.map(|(asleep, awake)| format!("{} / {}", show(asleep), show(awake)))
        });
        cells.push(floor.unwrap_or_else(dash));
        if index == 0 {
            cells.extend(sides.iter().map(|side| cpu_cell(row, side)));
            cells.extend(sides.iter().map(busy_cell));
        } else {
            cells.extend(vec![String::new(); 2 * sides.len()]);
        }
        lines.push(line(&cells));
    }
    lines
}

fn spread_cell(figure: &str, spread: Option<Spread>) -> String {
    let show = |value| units::metric(figure, value);
    spread.map_or_else(dash, |s| format!("{} ({}..{})", show(s.median), show(s.min), show(s.max)))
}

fn cpu_cell(row: &RowOutcome, side: &SideOutcome) -> String {
    // An idle connection is no message.
    if row.outcome.workload.name() == "idle" {
        return dash();
    }
    side.spread("cpu").map_or_else(dash, |spread| units::time(spread.median))
}

fn busy_cell(side: &SideOutcome) -> String {
    side.spread("busy").map_or_else(dash, |spread| {
        let full = match side.runs.iter().any(RunResult::generator_is_full) {
            true => ", full",
            false => "",
        };
        let waited = side.spread("waited").map_or(0.0, |waited| waited.median);
        let disturbed = match waited >= WAITED_PERCENT {
            true => format!(", disturbed {waited:.0} %"),
            false => String::new(),
        };
        format!("{:.0} %{full}{disturbed}", spread.median)
    })
}

fn dash() -> String {
    "-".to_owned()
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}
