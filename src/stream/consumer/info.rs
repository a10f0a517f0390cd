//! What is told about a consumer.

use super::config::PriorityPolicy;
use super::state::{Consumer, Mark};
use crate::stream::json::Object;
use crate::stream::StreamView;

/// Adds the keys of a consumer's description, `extra` among the metadata of its configuration.
pub(super) fn write(
    object: &mut Object<'_>,
    consumer: &mut Consumer,
    view: &mut StreamView<'_>,
    now: u64,
    extra: &[(&str, &str)],
) {
    let left = consumer.cursor.left(view.store, &consumer.filters);
    object.string("stream_name", view.name());
    object.string("name", &consumer.name);
    object.time("created", consumer.created);
    consumer.config.write_with(object.key("config"), extra);
    write_mark(object, "delivered", &consumer.delivered);
    write_mark(object, "ack_floor", &consumer.ack_floor);
    object.uint("num_ack_pending", consumer.unacked.len() as u64);
    let redelivered = match consumer.config.max_deliver {
        1 => 0,
        _ => consumer.unacked.redelivered_len() as u64 + consumer.given_up,
    };
    object.uint("num_redelivered", redelivered);
    object.uint("num_waiting", consumer.waiting.len() as u64);
    object.uint("num_pending", left);
    object.bool_some("push_bound", consumer.is_bound);
    if let Some(until) = consumer.paused_until(now) {
        object.bool("paused", true);
        object.uint("pause_remaining", until - now);
    }
    object.time("ts", now);
    if consumer.config.priority_policy != PriorityPolicy::None {
        let mut array = object.array("priority_groups");
        if let Some(group) = consumer.config.priority_groups.first() {
            let mut inner = array.object();
            inner.string("group", group);
            inner.string_some("pinned_client_id", &consumer.pin.id);
            inner.time("pinned_ts", consumer.pin.since);
            inner.close();
        }
        array.close();
    }
}

fn write_mark(object: &mut Object<'_>, key: &str, mark: &Mark) {
    let mut inner = object.object(key);
    inner.uint("consumer_seq", mark.consumer_seq);
    inner.uint("stream_seq", mark.stream_seq);
    if mark.at > 0 {
        inner.time("last_active", mark.at);
    }
    inner.close();
}
