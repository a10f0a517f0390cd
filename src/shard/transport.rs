//! What lies between a socket and its connection: nothing, or TLS.
//!
//! A connection without TLS has no [`Transport`] and pays nothing. One with TLS
//! costs two copies more of what it receives and of what it is sent, on its
//! shard's core. Bound: what one receive brought in, and one flight out.

use crate::tls::{HandshakeFirst, SessionError, TlsContext, TlsSession};

/// How connections of a listener begin.
#[derive(Clone, Debug)]
pub(super) struct TlsListener {
    /// Certificates and rules.
    pub(super) context: TlsContext,
    /// Clients may go without.
    pub(super) optional: bool,
    /// Whether the handshake comes before INFO.
    pub(super) first: HandshakeFirst,
    /// Nanoseconds that a handshake may take.
    pub(super) timeout: u64,
}

/// One connection's way to its socket.
#[derive(Debug)]
pub(super) struct Transport {
    stage: Stage,
    context: TlsContext,
    optional: bool,
    /// The handshake began before INFO was sent.
    first: bool,
    /// Ciphertext that waits to be sent.
    outgoing: Vec<u8>,
    /// What the core handed over is part of the send under way.
    pub(super) carries_flight: bool,
    /// The connection ends with this once what waits is sent.
    pub(super) failed: Option<String>,
}

#[derive(Debug)]
enum Stage {
    /// INFO goes out in clear; the client's first bytes begin the handshake.
    Greeting,
    /// The client speaks first; `until` then it is greeted in clear, if set.
    Silent { until: Option<u64> },
    /// TLS, from the first byte of the handshake on.
    Session(Box<TlsSession>),
    /// The client went without.
    Clear,
}

/// What a client's bytes turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Not TLS, and that is allowed: take them as they are, now and later.
    Clear,
    /// Ciphertext; what it said was appended.
    Sealed {
        /// The handshake has just been done.
        established: bool,
        /// The peer sends nothing more.
        ended: bool,
    },
}

impl Transport {
    /// A connection that was accepted at `now`.
    pub(super) fn new(listener: &TlsListener, now: u64) -> Self {
        let stage = match listener.first {
            HandshakeFirst::No => Stage::Greeting,
            HandshakeFirst::Yes => Stage::Silent { until: None },
            HandshakeFirst::Within(wait) => {
                let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 4);
                Stage::Silent { until: Some(now.saturating_add(wait)) }
            }
        };
        Self {
            stage,
            context: listener.context.clone(),
            optional: listener.optional,
            first: false,
            outgoing: Vec::new(),
            carries_flight: false,
            failed: None,
        }
    }

    /// Takes what the socket brought, and appends what it says to `plain`.
    pub(super) fn handle_received(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<Received, SessionError> {
        if matches!(self.stage, Stage::Greeting | Stage::Silent { .. }) {
            let is_handshake = bytes.first() == Some(&HANDSHAKE);
            if self.optional && !is_handshake {
                self.stage = Stage::Clear;
                return Ok(Received::Clear);
            }
            if !is_handshake {
                return Err(SessionError::Protocol(
                    "tls: first record does not look like a TLS handshake".to_owned(),
                ));
            }
            self.first = matches!(self.stage, Stage::Silent { .. });
            self.stage = Stage::Session(Box::new(TlsSession::new(&self.context)?));
        }
        let Stage::Session(session) = &mut self.stage else { return Ok(Received::Clear) };
        let was_established = session.is_established();
        let result = session.handle_received(bytes, plain);
        session.take_output(&mut self.outgoing);
        result?;
        Ok(Received::Sealed {
            established: !was_established && session.is_established(),
            ended: session.has_ended(),
        })
    }

    /// Whether what the core has may be sent now, in whatever form.
    pub(super) fn may_send(&self) -> bool {
        match &self.stage {
            Stage::Greeting | Stage::Clear => true,
            Stage::Silent { .. } => false,
            Stage::Session(session) => session.is_established(),
        }
    }

    /// Whether what is sent must be sealed.
    pub(super) fn seals(&self) -> bool {
        matches!(self.stage, Stage::Session(_))
    }

    /// Seals bytes of the core behind what waits.
    pub(super) fn seal(&mut self, plain: &[u8]) {
        if let Stage::Session(session) = &mut self.stage {
            // It fails only on a session that has failed, whose connection is being closed.
            if session.seal(plain).is_ok() {
                session.take_output(&mut self.outgoing);
            }
        }
    }

    /// The session, once there is one.
    pub(super) fn session(&self) -> Option<&TlsSession> {
        match &self.stage {
            Stage::Session(session) => Some(session),
            Stage::Greeting | Stage::Silent { .. } | Stage::Clear => None,
        }
    }

    /// Whether the handshake came before INFO.
    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// Whether ciphertext waits to be sent.
    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The ciphertext that waits.
    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Time has come to `now`; returns whether the client may be greeted in clear since.
    pub(super) fn handle_wait_over(&mut self, now: u64) -> bool {
        match self.stage {
            Stage::Silent { until: Some(until) } if until <= now => {
                self.stage = Stage::Greeting;
                true
            }
            _ => false,
        }
    }

    /// The handshake should be done by now; returns whether the connection is to be closed for
    /// it not being so.
    pub(super) fn handle_deadline(&mut self) -> bool {
        match &self.stage {
            Stage::Greeting | Stage::Silent { .. } if self.optional => {
                self.stage = Stage::Clear;
                false
            }
            Stage::Greeting | Stage::Silent { .. } => true,
            Stage::Session(session) => !session.is_established(),
            Stage::Clear => false,
        }
    }
}

/// The first byte of a record with a handshake message.
const HANDSHAKE: u8 = 0x16;
