//! Goal: `/connz` finds, sorts, pages and remembers connections, and `/subsz`
//! lists what they want.

use serde_json::Value;

use crate::common::{Raw, PATIENCE};
use crate::http::Monitored;

fn cids(page: &Value) -> Vec<u64> {
    let entries = page["connections"].as_array().unwrap();
    entries.iter().map(|entry| entry["cid"].as_u64().unwrap()).collect()
}

/// Polls a page until it is as wanted: a connection is closed by the broker a
/// moment after its client has gone.
fn await_page(monitored: &Monitored, target: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let limit = std::time::Instant::now() + PATIENCE;
    loop {
        let page = monitored.json(target);
        if is_there(&page) {
            return page;
        }
        assert!(std::time::Instant::now() < limit, "{target}: {page}");
        std::thread::yield_now();
    }
}

#[test]
fn connections_are_found_sorted_and_paged() {
    let monitored = Monitored::start(&[]);
    let mut clients: Vec<Raw> = (0..5)
        .map(|number| {
            let user = format!(r#"{{"verbose":false,"user":"u{number}","name":"n{number}"}}"#);
            Raw::open_with(&monitored.broker, &user)
        })
        .collect();
    let all = cids(&monitored.json("/connz"));
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted());
    for (number, client) in clients.iter_mut().enumerate() {
        for sid in 0..(number * 7) % 5 {
            client.send(format!("SUB s.{sid} {sid}\r\n"));
        }
        for _ in 0..(number * 3) % 5 {
            client.publish("nobody", vec![b'x'; number * 10]);
        }
        client.fence();
    }
    // Subscriptions: 0 2 4 1 3; messages: 0 3 1 4 2; bytes: 0 30 20 120 80.
    for (sort, order) in [
        ("cid", [0, 1, 2, 3, 4]),
        ("start", [0, 1, 2, 3, 4]),
        ("uptime", [4, 3, 2, 1, 0]),
        ("subs", [2, 4, 1, 3, 0]),
        ("msgs_from", [3, 1, 4, 2, 0]),
        ("bytes_from", [3, 4, 1, 2, 0]),
    ] {
        let page = monitored.json(&format!("/connz?sort={sort}"));
        assert_eq!(cids(&page), order.map(|at| all[at]), "{sort}");
    }
    let page = monitored.json("/connz?sort=subs&offset=1&limit=2");
    assert_eq!(cids(&page), [all[4], all[1]]);
    assert_eq!(
        (&page["total"], &page["offset"], &page["limit"]),
        (&5.into(), &1.into(), &2.into())
    );
    let one = monitored.json(&format!("/connz?cid={}&subs=detail", all[1]));
    assert_eq!((&one["total"], &one["limit"]), (&5.into(), &1.into()));
    assert_eq!(one["connections"][0]["subscriptions_list_detail"].as_array().unwrap().len(), 2);
    assert_eq!(cids(&monitored.json("/connz?user=u3")), [all[3]]);
    assert_eq!(cids(&monitored.json("/connz?acc=$G")).len(), 5);
    assert_eq!(cids(&monitored.json("/connz?cid=999999")), [0_u64; 0]);
    assert!(monitored.json("/connz?acc=NOPE")["connections"].is_null());
}

#[test]
fn a_closed_connection_is_remembered_with_its_reason() {
    let monitored = Monitored::start(&[]);
    let mut polite = Raw::open_with(&monitored.broker, r#"{"verbose":false,"name":"polite"}"#);
    polite.send("SUB foo 7\r\n");
    polite.fence();
    polite.finish();
    polite.expect_eof();
    let mut rude = Raw::open(&monitored.broker);
    rude.send("NONSENSE\r\n");
    rude.rest();
    let target = "/connz?state=closed&subs=detail&sort=cid";
    let page = await_page(&monitored, target, |page| cids(page).len() == 2);
    let (first, second) = (&page["connections"][0], &page["connections"][1]);
    assert_eq!(first["reason"], "Client Closed");
    assert_eq!(first["name"], "polite");
    assert_eq!(first["subscriptions_list_detail"][0]["subject"], "foo");
    assert_eq!(first["subscriptions_list_detail"][0]["account"], "$G");
    assert_eq!(second["reason"], "Protocol Violation");
    assert!(first["stop"].is_string() && first["uptime"].is_string());
    assert_eq!(cids(&monitored.json("/connz")), [0_u64; 0]);
    assert_eq!(cids(&monitored.json("/connz?state=any")).len(), 2);
    let newest_first = cids(&monitored.json("/connz?state=closed&sort=stop"));
    assert_eq!(newest_first, [second["cid"].as_u64().unwrap(), first["cid"].as_u64().unwrap()]);
    let by_reason = monitored.json("/connz?state=closed&sort=reason");
    assert_eq!(by_reason["connections"][0]["reason"], "Client Closed");
}

#[test]
fn the_limit_of_closed_connections_is_kept() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "max_closed_clients: 3\n").unwrap();
    let monitored = Monitored::start(&["-c", config.path().to_str().unwrap()]);
    for _ in 0..8 {
        let mut client = Raw::open(&monitored.broker);
        client.finish();
        client.expect_eof();
    }
    let is_over = |page: &Value| page["connections"] == 0;
    await_page(&monitored, "/varz", is_over);
    let page = monitored.json("/connz?state=closed");
    assert_eq!(cids(&page).len(), 3);
    let newest = page["connections"][2]["cid"].as_u64().unwrap();
    assert!(newest >= 8, "{page}");
}

#[test]
fn subscriptions_are_listed_in_pages_and_tested() {
    let monitored = Monitored::start(&[]);
    let mut client = Raw::open(&monitored.broker);
    for number in 0..300 {
        client.send(format!("SUB many.{number} {number}\r\n"));
    }
    client.send("SUB many.> q wide\r\n");
    client.fence();
    let page = monitored.json("/subsz?subs=1&acc=$G&test=many.5");
    let mut found: Vec<&str> = page["subscriptions_list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["subject"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, ["many.5", "many.>"]);
    let page = monitored.json("/subsz?subs=1&limit=100&offset=200");
    assert_eq!(page["subscriptions_list"].as_array().unwrap().len(), 100);
    assert!(page["total"].as_u64().unwrap() >= 301);
    let entry = monitored.json("/connz?subs=1");
    assert_eq!(entry["connections"][0]["subscriptions_list"].as_array().unwrap().len(), 301);
}
