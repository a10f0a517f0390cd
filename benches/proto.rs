//! The protocol module alone, on one core: parsing by operation and size, writing frames.
//!
//! `cargo bench --bench proto`. Each parser figure is the time of one operation out of a 64 KiB
//! buffer full of it, which is what one receive gives a shard; throughput counts operations.
#![allow(missing_docs, reason = "the macros of the harness generate undocumented functions")]

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use midge::proto::{
    parse, write_message, write_no_responders, Command, ConnectOptions, HeaderBlock, InfoTemplate,
    Message, Parsed, ParserLimits, PerClient, ServerInfo,
};

const LIMITS: ParserLimits =
    ParserLimits { control_line_bytes_max: 4096, payload_bytes_max: 1 << 20, headers: true };
const BUFFER_LEN: usize = 64 << 10;
const INBOX: &str = "_INBOX.abcdefghijklmnopqrstuv.12345678";

/// Parses all of `buffer`, returns the operations and a sum that needs every publish's parts.
fn parse_all(buffer: &[u8]) -> (u64, usize) {
    let (mut operations, mut sum) = (0, 0);
    let mut rest = buffer;
    // By reference: a `Publish` moved out of the result costs as much again as parsing it.
    while let Ok(Parsed::Command { command, consumed }) = &parse(rest, &LIMITS) {
        if let Command::Publish(publish) = command {
            sum += black_box(publish).payload.len();
        } else {
            black_box(command);
        }
        rest = &rest[*consumed..];
        operations += 1;
    }
    (operations, sum)
}

fn filled_with(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut buffer = Vec::new();
    for frame in frames.iter().cycle() {
        buffer.extend_from_slice(frame);
        if buffer.len() >= BUFFER_LEN {
            break;
        }
    }
    buffer
}

fn publish(subject: &str, reply: &str, size: usize) -> Vec<u8> {
    let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
    format!("PUB {subject} {reply}{size}\r\n{}\r\n", "x".repeat(size)).into_bytes()
}

fn publish_with_headers(subject: &str, size: usize) -> Vec<u8> {
    let headers = "NATS/1.0\r\nNats-Msg-Id: 12345\r\n\r\n";
    let (header, total) = (headers.len(), headers.len() + size);
    format!("HPUB {subject} {header} {total}\r\n{headers}{}\r\n", "x".repeat(size)).into_bytes()
}

/// Publishes of 0 to 299 bytes to subjects of 1 to 14 bytes, a quarter with a reply.
fn mixed() -> Vec<Vec<u8>> {
    let mut state = 12_345_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    (0..997)
        .map(|_| {
            let subject = &"abcdefghijklmnop"[..=usize::try_from(draw(14)).unwrap_or(0)];
            let reply = if draw(4) == 0 { "_INBOX.abc" } else { "" };
            publish(subject, reply, usize::try_from(draw(300)).unwrap_or(0))
        })
        .collect()
}

fn parser(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let mut run = |name: &str, frames: &[Vec<u8>]| {
        let buffer = filled_with(frames);
        let (operations, _) = parse_all(&buffer);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(name, |bencher| bencher.iter(|| parse_all(black_box(&buffer))));
    };
    for (name, size) in [("16", 16), ("128", 128), ("1K", 1 << 10), ("16K", 16 << 10)] {
        run(&format!("pub/{name}"), &[publish("bench.sub", "", size)]);
        run(&format!("hpub/{name}"), &[publish_with_headers("bench.sub", size)]);
    }
    run("pub_reply/16", &[publish("bench.sub", "reply.to.me", 16)]);
    run("pub_inbox/16", &[publish("bench.sub", INBOX, 16)]);
    run("pub_long_subject/16", &[publish(&"orders.eu.central.1234.".repeat(4), "", 16)]);
    run("pub_mixed", &mixed());
    run("pub_lower_case/16", &[publish("bench.sub", "", 16).to_ascii_lowercase()]);
    run("sub", &[b"SUB bench.sub queue 1\r\n".to_vec()]);
    run("unsub", &[b"UNSUB 1 10\r\n".to_vec()]);
    run("ping", &[b"PING\r\n".to_vec()]);
    group.finish();
}

fn writer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::with_capacity(BUFFER_LEN);
    for (name, size) in [("16", 16), ("128", 128), ("1K", 1 << 10), ("16K", 16 << 10)] {
        let payload = vec![b'x'; size];
        let message =
            Message { subject: b"bench.sub", reply: b"", header_len: None, payload: &payload };
        group.bench_function(format!("msg/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_message(&mut out, b"1", black_box(&message));
                out.len()
            });
        });
        let frame = publish("bench.sub", "", size);
        group.bench_function(format!("tail/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(b"MSG bench.sub 1 "));
                out.extend_from_slice(black_box(&frame[14..]));
                out.len()
            });
        });
    }
    group.bench_function("no_responders", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_no_responders(&mut out, INBOX.as_bytes(), b"1", black_box(b"bench.sub"));
            out.len()
        });
    });
    let template = InfoTemplate::new(&ServerInfo {
        server_id: "N".repeat(56),
        xkey: "X".repeat(56),
        ..ServerInfo::default()
    });
    let client = PerClient { client_id: 87, client_ip: "127.0.0.1", ..PerClient::default() };
    group.bench_function("info", |bencher| {
        bencher.iter(|| {
            out.clear();
            template.write(&mut out, black_box(&client));
            out.len()
        });
    });
    group.finish();
}

fn decoders(criterion: &mut Criterion) {
    let connect = br#"{"verbose":false,"pedantic":false,"tls_required":false,"name":"n",
        "lang":"go","version":"1.31.0","protocol":1,"headers":true,"no_responders":true}"#;
    criterion.bench_function("connect", |bencher| {
        bencher.iter(|| ConnectOptions::parse(black_box(connect)).is_ok());
    });
    let block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\nNats-Msg-Id: 12345\r\n\r\n";
    criterion.bench_function("header_lookup", |bencher| {
        bencher.iter(|| HeaderBlock::new(black_box(block)).get(b"Nats-Msg-Id").is_some());
    });
}

criterion_group!(benches, parser, writer, decoders);
criterion_main!(benches);
