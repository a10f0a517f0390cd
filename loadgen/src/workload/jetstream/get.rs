//! Direct gets of stored messages, by sequence or the last of a subject, at random.

use serde::Serialize;

use super::api::Api;
use super::drive::{self, Drive};
use super::ledger::{Ledger, Message};
use super::publisher::{Publishers, Publishing};
use super::reader::{Question, Readers};
use super::stream::survivors;
use super::streams::{Shape, Streams};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::result::RunResult;
use crate::wire::ledger::Faults;
use crate::workload::{run_seed, RunOptions, Target};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Get {
    /// The stream that is read.
    pub shape: Shape,
    /// Messages published into it before.
    pub messages: u64,
    /// Payload bytes.
    pub size: usize,
    /// Reader connections.
    pub readers: usize,
    /// Gets in flight of each.
    pub in_flight: usize,
    /// Ask for the last message of a subject instead of a sequence.
    pub last: bool,
    /// Gets a second over all readers; none means as fast as possible.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &Get,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    if spec.messages == 0 {
        return Err(Error::Usage("there must be messages to get".into()));
    }
    let seed = run_seed();
    let mut api = Api::open(target, seed as u16, options.patience_ns)?;
    let streams = Streams::create(&mut api, &spec.shape, seed as u16, false)?;
    let (ledger, mut faults) =
        preload(&streams, (spec.messages, spec.size), target, options, seed)?;
    let mut questions = Vec::new();
    for stream in 0..streams.count() {
        let mut kept = survivors(&streams, &ledger, stream);
        if spec.last {
            only_last(&streams, &ledger, stream, &mut kept);
        }
        let ask = |seq| {
            let message = ledger.at(stream, seq)?;
            Some(Question { stream, seq, message, by_subject: spec.last })
        };
        questions.extend(kept.into_iter().filter_map(ask));
    }
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        questions.get((((state >> 32) * questions.len() as u64) >> 32) as usize).copied()
    };
    let own = Streams::named(&spec.shape, streams.tag());
    let counts = (spec.readers, spec.in_flight);
    let mut readers = Readers::open(counts, (own, spec.size, seed), target, next)?;
    let recorder = Recorder::start(options.span, target.process, progress);
    let frame_bytes = spec.size + 4096;
    let mut drive = Drive::new(&mut readers, options, spec.rate, frame_bytes, recorder)?;
    let unanswered = drive.run(&mut readers)?;
    faults.merge(&readers.faults);
    if unanswered > 0 {
        let first = Some(format!("{unanswered} direct gets were never answered"));
        faults.merge(&Faults { lost: unanswered, first, ..Faults::default() });
    }
    if !target.is_fresh {
        streams.delete(&mut api)?;
    }
    let mut result = RunResult::new("get", spec.size, drive.summary(), faults);
    drive.describe(&mut result);
    result.verified = drive.received();
    Ok(result)
}

/// Publishes `messages` of `size` bytes into each stream in turn; every one must be acknowledged.
pub fn preload(
    streams: &Streams,
    (messages, size): (u64, usize),
    target: &Target,
    options: &RunOptions,
    seed: u64,
) -> Result<(Ledger, Faults), Error> {
    let spec = Publishing {
        publishers: streams.count(),
        in_flight: PRELOAD_IN_FLIGHT.div_ceil(streams.count()),
        size,
        batch: 1,
        random: false,
        ids: false,
    };
    let mut publishers = Publishers::open(&spec, streams, target, seed)?;
    let count = messages * streams.count() as u64;
    let recorder = drive::unrecorded(Some(count));
    let mut drive = Drive::new(&mut publishers, options, None, 64 * 1024, recorder)?;
    let unanswered = drive.run(&mut publishers)?;
    publishers.ledger.close();
    let mut faults = std::mem::take(&mut publishers.ledger.faults);
    if unanswered > 0 {
        let first = Some(format!("{unanswered} messages were never acknowledged"));
        faults.merge(&Faults { lost: unanswered, first, ..Faults::default() });
    }
    Ok((publishers.ledger, faults))
}

/// Leaves the last sequence of each subject.
fn only_last(streams: &Streams, ledger: &Ledger, stream: usize, kept: &mut Vec<u64>) {
    let mut seen = vec![false; streams.shape().subjects];
    kept.reverse();
    kept.retain(|&seq| {
        let Some(Message { sequence, .. }) = ledger.at(stream, seq) else {
            return false;
        };
        !std::mem::replace(&mut seen[streams.number_of(sequence) as usize], true)
    });
}

const PRELOAD_IN_FLIGHT: usize = 1024;
