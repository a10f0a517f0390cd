//! One simulated client: it does what its program says, reads what the server
//! sends with a strict reader, and notes both in the history.

use std::collections::VecDeque;

use super::frames::{self, Frame, Message};
use super::history::{End, Flush, History, Publication, Status, Subscription, NEVER};
use super::names::{Pattern, Subject};
use super::program::Op;

const HEADER: &str = "NATS/1.0\r\nSim: yes\r\n\r\n";

/// Bytes of a body before its padding: number and lifetime.
const TAG_BYTES: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Options {
    verbose: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
}

/// What the history learns when the last byte of an operation is fed.
#[derive(Clone, Debug)]
enum Effect {
    None,
    Publish(usize),
    Subscribe(usize),
    Flush(usize),
    End(Vec<usize>),
    /// The client ends: nothing of it is live any more.
    EndAll,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Willing,
    /// It reads now and then.
    Slow,
    /// It stops after so many bytes.
    Stuck(usize),
}

/// How the client's end of the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not accepted yet.
    Outside,
    Open,
    /// It has nothing more to send.
    HalfClosed,
    /// It does not read any more either.
    Vanished,
    /// The server has closed the connection.
    Gone,
}

#[derive(Debug)]
pub struct Client {
    pub id: usize,
    pub state: State,
    pub reader: Reader,
    pub meeting: bool,
    pub idle_until: u64,
    program: VecDeque<Op>,
    options: Options,
    greeted: bool,
    connected: bool,
    reconnected: bool,
    op: usize,
    /// Operation of the last PING.
    pinged: usize,
    tx: Vec<u8>,
    fed_bytes: usize,
    made_bytes: usize,
    /// Operations whose last byte is not fed: its place in the stream.
    unfed: VecDeque<(usize, usize, Effect)>,
    fed_op: usize,
    /// Publications, subscriptions, ends and PINGs without PONG.
    unponged: VecDeque<(usize, Effect)>,
    /// Subscriptions that CONNECT has dropped: gone at the next sign.
    dropped: Vec<(usize, usize)>,
    /// Limits set, until the next sign.
    limited: Vec<(usize, usize)>,
    expected: VecDeque<(&'static str, usize)>,
    replied_op: usize,
    live: Vec<usize>,
    next_sid: usize,
    next_inbox: usize,
    inboxes: Option<usize>,
    rx: Vec<u8>,
    read_bytes: usize,
    place: usize,
    waiting: Option<usize>,
    knowledge: Vec<usize>,
    /// Subscriptions by number in the sid.
    by_sid: Vec<usize>,
}

/// What a client wants to do about a message it got.
#[derive(Clone, Copy, Debug)]
pub struct Reaction {
    pub publication: usize,
}

impl Client {
    pub fn new(id: usize, clients: usize, program: VecDeque<Op>, reader: Reader) -> Self {
        Self {
            id,
            state: State::Outside,
            reader,
            meeting: false,
            idle_until: 0,
            program,
            options: Options { verbose: true, echo: true, headers: false, no_responders: false },
            greeted: false,
            connected: false,
            reconnected: false,
            op: 0,
            pinged: 0,
            tx: Vec::new(),
            fed_bytes: 0,
            made_bytes: 0,
            unfed: VecDeque::new(),
            fed_op: 0,
            unponged: VecDeque::new(),
            dropped: Vec::new(),
            limited: Vec::new(),
            expected: VecDeque::from([("INFO", 0)]),
            replied_op: 0,
            live: Vec::new(),
            next_sid: 0,
            next_inbox: 0,
            inboxes: None,
            rx: Vec::new(),
            read_bytes: 0,
            place: 0,
            waiting: None,
            knowledge: vec![0; clients],
            by_sid: Vec::new(),
        }
    }

    /// Whether the program can go on now.
    pub fn can_act(&self, step: u64) -> bool {
        self.state == State::Open
            && self.waiting.is_none()
            && !self.meeting
            && self.idle_until <= step
            && (!self.program.is_empty() || self.pinged < self.op)
    }

    /// Whether there is nothing left to do or to wait for.
    pub fn is_finished(&self) -> bool {
        match self.state {
            State::Gone => true,
            State::Open => {
                self.program.is_empty()
                    && self.waiting.is_none()
                    && self.tx.is_empty()
                    && self.pinged == self.op
                    && self.expected.is_empty()
            }
            _ => false,
        }
    }

    pub fn has_bytes(&self) -> bool {
        !self.tx.is_empty()
    }

    /// What it does next, for a trace.
    pub fn describe_next(&self) -> String {
        format!("client {} does operation {}: {:?}", self.id, self.op + 1, self.program.front())
    }

    /// Where it stands, for a run that is stuck.
    pub fn describe(&self) -> String {
        format!(
            "client {}: {:?}, {} bytes unsent, {} operations to go, waits for {:?}, expects {:?}",
            self.id,
            self.state,
            self.tx.len(),
            self.program.len(),
            self.waiting,
            self.expected
        )
    }

    /// Whether it wants to read what has come.
    pub fn reads(&self) -> bool {
        match self.state {
            State::Open | State::HalfClosed => match self.reader {
                Reader::Stuck(after) => self.read_bytes < after,
                _ => true,
            },
            _ => false,
        }
    }

    /// Does the next thing of the program.
    pub fn act(&mut self, history: &mut History, step: u64) {
        let Some(op) = self.program.pop_front() else {
            return self.flush(history);
        };
        match op {
            Op::Connect { verbose, echo, headers, no_responders } => {
                self.connect(history, Options { verbose, echo, headers, no_responders });
            }
            Op::Subscribe { pattern, queue, long_sid } => {
                self.subscribe(history, Pattern::Topic(pattern), queue, long_sid);
            }
            Op::SubscribeUpTo { pattern, queue, max } => {
                let subscription = self.subscribe(history, Pattern::Topic(pattern), queue, false);
                self.limit(history, subscription, max);
            }
            Op::SubscribeAgain { pick } => {
                // One with a limit may be over: then its sid would be free.
                let unlimited = |&number: &usize| history.subscriptions[number].max.is_none();
                if let Some(subscription) = self.choose(pick).filter(unlimited) {
                    let sid = history.subscriptions[subscription].sid.clone();
                    self.issue(&format!("SUB a.b.c {sid}\r\n"), Effect::None);
                    self.expect_ok();
                }
            }
            Op::SubscribeWrongly => {
                self.issue("SUB a..b wrong\r\n", Effect::None);
                self.expected.push_back(("-ERR Invalid Subject", self.op));
            }
            Op::Unsubscribe { pick, max } => {
                if let Some(subscription) = self.choose(pick) {
                    match max {
                        Some(max) if history.subscriptions[subscription].max.is_none() => {
                            self.limit(history, subscription, max);
                        }
                        _ => self.unsubscribe(history, subscription),
                    }
                }
            }
            Op::UnsubscribeUnknown => {
                self.issue("UNSUB nobody 3\r\n", Effect::None);
                self.expect_ok();
            }
            Op::Publish { topic, body, headers, ttl, odd } => {
                self.publish(history, Subject::Topic(topic), None, body, headers, ttl, odd);
            }
            Op::Request { topic, body, headers, fresh } => {
                let inbox = Subject::Inbox(self.id, self.next_inbox);
                if fresh {
                    let pattern = Pattern::Inbox(self.id, self.next_inbox);
                    self.subscribe(history, pattern, None, false);
                } else if self.inboxes.is_none_or(|inboxes| !self.live.contains(&inboxes)) {
                    let pattern = Pattern::Inboxes(self.id);
                    self.inboxes = Some(self.subscribe(history, pattern, None, false));
                }
                self.next_inbox += 1;
                self.publish(history, Subject::Topic(topic), Some(inbox), body, headers, 0, false);
            }
            Op::PublishWrongly => {
                self.issue("PUB $NRG.x 2\r\nno\r\n", Effect::None);
                let text = "-ERR Permissions Violation for Publish to \"$NRG.x\"";
                self.expected.push_back((text, self.op));
            }
            Op::Ping => {
                self.ping(history);
            }
            Op::Flush => self.flush(history),
            Op::Idle { steps } => self.idle_until = step + steps as u64,
            Op::Meet => self.meeting = true,
            Op::HalfClose => {
                self.end_all(history);
                self.state = State::HalfClosed;
            }
            Op::Vanish => {
                self.end_all(history);
                self.state = State::Vanished;
            }
            Op::Nonsense => {
                self.issue("NONSENSE\r\n", Effect::EndAll);
                self.mark_ended(history);
                self.expected.push_back(("-ERR Unknown Protocol Operation", self.op));
                self.state = State::HalfClosed;
            }
        }
    }

    /// Publishes in answer to a message.
    pub fn react(&mut self, history: &mut History, to: Subject, body: usize, ttl: usize) {
        if self.state == State::Open {
            self.publish(history, to, None, body, false, ttl, false);
        }
    }

    /// Ends a subscription because of a message.
    pub fn drop_one(&mut self, history: &mut History, pick: usize) {
        if let Some(subscription) = self.choose(pick).filter(|_| self.state == State::Open) {
            self.unsubscribe(history, subscription);
        }
    }

    /// Hands over up to `max` bytes.
    pub fn feed(&mut self, history: &mut History, max: usize, step: u64) -> Vec<u8> {
        let rest = self.tx.split_off(max.min(self.tx.len()));
        let bytes = std::mem::replace(&mut self.tx, rest);
        self.fed_bytes += bytes.len();
        while self.unfed.front().is_some_and(|&(end, ..)| end <= self.fed_bytes) {
            let Some((_, op, effect)) = self.unfed.pop_front() else { break };
            self.fed_op = op;
            match &effect {
                Effect::None => continue,
                Effect::Publish(publication) => {
                    let publication = &mut history.publications[*publication];
                    publication.fed = step;
                    publication.clock.clone_from(&self.knowledge);
                    publication.clock[self.id] = op;
                }
                Effect::Subscribe(subscription) => {
                    history.subscriptions[*subscription].fed = step;
                }
                Effect::Flush(flush) => history.flushes[*flush].fed = step,
                Effect::End(subscriptions) => {
                    for &subscription in subscriptions {
                        let ended = &mut history.subscriptions[subscription];
                        ended.end_fed = step;
                        // CONNECT drops its subscriptions at once.
                        if !self.dropped.contains(&(op, subscription)) {
                            ended.end_clock.clone_from(&self.knowledge);
                        }
                    }
                }
                Effect::EndAll => {
                    self.feed_end(history, step);
                    continue;
                }
            }
            self.unponged.push_back((op, effect));
        }
        bytes
    }

    /// The server sees the end of what the client sends.
    pub fn feed_end(&mut self, history: &mut History, step: u64) {
        for &subscription in &self.by_sid {
            let end_fed = &mut history.subscriptions[subscription].end_fed;
            *end_fed = (*end_fed).min(step);
        }
        if history.ends[self.id] == End::None {
            let vanished = self.state == State::Vanished;
            history.ends[self.id] = if vanished { End::Lossy } else { End::Clean };
        }
    }

    /// The server has closed the connection, or is about to and `lossy`.
    pub fn gone(&mut self, history: &mut History, lossy: bool, step: u64) {
        self.feed_end(history, step);
        if lossy {
            history.ends[self.id] = End::Lossy;
        }
    }

    /// The socket is closed.
    pub fn closed(&mut self, history: &mut History, step: u64) {
        self.gone(history, false, step);
        for &subscription in &self.by_sid {
            let end_ponged = &mut history.subscriptions[subscription].end_ponged;
            *end_ponged = (*end_ponged).min(step);
        }
        self.state = State::Gone;
        self.meeting = false;
        self.waiting = None;
        self.program.clear();
        self.tx.clear();
    }

    /// Takes bytes from the server; returns messages to react to.
    pub fn receive(
        &mut self,
        history: &mut History,
        bytes: &[u8],
        step: u64,
    ) -> Result<Vec<Reaction>, String> {
        self.read_bytes += bytes.len();
        let mut rx = std::mem::take(&mut self.rx);
        rx.extend_from_slice(bytes);
        let mut start = 0;
        let mut reactions = Vec::new();
        while let Some((frame, length)) =
            frames::read(&rx[start..]).map_err(|error| format!("client {}: {error}", self.id))?
        {
            self.place += 1;
            self.take(history, frame, step, &mut reactions)
                .map_err(|error| format!("client {}: {error}", self.id))?;
            start += length;
        }
        rx.drain(..start);
        self.rx = rx;
        Ok(reactions)
    }

    fn take(
        &mut self,
        history: &mut History,
        frame: Frame<'_>,
        step: u64,
        reactions: &mut Vec<Reaction>,
    ) -> Result<(), String> {
        match frame {
            Frame::Info => self.reply(history, "INFO", step),
            Frame::Ok => self.reply(history, "+OK", step),
            Frame::Pong => self.reply(history, "PONG", step),
            Frame::Err(text) => self.reply(history, &format!("-ERR {text}"), step),
            Frame::Ping => {
                if self.state == State::Open {
                    self.tx.extend_from_slice(b"PONG\r\n");
                    self.made_bytes += 6;
                }
                Ok(())
            }
            Frame::Message(message) => self.message(history, &message, reactions),
        }
    }

    /// Every reply has its place in the order of operations.
    fn reply(&mut self, history: &mut History, text: &str, step: u64) -> Result<(), String> {
        history.replies[self.id].push(text.to_owned());
        let Some((expected, op)) = self.expected.pop_front() else {
            return Err(format!("{text:?} answers nothing"));
        };
        if expected != text {
            return Err(format!("{text:?} instead of {expected:?} for operation {op}"));
        }
        if op > self.fed_op {
            return Err(format!("{text:?} answers operation {op}, which is not sent yet"));
        }
        self.replied_op = op;
        self.dropped.retain(|&(by, subscription)| {
            if by <= op {
                history.subscriptions[subscription].end_ponged = step;
            }
            by > op
        });
        self.limited.retain(|&(by, subscription)| {
            if by <= op {
                let subscription = &mut history.subscriptions[subscription];
                subscription.seen_at_max = Some(subscription.received.len());
            }
            by > op
        });
        if text == "PONG" {
            self.pong(history, op, step);
        }
        Ok(())
    }

    fn pong(&mut self, history: &mut History, ping: usize, step: u64) {
        if self.waiting == Some(ping) {
            self.waiting = None;
        }
        while self.unponged.front().is_some_and(|&(op, _)| op <= ping) {
            match self.unponged.pop_front() {
                Some((_, Effect::Publish(publication))) => {
                    history.publications[publication].ponged = step;
                }
                Some((_, Effect::Subscribe(subscription))) => {
                    history.subscriptions[subscription].ponged = step;
                }
                Some((_, Effect::End(subscriptions))) => {
                    for subscription in subscriptions {
                        history.subscriptions[subscription].end_ponged = step;
                    }
                }
                Some((_, Effect::Flush(flush))) => {
                    history.flushes[flush].ponged = step;
                    history.flushes[flush].place = self.place;
                }
                _ => {}
            }
        }
    }

    fn message(
        &mut self,
        history: &mut History,
        message: &Message<'_>,
        reactions: &mut Vec<Reaction>,
    ) -> Result<(), String> {
        let number = message.sid.rsplit('x').next().and_then(|number| number.parse().ok());
        let subscription = number.and_then(|number: usize| self.by_sid.get(number).copied());
        let subscription =
            subscription.ok_or_else(|| format!("a message for an unknown sid: {message:?}"))?;
        let known = &mut history.subscriptions[subscription];
        let fault = |text: &str| {
            let Message { subject, sid, .. } = message;
            Err(format!("{text}: message to {subject:?} for sid {sid} ({known:?})"))
        };
        if known.sid != message.sid {
            return fault("a sid that was never given");
        }
        if known.fed == NEVER {
            return fault("its SUB is not sent yet");
        }
        if known.end_ponged != NEVER {
            return fault("its end was confirmed before");
        }
        if message.header.is_some_and(|header| header.starts_with(b"NATS/1.0 503")) {
            let header = message.header.unwrap_or_default();
            let reply = self.own_inbox(message.subject);
            let Some(reply) = reply.filter(|reply| reply.matches(known.pattern)) else {
                return fault("a 503 for what is not its inbox");
            };
            let asked = history.publications.iter().find(|asked| asked.reply == Some(reply));
            let Some(asked) = asked else { return fault("a 503 without request") };
            let text = format!("NATS/1.0 503\r\nNats-Subject: {}\r\n\r\n", asked.subject);
            if header != text.as_bytes() || !message.body.is_empty() {
                return fault("a malformed 503");
            }
            let place = self.place;
            history.statuses.push(Status { client: self.id, reply, place });
            return Ok(());
        }
        let tag = message.body.get(..8).and_then(|tag| std::str::from_utf8(tag).ok());
        let publication = tag.and_then(|tag| tag.parse::<usize>().ok());
        let publication =
            publication.and_then(|number| Some((number, history.publications.get(number)?)));
        let Some((number, publication)) = publication else { return fault("a garbled payload") };
        if publication.fed == NEVER {
            return fault("it was never sent");
        }
        let reply = publication.reply.map(|reply| reply.to_string()).unwrap_or_default();
        if message.reply != reply || message.subject != publication.subject.to_string() {
            return fault("another subject or reply than was published");
        }
        if message.body != body(number, publication.ttl, publication.body) {
            return fault("another payload than was published");
        }
        let whole = publication.headers && self.options.headers;
        let shown = message.header.map(|header| header == HEADER.as_bytes());
        let right = if whole { shown == Some(true) } else { shown.is_none() };
        if !(right || self.reconnected && shown != Some(false)) {
            return fault("headers are wrong");
        }
        let own = publication.client == self.id && known.queue.is_none();
        let next = self.expected.front().map_or(usize::MAX, |&(_, op)| op);
        if own && (publication.op < self.replied_op || next <= publication.op) {
            return fault(&format!(
                "out of order with the replies to its own client ({} {} {next})",
                publication.op, self.replied_op
            ));
        }
        known.received.push((number, self.place));
        for (mine, theirs) in self.knowledge.iter_mut().zip(&publication.clock) {
            *mine = (*mine).max(*theirs);
        }
        reactions.push(Reaction { publication: number });
        Ok(())
    }

    fn own_inbox(&self, subject: &str) -> Option<Subject> {
        let (client, number) = subject.strip_prefix("_INBOX.c")?.split_once('.')?;
        let inbox = Subject::Inbox(client.parse().ok()?, number.parse().ok()?);
        matches!(inbox, Subject::Inbox(client, _) if client == self.id).then_some(inbox)
    }

    fn connect(&mut self, history: &mut History, options: Options) {
        let Options { verbose, echo, headers, no_responders } = options;
        let text = format!(
            "CONNECT {{\"verbose\":{verbose},\"pedantic\":false,\"echo\":{echo},\"protocol\":1,\
             \"headers\":{headers},\"no_responders\":{no_responders}}}\r\n"
        );
        self.options = options;
        // Only a further CONNECT drops what was subscribed before it.
        let live = if self.connected { std::mem::take(&mut self.live) } else { Vec::new() };
        self.reconnected |= self.op > 0;
        self.connected = true;
        self.issue(&text, Effect::End(live.clone()));
        for subscription in live {
            history.subscriptions[subscription].end_op = self.op;
            self.dropped.push((self.op, subscription));
        }
        self.expect_ok();
    }

    fn subscribe(
        &mut self,
        history: &mut History,
        pattern: Pattern,
        queue: Option<usize>,
        long_sid: bool,
    ) -> usize {
        let filler = if long_sid { "a-sid-of-more-than-22-bytes-x" } else { "" };
        let sid = format!("{filler}{}", self.next_sid);
        self.next_sid += 1;
        let number = history.subscriptions.len();
        let text = match queue {
            Some(queue) => format!("SUB {pattern} q{queue} {sid}\r\n"),
            None => format!("SUB {pattern} {sid}\r\n"),
        };
        self.issue(&text, Effect::Subscribe(number));
        history.subscriptions.push(Subscription {
            client: self.id,
            op: self.op,
            sid,
            pattern,
            queue,
            fed: NEVER,
            ponged: NEVER,
            end_op: usize::MAX,
            end_fed: NEVER,
            end_clock: Vec::new(),
            end_ponged: NEVER,
            max: None,
            seen_at_max: None,
            received: Vec::new(),
        });
        self.by_sid.push(number);
        self.live.push(number);
        self.expect_ok();
        number
    }

    fn limit(&mut self, history: &mut History, subscription: usize, max: usize) {
        let sid = history.subscriptions[subscription].sid.clone();
        self.issue(&format!("UNSUB {sid} {max}\r\n"), Effect::None);
        history.subscriptions[subscription].max = Some((max, self.op));
        self.limited.push((self.op, subscription));
        self.expect_ok();
    }

    fn unsubscribe(&mut self, history: &mut History, subscription: usize) {
        let sid = history.subscriptions[subscription].sid.clone();
        self.issue(&format!("UNSUB {sid}\r\n"), Effect::End(vec![subscription]));
        history.subscriptions[subscription].end_op = self.op;
        self.live.retain(|&live| live != subscription);
        self.expect_ok();
    }

    #[expect(clippy::too_many_arguments, reason = "a message has that many parts")]
    fn publish(
        &mut self,
        history: &mut History,
        subject: Subject,
        reply: Option<Subject>,
        size: usize,
        headers: bool,
        ttl: usize,
        odd: bool,
    ) {
        let headers = headers && self.options.headers;
        let size = size.max(TAG_BYTES);
        let number = history.publications.len();
        let mut text = format!("{} {subject} ", if headers { "HPUB" } else { "PUB" });
        if odd {
            text.push_str("  ");
        }
        if let Some(reply) = reply {
            text.push_str(&format!("{reply} "));
        }
        if headers {
            text.push_str(&format!("{} {}\r\n", HEADER.len(), HEADER.len() + size));
            text.push_str(HEADER);
        } else {
            text.push_str(&format!("{size}\r\n"));
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body(number, ttl, size));
        bytes.extend_from_slice(b"\r\n");
        self.issue_bytes(&bytes, Effect::Publish(number));
        history.publications.push(Publication {
            client: self.id,
            op: self.op,
            subject,
            reply,
            headers,
            body: size,
            ttl,
            echo: self.options.echo,
            no_responders: self.options.no_responders,
            fed: NEVER,
            ponged: NEVER,
            clock: Vec::new(),
        });
        self.expect_ok();
    }

    fn ping(&mut self, history: &mut History) {
        let number = history.flushes.len();
        self.issue("PING\r\n", Effect::Flush(number));
        self.pinged = self.op;
        history.flushes.push(Flush {
            client: self.id,
            op: self.op,
            fed: NEVER,
            ponged: NEVER,
            place: usize::MAX,
        });
        self.expected.push_back(("PONG", self.op));
        if self.connected && !self.greeted {
            self.greeted = true;
            self.expected.push_back(("INFO", self.op));
        }
    }

    fn flush(&mut self, history: &mut History) {
        self.ping(history);
        self.waiting = Some(self.op);
    }

    fn end_all(&mut self, history: &mut History) {
        self.op += 1;
        self.mark_ended(history);
    }

    fn mark_ended(&mut self, history: &mut History) {
        for subscription in self.live.drain(..) {
            history.subscriptions[subscription].end_op = self.op;
        }
        self.program.clear();
    }

    fn choose(&self, pick: usize) -> Option<usize> {
        (!self.live.is_empty()).then(|| self.live[pick % self.live.len()])
    }

    fn expect_ok(&mut self) {
        if self.options.verbose {
            self.expected.push_back(("+OK", self.op));
        }
    }

    fn issue(&mut self, text: &str, effect: Effect) {
        self.issue_bytes(text.as_bytes(), effect);
    }

    fn issue_bytes(&mut self, bytes: &[u8], effect: Effect) {
        self.op += 1;
        self.tx.extend_from_slice(bytes);
        // Nonsense is seen to be that from its first byte on.
        let ends = matches!(effect, Effect::EndAll);
        let whole = self.made_bytes + bytes.len();
        self.unfed.push_back((if ends { self.made_bytes + 1 } else { whole }, self.op, effect));
        self.made_bytes = whole;
    }
}

/// A body that tells which publication it is.
fn body(number: usize, ttl: usize, size: usize) -> Vec<u8> {
    let mut body = format!("{number:08} {ttl:02} ").into_bytes();
    body.resize(size, b'x');
    body
}
