//! Pull requests: how one comes in, waits, hears heartbeats and ends.

use super::config::PriorityPolicy;
use super::pull::PullRequest;
use super::state::Consumer;
use super::status::{self, Pending};
use super::waiting::Waiting;
use crate::store::Commit;
use crate::stream::time::format_duration;
use crate::stream::{Context, StreamView};

impl Consumer {
    /// Takes a pull request in, or refuses it. What it can get at once is sent by
    /// [`deliver`](Self::deliver).
    pub(super) fn take_request(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
        body: &[u8],
        reply: &[u8],
    ) {
        if reply.is_empty() {
            return;
        }
        let refuse = |ctx: &mut Context<'_>, status: &str| {
            status::publish(ctx, gate, view.account, reply, status, None);
        };
        if self.config.is_push() {
            return refuse(ctx, status::IS_PUSH);
        }
        let request = match PullRequest::parse(body) {
            Ok(request) => request,
            Err(complaint) => {
                return refuse(ctx, &format!("400 Bad Request - {}", complaint.0));
            }
        };
        if let Some(status) = self.refusal(&request) {
            return refuse(ctx, &status);
        }
        self.active_at = ctx.now;
        if self.has_pins() && !request.id.is_empty() {
            if *request.id == *self.pin.id.as_bytes() {
                self.keep_pin(ctx.now);
            } else if !self.pin.id.is_empty() {
                return refuse(ctx, status::PIN_MISMATCH);
            }
        }
        if request.no_wait && request.expires == 0 {
            let left = self.cursor.left(view.store, &self.filters) + self.redelivery.len() as u64;
            if left == 0 {
                return refuse(ctx, status::NO_MESSAGES);
            }
            let asked: u64 = self.waiting.iter().map(|waiting| waiting.batch_left).sum();
            if asked >= left {
                return refuse(ctx, status::REQUESTS_PENDING);
            }
        }
        let max = usize::try_from(self.config.max_waiting).unwrap_or(usize::MAX);
        if self.waiting.len() >= max && ctx.now >= self.purge_requests_at {
            self.purge_requests_at = ctx.now.saturating_add(PURGE_PAUSE);
            self.drop_unheard(view, ctx);
        }
        if self.waiting.len() >= max {
            if request.idle_heartbeat == 0 {
                refuse(ctx, status::TOO_MANY_WAITING);
            }
            return;
        }
        let reply = self.waiting.reply_buffer(reply);
        let mut waiting = Waiting::new(&request, reply, ctx.now);
        if self.config.priority_policy != PriorityPolicy::Prioritized {
            waiting.priority = 0;
        }
        self.waiting.push(waiting);
    }

    /// Why a request cannot be taken, if so.
    fn refusal(&self, request: &PullRequest) -> Option<String> {
        let config = &self.config;
        if config.max_batch > 0 && request.batch > config.max_batch {
            return Some(format!("409 Exceeded MaxRequestBatch of {}", config.max_batch));
        }
        if config.max_expires > 0 && request.expires > config.max_expires {
            let limit = format_duration(config.max_expires);
            return Some(format!("409 Exceeded MaxRequestExpires of {limit}"));
        }
        if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
            return Some(format!("409 Exceeded MaxRequestMaxBytes of {}", config.max_bytes));
        }
        if request.idle_heartbeat > 0 && request.idle_heartbeat.saturating_mul(2) > request.expires
        {
            return Some(String::from("400 Bad Request - heartbeat value too large"));
        }
        let is_overflow = config.priority_policy == PriorityPolicy::Overflow;
        let bad = if (request.min_pending != 0 || request.min_ack_pending != 0) && !is_overflow {
            "Not a Overflow Priority consumer"
        } else if !request.id.is_empty() && !self.has_pins() {
            "Not a Pinned Client Priority consumer"
        } else if !(0..=9).contains(&request.priority) {
            "Priority must be between 0 and 9"
        } else if config.priority_policy == PriorityPolicy::None {
            return None;
        } else if request.group.is_empty() {
            "Priority Group missing"
        } else if !config.priority_groups.iter().any(|group| group.as_bytes() == &*request.group) {
            "Invalid Priority Group"
        } else {
            return None;
        };
        Some(format!("400 Bad Request - {bad}"))
    }

    /// Sends heartbeats that are due and ends requests that have waited long enough.
    pub(super) fn expire_requests(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
    ) {
        while let Some(at) = self.waiting.next_due(ctx.now) {
            let Some(request) = self.waiting.get_mut(at) else { break };
            if request.expires_at.is_some_and(|expires| expires <= ctx.now) {
                let pending = Pending::of(request);
                self.end_request(view, ctx, gate, at, status::TIMEOUT, Some(pending));
                continue;
            }
            request.heartbeat_at = ctx.now.saturating_add(request.heartbeat.max(1));
            let last = (self.delivered.consumer_seq, self.delivered.stream_seq);
            status::heartbeat(ctx, gate, view.account, &request.reply, last, b"");
            let deadline = request.heartbeat_at;
            self.waiting.touch(deadline);
        }
    }

    /// Nothing is left: requests that do not wait are told so.
    pub(super) fn end_drained(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
    ) {
        let mut at = 0;
        while let Some(request) = self.waiting.get_mut(at) {
            let is_over =
                request.no_wait && (request.expires_at.is_none() || request.delivered > 0);
            if is_over {
                self.end_request(view, ctx, gate, at, status::NO_MESSAGES, None);
            } else {
                at += 1;
            }
        }
    }

    /// Ends all requests.
    pub(super) fn end_all(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
        status: &str,
    ) {
        while !self.waiting.is_empty() {
            self.end_request(view, ctx, gate, 0, status, None);
        }
    }

    /// Ends a request with a status.
    pub(super) fn end_request(
        &mut self,
        view: &StreamView<'_>,
        ctx: &mut Context<'_>,
        gate: Commit,
        at: usize,
        status: &str,
        pending: Option<Pending>,
    ) {
        if let Some(request) = self.waiting.remove(at) {
            status::publish(ctx, gate, view.account, &request.reply, status, pending);
            self.waiting.recycle(request);
        }
    }

    /// Ends a request without a word.
    pub(super) fn drop_request(&mut self, at: usize) {
        if let Some(request) = self.waiting.remove(at) {
            self.waiting.recycle(request);
        }
    }

    /// Drops requests that nobody waits for any more.
    pub(super) fn drop_unheard(&mut self, view: &StreamView<'_>, ctx: &mut Context<'_>) {
        let mut at = 0;
        while let Some(request) = self.waiting.get_mut(at) {
            if ctx.interest.has_interest(view.account, &request.reply) {
                at += 1;
            } else {
                self.drop_request(at);
            }
        }
    }

    /// The client of the request at that place is the only one served from now on.
    pub(super) fn pin_to(&mut self, view: &mut StreamView<'_>, ctx: &mut Context<'_>, at: usize) {
        let id = view.nuid.generate();
        if let Some(request) = self.waiting.get_mut(at) {
            request.pin = id.as_bytes().into();
        }
        self.pin.id = id;
        self.pin.since = ctx.now;
        self.keep_pin(ctx.now);
        self.advise_pinned(view, ctx);
    }

    /// No client is preferred any more.
    pub(super) fn unpin(
        &mut self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        reason: &'static str,
    ) {
        self.pin.id.clear();
        self.pin.since = 0;
        self.advise_unpinned(view, ctx, reason);
    }

    fn keep_pin(&mut self, now: u64) {
        self.pin.until = now.saturating_add(self.config.priority_timeout.max(0).unsigned_abs());
    }
}

/// Time between two looks for requests nobody listens to, when the queue is full.
const PURGE_PAUSE: u64 = 1_000_000_000;
