//! Goal: bytes become commands by the same rules, down to blanks and case.
//! Method: each rule on a connection of its own, the answer compared exactly.

use crate::common::{Broker, Raw};

const UNKNOWN: &str = "Unknown Protocol Operation";

/// The default `max_control_line`.
const LIMIT: usize = 4096;

/// An argument list for `op` of exactly `len` bytes that is legal otherwise.
fn arguments(op: &str, len: usize) -> String {
    let pad = |prefix: &str, suffix: &str| {
        let fill = len - prefix.len() - suffix.len();
        format!("{prefix}{}{suffix}", "x".repeat(fill))
    };
    match op {
        "SUB" => pad("", " 1"),
        "UNSUB" => pad("", ""),
        "PUB" => pad("", " 0"),
        "HPUB" => pad("", " 0 0"),
        "CONNECT" => pad(r#"{"verbose":false,"headers":true,"name":""#, "\"}"),
        "INFO" => pad(r#"{"server_name":""#, "\"}"),
        _ => unreachable!("no arguments known for {op}"),
    }
}

/// What follows the control line so that the op is complete.
fn body(op: &str) -> &'static str {
    match op {
        "PUB" | "HPUB" => "\r\n",
        _ => "",
    }
}

#[test]
fn op_names_are_case_insensitive() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("cOnNeCt {\"verbose\":false,\"headers\":true}\r\npInG\r\n");
    raw.expect_exact("PONG\r\n");
    raw.send("sUb a 1\r\nPub a 2\r\nhi\r\n");
    raw.expect_exact("MSG a 1 2\r\nhi\r\n");
    raw.send("hPuB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    raw.expect_exact("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    raw.send("unSUB 1\r\npub a 0\r\n\r\npoNG\r\n+oK\r\niNfO {}\r\nping\r\n");
    raw.expect_exact("PONG\r\n");
}

#[test]
fn a_bare_newline_ends_a_control_line() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT {\"verbose\":false}\nSUB a 1\nPUB a 2\nhi\r\nPING\nUNSUB 1\nPING\n");
    raw.expect_exact("MSG a 1 2\r\nhi\r\nPONG\r\nPONG\r\n");
}

#[test]
fn blanks_and_tabs_separate_arguments_and_may_trail() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT \t {\"verbose\":false,\"headers\":true} \t\r\n");
    raw.fence();
    raw.send("SUB\ta \t q\t 1 \t \r\nPUB \t a\t\tr \t2\t \r\nhi\r\n");
    raw.expect_exact("MSG a 1 r 2\r\nhi\r\n");
    raw.send("HPUB  a\t12  12 \r\nNATS/1.0\r\n\r\n\r\n");
    raw.expect_exact("HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    raw.send("UNSUB \t 1\t \t5 \r\nUNSUB\t 1 \r\nPUB a 0\r\n\r\n");
    raw.fence();
}

#[test]
fn an_op_must_start_in_the_first_column() {
    let broker = Broker::start(&[]);
    for bytes in [" PING\r\n", "\tPING\r\n", "\r\n", "\n", " SUB a 1\r\n", "\0PING\r\n"] {
        let mut raw = Raw::open(&broker);
        raw.send(bytes);
        raw.expect_fatal(UNKNOWN);
    }
}

#[test]
fn ping_pong_and_ok_ignore_the_rest_of_the_line() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for line in ["PINGxyz\r\n", "PING and more\n", "ping\t\r\n", "PING\r\r\n", "PING \u{1}\r\n"] {
        raw.send(line);
        raw.expect_exact("PONG\r\n");
    }
    raw.send("PONGxyz\r\nPONG \n+OKxyz\r\n+ok and more\r\n");
    raw.fence();
}

#[test]
fn a_payload_ends_with_crlf_and_nothing_else() {
    let broker = Broker::start(&[]);
    for bytes in [
        "PUB a 2\r\nhi\n\n",
        "PUB a 2\r\nhix\n",
        "PUB a 2\r\nhi\rx",
        "PUB a 2\r\nhixx",
        "PUB a 2\r\nhi\nPING\r\n",
        "PUB a 0\r\nPING\r\n",
        "PUB a 1\r\nhi\r\n",
        "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\n\n",
    ] {
        let mut other = Raw::open(&broker);
        other.send("SUB a 1\r\n");
        other.fence();
        let mut raw = Raw::open_headers(&broker);
        raw.send_doomed(bytes);
        raw.expect_fatal(UNKNOWN);
        other.fence();
    }
}

#[test]
fn an_argument_list_may_have_4096_bytes() {
    let broker = Broker::start(&[]);
    for op in ["SUB", "UNSUB", "PUB", "HPUB", "CONNECT", "INFO"] {
        for end in ["\r\n", "\n"] {
            let mut raw = Raw::open_headers(&broker);
            raw.send(format!("{op} {}{end}{}", arguments(op, LIMIT), body(op)));
            raw.fence();
        }
    }
}

#[test]
fn an_argument_list_of_4097_bytes_closes() {
    let broker = Broker::start(&[]);
    for op in ["SUB", "UNSUB", "PUB", "HPUB", "CONNECT", "INFO"] {
        let mut raw = Raw::open_headers(&broker);
        raw.send_doomed(format!("{op} {}\r\n{}", arguments(op, LIMIT + 1), body(op)));
        raw.expect_fatal("maximum control line exceeded");
    }
}

#[test]
fn an_unfinished_line_of_4097_bytes_closes() {
    let broker = Broker::start(&[]);
    for op in ["SUB", "UNSUB", "PUB", "HPUB", "CONNECT", "INFO"] {
        let mut raw = Raw::open_headers(&broker);
        raw.send_doomed(format!("{op} {}", arguments(op, LIMIT + 1)));
        raw.expect_fatal("maximum control line exceeded");
    }
}

#[test]
fn an_unfinished_line_of_4096_bytes_waits_for_its_end() {
    let broker = Broker::start(&[]);
    for op in ["SUB", "UNSUB", "PUB", "HPUB", "CONNECT", "INFO"] {
        let mut raw = Raw::open_headers(&broker);
        let arguments = arguments(op, LIMIT);
        let (first, second) = arguments.split_at(LIMIT / 2);
        raw.send(format!("{op} {first}"));
        raw.send(second);
        raw.send("\r");
        raw.send("\n");
        raw.send(body(op));
        raw.fence();
    }
}

#[test]
fn separators_and_the_op_do_not_count_towards_the_line_limit() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send(format!("SUB {} {}\r\n", " ".repeat(100), arguments("SUB", LIMIT)));
    raw.fence();
}

#[test]
fn a_size_is_echoed_as_it_was_written() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open_headers(&broker);
    raw.send("SUB a 1\r\nPUB a 002\r\nhi\r\n");
    raw.expect_exact("MSG a 1 002\r\nhi\r\n");
    raw.send("PUB a r 000000002\r\nhi\r\n");
    raw.expect_exact("MSG a 1 r 000000002\r\nhi\r\n");
    raw.send("PUB a 00\r\n\r\n");
    raw.expect_exact("MSG a 1 00\r\n\r\n");
    raw.send("HPUB a 0012 014\r\nNATS/1.0\r\n\r\nhi\r\n");
    raw.expect_exact("HMSG a 1 0012 014\r\nNATS/1.0\r\n\r\nhi\r\n");
}

#[test]
fn a_size_that_is_no_number_of_at_most_nine_digits_closes_in_silence() {
    let broker = Broker::start(&[]);
    for line in [
        "PUB a 0000000002",
        "PUB a 1234567890",
        "PUB a 99999999999999999999999",
        "PUB a -1",
        "PUB a +2",
        "PUB a 2x",
        "PUB a x",
        "PUB a 2.0",
        "PUB a r x",
        "HPUB a 12 x",
        "HPUB a x 12",
        "HPUB a -1 12",
        "HPUB a 12 0000000014",
        "HPUB a 0000000012 14",
    ] {
        let mut raw = Raw::open_headers(&broker);
        raw.send(format!("{line}\r\n"));
        raw.expect_eof();
    }
}

#[test]
fn a_wrong_number_of_arguments_closes_in_silence() {
    let broker = Broker::start(&[]);
    for line in [
        "PUB a",
        "PUB a b c 1",
        "PUB ",
        "HPUB a 12",
        "HPUB a",
        "HPUB a b c 12 12",
        "SUB a",
        "SUB a b c d",
        "UNSUB 1 2 3",
    ] {
        let mut raw = Raw::open_headers(&broker);
        raw.send(format!("{line}\r\n"));
        raw.expect_eof();
    }
}

#[test]
fn ops_that_are_not_for_clients_close() {
    let broker = Broker::start(&[]);
    for line in [
        "MSG a 1 2\r\nhi\r\n",
        "HMSG a 1 12 14\r\n",
        "RS+ $G a\r\n",
        "RMSG $G a 2\r\n",
        "LS+ a\r\n",
        "LMSG a 2\r\n",
        "A+ $G\r\n",
        "A- $G\r\n",
        "FOO\r\n",
        "P\r\n",
        "PIN\r\n",
        "PUBX a 1\r\n",
        "SUBa 1\r\n",
        "UNSUBx 1\r\n",
        "-OK\r\n",
        "+ERR\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
    ] {
        let mut raw = Raw::open_headers(&broker);
        raw.send_doomed(line);
        raw.expect_fatal(UNKNOWN);
    }
}

#[test]
fn an_op_that_cannot_go_on_is_refused_before_its_line_ends() {
    let broker = Broker::start(&[]);
    for bytes in ["PX", "SUX", "UNSUX", "CONX", "X", "GET", "HPUX", "PINX"] {
        let mut raw = Raw::open(&broker);
        raw.send(bytes);
        raw.expect_fatal(UNKNOWN);
    }
}

#[test]
fn connect_and_info_need_no_blank_before_their_json() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    raw.send("CONNECT{\"verbose\":false}\r\nINFO{}\r\n");
    raw.fence();
    raw.send("CONNECTED {}\r\n");
    raw.expect_eof();
}

#[test]
fn info_ok_and_pong_from_a_client_are_ignored() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("INFO {}\r\nINFO {\"max_payload\":1,\"x\":[1]}\r\n+OK\r\nPONG\r\nPONG\r\n");
    raw.fence();
}

#[test]
fn info_with_bad_json_from_a_client_closes_in_silence() {
    let broker = Broker::start(&[]);
    for line in ["INFO {", "INFO x", "INFO {\"port\":\"x\"}"] {
        let mut raw = Raw::open(&broker);
        raw.send(format!("{line}\r\n"));
        raw.expect_eof();
    }
}

#[test]
fn err_from_a_client_closes_in_silence() {
    let broker = Broker::start(&[]);
    for line in ["-ERR 'oops'\r\n", "-err x\r\n"] {
        let mut raw = Raw::open(&broker);
        raw.send(line);
        raw.expect_eof();
    }
}

#[test]
fn any_split_of_the_bytes_means_the_same() {
    let broker = Broker::start(&[]);
    let script = "CONNECT {\"verbose\":false,\"headers\":true}\r\n\
        SUB a q 7\r\nSUB  b.*   9 \nPUB a 2\r\nhi\r\nPUB b.c  re.ply\t 5\r\n\r\nx\r\n\r\n\
        HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 7 1\r\nUNSUB 9\r\nPUB a 0\r\n\r\n\
        INFO {}\r\n+OK\r\nPONG\r\npingpong\r\n";
    let answer = "MSG a 7 2\r\nhi\r\nMSG b.c 9 re.ply 5\r\n\r\nx\r\n\r\n\
        HMSG a 7 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n";
    for at in 1..script.len() {
        let (first, second) = script.split_at(at);
        let mut raw = Raw::connect(&broker);
        raw.send(first);
        raw.send(second);
        raw.expect_exact(answer);
    }
}

#[test]
fn bytes_that_arrive_one_by_one_mean_the_same() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::connect(&broker);
    let script = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a 1\r\nPUB a r 3\r\nabc\r\n\
        HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1\r\nPING\r\n";
    for byte in script.as_bytes() {
        raw.send([*byte]);
    }
    raw.expect_exact("MSG a 1 r 3\r\nabc\r\nHMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n");
}
