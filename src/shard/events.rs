//! What happened on a core, as log lines.

use super::core::{Event, SlowConsumer};
use super::task::Control;
use crate::account::ConnectionType;
use crate::log::Log;
use crate::proto::CloseReason;

/// Says one event, and answers with the connection it names as too slow.
pub(super) fn say(event: Event, control: &Control) -> Option<Box<SlowConsumer>> {
    match event {
        Event::Closed { cid, host, over, reason, pending, chunks, label, slow } => {
            let who = format!("{} - {}:{cid} - {label}", address(&host), prefix(over));
            say_closed(&who, reason, (pending, chunks), slow.as_deref(), control);
            slow
        }
        Event::Warning { text } => {
            control.log.warning(format_args!("{text}"));
            None
        }
        Event::Error { cid, host, over, text } => {
            let (at, prefix) = (address(&host), prefix(over));
            control.log.error(format_args!("{at} - {prefix}:{cid} - {text}"));
            None
        }
        Event::Info { text } => {
            control.log.info(format_args!("{text}"));
            None
        }
        Event::Line { cid, host, over, trace, text } => {
            let (at, prefix) = (address(&host), prefix(over));
            let line = format_args!("{at} - {prefix}:{cid} - {text}");
            if trace {
                control.log.trace(line);
            } else {
                control.log.debug(line);
            }
            None
        }
    }
}

fn say_closed(
    who: &str,
    reason: CloseReason,
    (pending, chunks): (usize, usize),
    slow: Option<&SlowConsumer>,
    control: &Control,
) {
    let Control { log, max_pending, write_deadline, .. } = control;
    match reason {
        CloseReason::SlowConsumerPendingBytes => {
            log.info(format_args!(
                "{who}Slow Consumer Detected: MaxPending of {max_pending} Exceeded"
            ));
        }
        CloseReason::SlowConsumerWriteDeadline => {
            log.info(format_args!(
                "{who}Slow Consumer Detected: WriteDeadline of {write_deadline} exceeded with \
                 {chunks} chunks of {pending} total bytes."
            ));
        }
        reason => {
            log.debug(format_args!("{who}Client connection closed: {}", reason.as_str()));
        }
    }
    if let Some(slow) = slow {
        name(who, slow, pending, log);
    }
}

/// nats-server's line does not say which subscription it was that overflowed;
/// harnesses match it, so the rest stands in a line of its own.
fn name(who: &str, slow: &SlowConsumer, pending: usize, log: &Log) {
    let SlowConsumer { name, account, subject } = slow;
    log.warning(format_args!(
        "{who}Slow consumer: name {name:?}, account {account:?}, most messages on {subject:?}, \
         {pending} bytes pending"
    ));
}

/// What stands before a connection's number.
fn prefix(over: ConnectionType) -> &'static str {
    match over {
        ConnectionType::WebSocket => "wid",
        _ => "cid",
    }
}

/// `ip:port` of the two with a NUL between them.
fn address(host: &str) -> String {
    let (ip, port) = host.split_once('\0').unwrap_or((host, ""));
    format!("{ip}:{port}")
}
