//! Protocol lines for the log, as nats-server's `trace` writes them.
//!
//! Off by default; the data path then pays one branch per message. Passwords
//! and tokens in CONNECT never reach a line.

use crate::proto::{Command, Publish};

/// What is shown of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Only its headers.
    pub headers_only: bool,
    /// At most this many bytes; 0: all.
    pub payload_bytes_max: usize,
}

/// The lines of a command that came in.
pub(super) fn incoming(command: &Command<'_>, options: &TraceOptions) -> Vec<String> {
    let text = match command {
        Command::Publish(message) => {
            let op = if message.header_len.is_some() { "HPUB" } else { "PUB" };
            let line = format!("<<- [{op} {}]", publish_arguments(message, None));
            return vec![line, format!("<<- {}", payload(message, options))];
        }
        Command::Subscribe { subject, queue, sid } => {
            let queue = queue.map_or(String::new(), |queue| format!(" {}", text(queue)));
            format!("SUB {}{queue} {}", text(subject), text(sid))
        }
        Command::Unsubscribe { sid, max } => match max {
            Some(max) => format!("UNSUB {} {max}", text(sid)),
            None => format!("UNSUB {}", text(sid)),
        },
        Command::Connect { json } => format!("CONNECT {}", redacted(&text(json))),
        Command::Info { json } => format!("INFO {}", text(json)),
        Command::Ping => "PING".to_owned(),
        Command::Pong => "PONG".to_owned(),
        Command::Ok => "OK".to_owned(),
    };
    vec![format!("<<- [{text}]")]
}

/// The lines of a message that goes out.
pub(super) fn outgoing(sid: &[u8], message: &Publish<'_>, options: &TraceOptions) -> Vec<String> {
    let op = if message.header_len.is_some_and(|length| length > 0) { "HMSG" } else { "MSG" };
    let line = format!("->> [{op} {}]", publish_arguments(message, Some(sid)));
    vec![line, format!("->> {}", payload(message, options))]
}

fn publish_arguments(message: &Publish<'_>, sid: Option<&[u8]>) -> String {
    let parts = [
        Some(message.subject),
        sid,
        Some(message.reply).filter(|reply| !reply.is_empty()),
        message.header_len.map(|_| message.header_size_text),
        Some(message.size_text),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().map(text).collect();
    parts.join(" ")
}

fn payload(message: &Publish<'_>, options: &TraceOptions) -> String {
    let headers = message.header_len.map_or(0, |length| length as usize);
    let shown = if options.headers_only {
        message.payload.get(..headers).unwrap_or_default()
    } else {
        message.payload
    };
    match shown.get(..options.payload_bytes_max) {
        Some(start) if options.payload_bytes_max > 0 => {
            format!("MSG_PAYLOAD: [{:?}...]", text(start))
        }
        _ => format!("MSG_PAYLOAD: [{:?}]", text(shown)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Replaces the values of the secret keys of a CONNECT. What cannot be read as
/// JSON is not shown at all.
fn redacted(json: &str) -> String {
    let Ok(serde_json::Value::Object(mut options)) = serde_json::from_str(json) else {
        return "[UNREADABLE]".to_owned();
    };
    for (key, value) in &mut options {
        if SECRETS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) {
            *value = "[REDACTED]".into();
        }
    }
    serde_json::Value::Object(options).to_string()
}

const SECRETS: [&str; 5] = ["pass", "auth_token", "jwt", "sig", "proxy_sig"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_nats_server() {
        let options = TraceOptions::default();
        let message = Publish {
            subject: b"foo",
            reply: b"re",
            header_len: Some(12),
            header_size_text: b"12",
            size_text: b"14",
            payload: b"NATS/1.0\r\n\r\nhi",
            tail: None,
        };
        assert_eq!(
            incoming(&Command::Publish(message), &options),
            ["<<- [HPUB foo re 12 14]", "<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nhi\"]"]
        );
        assert_eq!(outgoing(b"1", &message, &options)[0], "->> [HMSG foo 1 re 12 14]");
        let sub = Command::Subscribe { subject: b"foo", queue: Some(b"q"), sid: b"1" };
        assert_eq!(incoming(&sub, &options), ["<<- [SUB foo q 1]"]);
        let short = TraceOptions { payload_bytes_max: 4, ..options };
        assert_eq!(payload(&message, &short), "MSG_PAYLOAD: [\"NATS\"...]");
        let headers = TraceOptions { headers_only: true, ..options };
        assert_eq!(payload(&message, &headers), "MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\n\"]");
    }

    #[test]
    fn secrets_never_reach_a_line() {
        let json = br#"{"user":"ada","Pass":"s3cret","auth_token":"s3cret","sig":"s3cret"}"#;
        let line = incoming(&Command::Connect { json }, &TraceOptions::default()).concat();
        assert!(!line.contains("s3cret") && line.contains("ada"), "{line}");
        let line = incoming(&Command::Connect { json: b"{s3cret" }, &TraceOptions::default());
        assert!(!line.concat().contains("s3cret"));
    }
}
