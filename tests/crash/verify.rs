//! Reads all of a stream after a start, compares it with the model, and settles what was in doubt.

use serde_json::{json, Value};

use super::content::Content;
use super::link::{Gone, Link, Message};
use super::model::Model;
use super::Leniency;
use crate::common::Random;

/// Makes the stream if that has not been acknowledged before.
pub(crate) fn make(link: &mut Link, model: &mut Model) -> Result<(), Gone> {
    if model.is_made {
        return Ok(());
    }
    let name = &model.name;
    let body = json!({
        "name": name, "subjects": [format!("crash.{name}.>")], "storage": "file",
        "allow_direct": true, "allow_atomic": model.traits.batch > 0,
        "num_replicas": 1, "duplicate_window": ID_WINDOW_NS,
    });
    let answer = link.call(&format!("STREAM.CREATE.{name}"), &body)?;
    assert!(answer.get("error").is_none(), "{answer}");
    model.is_made = true;
    Ok(())
}

/// The stream is what the model says; afterwards nothing is in doubt.
pub(crate) fn verify(
    link: &mut Link,
    model: &mut Model,
    random: &mut Random,
    leniency: Leniency,
) -> Result<(), Gone> {
    let name = model.name.clone();
    let info = link.call(&format!("STREAM.INFO.{name}"), &Value::Null)?;
    assert!(info.get("error").is_none(), "{name} was acknowledged and is gone: {info}");
    let told = |key: &str| info["state"][key].as_u64().expect("a number");
    let (messages, first, last) = (told("messages"), told("first_seq"), told("last_seq"));

    let known = model.last;
    assert!(last >= known, "{name}: ends at {last}, acknowledged was {known}: {info}");
    let lost = keep_stored_prefix(model, last);
    settle_change(link, model, first, leniency)?;
    let counted = (model.live.len() as u64, model.live.keys().next().copied());
    let expected_first = counted.1.unwrap_or(last + 1);
    assert!(
        (messages, first) == (counted.0, expected_first)
            || (messages, last, counted.0) == (0, 0, 0)
            || leniency.is_reference && messages > counted.0,
        "{name}: says {messages} from {first} to {last}, should be {counted:?}: {info}"
    );
    read_all(link, model, first, leniency)?;
    republish_ids(link, model, random, leniency, &lost)
}

/// What was under way and is stored must be a prefix of it, batches as a whole; returns the rest.
fn keep_stored_prefix(model: &mut Model, last: u64) -> Vec<u64> {
    while model.last < last {
        let seq = model.last;
        let Some(numbers) = model.under_way.front() else {
            panic!("{}: ends at {last}, nothing was sent beyond {seq}", model.name);
        };
        let end = seq + numbers.len() as u64;
        assert!(end <= last, "{}: a part of a batch is stored, {seq} to {last}", model.name);
        model.stored(end);
    }
    model.under_way.drain(..).flatten().collect()
}

/// The delete or purge in doubt happened or not; as a whole, which its messages tell.
fn settle_change(
    link: &mut Link,
    model: &mut Model,
    first: u64,
    leniency: Leniency,
) -> Result<(), Gone> {
    let Some(change) = model.in_doubt.clone() else {
        return Ok(());
    };
    let taken = model.taken_by(&change);
    let (below, asked): (Vec<u64>, Vec<u64>) = taken.iter().partition(|seq| **seq < first);
    let mut gone = below;
    let name = model.name.clone();
    get_each(link, &name, &asked, |seq, message| {
        if is_missing(message) {
            gone.push(seq);
        }
    })?;
    if gone.len() == taken.len() {
        model.changed();
        return Ok(());
    }
    model.in_doubt = None;
    let (name, parts) = (&model.name, (gone.len(), taken.len()));
    assert!(gone.is_empty() || leniency.is_reference, "{name}: {parts:?} done of {change:?}");
    model.take_away(&gone);
    Ok(())
}

/// Fetches messages, many at a time, and hands over the answer to each: subject, header block and
/// payload.
fn get_each(
    link: &mut Link,
    name: &str,
    seqs: &[u64],
    mut each: impl FnMut(u64, &Message),
) -> Result<(), Gone> {
    for part in seqs.chunks(AT_A_TIME) {
        let mut frames = String::new();
        for seq in part {
            let body = format!("{{\"seq\":{seq}}}");
            let (reply, length) = (link.reply_to(GET_NAMES + seq), body.len());
            frames += &format!("PUB $JS.API.DIRECT.GET.{name} {reply} {length}\r\n{body}\r\n");
        }
        link.send(frames.as_bytes())?;
        for seq in part {
            let message = link.next()?;
            assert_eq!(link.name_of(&message.subject), Some(GET_NAMES + seq), "{message:?}");
            each(*seq, &message);
        }
    }
    Ok(())
}

fn is_missing(message: &Message) -> bool {
    message.header.starts_with("NATS/1.0 404")
}

/// Every sequence holds what it must, or nothing.
fn read_all(
    link: &mut Link,
    model: &mut Model,
    first: u64,
    leniency: Leniency,
) -> Result<(), Gone> {
    let name = &model.name.clone();
    // A few sequences before the first and after the last must be empty.
    let from = first.saturating_sub(3).max(1);
    let seqs: Vec<u64> = (from..=model.last + 2).collect();
    get_each(link, name, &seqs, |seq, message| {
        let is_missing = is_missing(message);
        if !is_missing && !model.live.contains_key(&seq) {
            let known = model.removed.get(&seq).filter(|_| leniency.is_reference);
            let Some(number) = known.copied() else {
                panic!("{name}: sequence {seq} was removed and is back: {message:?}");
            };
            model.live.insert(seq, number);
        }
        let Some(number) = model.live.get(&seq) else {
            return;
        };
        assert!(!is_missing, "{name}: sequence {seq}, message {number}, is lost");
        let content = Content::of(name, *number);
        let value = |key: &str| {
            let lines = message.header.lines();
            lines.filter_map(|line| line.split_once(": ")).find(|(k, _)| *k == key).map(|(_, v)| v)
        };
        let seq_text = seq.to_string();
        let is_right = message.payload == content.payload
            && value("Nats-Subject") == Some(&content.subject)
            && value("Nats-Sequence") == Some(&seq_text)
            && value("Nats-Stream") == Some(name)
            && value("Nats-Msg-Id") == content.id.as_deref();
        assert!(
            is_right,
            "{name}: sequence {seq} is not message {number}: {} and {} bytes of {}",
            message.header,
            message.payload.len(),
            content.payload.len()
        );
    })
}

/// Ids of stored messages are still known, those of lost ones are not.
fn republish_ids(
    link: &mut Link,
    model: &mut Model,
    random: &mut Random,
    leniency: Leniency,
    lost: &[u64],
) -> Result<(), Gone> {
    let mut known: Vec<(u64, u64)> = model
        .live
        .iter()
        .rev()
        .take(200)
        .filter(|(_, number)| Content::of(&model.name, **number).id.is_some())
        .map(|(seq, number)| (*seq, *number))
        .collect();
    if leniency.is_reference && model.newest_deleted {
        known.clear();
    }
    for _ in 0..known.len().min(10) {
        let (seq, number) = known[random.below(known.len())];
        let ack = publish_again(link, model, number)?;
        let is_known = ack["duplicate"] == true && ack["seq"] == seq;
        assert!(is_known, "{}: message {number} at {seq} was stored again: {ack}", model.name);
    }
    for number in lost.iter().take(3) {
        model.under_way.push_back(vec![*number]);
        let ack = publish_again(link, model, *number)?;
        assert!(ack.get("duplicate").is_none(), "{}: lost message {number}: {ack}", model.name);
        model.stored(ack["seq"].as_u64().expect("a sequence"));
    }
    Ok(())
}

fn publish_again(link: &mut Link, model: &Model, number: u64) -> Result<Value, Gone> {
    let reply = link.reply_to(number);
    link.send(&Content::of(&model.name, number).frame(&reply, ""))?;
    let message = link.next()?;
    assert_eq!(message.subject, reply, "{message:?}");
    Ok(serde_json::from_slice(&message.payload).expect("an acknowledgement"))
}

/// Direct gets are named by their sequence plus this.
const GET_NAMES: u64 = 1 << 40;
/// Gets in one write: each answer is waited for, and not each of them alone.
const AT_A_TIME: usize = 512;
/// Longer than a run takes, so that no id is forgotten for its age.
const ID_WINDOW_NS: u64 = 24 * 3_600_000_000_000;
