//! The machine's own latency: the same measurement over a bare relay instead of a server.
//!
//! The relay is a thread with an epoll that copies bytes from each of two sockets to the other:
//! no protocol, no subjects. What it shows is the least any server could, on this machine, with
//! this generator: the kernel's sockets, the wake-ups, and the generator's own pacing. A server that
//! stays awake for a while before it sleeps can beat a relay that sleeps at once, so there is a
//! relay that never sleeps too. One way, a message crosses the relay once; as a request it crosses
//! twice and is echoed in between.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;

use serde::Serialize;

use super::{run_seed, RunOptions};
use crate::error::Error;
use crate::pacer::{Margin, Pacer};
use crate::progress::Progress;
use crate::recorder::{Phase, Recorder};
use crate::result::RunResult;
use crate::sys::affinity::CpuMask;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::wire::ledger::{Expect, Ledger};
use crate::wire::payload::{self, Head};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// Request and reply instead of one way.
    pub request: bool,
    /// Message size in bytes, at least 16.
    pub size: usize,
    /// Messages a second; none means one in flight.
    pub rate: Option<f64>,
    /// The relay looks for bytes without ever sleeping.
    pub awake: bool,
}

/// Runs the workload once.
pub fn run(spec: &Floor, options: &RunOptions, progress: Progress) -> Result<RunResult, Error> {
    if !(payload::HEAD_BYTES..=READ_BYTES).contains(&spec.size) {
        return Err(Error::Usage("the size must be 16 to 65536".into()));
    }
    let io = |source| Error::Os { call: "socket", source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let near = TcpStream::connect(address).map_err(io)?;
    let far = TcpStream::connect(address).map_err(io)?;
    let inside = [listener.accept().map_err(io)?.0, listener.accept().map_err(io)?.0];
    for socket in [&near, &far, &inside[0], &inside[1]] {
        socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)).map_err(io)?;
    }
    let (mask, timeout_ns) = (options.server_mask, if spec.awake { 0 } else { IDLE_NS });
    let relay = std::thread::spawn(move || relay(inside, mask, timeout_ns));
    let mut prober = Prober::new(spec, near, far, options, progress)?;
    let outcome = prober.drive(options);
    let result = prober.result();
    join(relay)?;
    outcome.map(|()| result)
}

fn join(relay: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    relay.join().unwrap_or_else(|_| Err(Error::Server("the relay ended early".into())))
}

/// Copies bytes both ways until one side closes.
fn relay(mut sockets: [TcpStream; 2], mask: CpuMask, timeout_ns: u64) -> Result<(), Error> {
    mask.apply().map_err(|source| Error::Os { call: "sched_setaffinity", source })?;
    let mut epoll = Epoll::new()?;
    for (token, socket) in sockets.iter().enumerate() {
        epoll.add(socket.as_raw_fd(), token)?;
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut readable = [true; 2];
    loop {
        for from in 0..2 {
            while readable[from] {
                let count = match sockets[from].read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(_) => return Ok(()),
                };
                readable[from] = count == buffer.len();
                if write_all(&mut sockets[1 - from], &buffer[..count]).is_err() {
                    return Ok(());
                }
            }
        }
        for ready in epoll.wait(timeout_ns)? {
            readable[ready.token] |= ready.readable;
        }
    }
}

/// Writes all of it, trying again while the socket is full.
fn write_all(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One of the generator's two ends.
struct End {
    socket: TcpStream,
    readable: bool,
    bytes: Vec<u8>,
    filled: usize,
}

impl End {
    fn new(socket: TcpStream) -> Self {
        Self { socket, readable: true, bytes: vec![0; 2 * READ_BYTES], filled: 0 }
    }

    /// Reads once; returns the length of the whole messages at the front of `bytes`.
    fn fill(&mut self, size: usize) -> Result<usize, Error> {
        match self.socket.read(&mut self.bytes[self.filled..]) {
            Ok(0) => return Err(Error::Server("the relay ended early".into())),
            Ok(count) => {
                self.readable = count == self.bytes.len() - self.filled;
                self.filled += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(source) => return Err(Error::Os { call: "read", source }),
        }
        Ok(self.filled / size * size)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

struct Prober<'a> {
    spec: &'a Floor,
    epoll: Epoll,
    near: End,
    far: End,
    frame: Vec<u8>,
    filler: u64,
    seed: u64,
    sequence: u64,
    ledger: Ledger,
    recorder: Recorder,
}

impl<'a> Prober<'a> {
    fn new(
        spec: &'a Floor,
        near: TcpStream,
        far: TcpStream,
        options: &RunOptions,
        progress: Progress,
    ) -> Result<Self, Error> {
        let epoll = Epoll::new()?;
        epoll.add(near.as_raw_fd(), 0)?;
        epoll.add(far.as_raw_fd(), 1)?;
        let seed = run_seed();
        let mut frame = vec![0; spec.size];
        payload::fill(&mut frame, seed);
        let filler = payload::filler_hash(&frame[payload::HEAD_BYTES..]);
        Ok(Self {
            spec,
            epoll,
            near: End::new(near),
            far: End::new(far),
            frame,
            filler,
            seed,
            sequence: 0,
            ledger: Ledger::new(spec.size, 0, 1, Expect::Every, seed),
            recorder: Recorder::start(options.span, None, progress),
        })
    }

    fn drive(&mut self, options: &RunOptions) -> Result<(), Error> {
        let margin = match options.spin_ns {
            Some(spin_ns) => Margin(spin_ns),
            None => Margin::measure(&mut self.epoll)?,
        };
        let mut pacer = self.spec.rate.map(|rate| Pacer::new(rate, clock::now()));
        let mut progress_ns = clock::now();
        loop {
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            let now_ns = clock::now();
            let received = self.ledger.received;
            let phase = self.recorder.advance(now_ns, self.sequence, received);
            let left = self.recorder.sends_left(self.sequence);
            let ended = phase == Phase::Drain || left == 0;
            if ended && received >= self.sequence {
                self.recorder.finish(now_ns, self.sequence, received);
                return Ok(());
            }
            match &mut pacer {
                _ if ended => {}
                Some(pacer) => {
                    for _ in 0..pacer.due(now_ns).min(left) {
                        let due_ns = pacer.issue();
                        self.send(due_ns)?;
                    }
                }
                None if received >= self.sequence => self.send(now_ns)?,
                None => {}
            }
            let moved = self.receive()?;
            if moved || received >= self.sequence {
                progress_ns = now_ns;
            } else if now_ns - progress_ns > options.patience_ns {
                return Err(Error::Server("the relay lost a message".into()));
            }
            let timeout_ns = match &pacer {
                _ if moved => 0,
                Some(pacer) if !ended => margin.sleep_ns(clock::now(), pacer.next_ns()),
                _ => POLL_NS,
            };
            for ready in self.epoll.wait(timeout_ns.min(POLL_NS))? {
                let end = if ready.token == 0 { &mut self.near } else { &mut self.far };
                end.readable |= ready.readable;
            }
        }
    }

    fn send(&mut self, time_ns: u64) -> Result<(), Error> {
        let head =
            Head { publisher: 0, sequence: self.sequence, time: payload::wire_time(time_ns) };
        payload::write_full(&mut self.frame, head, self.filler, self.seed);
        self.sequence += 1;
        write_all(&mut self.near.socket, &self.frame)
            .map_err(|source| Error::Os { call: "write", source })
    }

    fn receive(&mut self) -> Result<bool, Error> {
        let size = self.spec.size;
        if self.far.readable && self.spec.request {
            let whole = self.far.fill(size)?;
            write_all(&mut self.far.socket, &self.far.bytes[..whole])
                .map_err(|source| Error::Os { call: "write", source })?;
            self.far.consume(whole);
        }
        let end = if self.spec.request { &mut self.near } else { &mut self.far };
        if !end.readable {
            return Ok(false);
        }
        let whole = end.fill(size)?;
        let now_ns = clock::now();
        for message in end.bytes[..whole].chunks_exact(size) {
            if let Some(head) = self.ledger.enter(message) {
                self.recorder.latency(now_ns, payload::elapsed_ns(now_ns, head.time));
            }
        }
        end.consume(whole);
        Ok(whole > 0)
    }

    fn result(mut self) -> RunResult {
        let faults = self.ledger.close(&[self.sequence]);
        let mut result = RunResult::new("floor", self.spec.size, self.recorder.summary(), faults);
        result.paced = self.spec.rate.is_some();
        result.verified = self.ledger.received;
        result
    }
}

const READ_BYTES: usize = 64 * 1024;
const IDLE_NS: u64 = 1_000_000_000;
const POLL_NS: u64 = 10_000_000;
