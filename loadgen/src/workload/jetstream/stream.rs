//! Publishing into streams: every acknowledgement is checked, and then what the streams hold.

use serde::Serialize;
use serde_json::Value;

use super::api::Api;
use super::disk;
use super::drive::{self, Drive};
use super::ledger::Ledger;
use super::publisher::{Publishers, Publishing};
use super::reader::{Question, Readers};
use super::streams::{Shape, Streams};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::result::RunResult;
use crate::wire::ledger::Faults;
use crate::workload::{run_seed, RunOptions, Target};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Stream {
    /// The streams.
    pub shape: Shape,
    /// The publishers.
    pub publishing: Publishing,
    /// Messages read back at the end, drawn at random if there are more.
    pub read_back: u64,
    /// Messages a second over all publishers; none means as fast as possible.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &Stream,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let seed = run_seed();
    let mut api = Api::open(target, seed as u16, options.patience_ns)?;
    let is_atomic = spec.publishing.batch > 1;
    let streams = Streams::create(&mut api, &spec.shape, seed as u16, is_atomic)?;
    let allocated = || target.store.as_deref().map(disk::allocated_bytes);
    let resident = || target.process.and_then(|process| process.resident_bytes());
    let (disk_before, resident_before) = (allocated(), resident());

    let mut publishers = Publishers::open(&spec.publishing, &streams, target, seed)?;
    let recorder = Recorder::start(options.span, target.process, progress);
    let mut drive = Drive::new(&mut publishers, options, spec.rate, 64 * 1024, recorder)?;
    let unanswered = drive.run(&mut publishers)?;
    let resident_after = resident();
    publishers.ledger.close();

    let size = spec.publishing.size;
    let mut faults = std::mem::take(&mut publishers.ledger.faults);
    if unanswered > 0 {
        let first = Some(format!("{unanswered} messages were never acknowledged"));
        faults.merge(&Faults { lost: unanswered, first, ..Faults::default() });
    }
    let ledger = publishers.ledger;
    let read = verify(&mut api, spec, (streams, seed), &ledger, (target, options), &mut faults)?;

    let mut result = RunResult::new("stream", size, drive.summary(), faults);
    drive.describe(&mut result);
    result.verified = drive.received();
    let per_message =
        |after: u64, before: u64| (after as f64 - before as f64) / ledger.total().max(1) as f64;
    let mut note = |name: &str, value: f64| result.extra.insert(name.into(), value);
    note("read_back", read as f64);
    if let Some((before, after)) = disk_before.zip(allocated()) {
        note("disk_bytes_per_message", per_message(after, before));
    }
    if let Some((before, after)) = resident_before.zip(resident_after) {
        note("resident_bytes", after as f64);
        note("resident_bytes_per_message", per_message(after, before));
    }
    Ok(result)
}

/// Compares the streams with the account of them; returns how many messages were read back.
fn verify(
    api: &mut Api,
    spec: &Stream,
    (streams, seed): (Streams, u64),
    ledger: &Ledger,
    (target, options): (&Target, &RunOptions),
    faults: &mut Faults,
) -> Result<u64, Error> {
    let mut left = Vec::new();
    for stream in 0..streams.count() {
        let kept = survivors(&streams, ledger, stream);
        let name = streams.name(stream);
        let info = api.call(&format!("STREAM.INFO.{name}"), &Value::Null)?;
        let told = |key: &str| info["state"][key].as_u64().unwrap_or(u64::MAX);
        let (messages, last) = (told("messages"), told("last_seq"));
        if (messages, last) != (kept.len() as u64, ledger.last(stream)) {
            let (kept, acknowledged) = (kept.len(), ledger.last(stream));
            faults.unexpected(|| {
                format!(
                    "{name}: holds {messages} up to {last}, acknowledged were {acknowledged}, \
                     of which {kept} should be there"
                )
            });
        }
        left.extend(kept.into_iter().map(|seq| (stream, seq)));
    }
    thin_out(&mut left, spec.read_back, seed);
    let count = left.len() as u64;
    let mut questions = left.into_iter();
    let next = || {
        questions.find_map(|(stream, seq)| {
            let message = ledger.at(stream, seq)?;
            Some(Question { stream, seq, message, by_subject: false })
        })
    };
    let size = spec.publishing.size;
    let delete = (!target.is_fresh).then(|| Streams::named(&spec.shape, streams.tag()));
    if count > 0 {
        let mut readers =
            Readers::open((1, READ_BACK_IN_FLIGHT), (streams, size, seed), target, next)?;
        let recorder = drive::unrecorded(Some(count));
        let mut drive = Drive::new(&mut readers, options, None, size + 4096, recorder)?;
        let unanswered = drive.run(&mut readers)?;
        faults.merge(&readers.faults);
        if unanswered > 0 {
            let first = Some(format!("{unanswered} direct gets were never answered"));
            faults.merge(&Faults { lost: unanswered, first, ..Faults::default() });
        }
    }
    if let Some(streams) = delete {
        streams.delete(api)?;
    }
    Ok(count)
}

/// The sequences that a stream must still hold, ascending.
pub fn survivors(streams: &Streams, ledger: &Ledger, stream: usize) -> Vec<u64> {
    let last = ledger.last(stream);
    let Some(keep) = streams.shape().keep else {
        return (1..=last).collect();
    };
    let mut kept_of = vec![0usize; streams.shape().subjects];
    let mut kept: Vec<u64> = (1..=last)
        .rev()
        .filter(|&seq| {
            let Some(message) = ledger.at(stream, seq) else {
                return false;
            };
            let count = &mut kept_of[streams.number_of(message.sequence) as usize];
            *count += 1;
            *count <= keep
        })
        .collect();
    kept.reverse();
    kept
}

/// Leaves `count` of them, drawn at random, in their order; always the first and the last.
fn thin_out<T>(items: &mut Vec<T>, count: u64, seed: u64) {
    let total = items.len() as u64;
    if total <= count {
        return;
    }
    if count == 0 {
        items.clear();
        return;
    }
    let mut state = seed;
    let mut index = 0;
    items.retain(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        index += 1;
        index == 1 || index == total || (state >> 32) * total < count << 32
    });
}

const READ_BACK_IN_FLIGHT: usize = 64;
