//! Rows of text under headings.

/// A table; every row has as many cells as there are columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
}

/// A heading, and on which side its cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) right: bool,
}

/// A column of texts.
pub(super) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// The width of each column: that of its longest cell, the heading included.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|column| column.title.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    /// The lines, headings first, without blanks at their ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let titles: Vec<String> =
            self.columns.iter().map(|column| column.title.to_owned()).collect();
        std::iter::once(&titles)
            .chain(&self.rows)
            .map(|row| {
                let cells = row.iter().zip(&self.columns).zip(&widths);
                let cells = cells.map(|((cell, column), &width)| match column.right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                });
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_texts_left() {
        let mut table = Table::new(vec![left("NAME"), right("N")]);
        table.rows.push(vec!["a".into(), "100".into()]);
        table.rows.push(vec!["longer".into(), "7".into()]);
        assert_eq!(table.lines(), ["NAME      N", "a       100", "longer    7"]);
    }
}
