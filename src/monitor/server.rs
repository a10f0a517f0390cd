//! The monitor's thread: its listener, its connections, one event loop.
//!
//! Nothing blocks but the wait for a shard's answer, which is bounded. A
//! connection that sends its head drop by drop, or reads its page so, holds a
//! slot and its buffers, and loses them at its deadline or when a new
//! connection needs the slot.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::mpsc::{channel, Sender};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::facts::ServerFacts;
use super::http::{parse, Parsed, Response, HEAD_BYTES_MAX, TEXT};
use super::inquiry::Inquirer;
use super::pages::{ControlPlane, Pages};
use super::system::{line, Desk, Ends, SystemLine};
use super::wire::{Wire, READ_BYTES};
use crate::host;
use crate::log::Log;
use crate::tls::TlsContext;

/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 1024;

/// How long the head of a request may take.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be silent between two requests.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a page may take to be read.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long is waited for the end of a connection that was told to end.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes of pages that wait to be read; beyond, requests get 503.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Requests of one connection before another has its turn.
const REQUESTS_IN_A_ROW: usize = 16;

/// Bytes that are thrown away while a connection ends.
const LATE_BYTES_MAX: usize = 4 * 1024 * 1024;

const LISTENER: Token = Token(usize::MAX);
const BELL: Token = Token(usize::MAX - 1);

/// What the monitor's thread will serve: the system account, and a port if there is one.
#[derive(Debug)]
pub struct Monitor {
    poll: Poll,
    listener: Option<StdListener>,
    line: SystemLine,
    ends: Ends,
}

/// What a reload changes.
#[derive(Debug)]
pub struct Update {
    /// What pages show.
    pub facts: ServerFacts,
    /// TLS of connections from now on, if the port has TLS.
    pub tls: Option<TlsContext>,
}

impl Monitor {
    /// Makes what the thread waits for, without a port.
    ///
    /// # Errors
    /// There is no event queue to be had.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let (line, ends) = line(Waker::new(poll.registry(), BELL)?);
        Ok(Self { poll, listener: None, line, ends })
    }

    /// Binds the port over which pages are served.
    ///
    /// # Errors
    /// The address is taken or none of this machine.
    pub fn bind(&mut self, host: &str, port: u16) -> io::Result<SocketAddr> {
        let listener = StdListener::bind((host, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.listener = Some(listener);
        Ok(address)
    }

    /// A shard's line to the thread.
    pub fn line(&self) -> SystemLine {
        self.line.clone()
    }

    /// Serves until the process ends, in a thread of its own, over TLS if `first` has any. What
    /// is sent to what this returns takes the place of the first facts and certificates.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        self,
        first: Update,
        inquirer: Inquirer,
        control: ControlPlane,
        (seed, log): (u64, &Log),
    ) -> io::Result<Sender<Update>> {
        let (updates, news) = channel();
        let pages = Pages::new(first, news, inquirer, control);
        let desk = Desk::new(self.ends, seed);
        let poll = self.poll;
        let mut listener = self.listener.map(TcpListener::from_std);
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        }
        let (log, slots) = (log.clone(), Vec::new());
        let server = Server { poll, listener, pages, desk, log, slots, output_bytes: 0 };
        std::thread::Builder::new().name("monitor".to_owned()).spawn(move || server.run())?;
        Ok(updates)
    }
}

struct Server {
    poll: Poll,
    listener: Option<TcpListener>,
    pages: Pages,
    desk: Desk,
    log: Log,
    slots: Vec<Option<Connection>>,
    /// Bytes of pages that wait to be read, over all connections.
    output_bytes: usize,
}

struct Connection {
    wire: Wire,
    peer: SocketAddr,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// Bytes of a body that are still to be skipped.
    skip: usize,
    stage: Stage,
    /// When something was last read or written.
    moved_at: u64,
    deadline: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The connection ends when its output is written.
    Last,
    /// Output is ended; what still comes is thrown away.
    Ending {
        left: usize,
    },
}

/// What a connection is left at.
enum Left {
    Waiting,
    /// It has more to do and should not wait for an event.
    Busy,
    Over,
}

impl Server {
    fn run(mut self) {
        // A page of ten thousand connections must not hold a shard's core.
        host::lower_thread_priority();
        let mut events = Events::with_capacity(256);
        let mut busy = false;
        loop {
            let timeout = if busy { Some(Duration::ZERO) } else { self.timeout() };
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    // It is looked after in every round.
                    BELL => {}
                    slot => self.advance(slot.0),
                }
            }
            self.expire();
            busy = self.desk.advance(&mut self.pages, host::monotonic_ns());
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let slots = self.slots.iter().flatten().map(|connection| connection.deadline);
        let next = slots.chain(self.desk.deadline()).min()?;
        let wait = next.saturating_sub(host::monotonic_ns());
        // Rounded up, so that the deadline has passed when the wait is over.
        Some(Duration::from_nanos(wait) + Duration::from_millis(1))
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_IN_A_ROW {
            let Some(listener) = &self.listener else { return };
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if is_out_of_files(&error) => {
                    // Makes room with what it has; the next event tries again.
                    if !self.evict() {
                        return;
                    }
                    continue;
                }
                Err(error) if is_about_the_peer(&error) => continue,
                // Nobody is left, or there is trouble that only time mends.
                Err(_) => return,
            };
            if self.slots.iter().flatten().count() >= CONNECTIONS_MAX {
                self.evict();
            }
            self.insert(stream, peer);
        }
        // There may be more, which cause no event of their own.
        let registry = self.poll.registry();
        if let Some(listener) = &mut self.listener {
            drop(registry.reregister(listener, LISTENER, Interest::READABLE));
        }
    }

    fn insert(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(slot), interest).is_err() {
            return;
        }
        // Whoever was told of a reload sees it: it was sent before that was said.
        self.pages.update();
        let Ok(wire) = Wire::new(stream, self.pages.tls()) else { return };
        let now = host::monotonic_ns();
        self.slots[slot] = Some(Connection {
            wire,
            peer,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            skip: 0,
            stage: Stage::Open,
            moved_at: now,
            deadline: after(now, HEAD_TIME_MAX),
        });
        self.advance(slot);
    }

    /// Closes the connection that has been still for longest.
    fn evict(&mut self) -> bool {
        let used = self.slots.iter().enumerate();
        let stillest = used
            .filter_map(|(slot, connection)| Some((connection.as_ref()?.moved_at, slot)))
            .min()
            .map(|(_, slot)| slot);
        if let Some(slot) = stillest {
            self.close(slot);
        }
        stillest.is_some()
    }

    fn advance(&mut self, slot: usize) {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        let before = connection.waiting();
        let room = OUTPUT_BYTES_MAX.saturating_sub(self.output_bytes - before);
        let left = connection.advance(&mut self.pages, room, &self.log);
        self.output_bytes = self.output_bytes - before + connection.waiting();
        match left {
            Left::Waiting => {}
            Left::Busy => connection.requeue(self.poll.registry(), slot),
            Left::Over => self.close(slot),
        }
    }

    fn expire(&mut self) {
        let now = host::monotonic_ns();
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(|connection| connection.deadline <= now) {
                self.close(slot);
            }
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(mut connection) = self.slots[slot].take() {
            self.output_bytes -= connection.waiting();
            // Closing the socket takes it out of the queue, too.
            drop(self.poll.registry().deregister(&mut connection.wire.stream));
        }
    }
}

impl Connection {
    fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Reads, answers and writes until the socket has no more to give or take.
    fn advance(&mut self, pages: &mut Pages, room: usize, log: &Log) -> Left {
        for _ in 0..REQUESTS_IN_A_ROW {
            match self.write() {
                Ok(true) => {}
                Ok(false) => return Left::Waiting,
                Err(_) => return Left::Over,
            }
            if let Stage::Ending { left } = self.stage {
                return self.throw_away(left);
            }
            if self.stage == Stage::Last {
                match self.wire.end() {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Left::Waiting,
                    Err(_) => return Left::Over,
                }
                self.stage = Stage::Ending { left: LATE_BYTES_MAX };
                self.deadline = after(host::monotonic_ns(), END_TIME_MAX);
                continue;
            }
            match self.read_request() {
                Ok(Some(parsed)) => self.answer(parsed, pages, room),
                Ok(None) => return Left::Waiting,
                Err(error) => {
                    if self.wire.is_handshaking() {
                        self.report(&error, log);
                    }
                    return Left::Over;
                }
            }
        }
        Left::Busy
    }

    /// In the words of Go's server, behind which nats-server puts it in its log.
    fn report(&self, error: &io::Error, log: &Log) {
        let error = match error.kind() {
            ErrorKind::UnexpectedEof => "EOF".to_owned(),
            _ => error.to_string(),
        };
        let peer = self.peer;
        log.error(format_args!("monitoring: http: TLS handshake error from {peer}: {error}"));
    }

    /// Writes what waits. Returns whether all of it is written.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.output.len() {
            match self.wire.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count;
                    self.moved_at = host::monotonic_ns();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.wire.flush() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if !self.output.is_empty() {
            self.output = Vec::new();
            self.written = 0;
            self.deadline = after(self.moved_at, IDLE_TIME_MAX);
        }
        Ok(true)
    }

    /// The next request, or nothing yet.
    fn read_request(&mut self) -> io::Result<Option<Parsed>> {
        loop {
            let skipped = self.skip.min(self.input.len());
            self.input.drain(..skipped);
            self.skip -= skipped;
            if self.skip == 0 && !self.input.is_empty() {
                let parsed = parse(&self.input);
                if let Parsed::Request(request, head_bytes) = &parsed {
                    self.input.drain(..*head_bytes);
                    self.skip = request.body_bytes;
                }
                if parsed != Parsed::Incomplete {
                    return Ok(Some(parsed));
                }
            }
            let old = self.input.len();
            match self.wire.read(&mut self.input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.moved_at = host::monotonic_ns();
                    if old == 0 && self.skip == 0 {
                        // The first bytes of a head; the rest has this long.
                        self.deadline = after(self.moved_at, HEAD_TIME_MAX);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(&mut self, parsed: Parsed, pages: &mut Pages, room: usize) {
        match parsed {
            Parsed::Incomplete => {}
            Parsed::Refused(text) => {
                self.output.extend_from_slice(text.as_bytes());
                self.stage = Stage::Last;
            }
            Parsed::Request(request, _) => {
                let mut response = pages.answer(&request);
                if response.body.len() > room {
                    response = Response::plain(503, TEXT, "too many pages are being read");
                }
                let now = host::wall_clock_since_epoch().as_secs();
                self.output = response.write(&request, now);
                if !request.keep_alive {
                    self.stage = Stage::Last;
                }
            }
        }
        self.deadline = after(host::monotonic_ns(), WRITE_TIME_MAX);
    }

    /// Waits for the peer's end: closing with bytes unread would take the
    /// answer back.
    fn throw_away(&mut self, mut left: usize) -> Left {
        loop {
            self.input.clear();
            match self.wire.read(&mut self.input) {
                Ok(0) => return Left::Over,
                Ok(count) if count < left => left -= count,
                Ok(_) => return Left::Over,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stage = Stage::Ending { left };
                    return Left::Waiting;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Left::Over,
            }
        }
    }

    /// Asks for an event although nothing new has come.
    fn requeue(&mut self, registry: &Registry, slot: usize) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.reregister(&mut self.wire.stream, Token(slot), interest).is_err() {
            self.deadline = 0;
        }
    }
}

fn after(now: u64, wait: Duration) -> u64 {
    now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A connection that went away before it was taken.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}

/// Connections that are taken before others have their turn.
const ACCEPTS_IN_A_ROW: usize = 64;

const _: () = assert!(READ_BYTES <= HEAD_BYTES_MAX);
