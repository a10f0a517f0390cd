//! What `--once` prints: the tables as text, or the figures as JSON.

use serde_json::{json, Value};

use super::model::View;
use super::table::Table;

/// All of it, a line end behind each line.
pub(super) fn text(view: &View) -> String {
    let mut lines = view.head.clone();
    for table in view.shards.iter().chain([&view.connections]) {
        lines.push(String::new());
        lines.extend(table.lines());
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The same for programs: an object for each row, keys as the headings in lower case.
pub(super) fn json(view: &View) -> String {
    let page = json!({
        "head": view.head,
        "shards": view.shards.as_ref().map(rows),
        "connections": rows(&view.connections),
    });
    let text = serde_json::to_string_pretty(&page).unwrap_or_default();
    format!("{text}\n")
}

fn rows(table: &Table) -> Vec<Value> {
    let object = |row: &Vec<String>| {
        let cells = table.columns.iter().zip(row);
        cells
            .map(|(column, cell)| {
                let key = column.title.to_lowercase().replace('/', "_per_");
                let number = cell.parse::<f64>().ok().filter(|_| column.right);
                (key, number.map_or_else(|| Value::from(cell.as_str()), Value::from))
            })
            .collect::<Value>()
    };
    table.rows.iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::model;
    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn texts_have_all_tables() {
        let view = model(true).view(&Settings::default());
        let text = text(&view);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("SHARD  CONNS")), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("HOST            CID  NAME")), "{text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
    }

    #[test]
    fn json_has_an_object_for_each_row() {
        let raw = Settings { raw: true, ..Settings::default() };
        let page: Value = serde_json::from_str(&json(&model(true).view(&raw))).unwrap();
        assert_eq!(page["connections"][0]["cid"], 7.0);
        assert_eq!(page["shards"][0]["in_msgs_per_s"], 1000.0);
        let page: Value = serde_json::from_str(&json(&model(false).view(&raw))).unwrap();
        assert_eq!(page["shards"], Value::Null);
    }
}
