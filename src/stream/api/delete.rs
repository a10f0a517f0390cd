//! `STREAM.DELETE`.

use super::dispatch::{is_empty_request, Answer, Request};
use crate::store::Commit;
use crate::stream::engine::Engine;
use crate::stream::token::StreamIndex;
use crate::stream::{ApiError, Context};

impl Engine {
    pub(super) fn stream_delete(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        if !is_empty_request(request.payload) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        let index =
            self.find_stream(request.account, request.stream).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let gate = self.drop_stream(index, ctx);
        Ok(Answer::of(request.verb, gate, |object| object.bool("success", true)))
    }

    /// Deletes a stream with its consumers. It is gone for good once the commit is durable.
    fn drop_stream(&mut self, index: StreamIndex, ctx: &mut Context<'_>) -> Commit {
        let Some(stream) = self.streams.get_mut(index) else { return Commit::NONE };
        let (consumers, mut view) = stream.split(&mut self.shared);
        consumers.delete_all(&mut view, ctx);
        self.stream_action(index, "delete", "DELETED", ctx);
        let Some(stream) = self.streams.remove(index) else { return Commit::NONE };
        let mut stream = *stream;
        stream.batches.clear(&mut self.shared);
        stream.unsubscribe(ctx);
        stream.snapshots.clear((index, stream.account), ctx);
        let (account, kind) = (stream.account, stream.store.kind());
        self.shared.change_used(account, kind, stream.bytes_counted, 0);
        self.shared.change_reserved(account, kind, stream.config.max_bytes, 0);
        if let Some(account) = self.shared.accounts.get_mut(&account) {
            account.streams.remove(stream.config.name.as_str());
        }
        let gate = ctx.stores.delete(stream.id, stream.store);
        self.refresh_feeds(stream.account, ctx);
        gate
    }
}
