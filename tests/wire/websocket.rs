//! Goal: clients over WebSocket get what nats-server gives them: answers to the request, frames,
//! close statuses, compression, credentials in cookies. Method: frames by hand, over TCP and TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use nkeys::KeyPair;
use serde_json::json;

use super::common::{config, Broker, Raw, PATIENCE};
use super::operator::{Operator, Tenant};
use super::tls::Certificates;

const OPTIONS: &str = "websocket { listen: \"127.0.0.1:-1\", no_tls: true }";
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

fn start(more: &str) -> Broker {
    config(&format!("websocket {{ listen: \"127.0.0.1:-1\", no_tls: true, {more} }}"))
}

fn port(broker: &Broker) -> u16 {
    let line = broker.wait_log("Listening for websocket clients on ");
    line.rsplit_once(':').expect("a port").1.parse().expect("a port")
}

fn dial(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port(broker))).expect("a connection");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn request(more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1000);
    let mut stream = Compress::new(Compression::fast(), false);
    stream.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(stream.total_in(), bytes.len() as u64);
    out.truncate(out.len() - 4);
    out
}

/// A client behind its upgrade.
struct Client<S> {
    stream: S,
    /// Sizes of the data frames seen, each with whether it was compressed.
    frames: Vec<(usize, bool)>,
    text: Vec<u8>,
    packed: Option<Vec<u8>>,
}

impl<S: Read + Write> Client<S> {
    fn open(mut stream: S, more: &str) -> Self {
        stream.write_all(request(more).as_bytes()).unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        Self { stream, frames: Vec::new(), text: Vec::new(), packed: None }
    }

    fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(&frame(0x82, text.as_ref())).unwrap();
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        // The other side may have gone; what it said before is what matters.
        self.stream.write_all(bytes).ok();
    }

    /// The next frame: its first byte and its payload. `None` at the end of the connection.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let mut exact = |length: usize| {
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes).expect("the whole frame");
            bytes
        };
        let length = match head[1] {
            126 => u16::from_be_bytes(exact(2).try_into().unwrap()).into(),
            127 => u64::from_be_bytes(exact(8).try_into().unwrap()) as usize,
            short => usize::from(short),
        };
        Some((head[0], exact(length)))
    }

    /// Reads a data frame. `None` at a close frame, or the end.
    fn more(&mut self) -> Option<()> {
        let (first, payload) = self.frame()?;
        self.frames.push((payload.len(), first & 0x40 != 0));
        match first & 0x0f {
            2 if first & 0x40 != 0 => self.packed = Some(payload),
            0 => self.packed.as_mut().expect("a message to continue").extend(payload),
            2 => self.text.extend(payload),
            8 => return None,
            opcode => panic!("opcode {opcode}"),
        }
        if first & 0x80 != 0 {
            if let Some(mut packed) = self.packed.take() {
                packed.extend_from_slice(&[0, 0, 0xff, 0xff]);
                let mut out = Vec::with_capacity(1 << 20);
                let mut stream = Decompress::new(false);
                stream.decompress_vec(&packed, &mut out, FlushDecompress::Sync).unwrap();
                self.text.extend(out);
            }
        }
        Some(())
    }

    /// Reads until the carried stream has this text; returns all up to its end.
    fn until(&mut self, text: &str) -> String {
        loop {
            let found = self.text.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let rest = self.text.split_off(at + text.len());
                return String::from_utf8(std::mem::replace(&mut self.text, rest)).unwrap();
            }
            let seen = String::from_utf8_lossy(&self.text).into_owned();
            self.more().unwrap_or_else(|| panic!("the end before {text:?}, after {seen:?}"));
        }
    }

    fn connect(&mut self) {
        self.send(CONNECT);
        self.until("PONG\r\n");
    }

    /// The status and the text of the close frame, behind whatever comes before it.
    fn closed(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.frame().expect("a close frame before the end");
            if first == 0x88 {
                let (status, text) = payload.split_first_chunk::<2>().expect("a status");
                assert!(self.frame().is_none(), "the end behind the close frame");
                return (u16::from_be_bytes(*status), String::from_utf8_lossy(text).into_owned());
            }
            self.text.extend(payload);
        }
    }
}

/// The head of an HTTP answer.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn open(broker: &Broker) -> Client<TcpStream> {
    Client::open(dial(broker), "")
}

#[test]
fn info_is_the_first_frame_and_messages_pass_both_ways() {
    let broker = config(OPTIONS);
    broker.wait_log("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
    let mut client = open(&broker);
    let info = client.until("\r\n");
    assert!(info.starts_with("INFO {"), "{info}");
    let listener = format!("\"host\":\"127.0.0.1\",\"port\":{},", port(&broker));
    assert!(info.contains(&listener) && !info.contains("tls_required"), "{info}");
    client.connect();
    let mut raw = Raw::open(&broker);
    raw.send("SUB to.raw 1\r\n");
    raw.fence();
    client.send("SUB to.ws 9\r\nPUB to.raw 2\r\nhi\r\nPING\r\n");
    client.until("PONG\r\n");
    assert_eq!(raw.message().payload, b"hi");
    for size in [0, 1, 125, 126, 65_535, 65_536, 300_000, 1_048_576] {
        let payload = vec![b'x'; size];
        raw.publish("to.ws", &payload);
        client.until(&format!("MSG to.ws 9 {size}\r\n"));
        assert_eq!(client.until("\r\n").len(), size + 2);
        client.send([format!("PUB to.raw {size}\r\n").as_bytes(), &payload, b"\r\n"].concat());
        assert_eq!(raw.message().payload.len(), size);
    }
}

#[test]
fn a_burst_comes_in_one_frame() {
    let broker = config(OPTIONS);
    let mut client = open(&broker);
    client.connect();
    client.send("SUB a 1\r\nPING\r\n");
    client.until("PONG\r\n");
    client.frames.clear();
    let mut raw = Raw::open(&broker);
    raw.send("PUB a 1\r\nx\r\n".repeat(500) + "PUB a 4\r\nlast\r\n");
    client.until("last\r\n");
    assert!(client.frames.len() < 10, "{:?}", client.frames);
}

#[test]
fn frames_may_be_cut_anywhere_and_controls_stand_between_them() {
    let broker = config(OPTIONS);
    let mut client = open(&broker);
    client.connect();
    let stream = [
        frame(0x01, b"SUB a 1\r\nPU"),
        frame(0x89, b"are you there?"),
        frame(0x00, b"B a 5\r\nhe"),
        frame(0x8a, b""),
        frame(0x80, b"llo\r\n"),
        frame(0x82, b""),
    ]
    .concat();
    for byte in &stream {
        client.send_raw(&[*byte]);
    }
    assert_eq!(client.frame().unwrap(), (0x8a, b"are you there?".to_vec()));
    client.until("MSG a 1 5\r\nhello\r\n");
    client.send_raw(&frame(0x88, b"\x03\xe8bye"));
    assert_eq!(client.closed(), (1000, "bye".to_owned()));
    let mut client = open(&broker);
    client.send_raw(&frame(0x88, b""));
    client.until("\r\n");
    assert_eq!(client.frame().unwrap(), (0x88, vec![]));
    assert!(client.frame().is_none());
}

#[test]
fn who_breaks_the_rules_of_frames_is_told_and_closed() {
    let broker = config(OPTIONS);
    for (bytes, text) in [
        (b"\x82\x06PING\r\n".to_vec(), "mask bit missing"),
        (frame(0xa2, b""), "RSV2 and RSV3 must be clear"),
        (frame(0xc2, b""), "compressed frame received without negotiated permessage-deflate"),
        (frame(0x89, &[0; 126]), "control frame length bigger than maximum allowed of 125 bytes"),
        (frame(0x09, b""), "control frame does not have final bit set"),
        (frame(0x80, b""), "invalid continuation frame"),
        (frame(0x83, b""), "unknown opcode 3"),
        (frame(0x88, b"x"), "close frame payload cannot be 1 byte"),
        (
            [b"\x82\xff".to_vec(), vec![0xff; 8], vec![0; 4]].concat(),
            "invalid 64-bit payload length",
        ),
    ] {
        let mut client = open(&broker);
        client.send_raw(&bytes);
        assert_eq!(client.closed(), (1002, text.to_owned()));
        broker.wait_log(&format!("read error: {text}"));
    }
    // A length that never ends is only a stream.
    let mut client = open(&broker);
    client.send_raw(&[b"\x82\xff\x3f".to_vec(), vec![0xff; 7], vec![0; 4]].concat());
    client.send_raw(CONNECT.as_bytes());
    client.until("PONG\r\n");
}

#[test]
fn the_status_says_why_the_server_closes() {
    let broker = config(
        "max_payload: 100\nauthorization { user: a, password: b }\n\
         websocket { listen: \"127.0.0.1:-1\", no_tls: true, authorization { user: a, \
         password: b, timeout: 0.3 } }",
    );
    let login = "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\r\nPING\r\n";
    for (text, status, reason) in [
        ("CONNECT {\"user\":\"a\",\"pass\":\"x\"}\r\n", 1008, "Authentication Failure"),
        ("", 1008, "Authentication Timeout"),
        (&format!("{login}PUB a 101\r\n"), 1009, "Maximum Message Payload Exceeded"),
        (&format!("{login}FOO\r\n"), 1002, "Protocol Violation"),
    ] {
        let mut client = open(&broker);
        if !text.is_empty() {
            client.send(text);
        }
        assert_eq!(client.closed(), (status, reason.to_owned()));
    }
    let mut client = open(&broker);
    client.send(login);
    client.until("PONG\r\n");
    broker.signal("TERM");
    assert_eq!(client.closed(), (1001, "Server Shutdown".to_owned()));
}

#[test]
fn other_requests_are_refused_in_http() {
    let broker = start("same_origin: true, handshake_timeout: \"300ms\"");
    let refuse = |text: String| {
        let mut stream = dial(&broker);
        stream.write_all(text.as_bytes()).unwrap();
        let head = head(&mut stream);
        let mut body = String::new();
        stream.read_to_string(&mut body).ok();
        (head.lines().next().unwrap_or_default().to_owned(), body)
    };
    let plain = request("");
    for (text, status, body, log) in [
        (plain.replace("GET", "PUT"), "405 Method Not Allowed", "Method Not Allowed\n", "GET"),
        (plain.replace("Version: 13", "Version: 8"), "400 Bad Request", "Bad Request\n", "version"),
        (plain.replace("dGhl", "dG"), "400 Bad Request", "Bad Request\n", "websocket key"),
        (request("Origin: http://evil\r\n"), "403 Forbidden", "Forbidden\n", "not same origin"),
        (plain.replace("GET /", "GET /mqtt"), "404 Not Found", "Not Found\n", "mqtt"),
    ] {
        assert_eq!(refuse(text), (format!("HTTP/1.1 {status}"), body.to_owned()));
        let line = broker.wait_log(log);
        assert!(line.contains(" - websocket handshake error: "), "{line}");
    }
    let (status, _) = refuse(format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(9000)));
    assert_eq!(status, "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(refuse("nonsense\r\n\r\n".into()).0, "HTTP/1.1 400 Bad Request");
    // Who takes too long is closed without a word.
    let mut stream = dial(&broker);
    stream.write_all(&plain.as_bytes()[..20]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert!(Client::open(dial(&broker), "Origin: http://localhost\r\n").until("\r\n").len() > 10);
    // A request in pieces is one all the same.
    let mut stream = dial(&broker);
    for piece in plain.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
}

#[test]
fn connections_that_never_ask_are_no_clients() {
    let broker = config(
        "max_connections: 3\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: true, \
         handshake_timeout: \"400ms\" }",
    );
    // One is a client; two fill the server, and go.
    let mut raw = Raw::open(&broker);
    let mut silent: Vec<_> = (0..2).map(|_| dial(&broker)).collect();
    let mut refused = open(&broker);
    refused.until("-ERR 'maximum connections exceeded'\r\n");
    assert_eq!(refused.closed(), (1008, "Maximum Connections Exceeded".to_owned()));
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    raw.fence();
    let started = Instant::now();
    loop {
        let mut client = open(&broker);
        client.send("PING\r\n");
        client.more().unwrap();
        if !String::from_utf8_lossy(&client.text).contains("-ERR") {
            client.until("PONG\r\n");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "there is room again");
    }
}

#[test]
fn messages_are_compressed_if_both_sides_want_it() {
    let broker = start("compression: true");
    let mut stream = dial(&broker);
    stream.write_all(request(OFFER).as_bytes()).unwrap();
    assert!(head(&mut stream).contains(
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    ));
    let mut client = Client::open(dial(&broker), OFFER);
    client.until("\r\n");
    assert!(client.frames[0].1, "INFO is long enough");
    client.send_raw(&frame(0xc2, &deflated(CONNECT.as_bytes())));
    client.until("PONG\r\n");
    assert_eq!(client.frames.last(), Some(&(6, false)), "PONG is not");
    let mut other = open(&broker);
    other.connect();
    other.send("SUB a 7\r\nPING\r\n");
    other.until("PONG\r\n");
    let packed = deflated(&b"PUB a 5\r\nhello\r\n".repeat(1000));
    for (at, piece) in packed.chunks(packed.len() / 3 + 1).enumerate() {
        let first = [0x42, 0x00, 0x80][at];
        client.send_raw(&frame(first, piece));
        client.send_raw(&frame(0x8a, b"between"));
    }
    for _ in 0..1000 {
        other.until("MSG a 7 5\r\nhello\r\n");
    }
    assert!(other.frames.iter().all(|(_, packed)| !packed));
    client.send("SUB b 1\r\nPING\r\n");
    client.until("PONG\r\n");
    let payload = "abc ".repeat(50_000);
    other.send(format!("PUB b {}\r\n{payload}\r\n", payload.len()));
    client.until(&payload);
    let (size, packed) = *client.frames.last().unwrap();
    assert!(packed && size < payload.len() / 10, "{size}");
}

#[test]
fn a_bomb_is_not_inflated() {
    let broker = config(
        "max_payload: 100000\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: true, compression: \
         true }",
    );
    let mut raw = Raw::open(&broker);
    let bomb = deflated(&b"+OK\r\n".repeat(1_000_000));
    for connected in [false, true] {
        let mut client = Client::open(dial(&broker), OFFER);
        if connected {
            client.connect();
        }
        client.send_raw(&frame(0xc2, &bomb));
        while client.more().is_some() {}
        broker.wait_log("read error: maximum payload exceeded");
    }
    for bad in [&b"\xff\xff\xff"[..], b"\x06\x00"] {
        let mut client = Client::open(dial(&broker), OFFER);
        client.send_raw(&frame(0xc2, bad));
        client.until("\r\n");
        assert_eq!(client.closed().0, 1002);
    }
    raw.fence();
}

#[test]
fn much_that_is_compressed_well_takes_its_turns() {
    let broker = start("compression: true");
    let mut client = Client::open(dial(&broker), OFFER);
    client.connect();
    // Sixteen messages of four megabytes each, in less than 64 KiB per message.
    let packed = frame(0xc2, &deflated(&b"+OK\r\n".repeat(800_000)));
    let all = packed.repeat(16);
    let mut sender = client.stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        sender.write_all(&all).unwrap();
        sender.write_all(&frame(0x82, b"PING\r\n")).unwrap();
        sender.write_all(&frame(0x88, b"\x03\xe8")).unwrap();
    });
    let mut raw = Raw::open(&broker);
    raw.fence();
    client.until("PONG\r\n");
    assert_eq!(client.closed().0, 1000);
    thread.join().unwrap();
}

// Goal: what a peer sent before it closed its side is obeyed, and the connection ends. Method: it
// is so much once it is inflated that it waits for further turns, and the end comes meanwhile.
#[test]
fn the_end_of_a_peer_waits_for_what_was_sent_before() {
    let broker = start("compression: true");
    let mut raw = Raw::open(&broker);
    raw.send("SUB last 1\r\n");
    raw.fence();
    let mut client = Client::open(dial(&broker), OFFER);
    client.connect();
    let much = frame(0xc2, &deflated(&b"+OK\r\n".repeat(800_000))).repeat(4);
    client.stream.write_all(&[much, frame(0x82, b"PUB last 2\r\nhi\r\n")].concat()).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(raw.message().payload, b"hi");
    while client.frame().is_some() {}
}

#[test]
fn a_browser_gets_small_frames() {
    let broker = start("compression: true");
    for (agent, offer, whole) in [
        ("Mozilla/5.0 (X11) Chrome/130.0 Safari/537.36", OFFER, false),
        ("Mozilla/5.0 (X11) Chrome/130.0 Safari/537.36", "", false),
        ("Mozilla/5.0 (Macintosh) Version/17.0 Safari/605.1.15", OFFER, true),
        ("nats.rs", "", true),
    ] {
        let more = format!("User-Agent: {agent}\r\n{offer}");
        let mut client = Client::open(dial(&broker), &more);
        client.connect();
        client.send("SUB a 1\r\nPING\r\n");
        client.until("PONG\r\n");
        client.frames.clear();
        let mut random = super::common::Random::new(7);
        let payload: String =
            random.bytes(50_000).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        Raw::open(&broker).publish("a", &payload);
        client.until(&payload);
        let largest = client.frames.iter().map(|(size, _)| *size).max().unwrap();
        assert_eq!(largest > 4096, whole, "{agent}: {:?}", client.frames);
    }
}

#[test]
fn cookies_are_credentials_and_connect_counts_more() {
    let broker = config(
        "authorization { users: [ { user: tcp, password: p, allowed_connection_types: [STANDARD] \
         }, { user: ws, password: p, allowed_connection_types: [WEBSOCKET] }, { user: both, \
         password: q } ] }\nhttp: \"127.0.0.1:-1\"\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: \
         true, user_cookie: u, pass_cookie: p, no_auth_user: both }",
    );
    let login = |cookie: &str, connect: &str| {
        let more = format!("Cookie: {cookie}\r\nX-Forwarded-For: 10.9.8.7\r\n");
        let mut client = Client::open(dial(&broker), &more);
        assert!(client.until("\r\n").contains("\"auth_required\":true"));
        client.send(format!("CONNECT {{\"verbose\":true{connect}}}\r\n"));
        (client.until("\r\n"), client)
    };
    let refused = "-ERR 'Authorization Violation'\r\n";
    assert_eq!(login("u=ws; p=p", "").0, "+OK\r\n");
    assert_eq!(login("u=ws; p=wrong", "").0, refused);
    broker.wait_log("10.9.8.7/127.0.0.1:");
    assert_eq!(login("u=tcp; p=p", "").0, refused);
    assert_eq!(login("u=ws; p=p", ",\"user\":\"both\",\"pass\":\"q\"").0, "+OK\r\n");
    assert_eq!(login("a=b", "").0, "+OK\r\n");
    let (answer, _client) = login("a=b", ",\"user\":\"ws\",\"pass\":\"p\"");
    assert_eq!(answer, "+OK\r\n");
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false,\"user\":\"ws\",\"pass\":\"p\"}\r\n");
    raw.expect_fatal("Authorization Violation");
    let connz = monitor(&broker, "/connz?auth=1");
    let entry = &connz["connections"].as_array().unwrap()[0];
    assert_eq!(
        (entry["type"].as_str(), entry["kind"].as_str()),
        (Some("websocket"), Some("Client"))
    );
    assert_eq!(
        (entry["authorized_user"].as_str(), &entry["ip"]),
        (Some("ws"), &"127.0.0.1".into())
    );
    let varz = monitor(&broker, "/varz");
    let port = port(&broker);
    let shown = serde_json::json!({
        "host": "127.0.0.1", "port": port, "no_auth_user": "both", "no_tls": true
    });
    assert_eq!(varz["websocket"], shown);
}

fn monitor(broker: &Broker, path: &str) -> serde_json::Value {
    let line = broker.wait_log("Starting http monitor on ");
    let address = line.rsplit_once(' ').unwrap().1.to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    head(&mut stream);
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_port_may_have_a_secret_of_its_own() {
    let broker = start("authorization { token: s3cret }, token_cookie: t");
    let mut raw = Raw::open(&broker);
    let mut client = open(&broker);
    assert!(client.until("\r\n").contains("\"auth_required\":true"));
    client.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
    client.until("-ERR 'Authorization Violation'\r\n");
    let mut client = Client::open(dial(&broker), "Cookie: t=s3cret\r\n");
    client.connect();
    let mut client = open(&broker);
    client.send("CONNECT {\"verbose\":false,\"auth_token\":\"s3cret\"}\r\nPING\r\n");
    client.until("PONG\r\n");
    raw.fence();
    assert!(!broker.log().contains("s3cret"));
}

#[test]
fn a_token_in_a_cookie_says_who_it_is() {
    let (operator, tenant, user) = (Operator::new(), Tenant::new("acme"), KeyPair::new_user());
    let port = "websocket { listen: \"127.0.0.1:-1\", no_tls: true, jwt_cookie: who }\n";
    let broker = config(&(operator.config(&[&tenant]) + port));
    for (ways, admitted) in [(json!(["WEBSOCKET"]), true), (json!(["STANDARD"]), false)] {
        let rules = json!({ "bearer_token": true, "allowed_connection_types": ways });
        let cookie = format!("Cookie: a=b; who={}\r\n", tenant.user(&user, &rules));
        let mut client = Client::open(dial(&broker), &cookie);
        client.until("\r\n");
        client.send("CONNECT {\"verbose\":true}\r\n");
        let answer = if admitted { "+OK\r\n" } else { "-ERR 'Authorization Violation'\r\n" };
        assert_eq!(client.until("\r\n"), answer);
    }
}

#[test]
fn pings_have_an_interval_of_their_own_and_the_silent_are_stale() {
    let broker = start("ping_interval: \"100ms\"");
    let mut client = open(&broker);
    client.connect();
    client.until("PING\r\n");
    client.until("-ERR 'Stale Connection'\r\n");
    assert_eq!(client.closed(), (1001, "Stale Connection".to_owned()));
}

#[test]
fn tls_lies_below() {
    let certificates = Certificates::new();
    let (cert, key) = (certificates.path("server.pem"), certificates.path("server-key.pem"));
    let text = format!(
        "websocket {{ listen: \"127.0.0.1:-1\", compression: true, headers {{ X-A: b }}, tls {{ \
         cert_file: '{cert}', key_file: '{key}' }} }}"
    );
    let broker = config(&text);
    assert!(broker.wait_log("Listening for websocket").contains(" wss://127.0.0.1:"));
    let mut client = Client::open(certificates.session(dial(&broker), false), OFFER);
    let info = client.until("\r\n");
    assert!(info.contains("\"tls_required\":true"), "{info}");
    client.connect();
    let mut raw = Raw::open(&broker);
    assert!(raw.info().get("tls_required").is_none());
    client.send("SUB a 1\r\nPING\r\n");
    client.until("PONG\r\n");
    let payload = "0123456789".repeat(30_000);
    raw.publish("a", &payload);
    client.until(&payload);
    // Certificates may change, and nothing else.
    let others = Certificates::new();
    for name in ["server.pem", "server-key.pem"] {
        std::fs::copy(others.path(name), certificates.path(name)).unwrap();
    }
    broker.signal("HUP");
    broker.wait_log("Reloaded server configuration");
    Client::open(others.session(dial(&broker), false), "").connect();
    broker.rewrite_config(&text.replace("compression: true", "compression: false"));
    broker.signal("HUP");
    broker.wait_log("config reload not supported for Websocket: old=");
    client.send_raw(&frame(0x88, b"\x03\xe8"));
    assert_eq!(client.closed().0, 1000);
    // A client that speaks in clear is not understood.
    let mut stream = dial(&broker);
    stream.write_all(request("").as_bytes()).unwrap();
    assert!(!head(&mut stream).contains("101"));
}

#[test]
fn a_port_without_tls_must_be_asked_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        let mut broker = Broker::spawn(&["-c", file.path().to_str().unwrap()]);
        let status = broker.wait_exit(PATIENCE);
        assert_eq!(status.code(), Some(1));
        broker.log()
    };
    for (text, error) in [
        ("websocket { port: -1 }", "nats-server: websocket requires TLS configuration"),
        (
            "websocket { port: -1, no_tls: true, jwt_cookie: j }",
            "nats-server: trusted operators or trusted keys configuration is required for JWT \
             authentication via cookie \"j\"",
        ),
        (
            "authorization { users: [{ user: a }] }\nwebsocket { port: -1, no_tls: true, \
             authorization { user: b } }",
            "nats-server: websocket authentication username not compatible with presence of \
             users/nkeys",
        ),
    ] {
        assert_eq!(refused(text), error);
    }
}

#[test]
fn lame_duck_mode_closes_the_port_and_tells() {
    let broker = config(
        "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10s\"\nwebsocket { listen: \
         \"127.0.0.1:-1\", no_tls: true }",
    );
    let mut client = open(&broker);
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    client.until("PONG\r\nINFO ");
    client.until("\r\n");
    broker.signal("USR2");
    client.until("\"ldm\":true");
    let port = port(&broker);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(started.elapsed() < PATIENCE, "refused in the end");
    }
    broker.signal("INT");
    assert_eq!(client.closed(), (1001, "Server Shutdown".to_owned()));
}

#[test]
fn pings_of_the_peer_do_not_pile_up() {
    let broker = config(OPTIONS);
    let mut client = open(&broker);
    client.connect();
    // More answers than sockets hold, and nobody reads them.
    let pings = frame(0x89, &[b'p'; 125]).repeat(2_000);
    client.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    for _ in 0..40 {
        client.stream.write_all(&pings).expect("the server goes on reading");
    }
    Raw::open(&broker).fence();
}
