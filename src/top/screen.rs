//! Draws a view. Knows no terminal: a test draws into a buffer.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Clear, Paragraph};
use ratatui::Frame;

use super::model::View;
use super::table::Table;

/// What is on the screen besides the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    /// The first connection shown.
    pub(super) scrolled: usize,
    /// The last line: what is being typed, what failed, or the keys.
    pub(super) footer: String,
    pub(super) help: bool,
}

/// What the keys do.
pub(super) const KEYS: &str = "q quit  space pause  o/O order  s subscriptions  r rates  b raw  \
                               n number  +/- delay  ? help";

const HELP: &[&str] = &[
    "q, Ctrl-C     leave",
    "space         stop looking, go on",
    "o, O          the next order of connections, the one before",
    "s             show subscriptions, hide them",
    "r             messages and bytes of connections: in all, or per second",
    "b             numbers in full, or with units",
    "n             ask for so many connections; then digits and Enter",
    "+, -          twice the delay, half of it",
    "up, down      scroll, also with PageUp, PageDown, Home, End",
    "",
    "BUSY          share of time in turns that did not end in sleep",
    "TURN_US       their mean, in microseconds",
    "QUEUED        what waits in the lanes to the other shards",
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, overlay: &Overlay) {
    let height = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX);
    let shards = view.shards.as_ref().map_or(0, |table| table.rows.len() + 2);
    let [head, middle, list, footer] = Layout::vertical([
        Constraint::Length(height(view.head.len() + 1)),
        // Shards leave room for connections.
        Constraint::Length(height(shards).min(frame.area().height / 2)),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let lines: Vec<Line<'_>> = view.head.iter().map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(Text::from(lines)), head);
    if let Some(table) = &view.shards {
        draw_table(frame, table, middle, 0);
    }
    draw_table(frame, &view.connections, list, overlay.scrolled);
    let style = Style::default().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(overlay.footer.as_str()).style(style), footer);
    if overlay.help {
        draw_help(frame);
    }
}

/// A table whose lines are cut off where the screen ends.
fn draw_table(frame: &mut Frame<'_>, table: &Table, area: Rect, from: usize) {
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let mut lines = table.lines().into_iter();
    let titles = lines.next().map(|titles| Line::from(titles).style(bold));
    let from = from.min(table.rows.len().saturating_sub(1));
    let rows = lines.skip(from).take(usize::from(area.height)).map(Line::from);
    let lines: Vec<Line<'_>> = titles.into_iter().chain(rows).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let height = u16::try_from(HELP.len()).unwrap_or(u16::MAX).min(area.height);
    let widest = HELP.iter().map(|line| line.len()).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(format!("  {line}"))).collect();
    let style = Style::default().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(lines).style(style), place);
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    use super::super::model::tests::model;
    use super::super::settings::Settings;
    use super::*;

    fn drawn(width: u16, height: u16, shards: bool, overlay: &Overlay) -> Vec<String> {
        let view = model(shards).view(&Settings::default());
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &view, overlay)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn server_shards_and_connections_stand_below_each_other() {
        let overlay = Overlay { footer: KEYS.to_owned(), ..Overlay::default() };
        let lines = drawn(160, 20, true, &overlay);
        assert_eq!(lines[0], "NATS server version 2.15.1 (uptime: 3s)");
        assert!(lines[7].starts_with("SHARD  CONNS  SUBS"), "{lines:#?}");
        assert!(lines[8].starts_with("    0      2"), "{lines:#?}");
        assert!(lines[10].starts_with("HOST            CID  NAME"), "{lines:#?}");
        assert!(lines[11].starts_with("127.0.0.1:5000    7  a[2J"), "{lines:#?}");
        assert!(lines[12].starts_with("[::1]:5001        8"), "{lines:#?}");
        assert!(lines[19].starts_with("q quit"), "{lines:#?}");
    }

    #[test]
    fn a_server_without_shards_shows_none() {
        let lines = drawn(120, 16, false, &Overlay::default());
        assert!(lines[7].starts_with("HOST"), "{lines:#?}");
    }

    #[test]
    fn scrolling_and_help_change_what_is_seen() {
        let scrolled = Overlay { scrolled: 1, ..Overlay::default() };
        let lines = drawn(120, 16, false, &scrolled);
        assert!(lines[8].starts_with("[::1]:5001"), "{lines:#?}");
        let help = Overlay { help: true, ..Overlay::default() };
        let lines = drawn(120, 24, false, &help);
        assert!(lines.iter().any(|line| line.contains("twice the delay")), "{lines:#?}");
    }

    #[test]
    fn a_tiny_terminal_is_no_reason_to_end() {
        for (width, height) in [(1, 1), (3, 2), (20, 5), (200, 3)] {
            let help = Overlay { help: true, scrolled: 9, footer: KEYS.to_owned() };
            assert_eq!(drawn(width, height, true, &help).len(), usize::from(height));
        }
    }
}
