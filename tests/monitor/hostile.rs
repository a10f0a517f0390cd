//! Goal: nobody takes monitoring down from outside, and nobody who does his
//! worst there disturbs clients.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::common::{Random, Raw};
use crate::http::{Answer, Monitored};

#[test]
fn what_is_no_request_is_refused() {
    let monitored = Monitored::start(&[]);
    for (request, status) in [
        ("garbage\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ] {
        let answer = Answer::parse(&monitored.raw(request.as_bytes()));
        assert_eq!(answer.status, status, "{request}");
    }
    let old = Answer::parse(&monitored.raw(b"GET /healthz HTTP/1.0\r\n\r\n"));
    assert!(old.head.starts_with("HTTP/1.0 200 OK"), "{old:?}");
}

#[test]
fn an_endless_head_is_cut_off() {
    let monitored = Monitored::start(&[]);
    let mut request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    request.resize(2_000_000, b'a');
    let text = monitored.raw(&request);
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    assert_eq!(monitored.get("/healthz").status, 200);
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let monitored = Monitored::start(&[]);
    let mut stream = monitored.dial();
    let mut requests = String::new();
    for _ in 0..100 {
        requests += "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        requests += "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    requests += "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<&str> = text.lines().filter(|line| line.contains("HTTP/1.1 ")).collect();
    assert_eq!(statuses.len(), 201);
    assert!(statuses[0].ends_with("200 OK") && statuses[1].ends_with("404 Not Found"));
}

#[test]
fn noise_is_survived() {
    let monitored = Monitored::start(&[]);
    let mut random = Random::new(7);
    for round in 0..200 {
        let mut stream = monitored.dial();
        let length = random.below(3000);
        let mut bytes = random.bytes(length);
        if round % 2 == 0 {
            bytes.splice(0..0, *b"GET /connz?");
            bytes.extend_from_slice(b" HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        // It may have been refused by now.
        let _sent = stream.write_all(&bytes);
    }
    assert_eq!(monitored.get("/healthz").status, 200);
}

/// Half-open connections, more than there is room for: they make room for
/// whoever asks properly, and clients do not notice.
#[test]
fn half_open_connections_keep_nobody_out() {
    let monitored = Monitored::start(&[]);
    let mut idle = Vec::new();
    for number in 0..1100 {
        let mut stream = monitored.dial();
        if number % 2 == 0 {
            stream.write_all(b"GET /varz HTTP/1.1\r\nHost:").unwrap();
        }
        idle.push(stream);
    }
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(monitored.get("/healthz").status, 200);
    }
    let mut client = Raw::open(&monitored.broker);
    client.fence();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    if monitored.is_midge() {
        // The first of them had to go.
        let mut first = &idle[0];
        let mut byte = [0];
        assert!(matches!(first.read(&mut byte), Ok(0) | Err(_)));
    }
}

/// A head that comes drop by drop is not waited for without end.
#[test]
fn a_trickle_ends_at_its_deadline() {
    let monitored = Monitored::start(&[]);
    if !monitored.is_midge() {
        return;
    }
    let mut stream = monitored.dial();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let started = Instant::now();
    let request = b"GET /varz HTTP/1.1\r\nHost: a\r\nX: ";
    let mut drops = request.iter().chain(std::iter::repeat(&b'x'));
    loop {
        let sent = stream.write_all(&[*drops.next().unwrap()]);
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to half a request"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && sent.is_ok() => {}
            Err(_) => break,
        }
        assert!(started.elapsed() < Duration::from_secs(20), "still open");
    }
    assert!(started.elapsed() > Duration::from_secs(8), "{:?}", started.elapsed());
}

/// A page that nobody reads costs its reader the connection, not the monitor
/// its memory: other requests are answered meanwhile.
#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    let monitored = Monitored::start(&[]);
    let mut client = Raw::open(&monitored.broker);
    let subject = "x".repeat(200);
    for number in 0..5000 {
        client.send(format!("SUB {subject}.{number} {number}\r\n"));
    }
    client.fence();
    let mut lazy = Vec::new();
    for _ in 0..20 {
        let mut stream = monitored.dial();
        stream.write_all(b"GET /connz?subs=detail HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        lazy.push(stream);
    }
    assert_eq!(monitored.get("/healthz").status, 200);
    let page = monitored.json("/connz?subs=1");
    assert_eq!(page["connections"][0]["subscriptions"], 5000);
}
