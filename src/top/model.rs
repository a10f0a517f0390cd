//! Two samples to tables. Pure.

use std::collections::BTreeMap;

use super::exposition::ShardFigures;
use super::numbers::{bytes, count, rate};
use super::sample::{Connection, Sample};
use super::settings::Settings;
use super::table::{left, right, Table};

/// The last samples of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    now: Sample,
    /// `None`: there is only one, so there are no rates.
    before: Option<Sample>,
}

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Lines about the server.
    pub(super) head: Vec<String>,
    /// `None`: a server without shards.
    pub(super) shards: Option<Table>,
    pub(super) connections: Table,
}

impl Model {
    /// Takes a sample. One of another server, or of one that was started anew, begins afresh.
    pub(super) fn handle_sample(&mut self, sample: Sample) {
        let before = std::mem::replace(&mut self.now, sample);
        let is_same = before.server.server_id == self.now.server.server_id
            && before.server.in_msgs <= self.now.server.in_msgs
            && before.at < self.now.at;
        self.before = is_same.then_some(before);
    }

    /// What is to be shown of the last sample.
    pub(super) fn view(&self, settings: &Settings) -> View {
        let shards = self.now.shards.as_deref();
        View {
            head: self.head(settings),
            shards: shards.map(|shards| self.shards(shards, settings)),
            connections: self.connections(settings),
        }
    }

    /// Seconds between the samples.
    fn seconds(&self) -> Option<f64> {
        let before = self.before.as_ref()?;
        Some((self.now.at.saturating_sub(before.at)).as_secs_f64().max(1e-3))
    }

    /// What a figure of the server grew by in a second.
    fn server_rate(&self, of: fn(&Sample) -> f64) -> Option<f64> {
        let before = self.before.as_ref()?;
        Some((of(&self.now) - of(before)).max(0.0) / self.seconds()?)
    }

    fn head(&self, settings: &Settings) -> Vec<String> {
        let raw = settings.raw;
        let server = &self.now.server;
        let shown = |rate: Option<f64>, unit: fn(f64, bool) -> String| {
            rate.map_or_else(|| "-".to_owned(), |rate| unit(rate, raw))
        };
        let flow = |name: &str, msgs: f64, size: f64, rates: [Option<f64>; 2]| {
            format!(
                "  {name:<4} Msgs: {:<8} Bytes: {:<8} Msgs/Sec: {:<8} Bytes/Sec: {}",
                count(msgs, raw),
                bytes(size, raw),
                shown(rates[0], rate),
                shown(rates[1], bytes),
            )
        };
        vec![
            format!("NATS server version {} (uptime: {})", server.version, server.uptime),
            format!("Server: {}  ID: {}", server.server_name, server.server_id),
            format!(
                "  Load: CPU: {:.1}%  Memory: {}  Slow Consumers: {}",
                server.cpu,
                bytes(server.mem, raw),
                server.slow_consumers
            ),
            flow(
                "In:",
                server.in_msgs,
                server.in_bytes,
                [self.server_rate(|s| s.server.in_msgs), self.server_rate(|s| s.server.in_bytes)],
            ),
            flow(
                "Out:",
                server.out_msgs,
                server.out_bytes,
                [self.server_rate(|s| s.server.out_msgs), self.server_rate(|s| s.server.out_bytes)],
            ),
            format!(
                "Connections Polled: {} of {}  Subscriptions: {}  Sort: {}",
                self.now.connections.num_connections,
                server.connections,
                server.subscriptions,
                settings.sort.name()
            ),
        ]
    }

    fn shards(&self, shards: &[ShardFigures], settings: &Settings) -> Table {
        let raw = settings.raw;
        let mut table = Table::new(vec![
            right("SHARD"),
            right("CONNS"),
            right("SUBS"),
            right("IN_MSGS/S"),
            right("OUT_MSGS/S"),
            right("IN_BYTES/S"),
            right("OUT_BYTES/S"),
            right("LANES/S"),
            right("BUSY"),
            right("TURN_US"),
            right("QUEUED"),
            right("STALLS"),
            right("PAUSES"),
            right("SLOW"),
        ]);
        let before = self.before.as_ref().and_then(|before| before.shards.as_deref());
        for shard in shards {
            let old = before.and_then(|old| old.iter().find(|old| old.shard == shard.shard));
            let grown = |name: &str| old.map(|old| (shard.get(name) - old.get(name)).max(0.0));
            let seconds = self.seconds();
            let per_second = |name: &str| Some(grown(name)? / seconds?);
            let shown = |value: Option<f64>, unit: fn(f64, bool) -> String| {
                value.map_or_else(|| "-".to_owned(), |value| unit(value, raw))
            };
            let busy = per_second("turn_seconds_sum").map(|share| share.min(1.0));
            let turn = match (grown("turn_seconds_sum"), grown("turn_seconds_count")) {
                (Some(sum), Some(turns)) if turns > 0.0 => Some(sum / turns * 1e6),
                _ => None,
            };
            let plain = |name: &str| count(shard.get(name), raw);
            table.rows.push(vec![
                shard.shard.to_string(),
                plain("connections"),
                plain("subscriptions"),
                shown(per_second("in_messages"), rate),
                shown(per_second("out_messages"), rate),
                shown(per_second("in_bytes"), bytes),
                shown(per_second("out_bytes"), bytes),
                shown(per_second("lane_messages"), rate),
                busy.map_or_else(|| "-".to_owned(), |busy| format!("{:.1}%", busy * 100.0)),
                turn.map_or_else(|| "-".to_owned(), |micros| format!("{micros:.1}")),
                plain("lane_depth"),
                plain("stalls"),
                plain("lane_pauses"),
                plain("slow_consumers"),
            ]);
        }
        table
    }

    fn connections(&self, settings: &Settings) -> Table {
        let raw = settings.raw;
        let (to, from) = match settings.rates {
            true => (
                [right("MSGS_TO/S"), right("BYTES_TO/S")],
                [right("MSGS_FROM/S"), right("BYTES_FROM/S")],
            ),
            false => {
                ([right("MSGS_TO"), right("BYTES_TO")], [right("MSGS_FROM"), right("BYTES_FROM")])
            }
        };
        let mut columns = vec![
            left("HOST"),
            right("CID"),
            left("NAME"),
            right("SUBS"),
            right("PENDING"),
            to[0],
            from[0],
            to[1],
            from[1],
            right("RTT"),
            left("LANG"),
            left("VERSION"),
            right("UPTIME"),
            left("LAST_ACTIVITY"),
        ];
        columns.extend(settings.subscriptions.then_some(left("SUBSCRIPTIONS")));
        let mut table = Table::new(columns);
        let list = self.now.connections.list();
        let before = self.before.as_ref().map(|before| before.connections.list());
        let before: BTreeMap<u64, &Connection> =
            before.into_iter().flatten().map(|connection| (connection.cid, connection)).collect();
        for connection in list {
            let old = before.get(&connection.cid).copied();
            let figure = |of: fn(&Connection) -> f64, unit: fn(f64, bool) -> String| {
                if !settings.rates {
                    return unit(of(connection), raw);
                }
                match (old, self.seconds()) {
                    (Some(old), Some(seconds)) => {
                        unit((of(connection) - of(old)).max(0.0) / seconds, raw)
                    }
                    _ => "-".to_owned(),
                }
            };
            let number = if settings.rates { rate } else { count };
            let mut row = vec![
                host(connection),
                connection.cid.to_string(),
                connection.name.clone(),
                connection.subscriptions.to_string(),
                bytes(connection.pending_bytes, raw),
                figure(|c| c.out_msgs, number),
                figure(|c| c.in_msgs, number),
                figure(|c| c.out_bytes, bytes),
                figure(|c| c.in_bytes, bytes),
                connection.rtt.clone(),
                connection.lang.clone(),
                connection.version.clone(),
                connection.uptime.clone(),
                moment(&connection.last_activity),
            ];
            if settings.subscriptions {
                row.push(connection.subscriptions_list.join(", "));
            }
            for cell in &mut row {
                // Names come from clients: nothing of them may move the cursor.
                cell.retain(|c| !c.is_control());
            }
            table.rows.push(row);
        }
        table
    }
}

/// `host:port`, an IPv6 host in brackets.
fn host(connection: &Connection) -> String {
    match connection.ip.contains(':') {
        true => format!("[{}]:{}", connection.ip, connection.port),
        false => format!("{}:{}", connection.ip, connection.port),
    }
}

/// A time of RFC 3339 without its fraction.
fn moment(time: &str) -> String {
    let whole = time.split_once('.').map_or(time, |(whole, _)| whole);
    whole.trim_end_matches('Z').replace('T', " ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::exposition;
    use super::*;

    /// A sample of a server with two connections, `at` seconds after the first.
    pub(in super::super) fn sample(at: u64, shards: bool) -> Sample {
        let varz = format!(
            r#"{{"server_id":"NID","server_name":"one","version":"2.15.1","uptime":"{at}s",
                "cpu":1.25,"mem":5242880,"connections":2,"subscriptions":3,"slow_consumers":1,
                "in_msgs":{},"out_msgs":{},"in_bytes":0,"out_bytes":2048}}"#,
            at * 1000,
            at * 2000,
        );
        let connz = format!(
            r#"{{"num_connections":2,"total":2,"connections":[
                {{"cid":7,"ip":"127.0.0.1","port":5000,"name":"a\u001b[2J","subscriptions":2,
                  "pending_bytes":10,"in_msgs":{},"out_msgs":5,"in_bytes":1,"out_bytes":2,"rtt":"90µs",
                  "lang":"go","version":"1.2","uptime":"3s","last_activity":"2026-11-21T18:00:01.123456Z",
                  "subscriptions_list":["a.>","b"]}},
                {{"cid":8,"ip":"::1","port":5001}}]}}"#,
            at * 500,
        );
        let page = format!(
            "midge_connections{{shard=\"0\"}} 2\nmidge_in_messages_total{{shard=\"0\"}} {}\n\
             midge_turn_seconds_sum{{shard=\"0\"}} {}\nmidge_turn_seconds_count{{shard=\"0\"}} {}\n",
            at * 1000,
            at as f64 / 4.0,
            at * 1000,
        );
        Sample {
            at: Duration::from_secs(at),
            server: serde_json::from_str(&varz).unwrap(),
            connections: serde_json::from_str(&connz).unwrap(),
            shards: shards.then(|| exposition::shards(&page).unwrap()),
        }
    }

    pub(in super::super) fn model(shards: bool) -> Model {
        let mut model = Model::default();
        model.handle_sample(sample(1, shards));
        model.handle_sample(sample(3, shards));
        model
    }

    fn cell<'a>(table: &'a Table, title: &str, row: usize) -> &'a str {
        let column = table.columns.iter().position(|column| column.title == title).unwrap();
        &table.rows[row][column]
    }

    #[test]
    fn rates_are_what_lies_between_two_samples() {
        let view = model(true).view(&Settings::default());
        assert_eq!(view.head[0], "NATS server version 2.15.1 (uptime: 3s)");
        assert_eq!(view.head[2], "  Load: CPU: 1.2%  Memory: 5.0M  Slow Consumers: 1");
        assert!(view.head[3].contains("Msgs: 3.0K"), "{}", view.head[3]);
        assert!(view.head[3].contains("Msgs/Sec: 1.0K"), "{}", view.head[3]);
        assert!(view.head[4].ends_with("Bytes/Sec: 0"), "{}", view.head[4]);
        let shards = view.shards.unwrap();
        assert_eq!(cell(&shards, "IN_MSGS/S", 0), "1.0K");
        assert_eq!((cell(&shards, "BUSY", 0), cell(&shards, "TURN_US", 0)), ("25.0%", "250.0"));
        let rates = Settings { rates: true, ..Settings::default() };
        let connections = model(true).view(&rates).connections;
        assert_eq!(cell(&connections, "MSGS_FROM/S", 0), "500.0");
    }

    #[test]
    fn one_sample_has_no_rates() {
        let mut model = Model::default();
        model.handle_sample(sample(1, true));
        let view = model.view(&Settings { rates: true, ..Settings::default() });
        assert!(view.head[3].ends_with("Bytes/Sec: -"));
        assert_eq!(cell(view.shards.as_ref().unwrap(), "BUSY", 0), "-");
        assert_eq!(cell(&view.connections, "MSGS_TO/S", 0), "-");
    }

    #[test]
    fn a_server_that_was_started_anew_begins_afresh() {
        let mut model = model(false);
        let mut other = sample(4, false);
        other.server.server_id = "NOTHER".to_owned();
        model.handle_sample(other);
        assert!(model.before.is_none());
        let mut restarted = sample(5, false);
        restarted.server.server_id = "NOTHER".to_owned();
        restarted.server.in_msgs = 1.0;
        model.handle_sample(restarted);
        assert!(model.before.is_none());
    }

    #[test]
    fn connections_are_those_of_nats_top() {
        let settings = Settings { subscriptions: true, raw: true, ..Settings::default() };
        let view = model(false).view(&settings);
        assert_eq!(view.shards, None);
        let table = &view.connections;
        assert_eq!(cell(table, "HOST", 0), "127.0.0.1:5000");
        assert_eq!(cell(table, "HOST", 1), "[::1]:5001");
        assert_eq!(cell(table, "NAME", 0), "a[2J");
        assert_eq!(cell(table, "MSGS_FROM", 0), "1500");
        assert_eq!(cell(table, "LAST_ACTIVITY", 0), "2026-11-21 18:00:01");
        assert_eq!(cell(table, "SUBSCRIPTIONS", 0), "a.>, b");
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
}
