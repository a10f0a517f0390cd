//! The ring against real sockets on the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::*;

/// A ring with a listener and what happened on it.
struct Server {
    ring: Ring,
    listener: OwnedFd,
    events: Vec<Completion>,
}

const LISTENER: u64 = TOKEN_MAX;
const PATIENCE: Duration = Duration::from_secs(10);

impl Server {
    fn new(config: &RingConfig) -> Self {
        let mut ring = Ring::new(config).unwrap();
        let listener = socket::listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        ring.accept(listener.as_raw_fd(), LISTENER);
        Self { ring, listener, events: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        use std::os::fd::AsFd;
        socket::local_addr(self.listener.as_fd()).unwrap()
    }

    /// Turns until something happened.
    fn turn(&mut self) -> Vec<Completion> {
        let start = Instant::now();
        while self.events.is_empty() {
            assert!(start.elapsed() < PATIENCE, "nothing happens");
            self.ring.enter().unwrap();
            if self.ring.reap(&mut self.events, 64) == 0 {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        std::mem::take(&mut self.events)
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
}

// Goal: what is received is what was sent, for sizes around the buffer's. Method: a client thread
// sends and expects its bytes back; the server copies each receive into one flight.
#[test]
fn every_size_comes_back_as_it_was_sent() {
    let config =
        RingConfig { receive_buffer_bytes: 4096, receive_buffers: 8, ..RingConfig::default() };
    let mut server = Server::new(&config);
    let (mut client, socket) = server.connect();
    let sizes = [1, 2, 100, 4095, 4096, 4097, 10_000, 100_000];
    let total: usize = sizes.iter().sum();
    let client = std::thread::spawn(move || {
        for size in sizes {
            let sent: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            client.write_all(&sent).unwrap();
            let mut back = vec![0; size];
            client.read_exact(&mut back).unwrap();
            assert_eq!(sent, back);
        }
    });
    let fd = socket.as_raw_fd();
    server.ring.receive(fd, 7);
    let (mut waiting, mut sending, mut returned) = (Vec::new(), false, 0);
    while returned < total {
        for completion in server.turn() {
            match completion {
                Completion::Received { token: 7, buffer, len, more } => {
                    assert_eq!(server.ring.buffer(buffer).len(), len);
                    waiting.extend_from_slice(server.ring.buffer(buffer));
                    server.ring.release(buffer);
                    if !more {
                        server.ring.receive(fd, 7);
                    }
                }
                Completion::Ended { token: 7, reason: End::NoBuffers } => {
                    server.ring.receive(fd, 7);
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
