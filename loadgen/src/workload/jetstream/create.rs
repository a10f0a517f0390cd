//! How long it takes to make a consumer with many filters on a stream with many subjects.
//!
//! The stream has `a.NN.…` for each of a hundred `NN`, evenly. A consumer is made with a filter
//! for each, from the first message and from a sequence in turn, its number of pending messages
//! is checked, and it is removed again.

use serde::Serialize;
use serde_json::{json, Value};

use super::api::Api;
use super::get::preload;
use super::streams::{Shape, Storage, Streams};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::{Phase, Recorder};
use crate::result::RunResult;
use crate::sys::{clock, signal};
use crate::workload::{run_seed, RunOptions, Target};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Create {
    /// Subjects of the stream, with a message each.
    pub subjects: usize,
    /// Filters of a consumer; each matches one in a hundred.
    pub filters: usize,
}

/// Runs the workload once.
pub fn run(
    spec: &Create,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    if spec.filters == 0 || spec.filters > GROUPS || spec.subjects < GROUPS {
        return Err(Error::Usage("filters must be 1 to 100, subjects 100 or more".into()));
    }
    let seed = run_seed();
    let mut api = Api::open(target, seed as u16, options.patience_ns)?;
    let shape = Shape {
        streams: 1,
        subjects: spec.subjects,
        keep: None,
        storage: Storage::File,
        consumers: None,
    };
    let streams = Streams::named(&shape, seed as u16);
    let stream = streams.name(0);
    // Subjects end in eight digits: the last two become a token of their own, in front.
    let prefix = format!("load.{:04x}.00000", streams.tag());
    let transform = json!({
        "src": format!("{prefix}.*"),
        "dest": format!("{prefix}.{{{{right(1,2)}}}}.{{{{wildcard(1)}}}}"),
    });
    let config = json!({
        "name": stream, "subjects": [format!("{prefix}.>")], "retention": "limits",
        "storage": "file", "num_replicas": 1, "subject_transform": transform,
    });
    api.call(&format!("STREAM.CREATE.{stream}"), &config)?;
    let (_, faults) = preload(&streams, (spec.subjects as u64, 16), target, options, seed)?;

    let filters: Vec<String> =
        (0..spec.filters).map(|group| format!("{prefix}.{group:02}.>")).collect();
    let mut recorder = Recorder::start(options.span, target.process, progress);
    let mut made = 0;
    while recorder.advance(clock::now(), made, made) != Phase::Drain {
        if signal::stop_requested() {
            return Err(Error::Interrupted);
        }
        let from = (made % 2 == 1).then(|| spec.subjects as u64 / 2 + 1);
        let name = format!("N{made}");
        let started = clock::now();
        let reply = make(&mut api, (&stream, &name), &filters, from)?;
        let now = clock::now();
        recorder.latency(now, now - started);
        made += 1;
        check(spec, &reply, from)?;
        api.call(&format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null)?;
    }
    if !target.is_fresh {
        streams.delete(&mut api)?;
    }
    let mut result = RunResult::new("create", 16, recorder.summary(), faults);
    result.verified = made;
    Ok(result)
}

fn make(
    api: &mut Api,
    (stream, name): (&str, &str),
    filters: &[String],
    from: Option<u64>,
) -> Result<Value, Error> {
    let mut config = json!({
        "name": name, "ack_policy": "explicit", "deliver_policy": "all",
        "replay_policy": "instant", "filter_subjects": filters, "num_replicas": 1,
        "inactive_threshold": 300_000_000_000_u64,
    });
    if let Some(from) = from {
        config["deliver_policy"] = "by_start_sequence".into();
        config["opt_start_seq"] = from.into();
    }
    let body = json!({ "stream_name": stream, "config": config, "action": "create" });
    api.call(&format!("CONSUMER.CREATE.{stream}.{name}"), &body)
}

/// Each group has its part of the messages, and as near as can be the same of their second half.
fn check(spec: &Create, reply: &Value, from: Option<u64>) -> Result<(), Error> {
    let pending = reply.get("num_pending").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let all = spec.subjects as u64 + 1 - from.unwrap_or(1);
    let expected = all * spec.filters as u64 / GROUPS as u64;
    if pending.abs_diff(expected) > GROUPS as u64 {
        return Err(Error::Protocol(format!("{pending} messages pending instead of {expected}")));
    }
    Ok(())
}

/// Groups that the subjects fall into.
const GROUPS: usize = 100;
