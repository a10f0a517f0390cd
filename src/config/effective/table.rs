//! `docs/options.md`: the table of all options.

use std::fmt::Write as _;

use super::super::completions::spelled;
use super::super::flags::FLAGS;
use super::super::options::Options;
use super::rows::{Row, Source, ROWS};
use super::shown::Shown;

/// The document.
pub(super) fn table() -> String {
    let mut text = String::from(HEAD);
    let defaults = Options::default();
    let mut block = None;
    for row in ROWS {
        if block != Some(row.block) {
            block = Some(row.block);
            text.push_str(match row.block {
                "" => {
                    "\n| option | type | default | reload | flag | |\n|---|---|---|---|---|---|\n"
                }
                _ => "",
            });
            if !row.block.is_empty() {
                let _infallible = write!(
                    text,
                    "\n`{} {{ }}`\n\n| option | type | default | reload | flag | |\n|---|---|---|---|---|---|\n",
                    row.block
                );
            }
        }
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            names(row),
            row.kind,
            default_of(row, &defaults),
            if row.reload { "yes" } else { "" },
            flags(row),
            row.help.replace('|', "\\|"),
        );
    }
    text
}

fn names(row: &Row) -> String {
    let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn default_of(row: &Row, defaults: &Options) -> String {
    match (&row.source, row.value(defaults)) {
        (Source::Others, _) | (_, Shown::Unset) => String::new(),
        (_, Shown::Text(text)) => format!("`{text}`"),
        (_, value) => format!("`{}`", value.inline()),
    }
}

fn flags(row: &Row) -> String {
    let Some(setting) = row.setting else { return String::new() };
    let names = FLAGS.iter().filter(|flag| flag.setting == setting).flat_map(|flag| flag.names);
    let names: Vec<String> = names.map(|name| format!("`{}`", spelled(name))).collect();
    names.join(", ")
}

const HEAD: &str = "\
# Options

Every option of the configuration file, with its aliases; case does not matter. Printed by
`midge config --table`, from the table that `midge config` reads the options by.

*default*: empty is unset. *reload*: a running server takes a change of it ([operating](operating.md#reloading));
a change of any other refuses the whole reload. *flag*: sets it, too, and counts more than the file.
Sizes may have a suffix (`k`, `m`, `g` of 1,000; `kb`, `mb`, `gb` of 1,024), durations are texts like
`\"1m30s\"`. What nats-server has and is not here stops the start
([compatibility](compatibility.md)).
";

#[cfg(test)]
mod tests {
    use super::*;

    // Goal: the document is the table. Method: both, compared.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test reads a document")]
    fn the_committed_table_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == table(), "run: midge config --table > docs/options.md");
    }

    #[test]
    fn a_row_says_all_there_is() {
        let text = table();
        for line in [
            "| `port` | integer | `4222` |  | `-p`, `--port` | Port that clients connect to; -1 is any free one |",
            "| `max_connections`, `max_conn` | integer | `65536` | yes |  | Client connections at one time |",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
