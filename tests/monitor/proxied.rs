//! Goal: behind a proxy clients are shown by their own address, and a header
//! that is none costs the connection.

use crate::common::Raw;
use crate::http::Monitored;

fn start() -> Monitored {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "proxy_protocol: true\ndebug: true\n").unwrap();
    let monitored = Monitored::start(&["-c", config.path().to_str().unwrap()]);
    monitored.broker.wait_log("PROXY protocol enabled for client connections");
    monitored
}

#[test]
fn the_address_behind_the_proxy_is_shown() {
    let monitored = start();
    let connect = b"CONNECT {\"verbose\":false}\r\nPING\r\n";
    let binary =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x09\x02\x03\x04\x05\x06\x07\x08\x04\x57\x10\x7e";
    for (header, ip) in [
        (&b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 4222\r\n"[..], "1.2.3.4"),
        (b"PROXY TCP6 2001:db8::7 ::1 1111 4222\r\n", "2001:db8::7"),
        (binary, "9.2.3.4"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"", "127.0.0.1"),
    ] {
        let mut client = Raw::connect(&monitored.broker);
        assert!(client.info().get("client_ip").is_none());
        client.send([header, connect].concat());
        client.expect_line("PONG");
        let page = monitored.json("/connz?sort=cid");
        let entry = page["connections"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(entry["ip"], ip);
        if ip != "127.0.0.1" {
            assert_eq!(entry["port"], 1111);
        }
    }
}

#[test]
fn a_header_in_pieces_is_put_together() {
    let monitored = start();
    let mut client = Raw::connect(&monitored.broker);
    for piece in [
        "PRO",
        "XY TCP4 1.2.3.4 5.6.7.8 11",
        "11 4222\r",
        "\nCONNECT {\"verbose\":",
        "false}\r\nPING\r\n",
    ] {
        client.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    client.expect_line("PONG");
    assert_eq!(monitored.json("/connz")["connections"][0]["ip"], "1.2.3.4");
}

#[test]
fn a_header_that_is_none_costs_the_connection() {
    let monitored = start();
    for (header, text) in [
        (
            &b"PROXY TCP4 1.2.3.x 5.6.7.8 1 2\r\n"[..],
            "invalid PROXY protocol header: invalid address",
        ),
        (b"\r\n\r\n\0\rXXXXXXX", "invalid PROXY protocol header: invalid signature"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\0", "unsupported PROXY protocol feature: only STREAM"),
    ] {
        let mut client = Raw::connect(&monitored.broker);
        client.send(header);
        client.rest();
        let line = monitored.broker.wait_log(text);
        assert!(
            line.contains("[WRN] Error reading PROXY protocol header from 127.0.0.1:"),
            "{line}"
        );
    }
    let mut client = Raw::open(&monitored.broker);
    client.fence();
}
