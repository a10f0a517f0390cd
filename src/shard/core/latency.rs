//! How long services of other accounts take: measured where the request is passed on, told to the
//! exporting account.
//!
//! What happened to measured requests is kept until the turn's end and published then, so that it
//! comes behind the answers it speaks of. Who answers is known on its own shard only: that one says
//! so by its control lane, which is read before the answer is.
//!
//! Cost: nothing for requests that are not measured; a measured one is described when it is passed on.
//! Bounds: [`MEASURED_MAX`] requests of one shard are measured at a time, those beyond are not; a
//! metric waits for each of them that has ended in a turn.

use std::sync::Arc;

use serde::Serialize;

use super::client_info::ClientInfo;
use super::connection::ConnKey;
use super::control::Control;
use super::ingest::Publisher;
use super::responses::{Response, RESPONSE_PREFIX};
use super::Core;
use crate::account::{Latency, Sampling, ServiceRoute};
use crate::proto::{sampled_headers, TracingHeaders};
use crate::router::ShardSet;
use crate::stream::time::format_time;
use crate::stream::Outgoing;
use crate::subject::AccountId;

/// Requests of one shard that are measured at one time.
const MEASURED_MAX: usize = 1 << 16;

/// A request that is measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Who asks, on this shard.
    pub(super) requester: ConnKey,
    /// The way it goes.
    route: Arc<ServiceRoute>,
    /// When it was passed on.
    started: u64,
    requestor: ClientInfo,
    header: Option<TracingHeaders>,
    /// Who answers, if that is said by another shard.
    pub(super) responder: Option<ClientInfo>,
}

/// What has become of it.
#[derive(Debug)]
pub(super) struct Outcome {
    measured: Box<Measured>,
    status: u16,
    description: &'static str,
    ended: u64,
}

/// Why a request has no answer, in nats-server's words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// Nothing was said of where the answer should go.
    NoReply,
    /// Who has asked is gone.
    RequesterGone,
    /// Nobody is there who could answer.
    NoResponders,
    /// No answer came in time.
    TimedOut,
}

impl Failure {
    fn status(self) -> (u16, &'static str) {
        match self {
            Self::NoReply => (400, "Bad Request"),
            Self::RequesterGone => (408, "Request Timeout"),
            Self::NoResponders => (503, "Service Unavailable"),
            Self::TimedOut => (504, "Service Timeout"),
        }
    }
}

/// The event, its fields in nats-server's order.
#[derive(Serialize)]
struct Metric<'m> {
    r#type: &'static str,
    id: String,
    timestamp: String,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
    requestor: &'m ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<&'m ClientInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'m TracingHeaders>,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

const METRIC_TYPE: &str = "io.nats.server.metric.v1.service_latency";

impl Core {
    /// Begins to measure a request that is about to be passed on, if it is to be measured.
    pub(super) fn measure(
        &mut self,
        publisher: &Publisher,
        way: &Arc<ServiceRoute>,
        headers: &[u8],
    ) -> Option<Box<Measured>> {
        let Latency { sampling, .. } = way.terms.latency.as_ref()?;
        if self.services.responses.measured_len() >= MEASURED_MAX {
            return None;
        }
        let header = sampled_headers(headers);
        let is_measured = match sampling {
            Sampling::Percent(percent) => self.random.next() % 100 < u64::from(*percent),
            Sampling::Headers => header.is_some(),
        };
        if !is_measured {
            return None;
        }
        let requestor = self.client_info(publisher.key, way.share)?;
        Some(Box::new(Measured {
            requester: publisher.key,
            route: Arc::clone(way),
            started: self.now,
            requestor,
            // Where all are measured nobody has asked for it.
            header: header.filter(|_| *sampling == Sampling::Headers),
            responder: None,
        }))
    }

    /// A measured request has its answer.
    pub(super) fn note_answered(&mut self, mut measured: Box<Measured>, by: Option<ClientInfo>) {
        if by.is_some() {
            measured.responder = by;
        }
        let outcome = Outcome { measured, status: 200, description: "", ended: self.now };
        self.services.outcomes.push(outcome);
    }

    /// A measured request will have no answer.
    pub(super) fn note_failure(&mut self, measured: Option<Box<Measured>>, failure: Failure) {
        let Some(measured) = measured else { return };
        let (status, description) = failure.status();
        self.services.outcomes.push(Outcome { measured, status, description, ended: self.now });
    }

    /// A connection is gone, and with it who waits for answers to what was measured.
    pub(super) fn forget_measured(&mut self, key: ConnKey) {
        while let Some(response) = self.services.responses.take_measured_of(key) {
            self.fail_response(response, Failure::RequesterGone);
        }
    }

    /// A request is forgotten without an answer.
    pub(super) fn fail_response(&mut self, mut response: Response, failure: Failure) {
        self.note_failure(response.measured.take(), failure);
        self.services.responses.recycle(response);
    }

    /// Tells of what was measured. To be called at the end of a turn.
    pub fn tell_latency(&mut self) {
        if self.services.outcomes.is_empty() {
            return;
        }
        for outcome in std::mem::take(&mut self.services.outcomes) {
            self.publish_metric(&outcome);
        }
    }

    fn publish_metric(&mut self, outcome: &Outcome) {
        let Outcome { measured, status, description, ended } = outcome;
        let Some(latency) = &measured.route.terms.latency else { return };
        let epoch = self.system.epoch;
        let asked = measured.requestor.rtt;
        let answered = measured.responder.as_ref().map_or(0, |responder| responder.rtt);
        let took = ended.saturating_sub(measured.started);
        // The requester's clock: its request was under way for half a round trip, and so is the answer.
        let (service, system, total) = match status {
            200 => {
                let (service, total) = (took.saturating_sub(answered), took.saturating_add(asked));
                let spent = service.saturating_add(asked).saturating_add(answered);
                (service, total.saturating_sub(spent), total)
            }
            _ => (0, 0, 0),
        };
        let start = epoch.saturating_add(measured.started).saturating_sub(asked);
        let metric = Metric {
            r#type: METRIC_TYPE,
            id: self.services.nuid.generate(),
            timestamp: format_time(epoch.saturating_add(*ended)),
            status: *status,
            description,
            requestor: &measured.requestor,
            responder: measured.responder.as_ref(),
            header: measured.header.as_ref(),
            start: format_time(start),
            service,
            system,
            total,
        };
        let Ok(payload) = serde_json::to_vec(&metric) else { return };
        self.publish_internal(&Outgoing {
            account: measured.route.exporter,
            to: latency.subject.as_bytes(),
            subject: b"",
            reply: b"",
            headers: b"",
            payload: &payload,
            failure: None,
        });
    }

    /// A client's message goes to other shards: if it answers a measured request, they hear who does.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_responder(&mut self, publisher: &Publisher, subject: &[u8], to: ShardSet) {
        if !subject.starts_with(RESPONSE_PREFIX) || !subject.ends_with(MEASURED_END) {
            return;
        }
        let Some(info) = self.client_info(publisher.key, true) else { return };
        for shard in to.iter() {
            self.control[usize::from(shard.0)].push(Control::Responder {
                account: publisher.account,
                reply: subject.into(),
                info: Box::new(info.clone()),
            });
        }
    }

    /// Another shard says who answers a request.
    pub(super) fn handle_responder(&mut self, account: AccountId, reply: &[u8], info: ClientInfo) {
        let responses = &mut self.services.responses;
        let found = responses.find(account, reply).and_then(|slot| responses.measured_mut(slot));
        if let Some(measured) = found {
            measured.responder = Some(info);
        }
    }
}

/// What ends the reply subjects of measured requests.
pub(super) const MEASURED_END: &[u8] = b".T";
