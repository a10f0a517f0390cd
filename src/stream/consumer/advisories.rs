//! What a consumer tells those who watch it.

use super::ack::Delivery;
use super::state::Consumer;
use super::unacked::Unacked;
use crate::stream::json::Object;
use crate::stream::{Context, StreamView};

impl Consumer {
    /// It was created or deleted.
    pub(super) fn advise_action(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        what: &str,
        action: &str,
    ) {
        self.advise(view, ctx, what, "advisory.v1.consumer_action", |object| {
            object.string("action", action);
        });
    }

    /// It was paused, or goes on.
    pub(super) fn advise_pause(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        is_paused: bool,
    ) {
        let until = self.config.pause_until;
        self.advise(view, ctx, "PAUSE", "advisory.v1.consumer_pause", |object| {
            object.bool("paused", is_paused);
            if let Some(until) = until {
                object.time("pause_until", until);
            }
        });
    }

    /// A message was delivered as often as it may be.
    pub(super) fn advise_max_deliveries(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        entry: &Unacked,
    ) {
        self.advise(view, ctx, "MAX_DELIVERIES", "advisory.v1.max_deliver", |object| {
            object.uint("stream_seq", entry.stream_seq);
            object.uint("deliveries", u64::from(entry.deliveries));
        });
    }

    /// A message shall be delivered again.
    pub(super) fn advise_naked(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        delivery: &Delivery,
    ) {
        self.advise(view, ctx, "MSG_NAKED", "advisory.v1.nak", |object| {
            write_delivery(object, delivery);
        });
    }

    /// A message shall not be delivered again.
    pub(super) fn advise_terminated(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        delivery: &Delivery,
        reason: &[u8],
    ) {
        self.advise(view, ctx, "MSG_TERMINATED", "advisory.v1.terminated", |object| {
            write_delivery(object, delivery);
            object.string_some("reason", &String::from_utf8_lossy(reason));
        });
    }

    /// How long an acknowledgement took, for some of them.
    pub(super) fn report_ack(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        delivery: &Delivery,
    ) {
        if view.nuid.number() % 100 >= self.sample_percent {
            return;
        }
        let Some(entry) = self.unacked.get(delivery.stream_seq).copied() else { return };
        let subject = ["METRIC.CONSUMER.ACK.", view.name(), ".", &self.name].concat();
        let (stream, consumer) = (view.name().to_owned(), self.name.clone());
        let took = ctx.now.saturating_sub(entry.sent_at);
        view.advise(ctx, &subject, "metric.v1.consumer_ack", |object| {
            object.string("stream", &stream);
            object.string("consumer", &consumer);
            object.uint("consumer_seq", delivery.consumer_seq);
            object.uint("stream_seq", delivery.stream_seq);
            object.uint("ack_time", took);
            object.uint("deliveries", delivery.deliveries);
        });
    }

    /// One client alone is served.
    pub(super) fn advise_pinned(&self, view: &mut StreamView<'_>, ctx: &mut Context<'_>) {
        self.advise_group(view, ctx, "PINNED", "advisory.v1.consumer_group_pinned", |object| {
            object.string("pinned_id", &self.pin.id);
        });
    }

    /// It is no longer.
    pub(super) fn advise_unpinned(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        reason: &str,
    ) {
        self.advise_group(view, ctx, "UNPINNED", "advisory.v1.consumer_group_unpinned", |object| {
            object.string("reason", reason);
        });
    }

    fn advise_group(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        what: &str,
        kind: &str,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        let subject = ["ADVISORY.CONSUMER.", what, ".", view.name(), ".", &self.name].concat();
        let (account, stream) = (view.account_name.to_owned(), view.name().to_owned());
        view.advise(ctx, &subject, kind, |object| {
            object.string("account", &account);
            object.string("stream", &stream);
            object.string("consumer", &self.name);
            object.string("group", self.config.priority_groups.first().map_or("", String::as_str));
            fill(object);
        });
    }

    fn advise(
        &self,
        view: &mut StreamView<'_>,
        ctx: &mut Context<'_>,
        what: &str,
        kind: &str,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        if self.config.direct {
            return;
        }
        let subject = ["ADVISORY.CONSUMER.", what, ".", view.name(), ".", &self.name].concat();
        let stream = view.name().to_owned();
        view.advise(ctx, &subject, kind, |object| {
            object.string("stream", &stream);
            object.string("consumer", &self.name);
            fill(object);
        });
    }
}

fn write_delivery(object: &mut Object<'_>, delivery: &Delivery) {
    object.uint("consumer_seq", delivery.consumer_seq);
    object.uint("stream_seq", delivery.stream_seq);
    object.uint("deliveries", delivery.deliveries);
}
