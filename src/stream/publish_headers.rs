//! Headers that a stream honours on publish.

use crate::proto::HeaderBlock;

/// What a message's headers ask of a stream: the first value of each name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PublishHeaders<'a> {
    pub(super) msg_id: Option<&'a [u8]>,
    pub(super) expected_stream: Option<&'a [u8]>,
    pub(super) expected_last_seq: Option<&'a [u8]>,
    pub(super) expected_last_subject_seq: Option<&'a [u8]>,
    pub(super) expected_last_subject: Option<&'a [u8]>,
    pub(super) expected_last_msg_id: Option<&'a [u8]>,
    pub(super) rollup: Option<&'a [u8]>,
    pub(super) ttl: Option<&'a [u8]>,
    pub(super) incr: Option<&'a [u8]>,
    pub(super) source: Option<&'a [u8]>,
    pub(super) batch_id: Option<&'a [u8]>,
    pub(super) batch_seq: Option<&'a [u8]>,
    pub(super) batch_commit: Option<&'a [u8]>,
    pub(super) required_level: Option<&'a [u8]>,
    pub(super) schedule: Option<&'a [u8]>,
    pub(super) schedule_target: Option<&'a [u8]>,
    pub(super) schedule_source: Option<&'a [u8]>,
    pub(super) schedule_ttl: Option<&'a [u8]>,
    pub(super) schedule_rollup: Option<&'a [u8]>,
    pub(super) schedule_zone: Option<&'a [u8]>,
    pub(super) schedule_next: Option<&'a [u8]>,
    pub(super) scheduler: Option<&'a [u8]>,
    pub(super) marker_reason: Option<&'a [u8]>,
    /// Something in the block is not to be stored.
    pub(super) to_be_cleaned: bool,
}

impl<'a> PublishHeaders<'a> {
    /// Reads a block in one pass.
    pub(super) fn read(block: &'a [u8]) -> Self {
        let mut headers =
            Self { to_be_cleaned: !block.starts_with(b"NATS/1.0\r\n"), ..Self::default() };
        for (name, value) in HeaderBlock::new(block).iter() {
            let Some(rest) = name.strip_prefix(b"Nats-") else { continue };
            let slot = match rest {
                b"Msg-Id" => &mut headers.msg_id,
                b"Expected-Stream" => &mut headers.expected_stream,
                b"Expected-Last-Sequence" => &mut headers.expected_last_seq,
                b"Expected-Last-Subject-Sequence" => &mut headers.expected_last_subject_seq,
                b"Expected-Last-Subject-Sequence-Subject" => &mut headers.expected_last_subject,
                b"Expected-Last-Msg-Id" => &mut headers.expected_last_msg_id,
                b"Rollup" => &mut headers.rollup,
                b"TTL" => &mut headers.ttl,
                b"Incr" => &mut headers.incr,
                b"Stream-Source" => &mut headers.source,
                b"Batch-Id" => &mut headers.batch_id,
                b"Batch-Sequence" => &mut headers.batch_seq,
                b"Batch-Commit" => &mut headers.batch_commit,
                b"Required-Api-Level" => &mut headers.required_level,
                b"Schedule" => &mut headers.schedule,
                b"Schedule-Target" => &mut headers.schedule_target,
                b"Schedule-Source" => &mut headers.schedule_source,
                b"Schedule-TTL" => &mut headers.schedule_ttl,
                b"Schedule-Rollup" => &mut headers.schedule_rollup,
                b"Schedule-Time-Zone" => {
                    // An empty one is no zone, and told so.
                    headers.schedule_zone.get_or_insert(value);
                    continue;
                }
                b"Schedule-Next" => &mut headers.schedule_next,
                b"Scheduler" => &mut headers.scheduler,
                b"Marker-Reason" => &mut headers.marker_reason,
                b"Request-Info" => {
                    headers.to_be_cleaned = true;
                    continue;
                }
                _ => continue,
            };
            // An empty value is as good as none.
            if !value.is_empty() {
                slot.get_or_insert(value);
            }
        }
        headers
    }

    /// Whether a condition on what is stored is part of it.
    pub(super) fn has_expectation(&self) -> bool {
        self.expected_stream.is_some()
            || self.expected_last_seq.is_some()
            || self.expected_last_subject_seq.is_some()
            || self.expected_last_subject.is_some()
            || self.expected_last_msg_id.is_some()
    }
}

/// Appends the block again without the headers that `dropped` names, with a plain version line.
pub(super) fn copy_without(block: &[u8], out: &mut Vec<u8>, dropped: impl Fn(&[u8]) -> bool) {
    out.extend_from_slice(b"NATS/1.0\r\n");
    for (name, value) in HeaderBlock::new(block).iter() {
        if !dropped(name) {
            write_header(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one line.
pub(super) fn write_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Opens a block for lines to come: `block` without its end, or a version line if it is empty. The
/// end is an empty line.
pub(super) fn open_block(block: &[u8], out: &mut Vec<u8>) {
    if block.is_empty() {
        out.extend_from_slice(b"NATS/1.0\r\n");
    } else {
        out.extend_from_slice(block.strip_suffix(b"\r\n").unwrap_or(block));
    }
}

/// A whole number without a sign, all digits.
pub(super) fn parse_uint(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_each_name_counts() {
        let block =
            b"NATS/1.0\r\nNats-Msg-Id: a\r\nX: y\r\nNats-Msg-Id: b\r\nNats-TTL: 5s \r\nNats-Incr:\r\n\r\n";
        let headers = PublishHeaders::read(block);
        assert_eq!(headers.msg_id, Some(&b"a"[..]));
        assert_eq!(headers.ttl, Some(&b"5s "[..]));
        assert_eq!(headers.incr, None);
        assert!(!headers.to_be_cleaned && !headers.has_expectation());
    }

    #[test]
    fn what_is_not_stored_is_left_out() {
        let block = b"NATS/1.0 503 x\r\nA: b\r\nNats-Request-Info: {}\r\n\r\n";
        assert!(PublishHeaders::read(block).to_be_cleaned);
        let mut out = Vec::new();
        copy_without(block, &mut out, |name| name == b"Nats-Request-Info");
        assert_eq!(out, b"NATS/1.0\r\nA: b\r\n\r\n");
    }
}
