//! A consumer in an archive of its stream: its configuration and how far it has come, as JSON.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::state::{Consumer, Mark};
use super::table::{Consumers, CONSUMERS_OF_A_STREAM_MAX};
use super::unacked::Unacked;
use super::validate::{check, fill_in, Surroundings};
use super::{AckPolicy, ConsumerConfig, DeliverPolicy};
use crate::stream::json::{Decoder, Field, JsonError, Object, Value};
use crate::stream::{Context, StreamView};

/// A consumer as it stands in an archive.
#[derive(Debug, Default)]
struct Archived {
    config: ConsumerConfig,
    created: Option<u64>,
    delivered: Mark,
    ack_floor: Mark,
    /// Stream sequence, consumer sequence, time.
    pending: Vec<(u64, u64, u64)>,
    /// Stream sequence, times it was delivered again.
    redelivered: BTreeMap<u64, u64>,
}

impl Consumers {
    /// Every consumer that an archive holds: name and text.
    pub fn archive(&self) -> Vec<(String, Vec<u8>)> {
        let kept = self.iter().filter(|consumer| consumer.holds_messages());
        kept.map(|consumer| (consumer.name.clone(), consumer.archive())).collect()
    }

    /// Adds a consumer from an archive; its stream has all its messages.
    ///
    /// # Errors
    /// It is none, or none that could be made.
    pub fn add_archived(
        &mut self,
        text: &[u8],
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), JsonError> {
        let mut archived = Archived::decode(text)?;
        let around = Surroundings {
            stream: view.config,
            account: view.limits,
            server: view.server_limits,
            pedantic: false,
        };
        let is_possible =
            fill_in(&mut archived.config, &around).and_then(|()| check(&archived.config, &around));
        if let Err(error) = is_possible {
            return Err(JsonError(error.description.into_owned()));
        }
        let name = match archived.config.name.as_str() {
            "" => archived.config.durable_name.clone(),
            name => name.to_owned(),
        };
        let index = self.free_index();
        let is_full = usize::try_from(index).is_ok_and(|at| at >= CONSUMERS_OF_A_STREAM_MAX);
        if name.is_empty() || self.contains(&name) || is_full {
            return Err(JsonError(String::from("consumer name is missing or twice there")));
        }
        let consumer = archived.into_consumer(index, name, view, ctx.now);
        self.add_quietly(consumer, view, ctx);
        Ok(())
    }
}

impl Consumer {
    fn archive(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        self.config.write(object.key("config"));
        let mut state = object.object("state");
        for (key, mark) in [("delivered", &self.delivered), ("ack_floor", &self.ack_floor)] {
            let mut inner = state.object(key);
            inner.uint("consumer_seq", mark.consumer_seq);
            inner.uint("stream_seq", mark.stream_seq);
            inner.close();
        }
        if self.unacked.len() > 0 {
            let mut pending = state.object("pending");
            for entry in self.unacked.iter() {
                let mut inner = Object::open(pending.key(&entry.stream_seq.to_string()));
                inner.uint("Sequence", entry.consumer_seq);
                inner.uint("Timestamp", entry.sent_at);
                inner.close();
            }
            pending.close();
        }
        if self.unacked.redelivered_len() > 0 {
            let mut redelivered = state.object("redelivered");
            for entry in self.unacked.iter().filter(|entry| entry.deliveries > 1) {
                redelivered.uint(&entry.stream_seq.to_string(), u64::from(entry.deliveries - 1));
            }
            redelivered.close();
        }
        state.close();
        object.close();
        out
    }
}

impl Archived {
    fn decode(text: &[u8]) -> Result<Self, JsonError> {
        let mut read = Self::default();
        Decoder::request(text, "Consumer", false, |decoder, key, value| match key {
            "config" => {
                decoder.object(value, "ConsumerConfig", |decoder, key, value| {
                    read.config.decode_field(decoder, key, value)
                })?;
                Ok(Field::Known)
            }
            "created" => decoder.time(value, &mut read.created),
            "state" => {
                decoder.object(value, "ConsumerState", |decoder, key, value| match key {
                    "delivered" => decode_mark(decoder, value, &mut read.delivered),
                    "ack_floor" => decode_mark(decoder, value, &mut read.ack_floor),
                    "pending" => decode_pending(decoder, value, &mut read.pending),
                    "redelivered" => decode_counts(decoder, value, &mut read.redelivered),
                    _ => Ok(Field::Unknown),
                })?;
                Ok(Field::Known)
            }
            _ => Ok(Field::Unknown),
        })?;
        Ok(read)
    }

    fn into_consumer(
        self,
        index: u32,
        name: String,
        view: &mut StreamView<'_>,
        now: u64,
    ) -> Consumer {
        let created = self.created.filter(|created| *created > 0).unwrap_or(now);
        let mut consumer = Consumer::new(index, name, self.config, view.name(), created);
        consumer.active_at = now;
        if self.delivered.consumer_seq == 0 {
            consumer.find_start(view.store);
            return consumer;
        }
        let last = self.delivered.stream_seq;
        let next = last.saturating_add(1);
        consumer.cursor = if consumer.config.deliver_policy == DeliverPolicy::LastPerSubject {
            // Which subjects are left is not said: those whose last message was not reached.
            let mut left = Vec::new();
            view.store.for_each_subject(consumer.filters.patterns(), &mut |_, state| {
                left.extend((state.last > last).then_some(state.last));
                true
            });
            let after = view.store.extent().last_seq.max(last).saturating_add(1);
            Cursor::with_list(left, after)
        } else {
            Cursor::new(next)
        };
        consumer.delivered = self.delivered;
        consumer.ack_floor = self.ack_floor;
        if consumer.needs_acks() {
            for (stream_seq, consumer_seq, sent_at) in self.pending {
                let again = self.redelivered.get(&stream_seq).copied().unwrap_or(0);
                let deliveries = u32::try_from(again).unwrap_or(u32::MAX).saturating_add(1);
                let due = match consumer.config.ack_policy {
                    AckPolicy::FlowControl => u64::MAX,
                    _ => sent_at.saturating_add(consumer.ack_wait(deliveries)),
                };
                consumer.unacked.insert(Unacked {
                    stream_seq,
                    consumer_seq: consumer_seq.max(1),
                    sent_at,
                    due,
                    deliveries,
                    is_queued: false,
                });
            }
        }
        consumer.reconcile(view.store);
        consumer
    }
}

fn decode_mark(
    decoder: &mut Decoder,
    value: &Value<'_>,
    mark: &mut Mark,
) -> Result<Field, JsonError> {
    decoder.object(value, "SequencePair", |decoder, key, value| match key {
        "consumer_seq" => decoder.uint(value, &mut mark.consumer_seq),
        "stream_seq" => decoder.uint(value, &mut mark.stream_seq),
        _ => Ok(Field::Unknown),
    })?;
    Ok(Field::Known)
}

fn decode_pending(
    decoder: &mut Decoder,
    value: &Value<'_>,
    into: &mut Vec<(u64, u64, u64)>,
) -> Result<Field, JsonError> {
    decoder.object(value, "Pending", |decoder, key, value| {
        let Ok(seq) = key.parse() else { return Ok(Field::Unknown) };
        let (mut consumer_seq, mut time) = (0, 0);
        decoder.object(value, "Pending", |decoder, key, value| match key {
            "sequence" => decoder.uint(value, &mut consumer_seq),
            "timestamp" => decoder.uint(value, &mut time),
            _ => Ok(Field::Unknown),
        })?;
        into.push((seq, consumer_seq, time));
        Ok(Field::Known)
    })?;
    // Keys are texts in an archive, in the order of texts.
    into.sort_unstable();
    Ok(Field::Known)
}

fn decode_counts(
    decoder: &mut Decoder,
    value: &Value<'_>,
    into: &mut BTreeMap<u64, u64>,
) -> Result<Field, JsonError> {
    decoder.object(value, "map[uint64]uint64", |decoder, key, value| {
        let Ok(seq) = key.parse() else { return Ok(Field::Unknown) };
        let mut count = 0;
        decoder.uint(value, &mut count)?;
        into.insert(seq, count);
        Ok(Field::Known)
    })?;
    Ok(Field::Known)
}
