//! Goal: the pages have nats-server's keys, in its order, with its types.

use std::fmt::Write as _;

use serde_json::Value;

use crate::common::Raw;
use crate::http::Monitored;

/// Keys and types of an object at some depth of an indented page, in their
/// order: `now:s port:n tags:a jetstream:o expired:b`.
fn shape(page: &str, depth: usize) -> String {
    let indent = " ".repeat(2 * depth);
    let mut shape = String::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(&indent).and_then(|rest| rest.strip_prefix('"')) else {
            continue;
        };
        let Some((key, value)) = rest.split_once("\": ") else { continue };
        let kind = match value.chars().next() {
            Some('"') => 's',
            Some('{') => 'o',
            Some('[') => 'a',
            Some('t' | 'f') => 'b',
            _ => 'n',
        };
        let _infallible = write!(shape, "{key}:{kind} ");
    }
    shape.trim_end().to_owned()
}

#[track_caller]
fn has_shape(monitored: &Monitored, target: &str, depth: usize, expected: &str) {
    let mut page = monitored.get(target).body;
    if !monitored.is_midge() {
        // What Midge leaves out.
        let left_out = ["  \"git_commit\""];
        let lines = page.lines();
        let kept = lines.filter(|line| !left_out.iter().any(|more| line.starts_with(more)));
        page = kept.collect::<Vec<_>>().join("\n");
    }
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(shape(&page, depth), expected.join(" "), "{target}:\n{page}");
}

const VARZ: &str = "server_id:s server_name:s version:s proto:n go:s host:s port:n \
    max_connections:n ping_interval:n ping_max:n http_host:s http_port:n http_base_path:s \
    https_port:n auth_timeout:n max_control_line:n max_payload:n max_pending:n cluster:o \
    gateway:o leaf:o mqtt:o websocket:o jetstream:o tls_timeout:n write_deadline:n start:s now:s \
    uptime:s mem:n cores:n gomaxprocs:n cpu:n connections:n total_connections:n routes:n \
    remotes:n leafnodes:n in_msgs:n in_bytes:n in_client_msgs:n in_client_bytes:n out_msgs:n \
    out_bytes:n out_client_msgs:n out_client_bytes:n slow_consumers:n stale_connections:n \
    stalled_clients:n subscriptions:n http_req_stats:o config_load_time:s config_digest:s \
    feature_flags:o system_account:s slow_consumer_stats:o stale_connection_stats:o disk_io_wait_stats:o";

const SUBLIST: &str = "num_subscriptions:n num_cache:n num_inserts:n num_removes:n \
    num_matches:n cache_hit_rate:n max_fanout:n avg_fanout:n";

#[test]
fn keys_their_order_and_their_types_are_those_of_nats_server() {
    let monitored = Monitored::start(&[]);
    let mut client = Raw::open_with(
        &monitored.broker,
        r#"{"verbose":false,"name":"n","lang":"go","version":"1.2","user":"u","pass":"p"}"#,
    );
    client.send("SUB foo 1\r\nSUB bar.* q 2\r\nUNSUB 2 5\r\nPUB foo 1\r\nx\r\n");
    assert_eq!(client.drain().len(), 1);
    has_shape(&monitored, "/varz", 1, VARZ);
    has_shape(
        &monitored,
        "/connz",
        1,
        "server_id:s now:s num_connections:n total:n offset:n limit:n connections:a",
    );
    let entry = "cid:n kind:s type:s ip:s port:n start:s last_activity:s rtt:s uptime:s idle:s \
        pending_bytes:n in_msgs:n out_msgs:n in_bytes:n out_bytes:n subscriptions:n name:s lang:s \
        version:s";
    has_shape(&monitored, "/connz", 3, entry);
    let named = format!("{entry} authorized_user:s subscriptions_list:a name_tag:s");
    has_shape(&monitored, "/connz?subs=1&auth=1", 3, &named);
    let detailed = format!("{entry} subscriptions_list_detail:a");
    has_shape(&monitored, "/connz?subs=detail", 3, &detailed);
    has_shape(
        &monitored,
        "/subsz",
        1,
        &format!("server_id:s now:s {SUBLIST} total:n offset:n limit:n"),
    );
    has_shape(
        &monitored,
        "/subsz?subs=1&test=foo",
        1,
        &format!("server_id:s now:s {SUBLIST} total:n offset:n limit:n subscriptions_list:a"),
    );
    has_shape(
        &monitored,
        "/subsz?subs=1&test=foo",
        3,
        "account:s account_tag:s subject:s sid:s msgs:n cid:n",
    );
    has_shape(
        &monitored,
        "/subsz?subs=1&test=bar.x",
        3,
        "account:s account_tag:s subject:s qgroup:s sid:s msgs:n max:n cid:n",
    );
    has_shape(&monitored, "/accountz", 1, "server_id:s now:s system_account:s accounts:a");
    has_shape(
        &monitored,
        "/accountz?acc=$G",
        1,
        "server_id:s now:s system_account:s account_detail:o",
    );
    has_shape(&monitored, "/accstatz", 1, "server_id:s now:s account_statz:a");
    has_shape(&monitored, "/accstatz", 3, "acc:s name:s conns:n leafnodes:n total_conns:n num_subscriptions:n sent:o received:o slow_consumers:n");
    has_shape(
        &monitored,
        "/accstatz",
        4,
        "msgs:n bytes:n gateways:o routes:o leafs:o msgs:n bytes:n gateways:o routes:o leafs:o",
    );
    has_shape(&monitored, "/routez", 1, "server_id:s server_name:s now:s num_routes:n routes:a");
    has_shape(
        &monitored,
        "/gatewayz",
        1,
        "server_id:s now:s outbound_gateways:o inbound_gateways:o",
    );
    has_shape(&monitored, "/leafz", 1, "server_id:s now:s leafnodes:n leafs:a");
    has_shape(&monitored, "/jsz", 1, "memory:n storage:n reserved_memory:n reserved_storage:n accounts:n ha_assets:n api:o server_id:s now:s disabled:b config:o streams:n consumers:n messages:n bytes:n total:n");
    client.finish();
}

#[test]
fn figures_are_those_of_the_clients() {
    let monitored = Monitored::start(&[]);
    let before = monitored.json("/varz");
    let mut one = Raw::open(&monitored.broker);
    let mut two = Raw::open(&monitored.broker);
    one.send("SUB foo 1\r\nSUB foo.* 2\r\n");
    one.fence();
    for _ in 0..3 {
        two.publish("foo", "12345");
    }
    two.fence();
    for _ in 0..3 {
        assert_eq!(one.message().payload, b"12345");
    }
    let after = monitored.json("/varz");
    let grown = |key: &str| after[key].as_u64().unwrap() - before[key].as_u64().unwrap();
    assert_eq!((grown("connections"), grown("total_connections")), (2, 2));
    assert_eq!((grown("in_msgs"), grown("in_bytes")), (3, 15));
    assert_eq!((grown("out_client_msgs"), grown("out_client_bytes")), (3, 15));
    assert_eq!(grown("subscriptions"), 2);
    assert_eq!(after["http_req_stats"]["/varz"], 2);
    assert!(after["mem"].as_u64().unwrap() > 1_000_000);
    assert_eq!(after["port"], u64::from(monitored.broker.port()));
    assert_eq!(after["http_port"], -1, "as configured");
}

#[test]
fn what_tools_read_is_there() {
    let monitored = Monitored::start(&[]);
    let _client = Raw::open(&monitored.broker);
    let varz = monitored.json("/varz");
    for key in ["server_id", "server_name", "version", "uptime", "now"] {
        assert!(varz[key].is_string(), "{key}");
    }
    for key in ["cpu", "mem", "slow_consumers", "in_msgs", "out_msgs", "in_bytes", "out_bytes"] {
        assert!(varz[key].is_number(), "{key}");
    }
    let connz = monitored.json("/connz?limit=10&sort=msgs_to&subs=1");
    let entry = &connz["connections"][0];
    for key in ["cid", "port", "subscriptions", "pending_bytes", "out_msgs", "in_msgs"] {
        assert!(entry[key].is_number(), "{key}");
    }
    for key in ["ip", "uptime", "last_activity"] {
        assert!(entry[key].is_string(), "{key}");
    }
}

#[test]
fn heads_and_refusals_are_those_of_nats_server() {
    let monitored = Monitored::start(&[]);
    let json = monitored.get("/varz");
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert_eq!(json.field("access-control-allow-origin"), Some("*"));
    let health = monitored.get("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok"}"#));
    for (target, status, body) in [
        ("/nope", 404, "404 page not found\n"),
        ("/varz/", 404, "404 page not found\n"),
        ("/VARZ", 404, "404 page not found\n"),
        ("/raftz", 404, "No Raft nodes registered"),
        ("/connz?sort=zzz", 400, "invalid sorting option: zzz"),
        ("/connz?sort=stop", 400, "sort by stop only valid on closed connections"),
        ("/connz?state=foo", 400, "Error decoding state for foo"),
        ("/connz?limit=x", 400, "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("/connz?cid=-1", 400, "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"),
        ("/connz?subs=x", 400, "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("/subsz?subs=detail", 400, "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"detail\": invalid syntax"),
        ("/subsz?test=foo.*", 400, "invalid test subject, must be valid publish subject: foo.*"),
        ("/accountz?acc=NOPE", 400, "Account NOPE does not exist"),
        ("/accstatz?unused=x", 400, "Error decoding boolean for 'unused': strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("/gatewayz?accs=x", 400, "Error decoding boolean for 'accs': strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("/jsz?streams=x", 400, "Error decoding boolean for 'streams': strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("/healthz?js-enabled-only=x", 400, "Error decoding boolean for 'js-enabled-only': strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("/healthz?stream=foo", 400, "{\"status\":\"error\",\"error\":\"\\\"account\\\" must not be empty when checking stream health\"}"),
        ("/healthz?consumer=y&details=1", 400, "{\"status\":\"error\",\"errors\":[{\"type\":\"BAD_REQUEST\",\"error\":\"\\\"stream\\\" must not be empty when checking consumer health\"}]}"),
    ] {
        let answer = monitored.get(target);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{target}");
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
        assert_eq!(answer.field("content-type"), Some(kind), "{target}");
    }
    let moved = monitored.get("/connz/../varz?a=b");
    assert_eq!((moved.status, moved.field("location")), (307, Some("/varz?a=b")));
    let head = monitored.ask("HEAD", "/healthz");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.field("content-length"), Some("15"));
    for method in ["POST", "OPTIONS", "DELETE", "FOO"] {
        assert_eq!(monitored.ask(method, "/healthz").status, 200, "{method}");
    }
}

#[test]
fn a_callback_is_ignored_as_in_nats_server() {
    let monitored = Monitored::start(&[]);
    let answer = monitored.get("/varz?callback=f");
    assert!(serde_json::from_str::<Value>(&answer.body).is_ok());
    assert_eq!(answer.field("content-type"), Some("application/json"));
}

#[test]
fn lame_duck_mode_is_no_health() {
    let monitored = Monitored::start(&[]);
    let _client = Raw::open(&monitored.broker);
    monitored.broker.signal("USR2");
    monitored.broker.wait_log("Entering lame duck mode");
    let answer = monitored.get("/healthz");
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.body,
        r#"{"status":"error","error":"failed to be ready for connections after 1ms: server"}"#
    );
}
