//! Message schedules.

use super::publish_headers::PublishHeaders;
use super::shared::Shared;
use super::stream::Stream;
use super::ApiError;

/// When a message is due.
#[derive(Clone, Debug)]
pub(super) struct Schedule {}

/// The schedules of one stream.
#[derive(Debug, Default)]
pub(super) struct Schedules {}

impl Schedules {
    pub(super) fn insert(&mut self, _subject: &[u8], _seq: u64, _schedule: Schedule) {}

    pub(super) fn replayed(&mut self, _subject: &[u8], _seq: u64, _headers: &[u8], _time: u64) {}

    pub(super) fn snapshot(&self, _out: &mut Vec<u8>) {}

    pub(super) fn restore(&mut self, _bytes: &mut &[u8]) -> Option<()> {
        Some(())
    }
}

/// Checks the headers of schedules.
pub(super) fn check(
    headers: &PublishHeaders<'_>,
    stream: &Stream,
    _subject: &[u8],
    _now: u64,
) -> Result<Option<Schedule>, ApiError> {
    if headers.schedule.is_some() && !stream.config.allow_msg_schedules {
        return Err(ApiError::MESSAGE_SCHEDULES_DISABLED);
    }
    Ok(None)
}

/// Ends a schedule that a message says is over.
pub(super) fn cancel(
    _headers: &PublishHeaders<'_>,
    _stream: &mut Stream,
    _shared: &mut Shared,
    _seq: u64,
) {
}
