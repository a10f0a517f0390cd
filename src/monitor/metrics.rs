//! `/metrics`: the figures of the server and of each shard, as Prometheus reads
//! them.
//!
//! Bound on series: a fixed number for each shard, one for each pair of shards
//! and kind of lane, at most 65 for slow consumers by name, and five for each of
//! at most [`STREAMS_MAX`](super::STREAMS_MAX) streams and for the others together.

use std::fmt::{Display, Write as _};

use super::facts::ServerFacts;
use super::jetstream::{JetStreamSnapshot, StreamFigures};
use super::process::Usage;
use super::snapshot::{Histogram, ShardTotals, SlowConsumers};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub(super) fn metrics(
    facts: &ServerFacts,
    shards: &[ShardTotals],
    usage: Usage,
    jetstream: Option<&JetStreamSnapshot>,
) -> String {
    let mut text = Exposition::default();
    of_the_server(&mut text, facts, shards, usage);
    for (name, kind, help, of) in PER_SHARD {
        text.family(name, kind, help);
        for shard in shards {
            text.sample(name, &[("shard", &shard.shard)], &of(shard));
        }
    }
    lanes(&mut text, shards);
    turns(&mut text, shards);
    slow_consumers(&mut text, shards);
    if let Some(snapshot) = jetstream {
        of_jetstream(&mut text, snapshot);
    }
    text.0
}

fn of_jetstream(text: &mut Exposition, of: &JetStreamSnapshot) {
    for (name, kind, help, value) in [
        ("midge_jetstream_streams", "gauge", "Streams.", of.streams),
        ("midge_jetstream_consumers", "gauge", "Consumers.", of.consumers),
        ("midge_jetstream_messages", "gauge", "Stored messages.", of.messages),
        ("midge_jetstream_storage_bytes", "gauge", "Bytes of messages in files.", of.storage),
        ("midge_jetstream_memory_bytes", "gauge", "Bytes of messages in memory.", of.memory),
        ("midge_jetstream_api_requests_total", "counter", "Requests to the API.", of.api_total),
        ("midge_jetstream_api_errors_total", "counter", "Those refused.", of.api_errors),
        ("midge_jetstream_staged_bytes", "gauge", "Bytes that wait for a commit.", of.staged_bytes),
        (
            "midge_jetstream_commits_total",
            "counter",
            "The last durable commit's number.",
            of.commits,
        ),
        (
            "midge_jetstream_journal_bytes",
            "gauge",
            "Size of the journal's files.",
            of.journal_bytes,
        ),
        ("midge_jetstream_segment_bytes", "gauge", "Size of the segments.", of.segment_bytes),
        (
            "midge_jetstream_carried_bytes",
            "gauge",
            "Message blocks that are in memory and journal only.",
            of.carried_bytes,
        ),
    ] {
        text.single(name, kind, help, &value);
    }
    let recovery = of.recovery_ns as f64 / 1e9;
    let name = "midge_jetstream_recovery_seconds";
    text.single(
        name,
        "gauge",
        "How long the last start took to bring the streams back.",
        &recovery,
    );
    let name = "midge_jetstream_commit_seconds";
    text.family(name, "histogram", "From the start of a journal write until it was durable.");
    text.histogram(name, &[], &of.commit_ns, 1e9);
    let name = "midge_jetstream_commit_bytes";
    text.family(name, "histogram", "Bytes of journal writes.");
    text.histogram(name, &[], &of.commit_bytes, 1.0);
    of_streams(text, of);
}

/// One series for each stream there is room for, and one for the others together.
fn of_streams(text: &mut Exposition, of: &JetStreamSnapshot) {
    for (name, kind, help, value) in PER_STREAM {
        text.family(name, kind, help);
        for stream in &of.per_stream {
            let labels: [(&str, &dyn Display); 2] =
                [("account", &stream.account), ("stream", &stream.name)];
            text.sample(name, &labels, &value(stream));
        }
    }
}

type StreamFigure = (&'static str, &'static str, &'static str, fn(&StreamFigures) -> u64);

#[rustfmt::skip]
const PER_STREAM: &[StreamFigure] = &[
    ("midge_stream_messages", "gauge", "Messages of the stream.", |s| s.messages),
    ("midge_stream_bytes", "gauge", "What they count for in its limits.", |s| s.bytes),
    ("midge_stream_last_sequence", "gauge", "The sequence that was given last.", |s| s.last_seq),
    ("midge_stream_subjects", "gauge", "Subjects there are messages of.", |s| s.subjects),
    ("midge_stream_consumers", "gauge", "Consumers of the stream.", |s| s.consumers),
];

fn of_the_server(text: &mut Exposition, facts: &ServerFacts, shards: &[ShardTotals], usage: Usage) {
    let start = facts.start as f64 / 1e9;
    text.family("midge_build_info", "gauge", "What runs here; always 1.");
    let labels: [(&str, &dyn Display); 4] = [
        ("version", &facts.midge_version),
        ("compatible", &facts.version),
        ("server_id", &facts.server_id),
        ("server_name", &facts.server_name),
    ];
    text.sample("midge_build_info", &labels, &1);
    let sum = |of: fn(&ShardTotals) -> u64| shards.iter().map(of).sum::<u64>();
    text.single("midge_start_time_seconds", "gauge", "When the server started.", &start);
    text.single("midge_shards", "gauge", "Shards, one core each.", &facts.shards);
    text.single("process_resident_memory_bytes", "gauge", "Resident memory.", &usage.memory_bytes);
    let cpu = usage.cpu_seconds;
    text.single("process_cpu_seconds_total", "counter", "Processor time used.", &cpu);
    for (name, kind, help, value) in [
        ("midge_server_connections", "gauge", "Open connections.", sum(|s| s.connections)),
        ("midge_server_subscriptions", "gauge", "Live subscriptions.", sum(|s| s.subscriptions)),
        (
            "midge_server_in_messages_total",
            "counter",
            "Messages from clients.",
            sum(|s| s.in_messages),
        ),
        ("midge_server_in_bytes_total", "counter", "Their payload.", sum(|s| s.in_bytes)),
        (
            "midge_server_out_messages_total",
            "counter",
            "Messages to clients.",
            sum(|s| s.out_messages),
        ),
        ("midge_server_out_bytes_total", "counter", "Their payload.", sum(|s| s.out_bytes)),
        (
            "midge_log_lines_dropped_total",
            "counter",
            "Log lines nobody could take in time.",
            sum(|s| s.log_lines_dropped),
        ),
        (
            "midge_system_notices_dropped_total",
            "counter",
            "Events and requests of the system account that found no room.",
            sum(|s| s.notices_dropped),
        ),
    ] {
        text.single(name, kind, help, &value);
    }
}

type Figure = (&'static str, &'static str, &'static str, fn(&ShardTotals) -> u64);

/// One series a shard.
#[rustfmt::skip]
const PER_SHARD: &[Figure] = &[
    ("midge_connections", "gauge", "Open connections of the shard.", |s| s.connections),
    ("midge_connections_opened_total", "counter", "Connections ever given to the shard.", |s| s.opened),
    ("midge_subscriptions", "gauge", "Live subscriptions of the shard.", |s| s.subscriptions),
    ("midge_in_messages_total", "counter", "Messages from clients of the shard.", |s| s.in_messages),
    ("midge_in_bytes_total", "counter", "Payload from clients of the shard.", |s| s.in_bytes),
    ("midge_out_messages_total", "counter", "Messages to clients of the shard.", |s| s.out_messages),
    ("midge_out_bytes_total", "counter", "Payload to clients of the shard.", |s| s.out_bytes),
    ("midge_lane_messages_total", "counter", "Messages that came from other shards.", |s| s.lane_messages),
    ("midge_queue_returns_total", "counter", "Queue messages given back to the shard they came from.", |s| s.returned),
    ("midge_stalls_total", "counter", "Publishers slowed down for a slow receiver.", |s| s.stalls),
    ("midge_lane_pauses_total", "counter", "Connections paused because a lane was full.", |s| s.lane_pauses),
    ("midge_slow_consumers_total", "counter", "Connections closed because they read too slowly.", |s| s.slow_consumers),
    ("midge_stale_connections_total", "counter", "Connections closed because they answered no PING.", |s| s.stale_connections),
    ("midge_route_plans", "gauge", "Routing plans in the cache.", |s| s.plans),
    ("midge_route_plan_hits_total", "counter", "Messages whose plan was cached.", |s| s.plan_hits),
    ("midge_route_plan_misses_total", "counter", "Messages whose plan had to be made.", |s| s.plan_misses),
    ("midge_remote_patterns", "gauge", "Patterns in which other shards have interest.", |s| s.remote_patterns),
    ("midge_router_bytes", "gauge", "Bytes of the routing tables.", |s| s.router_bytes),
];

fn lanes(text: &mut Exposition, shards: &[ShardTotals]) {
    let name = "midge_lane_depth";
    text.family(name, "gauge", "What waits in a lane: control items, or batches of messages.");
    for shard in shards {
        for lane in &shard.lanes {
            for (kind, depth) in [("control", lane.control), ("data", lane.data)] {
                let labels: [(&str, &dyn Display); 3] =
                    [("from", &shard.shard), ("to", &lane.to), ("kind", &kind)];
                text.sample(name, &labels, &depth);
            }
        }
    }
}

fn turns(text: &mut Exposition, shards: &[ShardTotals]) {
    let name = "midge_turn_seconds";
    text.family(name, "histogram", "How long the turns of a shard took that did not end in sleep.");
    for shard in shards {
        text.histogram(name, &[("shard", &shard.shard)], &shard.turns, 1e9);
    }
}

fn slow_consumers(text: &mut Exposition, shards: &[ShardTotals]) {
    let mut all = SlowConsumers::default();
    for shard in shards {
        all.merge(&shard.slow);
    }
    let name = "midge_slow_consumers_by_name_total";
    text.family(name, "counter", "Connections closed because they read too slowly, by their name.");
    for (client, account, count) in all.names() {
        let labels: [(&str, &dyn Display); 2] = [("name", &client), ("account", &account)];
        text.sample(name, &labels, &count);
    }
    if all.others() > 0 {
        let labels: [(&str, &dyn Display); 2] = [("name", &"(others)"), ("account", &"")];
        text.sample(name, &labels, &all.others());
    }
}

/// The text as it grows.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: &dyn Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram; `scale` is how many of its units one of the series' is.
    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &dyn Display)],
        of: &Histogram,
        scale: f64,
    ) {
        for (bound, count) in of.cumulative() {
            let bound =
                bound.map_or_else(|| "+Inf".to_owned(), |at| (at as f64 / scale).to_string());
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&format!("{name}_bucket"), &labels, &count);
        }
        self.sample(&format!("{name}_sum"), labels, &(of.sum() as f64 / scale));
        self.sample(&format!("{name}_count"), labels, &of.count());
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: &dyn Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _infallible = write!(self.0, "{label}=\"{}\"", escaped(&text.to_string()));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _infallible = writeln!(self.0, " {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::snapshot::LaneDepth;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_a_family_told_before() {
        let mut shard = ShardTotals {
            lanes: vec![LaneDepth { to: 1, control: 1, data: 2 }],
            ..ShardTotals::default()
        };
        shard.turns.record(5000);
        shard.slow.record("a\"b\\c\nd", "$G");
        let text = metrics(&ServerFacts::default(), &[shard], Usage::default(), None);
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                families.push(rest.split(' ').next().unwrap().to_owned());
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = series.split('{').next().unwrap();
                let family = families.last().unwrap();
                assert!(name.starts_with(family.as_str()), "{line}");
            }
        }
        let unique: std::collections::BTreeSet<_> = families.iter().collect();
        assert_eq!(unique.len(), families.len());
        assert!(text.contains("midge_lane_depth{from=\"0\",to=\"1\",kind=\"data\"} 2\n"));
        assert!(text.contains("midge_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 1\n"));
        assert!(text.contains("name=\"a\\\"b\\\\c\\nd\",account=\"$G\"} 1\n"));
    }
}
