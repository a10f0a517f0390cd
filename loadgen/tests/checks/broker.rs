//! A broker of the NATS protocol in as few lines as will do: a thread for each connection, one
//! lock, no errors handled. It can spoil one delivery, counted from zero over all subscribers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the broker does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misdeed {
    /// Nothing.
    None,
    /// Does not deliver this one.
    Drop(u64),
    /// Flips a bit in the given byte of this one.
    Alter(u64, usize),
    /// Delivers this one after the next.
    Swap(u64),
    /// Delivers this one twice.
    Double(u64),
    /// Closes the connection instead of delivering this one.
    HangUp(u64),
}

/// A running broker; its threads end with the process.
pub struct Broker {
    /// Where it listens.
    pub address: String,
}

struct Subscription {
    connection: usize,
    socket: TcpStream,
    subject: String,
    queue: Option<String>,
    sid: String,
}

struct State {
    misdeed: Misdeed,
    deliveries: u64,
    publications: usize,
    subscriptions: Vec<Subscription>,
    held: Option<(usize, Vec<u8>)>,
}

impl Broker {
    /// Listens on a free port.
    pub fn start(misdeed: Misdeed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State {
            misdeed,
            deliveries: 0,
            publications: 0,
            subscriptions: Vec::new(),
            held: None,
        };
        let state = Arc::new(Mutex::new(state));
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                let state = state.clone();
                std::thread::spawn(move || serve(connection, socket.unwrap(), &state));
            }
        });
        Self { address }
    }
}

fn serve(connection: usize, socket: TcpStream, state: &Mutex<State>) {
    let _ = converse(connection, &socket, state);
    state.lock().unwrap().subscriptions.retain(|sub| sub.connection != connection);
}

fn converse(connection: usize, socket: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    (&*socket).write_all(b"INFO {\"server_id\":\"test\",\"max_payload\":1048576} \r\n")?;
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => {
                let _guard = state.lock().unwrap();
                (&*socket).write_all(b"PONG\r\n")?;
            }
            ["SUB", subject, sid] => subscribe(connection, socket, state, subject, None, sid)?,
            ["SUB", subject, queue, sid] => {
                subscribe(connection, socket, state, subject, Some(queue), sid)?;
            }
            ["PUB", subject, .., size] => {
                let reply = if words.len() == 4 { words[2] } else { "" };
                let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload)?;
                state.lock().unwrap().publish(subject, reply, &payload);
            }
            _ => {}
        }
    }
}

fn subscribe(
    connection: usize,
    socket: &TcpStream,
    state: &Mutex<State>,
    subject: &str,
    queue: Option<&str>,
    sid: &str,
) -> std::io::Result<()> {
    state.lock().unwrap().subscriptions.push(Subscription {
        connection,
        socket: socket.try_clone()?,
        subject: subject.to_owned(),
        queue: queue.map(str::to_owned),
        sid: sid.to_owned(),
    });
    Ok(())
}

impl State {
    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.publications += 1;
        let hits = (0..self.subscriptions.len())
            .filter(|&index| matches(&self.subscriptions[index].subject, subject));
        let (members, mut chosen): (Vec<usize>, Vec<usize>) =
            hits.partition(|&index| self.subscriptions[index].queue.is_some());
        if !members.is_empty() {
            chosen.push(members[self.publications % members.len()]);
        }
        for index in chosen {
            let gap = if reply.is_empty() { "" } else { " " };
            let (sid, size) = (&self.subscriptions[index].sid, payload.len() - 2);
            let mut frame = format!("MSG {subject} {sid} {reply}{gap}{size}\r\n").into_bytes();
            let payload_at = frame.len();
            frame.extend_from_slice(payload);
            self.deliver(index, frame, payload_at);
        }
    }

    fn deliver(&mut self, index: usize, mut frame: Vec<u8>, payload_at: usize) {
        let number = self.deliveries;
        self.deliveries += 1;
        match self.misdeed {
            Misdeed::Drop(chosen) if chosen == number => return,
            Misdeed::Alter(chosen, byte) if chosen == number => frame[payload_at + byte] ^= 0x10,
            Misdeed::Swap(chosen) if chosen == number => {
                self.held = Some((index, frame));
                return;
            }
            Misdeed::Double(chosen) if chosen == number => frame.extend_from_within(..),
            Misdeed::HangUp(chosen) if chosen == number => {
                let _ = self.subscriptions[index].socket.shutdown(Shutdown::Both);
                return;
            }
            _ => {}
        }
        // A subscriber that left while messages were on their way is no concern of this broker.
        let _ = self.subscriptions[index].socket.write_all(&frame);
        if let Some((index, frame)) = self.held.take() {
            let _ = self.subscriptions[index].socket.write_all(&frame);
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    let (mut patterns, mut tokens) = (pattern.split('.'), subject.split('.'));
    loop {
        match (patterns.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(p), Some(t)) if p == "*" || p == t => {}
            _ => return false,
        }
    }
}
