//! Messages without a body that tell a client what became of its request.

use super::waiting::Waiting;
use crate::proto::write_decimal;
use crate::store::Commit;
use crate::stream::{Context, Outgoing};
use crate::subject::AccountId;

pub(super) const NO_MESSAGES: &str = "404 No Messages";
pub(super) const TIMEOUT: &str = "408 Request Timeout";
pub(super) const REQUESTS_PENDING: &str = "408 Requests Pending";
pub(super) const SIZE_EXCEEDED: &str = "409 Message Size Exceeds MaxBytes";
pub(super) const BATCH_COMPLETED: &str = "409 Batch Completed";
pub(super) const TOO_MANY_WAITING: &str = "409 Exceeded MaxWaiting";
pub(super) const IS_PUSH: &str = "409 Consumer is push based";
pub(super) const LEADERSHIP_CHANGE: &str = "409 Leadership Change";
pub(super) const DELETED: &str = "409 Consumer Deleted";
pub(super) const API_LEVEL: &str = "412 Required Api Level";
pub(super) const PIN_MISMATCH: &str = "423 Nats-Pin-Id mismatch";
pub(super) const WRONG_PIN: &str = "423 Nats-Wrong-Pin-Id";
pub(super) const FLOW_CONTROL: &str = "100 FlowControl Request";
const HEARTBEAT: &str = "100 Idle Heartbeat";

/// What a request did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Pending {
    /// What is left of a request.
    pub(super) fn of(request: &Waiting) -> Self {
        Self { messages: request.batch_left, bytes: request.bytes_left.unwrap_or_default() }
    }
}

/// Sends a status.
pub(super) fn publish(
    ctx: &mut Context<'_>,
    gate: Commit,
    account: AccountId,
    to: &[u8],
    status: &str,
    pending: Option<Pending>,
) {
    let mut headers = Vec::with_capacity(96);
    start(&mut headers, status);
    if let Some(pending) = pending {
        number(&mut headers, "Nats-Pending-Messages", pending.messages);
        number(&mut headers, "Nats-Pending-Bytes", pending.bytes);
    }
    headers.extend_from_slice(b"\r\n");
    say(ctx, gate, account, to, b"", &headers);
}

/// Sends a status that wants an answer.
pub(super) fn publish_with_reply(
    ctx: &mut Context<'_>,
    gate: Commit,
    account: AccountId,
    to: &[u8],
    reply: &[u8],
    status: &str,
) {
    let mut headers = Vec::with_capacity(48);
    start(&mut headers, status);
    headers.extend_from_slice(b"\r\n");
    say(ctx, gate, account, to, reply, &headers);
}

/// Sends a heartbeat: the last delivery's sequences, and what stalls the consumer, if anything.
pub(super) fn heartbeat(
    ctx: &mut Context<'_>,
    gate: Commit,
    account: AccountId,
    to: &[u8],
    last: (u64, u64),
    stalled: &[u8],
) {
    let mut headers = Vec::with_capacity(128);
    start(&mut headers, HEARTBEAT);
    number(&mut headers, "Nats-Last-Consumer", last.0);
    number(&mut headers, "Nats-Last-Stream", last.1);
    if !stalled.is_empty() {
        headers.extend_from_slice(b"Nats-Consumer-Stalled: ");
        headers.extend_from_slice(stalled);
        headers.extend_from_slice(b"\r\n");
    }
    headers.extend_from_slice(b"\r\n");
    say(ctx, gate, account, to, b"", &headers);
}

fn start(headers: &mut Vec<u8>, status: &str) {
    headers.extend_from_slice(b"NATS/1.0 ");
    headers.extend_from_slice(status.as_bytes());
    headers.extend_from_slice(b"\r\n");
}

fn number(headers: &mut Vec<u8>, name: &str, number: u64) {
    headers.extend_from_slice(name.as_bytes());
    headers.extend_from_slice(b": ");
    write_decimal(headers, number);
    headers.extend_from_slice(b"\r\n");
}

fn say(
    ctx: &mut Context<'_>,
    gate: Commit,
    account: AccountId,
    to: &[u8],
    reply: &[u8],
    headers: &[u8],
) {
    let outgoing =
        Outgoing { account, to, subject: b"", reply, headers, payload: b"", failure: None };
    ctx.out.publish(gate, &outgoing);
}
