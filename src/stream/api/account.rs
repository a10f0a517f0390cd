//! `INFO`: what an account has and may have.

use super::dispatch::{Answer, Request};
use crate::store::Commit;
use crate::stream::engine::Engine;
use crate::stream::view::API_LEVEL;
use crate::stream::ApiError;

impl Engine {
    pub(super) fn account_info(&self, request: &Request<'_>) -> Result<Answer, ApiError> {
        let account = self.shared.accounts.get(&request.account);
        let account = account.ok_or(ApiError::NOT_ENABLED_FOR_ACCOUNT)?;
        let limits = account.limits.ok_or(ApiError::NOT_ENABLED_FOR_ACCOUNT)?;
        let streams = account.streams.values().filter_map(|index| self.streams.get(*index));
        let consumers: usize = streams.map(|stream| stream.consumers.count()).sum();
        Ok(Answer::of(request.verb, Commit::NONE, |object| {
            object.uint("memory", account.used.memory);
            object.uint("storage", account.used.file);
            object.uint("reserved_memory", account.reserved.memory);
            object.uint("reserved_storage", account.reserved.file);
            object.uint("streams", account.streams.len() as u64);
            object.uint("consumers", consumers as u64);
            let mut inner = object.object("limits");
            inner.int("max_memory", limits.max_memory);
            inner.int("max_storage", limits.max_storage);
            inner.int("max_streams", limits.max_streams);
            inner.int("max_consumers", limits.max_consumers);
            inner.int("max_ack_pending", limits.max_ack_pending);
            inner.int("memory_max_stream_bytes", limits.memory_max_stream_bytes);
            inner.int("storage_max_stream_bytes", limits.storage_max_stream_bytes);
            inner.bool("max_bytes_required", limits.max_bytes_required);
            inner.close();
            object.string_some("domain", &self.shared.server.domain);
            let mut api = object.object("api");
            api.uint("level", API_LEVEL);
            api.uint("total", account.api_total);
            api.uint("errors", account.api_errors);
            api.close();
        }))
    }
}
