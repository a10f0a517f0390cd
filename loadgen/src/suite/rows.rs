//! The rows of a suite as text: `name | command | figures`.

use crate::error::Error;

/// One row of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What to call it.
    pub name: String,
    /// The words of its command line, without the program's name.
    pub words: Vec<String>,
    /// The figures to show.
    pub figures: Vec<String>,
}

impl Row {
    /// True if `filter` is empty or one of its `|`-separated parts occurs in the name or the
    /// command, in any case.
    pub fn is_selected(&self, filter: &str) -> bool {
        let text = format!("{} {}", self.name, self.words.join(" ")).to_lowercase();
        filter.is_empty() || filter.to_lowercase().split('|').any(|part| text.contains(part.trim()))
    }
}

/// The rows that come with the program: of the core protocol, or of JetStream.
pub fn built_in(jetstream: bool) -> Result<Vec<Row>, Error> {
    parse(if jetstream { include_str!("rows-jetstream.txt") } else { include_str!("rows.txt") })
}

/// Reads rows; empty lines and lines that begin with `#` are skipped.
pub fn parse(text: &str) -> Result<Vec<Row>, Error> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, command, figures] = parts[..] else {
                return Err(Error::Usage(format!(
                    "row file, line {number}: write `name | command | figures`"
                )));
            };
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            Ok(Row { name: name.to_owned(), words: words(command), figures: words(figures) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_selected() {
        let rows = parse("# note\n\na b | pubsub --size 16 | rate p99\n").unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].words, ["pubsub", "--size", "16"]);
        assert_eq!(rows[0].figures, ["rate", "p99"]);
        assert!(rows[0].is_selected(""));
        assert!(rows[0].is_selected("A B"));
        assert!(rows[0].is_selected("nothing|--size 16"));
        assert!(!rows[0].is_selected("queue"));
        assert!(parse("only a name").is_err());
    }

    #[test]
    fn the_built_in_rows_are_read() {
        assert_eq!(built_in(false).unwrap().len(), 15);
        assert_eq!(built_in(true).unwrap().len(), 28);
    }
}
