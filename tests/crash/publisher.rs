//! The load on one stream: publishes, deletes and purges, until the broker is gone.

use serde_json::{json, Value};

use super::content::{Content, SUBJECTS};
use super::link::{Gone, Link};
use super::model::{Change, Model};
use crate::common::Random;

/// Loads the stream until the connection ends.
pub(crate) fn work(link: &mut Link, model: &mut Model, random: &mut Random) -> Result<(), Gone> {
    loop {
        let draw = random.below(100);
        let traits = model.traits;
        if draw < traits.deletes && !model.live.is_empty() {
            settle(link, model, 0)?;
            let place = random.below(model.live.len());
            let seq = *model.live.keys().nth(place).expect("a live sequence");
            apply(link, model, Change::Delete(seq))?;
        } else if draw < traits.deletes + traits.purges || model.live.len() > LIVE_MAX {
            settle(link, model, 0)?;
            let change = draw_purge(model, random);
            apply(link, model, change)?;
        } else if traits.batch > 0 && draw.is_multiple_of(2) {
            publish_batch(link, model, traits.batch)?;
            settle(link, model, traits.window - 1)?;
        } else {
            publish(link, model, 1 + random.below(traits.window))?;
            settle(link, model, random.below(traits.window))?;
        }
    }
}

fn publish(link: &mut Link, model: &mut Model, count: usize) -> Result<(), Gone> {
    let room = model.traits.window.saturating_sub(model.waiting());
    for _ in 0..count.min(room) {
        let number = model.next;
        model.next += 1;
        model.under_way.push_back(vec![number]);
        let frame = Content::of(&model.name, number).frame(&link.reply_to(number), "");
        link.send(&frame)?;
    }
    Ok(())
}

/// All messages of a batch in one go; only the last asks for an answer.
fn publish_batch(link: &mut Link, model: &mut Model, count: usize) -> Result<(), Gone> {
    let numbers: Vec<u64> = (0..count as u64).map(|step| model.next + step).collect();
    model.next += count as u64;
    model.under_way.push_back(numbers.clone());
    let mut frames = Vec::new();
    for (place, number) in (1..).zip(&numbers) {
        let is_last = place == count;
        let reply = if is_last { link.reply_to(*number) } else { String::new() };
        let commit = if is_last { "Nats-Batch-Commit: 1\r\n" } else { "" };
        let more =
            format!("Nats-Batch-Id: b{}\r\nNats-Batch-Sequence: {place}\r\n{commit}", numbers[0]);
        frames.extend_from_slice(&Content::of(&model.name, *number).frame(&reply, &more));
    }
    link.send(&frames)
}

/// Takes acknowledgements until at most `left` publishes are under way.
pub(crate) fn settle(link: &mut Link, model: &mut Model, left: usize) -> Result<(), Gone> {
    while model.waiting() > left {
        let message = link.next()?;
        let expected = model.under_way.front().and_then(|numbers| numbers.last()).copied();
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        assert_eq!(
            link.name_of(&message.subject),
            expected,
            "{}: acknowledged out of order: {text}",
            model.name
        );
        let ack: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let is_plain = ack["stream"] == *model.name && ack.get("duplicate").is_none();
        assert!(is_plain, "{}: message {expected:?}: {}{text}", model.name, message.header);
        model.stored(ack["seq"].as_u64().expect("a sequence"));
    }
    Ok(())
}

fn apply(link: &mut Link, model: &mut Model, change: Change) -> Result<(), Gone> {
    let name = &model.name;
    let (verb, body) = match &change {
        Change::Delete(seq) => (format!("STREAM.MSG.DELETE.{name}"), json!({"seq": seq})),
        Change::Purge { filter, below, keep } => {
            let mut body = json!({});
            let fields = [
                ("filter", filter.as_ref().map(|filter| json!(filter))),
                ("seq", below.map(|below| json!(below))),
                ("keep", keep.map(|keep| json!(keep))),
            ];
            for (key, value) in fields {
                if let Some(value) = value {
                    body[key] = value;
                }
            }
            (format!("STREAM.PURGE.{name}"), body)
        }
    };
    model.in_doubt = Some(change.clone());
    let answer = link.call(&verb, &body)?;
    assert_eq!(answer["success"], true, "{}: {change:?}: {answer}", model.name);
    let taken = model.changed();
    if let Some(purged) = answer.get("purged") {
        assert_eq!(*purged, taken, "{}: {change:?}", model.name);
    }
    Ok(())
}

fn draw_purge(model: &Model, random: &mut Random) -> Change {
    let subject = format!("crash.{}.{}", model.name, random.below(SUBJECTS));
    let mut change = Change::Purge { filter: None, below: None, keep: None };
    let Change::Purge { filter, below, keep } = &mut change else { unreachable!() };
    if model.live.len() > LIVE_MAX {
        *keep = Some(KEPT);
        return change;
    }
    match random.below(5) {
        0 => {}
        1 => *filter = Some(subject),
        2 => *below = Some(model.last.saturating_sub(random.below(20) as u64).max(1)),
        3 => *keep = Some(random.below(50) as u64 + 1),
        _ => {
            *filter = Some(subject);
            *keep = Some(random.below(5) as u64 + 1);
        }
    }
    change
}

/// Reading all of a stream after each start must stay quick.
const LIVE_MAX: usize = 1_000;
const KEPT: u64 = 200;
