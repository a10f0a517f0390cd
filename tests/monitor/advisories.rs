//! Goal: nothing that was published as a weakness of nats-server's monitoring is one of this one.
//! `docs/advisories.md` lists them all.

use std::time::Instant;

use crate::common::Raw;
use crate::http::Monitored;

// Secrets of the command line, shown to whoever may ask.
#[test]
fn cve_2026_33247_the_command_line_without_its_secrets() {
    let monitored = Monitored::start(&["--user", "ann", "--pass=hunter2hunter2"]);
    let text = monitored.get("/debug/vars").body;
    assert!(text.contains("cmdline") && !text.contains("hunter2hunter2"), "{text}");
    let monitored = Monitored::start(&["--auth", "hunter2hunter2"]);
    let text = monitored.get("/debug/vars").body;
    assert!(text.contains("cmdline") && !text.contains("hunter2hunter2"), "{text}");
}

// Pages whose offset and limit overflow where they are added.
#[test]
fn ghsa_q59r_vq66_pxc2_pages_that_overflow() {
    let mut monitored = Monitored::start(&[]);
    let mut raw = Raw::open(&monitored.broker);
    raw.send("SUB a 1\r\n");
    raw.fence();
    let largest = i64::MAX;
    for page in ["connz", "subsz", "jsz", "accstatz"] {
        for query in [
            format!("offset={largest}&limit={largest}"),
            format!("offset=1&limit={largest}"),
            format!("offset={largest}&limit=1"),
            format!("offset=-{largest}&limit=-{largest}"),
            "offset=9223372036854775808&limit=1".to_owned(),
        ] {
            let answer = monitored.get(&format!("/{page}?subs=1&{query}"));
            assert!([200, 400].contains(&answer.status), "{page} {query}: {answer:?}");
        }
    }
    assert!(monitored.broker.is_running());
    let page = monitored.json(&format!("/connz?limit={largest}"));
    assert_eq!(page["num_connections"], 1);
    raw.fence();
}

// A page of a secret's holder does not show the secret.
#[test]
fn cve_2026_33216_passwords_are_in_no_page() {
    let monitored = Monitored::start(&["--user", "ann", "--pass", "hunter2hunter2"]);
    let connect =
        r#"{"verbose":false,"user":"ann","pass":"hunter2hunter2","jwt":"hunter2hunter2"}"#;
    let mut raw = Raw::open_with(&monitored.broker, connect);
    raw.fence();
    let asked = Instant::now();
    for page in [
        "varz",
        "connz?auth=1&subs=detail",
        "accountz?acc=$G",
        "accstatz?unused=1",
        "metrics",
        "debug/vars",
    ] {
        let answer = monitored.get(&format!("/{page}"));
        assert!(!answer.body.contains("hunter2hunter2"), "{page}: {}", answer.body);
    }
    assert!(asked.elapsed() < crate::common::PATIENCE);
}
