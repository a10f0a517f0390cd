//! The ring against real sockets on the loopback.

#![expect(clippy::disallowed_methods, reason = "tests read clocks, sleep and open files")]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::Command;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;
use crate::host::monotonic_ns;

/// A ring with a listener.
struct Server {
    ring: Ring,
    listener: OwnedFd,
    events: Vec<Completion>,
}

const LISTENER: u64 = TOKEN_MAX;
const TOKEN: u64 = 7;
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    fn new(config: &RingConfig) -> Self {
        let mut ring = Ring::new(config).unwrap();
        let listener = socket::listen("127.0.0.1:0".parse().unwrap(), 128).unwrap();
        ring.accept(listener.as_raw_fd(), LISTENER);
        Self { ring, listener, events: Vec::new() }
    }

    fn with_buffers(receive_buffers: u16, receive_buffer_bytes: u32) -> Self {
        Self::new(&RingConfig { receive_buffers, receive_buffer_bytes, ..RingConfig::default() })
    }

    fn address(&self) -> SocketAddr {
        socket::local_addr(self.listener.as_fd()).unwrap()
    }

    /// Turns until something happened.
    fn turn(&mut self) -> Vec<Completion> {
        let start = Instant::now();
        while self.events.is_empty() {
            assert!(start.elapsed() < PATIENCE, "nothing happens");
            self.ring.enter().unwrap();
            if self.ring.reap(&mut self.events, 64) == 0 {
                thread::sleep(Duration::from_micros(50));
            }
        }
        std::mem::take(&mut self.events)
    }

    /// What happens within a while.
    fn turns_for(&mut self, while_: Duration) -> Vec<Completion> {
        let start = Instant::now();
        let mut events = Vec::new();
        while start.elapsed() < while_ {
            self.ring.enter().unwrap();
            self.ring.reap(&mut events, 64);
            thread::sleep(Duration::from_micros(200));
        }
        events
    }

    fn connect(&mut self) -> (TcpStream, OwnedFd) {
        let client = TcpStream::connect(self.address()).unwrap();
        match self.turn().pop() {
            Some(Completion::Accepted { token: LISTENER, result: Ok(socket), more: true }) => {
                (client, socket)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Copies a buffer out and gives it back.
    fn drain(&mut self, buffer: BufferId, len: usize, into: &mut Vec<u8>) {
        assert_eq!(self.ring.buffer(buffer).len(), len);
        into.extend_from_slice(self.ring.buffer(buffer));
        self.ring.release(buffer);
    }

    /// Receives these bytes and nothing else.
    fn receive_exactly(&mut self, expected: &[u8]) {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            for completion in self.turn() {
                match completion {
                    Completion::Received { buffer, len, more: true, .. } => {
                        self.drain(buffer, len, &mut got);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        self.ring.enter().unwrap();
        assert_eq!(got, expected);
    }

    /// Sends a flight until it is done; returns the number of sends that took.
    fn send_all(&mut self, fd: RawFd, flight: Box<Flight>) -> (Box<Flight>, usize) {
        self.ring.send(fd, TOKEN, flight);
        let mut sends = 0;
        loop {
            for completion in self.turn() {
                let Completion::Sent { token: TOKEN, mut flight, result } = completion else {
                    panic!("{completion:?}");
                };
                sends += 1;
                flight.advance(result.unwrap());
                if flight.is_done() {
                    return (flight, sends);
                }
                self.ring.send(fd, TOKEN, flight);
            }
        }
    }
}

/// Bytes that show a loss, a repeat and an exchange.
fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|i| u8::try_from((i ^ (i >> 8) ^ (i >> 16)) & 0xff).unwrap()).collect()
}

fn write_in_background(mut client: TcpStream, bytes: Vec<u8>) -> JoinHandle<TcpStream> {
    thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        client
    })
}

// Goal: what is received is what was sent, for sizes around the buffer's. Method: a client thread
// sends and expects its bytes back; the server copies each receive into one flight.
#[test]
fn every_size_comes_back_as_it_was_sent() {
    let mut server = Server::with_buffers(8, 4096);
    let (mut client, socket) = server.connect();
    let sizes = [1, 2, 100, 4095, 4096, 4097, 10_000, 100_000, 1_000_000];
    let total: usize = sizes.iter().sum();
    let client = thread::spawn(move || {
        for size in sizes {
            let sent = pattern(0, size);
            let writer = write_in_background(client.try_clone().unwrap(), sent.clone());
            let mut back = vec![0; size];
            client.read_exact(&mut back).unwrap();
            assert!(sent == back);
            writer.join().unwrap();
        }
    });
    let fd = socket.as_raw_fd();
    server.ring.receive(fd, TOKEN);
    let (mut waiting, mut sending, mut returned) = (Vec::new(), false, 0);
    while returned < total {
        for completion in server.turn() {
            match completion {
                Completion::Received { token: TOKEN, buffer, len, more } => {
                    server.drain(buffer, len, &mut waiting);
                    if !more {
                        server.ring.receive(fd, TOKEN);
                    }
                }
                Completion::Ended { token: TOKEN, reason: End::NoBuffers } => {
                    server.ring.receive(fd, TOKEN);
                }
                Completion::Sent { token: 9, mut flight, result } => {
                    let sent = result.unwrap();
                    returned += sent;
                    flight.advance(sent);
                    sending = !flight.is_done();
                    if sending {
                        server.ring.send(fd, 9, flight);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        if !sending && !waiting.is_empty() {
            let mut flight = Box::new(Flight::new());
            flight.push(Segment::Owned(std::mem::take(&mut waiting)));
            server.ring.send(fd, 9, flight);
            sending = true;
        }
    }
    client.join().unwrap();
}

// Goal: running out of buffers ends the receive and loses nothing. Method: hold every buffer until
// the ring says so, give them back, re-arm; several rounds.
#[test]
fn receive_without_buffers_ends_and_goes_on_where_it_stopped() {
    const BYTES: usize = 100_000;
    let mut server = Server::with_buffers(4, 1024);
    let (client, socket) = server.connect();
    let client = write_in_background(client, pattern(0, BYTES));
    let fd = socket.as_raw_fd();
    server.ring.receive(fd, TOKEN);
    let (mut got, mut held, mut shortages) = (Vec::new(), Vec::new(), 0);
    while got.len() < BYTES {
        for completion in server.turn() {
            match completion {
                Completion::Received { token: TOKEN, buffer, len, more } => {
                    held.push((buffer, len));
                    got.extend_from_slice(server.ring.buffer(buffer));
                    assert!(more || got.len() == BYTES, "a receive with buffers goes on");
                    assert!(server.ring.buffers_free() + held.len() <= 4);
                }
                Completion::Ended { token: TOKEN, reason: End::NoBuffers } => {
                    shortages += 1;
                    assert_eq!(server.ring.buffers_free(), 0);
                    for (buffer, len) in held.drain(..) {
                        assert_eq!(server.ring.buffer(buffer).len(), len);
                        server.ring.release(buffer);
                    }
                    server.ring.receive(fd, TOKEN);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(got == pattern(0, BYTES));
    assert!(shortages >= BYTES / 1024 / 4 - 1, "{shortages}");
    drop(client.join().unwrap());
}

// Goal: a peer that closes is reported once, after its bytes.
#[test]
fn closed_peer_ends_the_receive_after_its_last_bytes() {
    let mut server = Server::with_buffers(4, 1024);
    let (mut client, socket) = server.connect();
    server.ring.receive(socket.as_raw_fd(), TOKEN);
    client.write_all(b"last words").unwrap();
    drop(client);
    let mut got = Vec::new();
    let reason = 'ended: loop {
        for completion in server.turn() {
            match completion {
                Completion::Received { buffer, len, .. } => server.drain(buffer, len, &mut got),
                Completion::Ended { token: TOKEN, reason } => break 'ended reason,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!((got.as_slice(), reason), (&b"last words"[..], End::Closed));
    assert_eq!(server.ring.buffers_free(), 4);
}

// Goal: our own shutdown ends the receive, which the ring would otherwise keep alive.
#[test]
fn shutdown_ends_the_receive_and_the_connection() {
    let mut server = Server::with_buffers(4, 1024);
    let (mut client, socket) = server.connect();
    server.ring.receive(socket.as_raw_fd(), TOKEN);
    server.turns_for(Duration::from_millis(5));
    socket::shutdown(socket.as_fd()).unwrap();
    drop(socket);
    let events = server.turn();
    assert!(matches!(events[..], [Completion::Ended { token: TOKEN, reason: End::Closed }]));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

// Goal: big payloads to a slow reader arrive whole, in order, over partial sends, from one segment
// and from several. Method: the reader takes small bites with pauses.
#[test]
fn slow_reader_gets_every_segment_whole() {
    for segments in [1, 2, 7, 3000] {
        let mut server = Server::with_buffers(4, 1024);
        let (mut client, socket) = server.connect();
        let total = 12_000_000;
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            let mut bite = vec![0; 300_000];
            while got.len() < total {
                if got.len() < 2_000_000 {
                    thread::sleep(Duration::from_millis(2));
                }
                let read = client.read(&mut bite).unwrap();
                got.extend_from_slice(&bite[..read]);
            }
            got
        });
        let mut flight = Box::new(Flight::new());
        for segment in 0..segments {
            let (start, end) = (total * segment / segments, total * (segment + 1) / segments);
            let bytes = pattern(start, end - start);
            flight.push(match segment % 2 {
                0 => Segment::Owned(bytes),
                _ => {
                    let length = bytes.len();
                    Segment::Shared(Rc::new(bytes), 0..length)
                }
            });
        }
        let (mut flight, sends) = server.send_all(socket.as_raw_fd(), flight);
        assert!(sends > 1, "the socket cannot take 12 MB at once");
        let mut buffers = 0;
        flight.drain(|segment| buffers += usize::from(matches!(segment, Segment::Owned(_))));
        assert_eq!(buffers, usize::div_ceil(segments, 2));
        assert_eq!(server.ring.held(), 0);
        assert!(reader.join().unwrap() == pattern(0, total));
    }
}

// Goal: a send to a peer that is gone fails with its errno and returns the flight; no SIGPIPE.
#[test]
fn send_to_a_closed_connection_returns_the_flight_with_an_errno() {
    let mut server = Server::with_buffers(4, 1024);
    let (client, socket) = server.connect();
    drop(client);
    for _ in 0..10 {
        let mut flight = Box::new(Flight::new());
        flight.push(Segment::Owned(vec![1; 100]));
        server.ring.send(socket.as_raw_fd(), TOKEN, flight);
        let Some(Completion::Sent { flight, result, .. }) = server.turn().pop() else { panic!() };
        assert_eq!(flight.bytes(), 100);
        if let Err(errno) = result {
            assert!([libc::EPIPE, libc::ECONNRESET].contains(&errno), "{errno}");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("sends to a closed connection succeed");
}

// Goal: cancelling a receive under traffic loses and repeats nothing. Method: cancel after every
// few completions, wait for both the end and the confirmation, pause, re-arm.
#[test]
fn cancelled_receive_loses_nothing_while_data_arrives() {
    const BYTES: usize = 4_000_000;
    let mut server = Server::with_buffers(16, 4096);
    let (client, socket) = server.connect();
    let client = write_in_background(client, pattern(0, BYTES));
    let fd = socket.as_raw_fd();
    let (mut got, mut rounds, mut after_cancel) = (Vec::new(), 0, 0);
    while got.len() < BYTES {
        server.ring.receive(fd, TOKEN);
        let (mut ended, mut confirmed, mut cancelled, mut seen) = (false, false, false, 0);
        while !(ended && confirmed) {
            if got.len() == BYTES && !cancelled {
                break;
            }
            for completion in server.turn() {
                match completion {
                    Completion::Received { token: TOKEN, buffer, len, more } => {
                        server.drain(buffer, len, &mut got);
                        ended |= !more;
                        seen += 1;
                        after_cancel += usize::from(cancelled);
                    }
                    Completion::Ended { token: TOKEN, reason } => {
                        assert!(matches!(reason, End::Cancelled | End::NoBuffers), "{reason:?}");
                        ended = true;
                    }
                    Completion::Cancelled { token: TOKEN, .. } => confirmed = true,
                    other => panic!("{other:?}"),
                }
            }
            if !cancelled && (seen > rounds % 7 || ended) {
                server.ring.cancel_receive(TOKEN);
                cancelled = true;
            }
        }
        rounds += 1;
    }
    assert!(got == pattern(0, BYTES));
    assert!(rounds > 10, "{rounds} rounds, {after_cancel} receives after a cancel");
    drop(client.join().unwrap());
}

// Goal: a cancellation that comes too late says so.
#[test]
fn cancelling_what_is_not_there_is_reported() {
    let mut server = Server::with_buffers(4, 1024);
    server.ring.cancel_receive(TOKEN);
    let events = server.turn();
    assert!(matches!(events[..], [Completion::Cancelled { token: TOKEN, found: false }]));
}

// Goal: one accept brings many connections, and ends when it is cancelled.
#[test]
fn accept_goes_on_until_it_is_cancelled() {
    let mut server = Server::with_buffers(4, 1024);
    let clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    server.ring.cancel_accept(LISTENER);
    let mut ended = false;
    let mut found = false;
    while !(ended && found) {
        for completion in server.turn() {
            match completion {
                Completion::Accepted { result, more, .. } => {
                    assert_eq!(result.unwrap_err(), libc::ECANCELED);
                    ended = !more;
                }
                Completion::Cancelled { token: LISTENER, found: true } => found = true,
                other => panic!("{other:?}"),
            }
        }
    }
    drop(clients);
}

// Goal: the queue of 8 entries takes any number of operations and keeps their order. Method: many
// sends to one socket, and a receive's worth of each token.
#[test]
fn operations_beyond_the_queue_wait_their_turn_in_order() {
    let config = RingConfig { entries: 8, completions: 8, ..RingConfig::default() };
    let mut server = Server::new(&config);
    let (mut client, socket) = server.connect();
    for number in 0..200_u8 {
        let mut flight = Box::new(Flight::new());
        flight.push(Segment::Owned(vec![number; 10]));
        server.ring.send(socket.as_raw_fd(), u64::from(number), flight);
    }
    assert!(server.ring.backlog() > 180);
    assert_eq!(server.ring.held(), 200);
    let mut completed = 0;
    while completed < 200 {
        for completion in server.turn() {
            let Completion::Sent { token, flight, result } = completion else { panic!() };
            assert_eq!((token, flight.bytes(), result), (completed, 10, Ok(10)));
            completed += 1;
        }
    }
    assert_eq!((server.ring.backlog(), server.ring.held()), (0, 0));
    let mut got = vec![0; 2000];
    client.read_exact(&mut got).unwrap();
    assert!(got.chunks(10).zip(0..).all(|(chunk, number)| chunk == [number; 10]));
}

// Goal: the deadline holds, whether it stays, moves earlier, moves later or goes away. Method:
// compare with the clock.
#[test]
fn deadline_fires_once_where_it_was_moved_to() {
    let mut server = Server::with_buffers(4, 1024);
    let ms = 1_000_000;
    let elapsed = |server: &mut Server, start: u64| {
        let events = server.turn();
        assert!(matches!(events[..], [Completion::Timeout]), "{events:?}");
        (monotonic_ns() - start) / ms
    };
    let start = monotonic_ns();
    server.ring.timeout(Some(start + 50 * ms));
    assert!((50..2000).contains(&elapsed(&mut server, start)));

    let start = monotonic_ns();
    server.ring.timeout(Some(start + 60_000 * ms));
    server.ring.enter().unwrap();
    server.ring.timeout(Some(start + 50 * ms));
    assert!((50..2000).contains(&elapsed(&mut server, start)), "earlier");

    let start = monotonic_ns();
    server.ring.timeout(Some(start + 30 * ms));
    server.ring.enter().unwrap();
    server.ring.timeout(Some(start + 150 * ms));
    assert!((150..2000).contains(&elapsed(&mut server, start)), "later");

    server.ring.timeout(Some(monotonic_ns() + 30 * ms));
    server.ring.enter().unwrap();
    server.ring.timeout(None);
    assert!(server.turns_for(Duration::from_millis(100)).is_empty(), "withdrawn");

    let start = monotonic_ns();
    server.ring.timeout(Some(1));
    assert!(elapsed(&mut server, start) < 1000, "long past");
}

// Goal: a ring with nothing to do makes no system call and says that it has no work.
#[test]
fn idle_ring_does_not_enter_the_kernel() {
    let mut server = Server::with_buffers(4, 1024);
    let (mut client, socket) = server.connect();
    server.ring.receive(socket.as_raw_fd(), TOKEN);
    assert!(server.ring.has_work());
    server.ring.enter().unwrap();
    let calls = server.ring.calls();
    for _ in 0..100 {
        assert!(!server.ring.has_work());
        server.ring.enter().unwrap();
    }
    assert_eq!(server.ring.calls(), calls);
    client.write_all(b"x").unwrap();
    let start = Instant::now();
    while !server.ring.has_work() && start.elapsed() < PATIENCE {
        thread::yield_now();
    }
    server.ring.enter().unwrap();
    assert_eq!(server.ring.calls(), calls + 1);
    assert_eq!(server.turn().len(), 1);
    assert!(!server.ring.has_work());
}

// Goal: a sleeping shard wakes for a completion and for a write of its eventfd, and one that goes
// to sleep on a completion does not sleep.
#[test]
fn wait_ends_with_a_completion_or_a_write_of_the_eventfd() {
    let mut server = Server::with_buffers(4, 1024);
    let (mut client, socket) = server.connect();
    server.ring.receive(socket.as_raw_fd(), TOKEN);
    server.ring.arm_wake();
    server.ring.enter().unwrap();
    let eventfd = File::from(server.ring.event_fd().try_clone_to_owned().unwrap());
    for round in 0..200 {
        let (mut writer, mut bell) = (client.try_clone().unwrap(), eventfd.try_clone().unwrap());
        let writing = thread::spawn(move || {
            if round % 2 == 0 {
                thread::sleep(Duration::from_micros(200));
            }
            if round % 3 == 0 {
                bell.write_all(&1_u64.to_ne_bytes()).unwrap();
            } else {
                writer.write_all(b"asleep").unwrap();
            }
        });
        server.ring.wait().unwrap();
        assert!(server.ring.has_work(), "round {round}");
        if round % 3 == 0 {
            server.ring.enter().unwrap();
            let mut events = Vec::new();
            assert_eq!(server.ring.reap(&mut events, 16), 1);
            assert!(events.is_empty(), "it is never reported");
        } else {
            server.receive_exactly(b"asleep");
        }
        writing.join().unwrap();
        assert_eq!(server.ring.buffers_free(), 4);
    }
    client.write_all(b"early").unwrap();
    thread::sleep(Duration::from_millis(5));
    let start = Instant::now();
    server.ring.wait().unwrap();
    assert!(start.elapsed() < PATIENCE);
    server.receive_exactly(b"early");
}

// Goal: dropping a ring with everything in flight returns, and what it held is free. Method: a
// receive, an accept, a stuck send, a read and a timer are pending.
#[test]
fn dropped_ring_cancels_what_is_in_flight() {
    let mut server = Server::with_buffers(4, 1024);
    let (mut client, socket) = server.connect();
    let fd = socket.as_raw_fd();
    let (reader, _writer) = std::io::pipe().unwrap();
    server.ring.receive(fd, TOKEN);
    let shared = Rc::new(vec![1; 50_000_000]);
    let mut flight = Box::new(Flight::new());
    flight.push(Segment::Shared(Rc::clone(&shared), 0..50_000_000));
    let mut second = Box::new(Flight::new());
    second.push(Segment::Shared(Rc::clone(&shared), 0..50_000_000));
    server.ring.send(fd, TOKEN, flight);
    server.ring.send(fd, TOKEN, second);
    server.ring.read(reader.as_raw_fd(), TOKEN, 128);
    server.ring.timeout(Some(monotonic_ns() + 3_600_000_000_000));
    server.ring.enter().unwrap();
    client.write_all(b"unread").unwrap();
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(Rc::strong_count(&shared), 1, "the flights are gone");
    drop(socket);
    let end =
        client.set_read_timeout(Some(PATIENCE)).and_then(|()| client.read_to_end(&mut vec![]));
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

// Goal: a read brings what is there and waits for what is not.
#[test]
fn read_brings_what_a_pipe_holds() {
    let mut server = Server::with_buffers(4, 1024);
    let (reader, mut writer) = std::io::pipe().unwrap();
    server.ring.read(reader.as_raw_fd(), TOKEN, 128);
    server.ring.enter().unwrap();
    writer.write_all(b"signal").unwrap();
    let events = server.turn();
    let [Completion::Read { token: TOKEN, result: Ok(bytes) }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(bytes, b"signal");
}

// Goal: a write lands at its offset, and its bytes are held no longer than that.
#[test]
fn write_lands_at_its_offset() {
    let mut server = Server::with_buffers(4, 1024);
    let file = tempfile::tempfile().unwrap();
    let bytes = Rc::new(b"yes".to_vec());
    server.ring.write(file.as_raw_fd(), TOKEN, 3, bytes.clone());
    let events = server.turn();
    let [Completion::Written { token: TOKEN, result: Ok(3) }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(Rc::strong_count(&bytes), 1, "the ring has let go");
    let mut bytes = [0; 6];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"\0\0\0yes");
}

// Goal: sizes the kernel would refuse are refused with the rule.
#[test]
fn configuration_out_of_range_is_refused_with_the_rule() {
    let sizes = RingConfig { receive_buffers: 63, ..RingConfig::default() };
    let error = Ring::new(&sizes).err().unwrap().to_string();
    assert!(error.contains("receive_buffers") && error.contains("power of two"), "{error}");
    let sizes = RingConfig { completions: 512, ..RingConfig::default() };
    assert!(Ring::new(&sizes).is_err());
}

// Goal: accept survives the end of descriptors: it is reported, and once there is room the
// connection that waited is accepted. Method: a process of its own with a low limit.
#[test]
fn accept_reports_the_end_of_descriptors_and_goes_on_after_it() {
    if std::env::var_os("MIDGE_FEW_DESCRIPTORS").is_some() {
        return accept_with_few_descriptors();
    }
    let test = "net::ring_tests::accept_reports_the_end_of_descriptors_and_goes_on_after_it";
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env("MIDGE_FEW_DESCRIPTORS", "1")
        .status();
    assert!(status.unwrap().success());
}

fn accept_with_few_descriptors() {
    let mut server = Server::with_buffers(4, 1024);
    let mut backoff = AcceptBackoff::default();
    let (first, socket) = server.connect();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.pop();
    let mut late = TcpStream::connect(server.address()).unwrap();
    for _ in 0..3 {
        match server.turn().pop() {
            Some(Completion::Accepted { result: Err(libc::EMFILE), more: false, .. }) => {}
            other => panic!("{other:?}"),
        }
        thread::sleep(backoff.failed());
        server.ring.accept(server.listener.as_raw_fd(), LISTENER);
    }
    assert!(matches!(
        server.turn().pop(),
        Some(Completion::Accepted { result: Err(libc::EMFILE), more: false, .. })
    ));
    drop(files);
    server.ring.accept(server.listener.as_raw_fd(), LISTENER);
    let Some(Completion::Accepted { result: Ok(accepted), more: true, .. }) = server.turn().pop()
    else {
        panic!("the connection that waited is accepted");
    };
    TcpStream::from(accepted).write_all(b"hello").unwrap();
    late.read_exact(&mut [0; 5]).unwrap();
    drop((first, socket));
}
