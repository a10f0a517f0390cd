//! What the engine asks of a stream's consumers; stands in until they are there.

use super::config::ConsumerLimits;
use super::view::{ApiCall, StreamView};
use super::{ApiError, Context, Incoming};

/// The consumers of one stream.
#[derive(Debug, Default)]
pub(super) struct Consumers {}

#[expect(clippy::unused_self, reason = "stands in for consumers that are not there")]
impl Consumers {
    /// Answers a request; returns whether it succeeded.
    pub(super) fn handle_api(
        &mut self,
        _call: &ApiCall<'_>,
        _stream: &mut StreamView<'_>,
        _ctx: &mut Context<'_>,
        answer: &mut Vec<u8>,
    ) -> bool {
        answer.extend_from_slice(br#"{"error":"#);
        ApiError::CONSUMER_NOT_FOUND.write(answer);
        answer.push(b'}');
        false
    }

    pub(super) fn handle_next(
        &mut self,
        _consumer: u32,
        _incoming: &Incoming<'_>,
        _stream: &mut StreamView<'_>,
        _ctx: &mut Context<'_>,
    ) {
    }

    pub(super) fn handle_ack(
        &mut self,
        _consumer: u32,
        _incoming: &Incoming<'_>,
        _stream: &mut StreamView<'_>,
        _ctx: &mut Context<'_>,
    ) {
    }

    pub(super) fn handle_flow_reply(
        &mut self,
        _consumer: u32,
        _incoming: &Incoming<'_>,
        _stream: &mut StreamView<'_>,
        _ctx: &mut Context<'_>,
    ) {
    }

    /// A message was appended.
    pub(super) fn stored(&mut self, _seq: u64, _subject: &[u8]) {}

    /// A message was removed, not by a consumer; its subject, if that is known.
    pub(super) fn removed(
        &mut self,
        _seq: u64,
        _subject: Option<&[u8]>,
        _stream: &mut StreamView<'_>,
    ) {
    }

    /// Many were removed at once.
    pub(super) fn purged(&mut self, _stream: &mut StreamView<'_>) {}

    /// Whether a consumer wants messages of that subject.
    pub(super) fn wants(&self, _subject: &[u8]) -> bool {
        false
    }

    /// Sends what can be sent; returns whether there is more to be sent at once.
    pub(super) fn deliver(&mut self, _stream: &mut StreamView<'_>, _ctx: &mut Context<'_>) -> bool {
        false
    }

    pub(super) fn handle_timers(&mut self, _stream: &mut StreamView<'_>, _ctx: &mut Context<'_>) {}

    pub(super) fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Whether a push consumer would start if somebody listened.
    pub(super) fn awaits_interest(&self) -> bool {
        false
    }

    /// Somebody subscribed to a pattern.
    pub(super) fn handle_interest(
        &mut self,
        _pattern: &[u8],
        _stream: &mut StreamView<'_>,
        _ctx: &mut Context<'_>,
    ) {
    }

    /// The stream's configuration changed.
    pub(super) fn stream_updated(&mut self, _stream: &mut StreamView<'_>, _ctx: &mut Context<'_>) {}

    /// Names of consumers that would exceed new limits.
    pub(super) fn beyond_limits(&self, _limits: &ConsumerLimits) -> Vec<String> {
        Vec::new()
    }

    /// The stream is deleted.
    pub(super) fn delete_all(&mut self, _stream: &mut StreamView<'_>, _ctx: &mut Context<'_>) {}

    /// Consumers that clients see.
    pub(super) fn count(&self) -> usize {
        0
    }

    /// Whether there is one of that name.
    pub(super) fn contains(&self, _name: &str) -> bool {
        false
    }

    pub(super) fn replay_note(&mut self, _bytes: &[u8], _stream: &mut StreamView<'_>) {}

    pub(super) fn snapshot(&self, _out: &mut Vec<u8>) {}

    pub(super) fn restore(&mut self, _bytes: &[u8], _stream: &mut StreamView<'_>) {}

    /// Everything is replayed: subscribe and arm.
    pub(super) fn finish_recovery(&mut self, _stream: &mut StreamView<'_>, _ctx: &mut Context<'_>) {
    }
}
