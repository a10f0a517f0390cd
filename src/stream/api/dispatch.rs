//! Which request is which, what all have in common, and how answers go out.

use crate::proto::HeaderBlock;
use crate::store::Commit;
use crate::stream::consumer::{check_create, Answer as ConsumerAnswer};
use crate::stream::engine::Engine;
use crate::stream::json::{parse_first, Decoder, Field, JsonError, Object, Value};
use crate::stream::outbox::Outgoing;
use crate::stream::token::StreamIndex;
use crate::stream::view::{advise, ApiCall, ClientInfo, API_LEVEL};
use crate::stream::{ApiError, Context, Incoming};
use crate::subject::AccountId;

/// A request, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) account: AccountId,
    /// The whole subject.
    pub(super) subject: &'a str,
    /// What is asked for, such as `STREAM.INFO`.
    pub(super) verb: &'static Verb,
    /// The stream it is about; empty for verbs without one.
    pub(super) stream: &'a str,
    /// What follows the stream in the subject.
    pub(super) rest: &'a str,
    pub(super) reply: &'a [u8],
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// A request that there is.
#[derive(Debug)]
pub(super) struct Verb {
    /// Its name in the subject.
    name: &'static str,
    /// Its name in the type of the answer.
    kind: &'static str,
    /// Tokens that follow in the subject, at least and at most.
    tokens: (usize, usize),
    /// What an error is followed by.
    tail: &'static str,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Info,
    StreamCreate,
    StreamUpdate,
    StreamNames,
    StreamList,
    StreamInfo,
    StreamDelete,
    StreamPurge,
    MsgGet,
    MsgDelete,
    Snapshot,
    Restore,
    Consumer,
    /// Answered with 10010, whatever it says.
    ClusterOnly,
    /// A subscription of its own handles it, if there is one to handle.
    Elsewhere,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub(in crate::stream) struct Answer {
    /// Header block; empty for all but few.
    pub(super) headers: Vec<u8>,
    pub(in crate::stream) body: Vec<u8>,
    pub(super) is_error: bool,
    /// What has to be durable before it is told.
    pub(in crate::stream) gate: Commit,
}

const PAGED: &str = ",\"total\":0,\"offset\":0,\"limit\":0";
const ANY: usize = usize::MAX;

macro_rules! verbs {
    ($($name:literal $kind:literal $tokens:tt $tail:expr => $action:ident;)*) => {
        &[$(Verb {
            name: $name, kind: $kind, tokens: $tokens, tail: $tail, action: Action::$action,
        }),*]
    };
}

const VERBS: &[Verb] = verbs! {
    // Those that come by the hundred thousand are found first.
    "DIRECT.GET" "" (1, ANY) "" => Elsewhere;
    "CONSUMER.MSG.NEXT" "" (2, 2) "" => Elsewhere;
    "INFO" "account_info" (0, 0) "" => Info;
    "STREAM.CREATE" "stream_create" (1, 1) "" => StreamCreate;
    "STREAM.UPDATE" "stream_update" (1, 1) "" => StreamUpdate;
    "STREAM.NAMES" "stream_names" (0, 0)
        ",\"total\":0,\"offset\":0,\"limit\":0,\"streams\":null" => StreamNames;
    "STREAM.LIST" "stream_list" (0, 0)
        ",\"total\":0,\"offset\":0,\"limit\":0,\"streams\":[]" => StreamList;
    "STREAM.INFO" "stream_info" (1, 1) PAGED => StreamInfo;
    "STREAM.DELETE" "stream_delete" (1, 1) "" => StreamDelete;
    "STREAM.PURGE" "stream_purge" (1, 1) ",\"purged\":0" => StreamPurge;
    "STREAM.MSG.GET" "stream_msg_get" (1, 1) "" => MsgGet;
    "STREAM.MSG.DELETE" "stream_msg_delete" (1, 1) "" => MsgDelete;
    "STREAM.SNAPSHOT" "stream_snapshot" (1, 1) "" => Snapshot;
    "STREAM.RESTORE" "stream_restore" (1, 1) ",\"deliver_subject\":\"\"" => Restore;
    "STREAM.PEER.REMOVE" "stream_remove_peer" (1, 1) "" => ClusterOnly;
    "STREAM.PEER.EVACUATE" "stream_evacuate_peer" (1, 1) "" => ClusterOnly;
    "STREAM.CANCEL_MOVE" "stream_cancel_move" (1, 1) "" => ClusterOnly;
    "STREAM.LEADER.STEPDOWN" "stream_leader_stepdown" (1, 1) "" => ClusterOnly;
    "CONSUMER.CREATE" "consumer_create" (1, ANY) "" => Consumer;
    "CONSUMER.DURABLE.CREATE" "consumer_create" (2, 2) "" => Consumer;
    "CONSUMER.NAMES" "consumer_names" (1, 1)
        ",\"total\":0,\"offset\":0,\"limit\":0,\"consumers\":[]" => Consumer;
    "CONSUMER.LIST" "consumer_list" (1, 1)
        ",\"total\":0,\"offset\":0,\"limit\":0,\"consumers\":[]" => Consumer;
    "CONSUMER.INFO" "consumer_info" (2, 2) "" => Consumer;
    "CONSUMER.DELETE" "consumer_delete" (2, 2) "" => Consumer;
    "CONSUMER.PAUSE" "consumer_pause" (2, 2)
        ",\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\"" => Consumer;
    "CONSUMER.UNPIN" "consumer_unpin" (2, 2) "" => Consumer;
    "CONSUMER.RESET" "consumer_reset" (2, 2) ",\"reset_seq\":0" => Consumer;
    "CONSUMER.LEADER.STEPDOWN" "consumer_leader_stepdown" (2, 2) "" => ClusterOnly;
};

impl Engine {
    /// Takes a request to `$JS.API.>`.
    pub(in crate::stream) fn handle_api(&mut self, incoming: &Incoming<'_>, ctx: &mut Context<'_>) {
        let Ok(subject) = std::str::from_utf8(incoming.subject) else { return };
        let Some(asked) = subject.strip_prefix("$JS.API.") else { return };
        let Some((verb, stream, rest)) = find_verb(asked) else { return };
        let request = Request {
            account: incoming.account,
            subject,
            verb,
            stream,
            rest,
            reply: incoming.reply,
            headers: incoming.headers,
            payload: incoming.payload,
        };
        if verb.action == Action::Elsewhere {
            self.refuse_if_missing(&request, ctx);
            return;
        }
        let Some(account) = self.shared.accounts.get(&request.account) else { return };
        let is_enabled = account.limits.is_some();
        if verb.name == "CONSUMER.RESET" && is_enabled && !self.has_consumer(&request) {
            return;
        }
        let is_beyond = self.shared.requests_left == 0;
        self.shared.requests_left = self.shared.requests_left.saturating_sub(1);
        let answer = if !is_enabled {
            refuse(verb, &ApiError::NOT_ENABLED_FOR_ACCOUNT)
        } else if is_beyond {
            refuse(verb, &ApiError::STREAM_TOO_MANY_REQUESTS)
        } else if verb.action != Action::ClusterOnly && !is_level_met(request.headers) {
            refuse(verb, &ApiError::REQUIRED_API_LEVEL)
        } else {
            self.execute(&request, ctx)
        };
        self.send(&request, &answer, ctx);
        if let Some(index) = self.find_stream(request.account, request.stream) {
            self.go_on(index, ctx);
        }
    }

    /// Takes a request to `$JS.<domain>.API.>`: the same as without the domain, and the way in for
    /// messages of key-value and object stores.
    pub(in crate::stream) fn handle_domain_api(
        &mut self,
        incoming: &Incoming<'_>,
        ctx: &mut Context<'_>,
    ) {
        let prefix = ["$JS.", &self.shared.server.domain, ".API."].concat();
        let Some(asked) = incoming.subject.strip_prefix(prefix.as_bytes()) else { return };
        let is_store = asked.starts_with(b"$KV.") || asked.starts_with(b"$O");
        let subject = if is_store { asked.to_vec() } else { [b"$JS.API.", asked].concat() };
        let elsewhere = ["CONSUMER.MSG.NEXT.", "DIRECT.GET."];
        let elsewhere = elsewhere.iter().any(|verb| asked.starts_with(verb.as_bytes()));
        if is_store || elsewhere {
            // The subscriptions that handle it are the engine's own, or a client's.
            ctx.out.publish(
                Commit::NONE,
                &Outgoing {
                    account: incoming.account,
                    to: &subject,
                    subject: b"",
                    reply: incoming.reply,
                    headers: incoming.headers,
                    payload: incoming.payload,
                    failure: None,
                },
            );
            return;
        }
        self.handle_api(&Incoming { subject: &subject, ..*incoming }, ctx);
    }

    /// The stream of that name.
    pub(super) fn find_stream(&self, account: AccountId, name: &str) -> Option<StreamIndex> {
        self.shared.accounts.get(&account)?.streams.get(name).copied()
    }

    fn execute(&mut self, request: &Request<'_>, ctx: &mut Context<'_>) -> Answer {
        let result = match request.verb.action {
            Action::Info => self.account_info(request),
            Action::StreamCreate => self.stream_create(request, ctx),
            Action::StreamUpdate => self.stream_update(request, ctx),
            Action::StreamNames => self.stream_names(request),
            Action::StreamList => self.stream_list(request, ctx),
            Action::StreamInfo => self.stream_info(request, ctx),
            Action::StreamDelete => self.stream_delete(request, ctx),
            Action::StreamPurge => self.stream_purge(request),
            Action::MsgGet => self.msg_get(request),
            Action::MsgDelete => self.msg_delete(request),
            Action::Snapshot => self.stream_snapshot(request, ctx),
            Action::Restore => self.stream_restore(request, ctx),
            Action::Consumer => self.consumer_api(request, ctx),
            Action::ClusterOnly | Action::Elsewhere => Err(ApiError::CLUSTER_REQUIRED),
        };
        match result {
            Ok(answer) => answer,
            Err(error) => refuse(request.verb, &error),
        }
    }

    fn consumer_api(
        &mut self,
        request: &Request<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, ApiError> {
        let call = ApiCall {
            verb: request.verb.name,
            stream: request.stream,
            rest: request.rest,
            reply: request.reply,
            headers: request.headers,
            payload: request.payload,
            strict: self.shared.strict,
        };
        if matches!(call.verb, "CONSUMER.CREATE" | "CONSUMER.DURABLE.CREATE") {
            check_create(&call)?;
        }
        let Some(index) = self.find_stream(request.account, request.stream) else {
            check_body(&call)?;
            return Err(ApiError::STREAM_NOT_FOUND);
        };
        let stream = self.streams.get_mut(index).ok_or(ApiError::STREAM_NOT_FOUND)?;
        let mut said = ConsumerAnswer::default();
        let (consumers, mut view) = stream.split(&mut self.shared);
        consumers.handle_api(&call, &mut view, ctx, &mut said);
        let gate = stream.store.staged();
        let ConsumerAnswer { headers, body, is_error } = said;
        Ok(Answer { headers, body, is_error, gate })
    }

    /// Says an answer, counts it, and tells auditors.
    pub(super) fn send(&mut self, request: &Request<'_>, answer: &Answer, ctx: &mut Context<'_>) {
        // What a consumer takes itself is neither counted nor audited.
        let is_noted = (answer.is_error || request.verb.action != Action::MsgGet)
            && request.verb.name != "CONSUMER.RESET";
        let account = self.shared.accounts.get_mut(&request.account);
        if let Some(account) = account.filter(|_| is_noted) {
            account.api_total += 1;
            account.api_errors += u64::from(answer.is_error);
        }
        if !request.reply.is_empty() {
            let lost = ApiError::STREAM_STORE_FAILED.with("change could not be made durable");
            let failure = (answer.gate != Commit::NONE).then(|| refuse(request.verb, &lost).body);
            ctx.out.publish(
                answer.gate,
                &Outgoing {
                    account: request.account,
                    to: request.reply,
                    subject: b"",
                    reply: b"",
                    headers: &answer.headers,
                    payload: &answer.body,
                    failure: failure.as_deref(),
                },
            );
        }
        if is_noted {
            self.audit(request, answer, ctx);
        }
    }

    fn audit(&mut self, request: &Request<'_>, answer: &Answer, ctx: &mut Context<'_>) {
        let shared = &mut self.shared;
        let Some(account) = shared.accounts.get(&request.account) else { return };
        let server = &shared.server;
        let client = ClientInfo::sender(request.headers, &account.name, &server.name);
        advise(
            ctx,
            server,
            &mut shared.nuid,
            request.account,
            answer.gate,
            "ADVISORY.API",
            "advisory.v1.api_audit",
            |object| {
                object.string("server", &server.name);
                client.write(object.key("client"));
                object.string("subject", request.subject);
                object.string_some("request", &String::from_utf8_lossy(request.payload));
                object.string("response", &String::from_utf8_lossy(&answer.body));
            },
        );
    }

    /// Nobody would handle the request: say so as the router does for a subject without interest.
    fn refuse_if_missing(&self, request: &Request<'_>, ctx: &mut Context<'_>) {
        let index = self.find_stream(request.account, request.stream);
        let stream = index.and_then(|index| self.streams.get(index));
        let is_there = match request.verb.name {
            "DIRECT.GET" => stream.is_some_and(|stream| stream.config.allow_direct),
            _ => stream.is_some_and(|stream| stream.consumers.contains(request.rest)),
        };
        let is_served = is_there || self.is_mirrored_directly(request);
        if is_served || request.reply.is_empty() {
            return;
        }
        let headers = ["NATS/1.0 503\r\nNats-Subject: ", request.subject, "\r\n\r\n"].concat();
        ctx.out.publish(
            Commit::NONE,
            &Outgoing {
                account: request.account,
                to: request.reply,
                subject: b"",
                reply: b"",
                headers: headers.as_bytes(),
                payload: b"",
                failure: None,
            },
        );
    }

    /// Whether a mirror answers direct gets for the stream.
    fn is_mirrored_directly(&self, request: &Request<'_>) -> bool {
        let Some(account) = self.shared.accounts.get(&request.account) else { return false };
        let mut streams = account.streams.values().filter_map(|index| self.streams.get(*index));
        request.verb.name == "DIRECT.GET"
            && streams.any(|stream| {
                let mirror = stream.config.mirror.as_ref();
                stream.config.mirror_direct && mirror.is_some_and(|m| m.name == request.stream)
            })
    }

    fn has_consumer(&self, request: &Request<'_>) -> bool {
        let index = self.find_stream(request.account, request.stream);
        let stream = index.and_then(|index| self.streams.get(index));
        stream.is_some_and(|stream| stream.consumers.contains(request.rest))
    }
}

impl Answer {
    /// An answer that succeeded, opened with its type; `fill` adds the rest.
    pub(super) fn of(verb: &Verb, gate: Commit, fill: impl FnOnce(&mut Object<'_>)) -> Self {
        let mut body = Vec::with_capacity(256);
        let mut object = Object::open(&mut body);
        object.string("type", &verb.answer_type());
        fill(&mut object);
        object.close();
        Self { headers: Vec::new(), body, is_error: false, gate }
    }
}

impl Verb {
    fn answer_type(&self) -> String {
        ["io.nats.jetstream.api.v1.", self.kind, "_response"].concat()
    }
}

/// The answer that says an error.
pub(super) fn refuse(verb: &Verb, error: &ApiError) -> Answer {
    let mut answer = Answer::of(verb, Commit::NONE, |object| error.write(object.key("error")));
    answer.body.pop();
    answer.body.extend_from_slice(verb.tail.as_bytes());
    answer.body.push(b'}');
    answer.is_error = true;
    answer
}

/// The verb of a subject without its prefix, the stream, and the rest.
pub(super) fn find_verb(asked: &str) -> Option<(&'static Verb, &str, &str)> {
    VERBS.iter().find_map(|verb| {
        let after = asked.strip_prefix(verb.name)?;
        if after.is_empty() {
            return (verb.tokens.0 == 0).then_some((verb, "", ""));
        }
        let after = after.strip_prefix('.')?;
        let tokens = after.split('.').count();
        if tokens < verb.tokens.0 || tokens > verb.tokens.1 {
            return None;
        }
        let (stream, rest) = after.split_once('.').unwrap_or((after, ""));
        Some((verb, stream, rest))
    })
}

/// Whether the server has the level that a request asks for.
pub(in crate::stream) fn is_level_met(headers: &[u8]) -> bool {
    if headers.is_empty() {
        return true;
    }
    let Some(asked) = HeaderBlock::new(headers).get(b"Nats-Required-Api-Level") else {
        return true;
    };
    let asked = std::str::from_utf8(asked).ok().and_then(|text| text.trim().parse::<i64>().ok());
    asked.and_then(|asked| u64::try_from(asked.max(0)).ok()).is_some_and(|l| l <= API_LEVEL)
}

/// What is wrong with the body of a request about consumers, whether its stream is there or not.
fn check_body(call: &ApiCall<'_>) -> Result<(), ApiError> {
    if ["CONSUMER.INFO", "CONSUMER.DELETE"].contains(&call.verb) {
        let is_empty = is_empty_request(call.payload);
        return if is_empty { Ok(()) } else { Err(ApiError::NOT_EMPTY_REQUEST) };
    }
    let (name, known) = match call.verb {
        "CONSUMER.NAMES" | "CONSUMER.LIST" => ("JSApiConsumersRequest", "offset"),
        "CONSUMER.PAUSE" => ("JSApiConsumerPauseRequest", "pause_until"),
        _ => return Ok(()),
    };
    let (mut offset, mut time) = (0, None);
    Decoder::request(optional_body(call.payload), name, call.strict, |d, key, value| match key {
        "offset" if key == known => d.int(value, "int", &mut offset),
        "pause_until" if key == known => d.time(value, &mut time),
        _ => Ok(Field::Unknown),
    })
    .map_err(bad_json)
}

/// The complaint about a body that cannot be read.
pub(super) fn bad_json(error: JsonError) -> ApiError {
    ApiError::INVALID_JSON.with(error.0)
}

/// Whether a body is empty, or an object without keys.
pub(super) fn is_empty_request(payload: &[u8]) -> bool {
    let mut at = 0;
    match parse_first(payload, &mut at) {
        Ok(None) => payload.is_empty(),
        Ok(Some(Value::Object(entries))) => entries.is_empty(),
        _ => false,
    }
}

/// The body of a request that may have one: empty if it does not look like JSON.
pub(super) fn optional_body(payload: &[u8]) -> &[u8] {
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) {
        payload
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_taken_apart() {
        let name = |asked| find_verb(asked).map(|(verb, stream, rest)| (verb.name, stream, rest));
        assert_eq!(name("INFO"), Some(("INFO", "", "")));
        assert_eq!(name("STREAM.INFO.S"), Some(("STREAM.INFO", "S", "")));
        assert_eq!(name("STREAM.INFO.S.T"), None);
        assert_eq!(name("STREAM.INFO"), None);
        assert_eq!(name("STREAM.MSG.GET.S"), Some(("STREAM.MSG.GET", "S", "")));
        assert_eq!(name("CONSUMER.CREATE.S.C.f.>"), Some(("CONSUMER.CREATE", "S", "C.f.>")));
        assert_eq!(
            name("CONSUMER.DURABLE.CREATE.S.C"),
            Some(("CONSUMER.DURABLE.CREATE", "S", "C"))
        );
        assert_eq!(name("STREAM.NAMES.X"), None);
        assert_eq!(name("FOO"), None);
    }

    #[test]
    fn levels_are_compared() {
        let headers = |level: &str| format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n\r\n");
        assert!(is_level_met(b"") && is_level_met(headers("5").as_bytes()));
        assert!(!is_level_met(headers("6").as_bytes()) && !is_level_met(headers("x").as_bytes()));
    }

    #[test]
    fn empty_requests_are_told() {
        for empty in ["", "{}", " { } "] {
            assert!(is_empty_request(empty.as_bytes()), "{empty:?}");
        }
        for other in ["x", "{\"a\":1}", "[]", " "] {
            assert!(!is_empty_request(other.as_bytes()), "{other:?}");
        }
    }
}
