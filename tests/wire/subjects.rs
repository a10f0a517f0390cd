//! Goal: which subject matches which subscription, and which are refused.
//! Method: tables, each row a SUB and a PUB on one connection.

use crate::common::{Broker, Raw};

#[test]
fn wildcards_match_whole_tokens() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for (pattern, subject, matches) in [
        ("a", "a", true),
        ("a", "A", false),
        ("a", "a.b", false),
        ("a.b", "a", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("a.*", "a.b", true),
        ("a.*", "a", false),
        ("a.*", "a.b.c", false),
        ("*.b", "a.b", true),
        ("*.b", "a.c", false),
        ("*.*", "a.b", true),
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.b.d", false),
        (">", "a", true),
        (">", "a.b.c.d", true),
        ("a.>", "a.b", true),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        ("a.>", "b.a", false),
        ("*.>", "a.b", true),
        ("*.>", "a", false),
        ("a.*.>", "a.b.c", true),
        ("a.*.>", "a.b", false),
        ("é.*", "é.ü", true),
        ("$X.*", "$X.y", true),
        ("_INBOX.>", "_INBOX.a.b", true),
    ] {
        raw.send(format!("SUB {pattern} 1\r\nPUB {subject} 0\r\n\r\n"));
        let got = raw.drain();
        assert_eq!(got.len(), usize::from(matches), "{pattern} and {subject}");
        assert!(got.iter().all(|message| message.subject == subject));
        raw.send("UNSUB 1\r\n");
    }
}

#[test]
fn a_wildcard_inside_a_token_is_literal() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for (pattern, subject, matches) in [
        ("foo*", "foo*", true),
        ("foo*", "foobar", false),
        ("foo*", "foo", false),
        ("*foo", "xfoo", false),
        ("*foo", "*foo", true),
        ("a>b", "a>b", true),
        ("a>b", "axb", false),
        ("a.>>", "a.>>", true),
        ("a.>>", "a.b", false),
        ("a.**", "a.**", true),
        ("a.**", "a.b", false),
        ("a.b>", "a.b>", true),
        (">a", ">a", true),
        ("foo*.bar", "foo*.bar", true),
        ("foo*.bar", "foox.bar", false),
        ("foo*.*", "foo*.x", true),
    ] {
        raw.send(format!("SUB {pattern} 1\r\nPUB {subject} 0\r\n\r\n"));
        assert_eq!(raw.drain().len(), usize::from(matches), "{pattern} and {subject}");
        raw.send("UNSUB 1\r\n");
    }
}

#[test]
fn a_wildcard_subject_may_be_published() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for (pattern, subject, matches) in [
        ("*", "*", true),
        ("a.*", "a.*", true),
        ("a.>", "a.*", true),
        ("a.>", "a.>", true),
        ("a.*", "a.>", true),
        ("a.b", "a.*", false),
        ("a.b", "a.>", false),
        (">", "*", true),
        (">", ">", true),
        ("*", ">", true),
        (">", "a.>.b", true),
        ("a.*.b", "a.>.b", true),
    ] {
        raw.send(format!("SUB {pattern} 1\r\nPUB {subject} 0\r\n\r\n"));
        let got = raw.drain();
        assert_eq!(got.len(), usize::from(matches), "{pattern} and {subject}");
        assert!(got.iter().all(|message| message.subject == subject));
        raw.send("UNSUB 1\r\n");
    }
}

#[test]
fn a_malformed_publish_subject_matches_nothing() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB > 1\r\nSUB a.> 2\r\nSUB * 3\r\nSUB a.*.b 4\r\nSUB a.* 5\r\nSUB *.* 6\r\n");
    for subject in ["a..b", ".a", "a.", ".", "..", "a...b", "a.b."] {
        raw.publish(subject, "x");
        raw.fence();
    }
}

#[test]
fn a_malformed_subscription_subject_is_refused() {
    let broker = Broker::start(&[]);
    for pedantic in [false, true] {
        let options = format!("{{\"verbose\":false,\"pedantic\":{pedantic}}}");
        let mut raw = Raw::open_with(&broker, &options);
        for pattern in ["a..b", ".a", "a.", ">.a", "a.>.b", ".", "..", "*.", "a.*.", ">.", ">.>"] {
            for queue in ["", "q "] {
                raw.send(format!("SUB {pattern} {queue}1\r\n"));
                raw.expect_exact("-ERR 'Invalid Subject'\r\n");
                raw.fence();
            }
        }
        // A refused SUB leaves its sid free.
        raw.send("SUB ok 1\r\nPUB ok 0\r\n\r\n");
        raw.expect_exact("MSG ok 1 0\r\n\r\n");
    }
}

#[test]
fn subjects_may_hold_any_bytes_but_blanks() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for subject in ["a/b", "a-b_c", "{x}", "\"q\"", "日本.語", "a\u{1}b", "x\\y", "a,b;c"] {
        raw.send(format!("SUB {subject} 1\r\nPUB {subject} 1\r\nx\r\n"));
        raw.expect_exact(format!("MSG {subject} 1 1\r\nx\r\n"));
        raw.send("UNSUB 1\r\n");
    }
    // Not even UTF-8 is asked for.
    raw.send(b"SUB a\xff\xfe 1\r\nPUB a\xff\xfe 1\r\nx\r\n");
    raw.expect_exact(b"MSG a\xff\xfe 1 1\r\nx\r\n");
    raw.fence();
}

#[test]
fn a_subject_may_have_many_tokens_and_many_bytes() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    let deep = vec!["t"; 1000].join(".");
    let long = "x".repeat(4000);
    for (pattern, subject) in [(&deep, &deep), (&long, &long)] {
        raw.send(format!("SUB {pattern} 1\r\nPUB {subject} 1\r\nx\r\n"));
        raw.expect_exact(format!("MSG {subject} 1 1\r\nx\r\n"));
        raw.send("UNSUB 1\r\n");
    }
    let stars = vec!["*"; 1000].join(".");
    raw.send(format!("SUB {stars} 1\r\nSUB t.> 2\r\nPUB {deep} 1\r\nx\r\n"));
    assert_eq!(raw.drain().len(), 2);
}

#[test]
fn matching_holds_after_many_changes_of_interest() {
    // A cache of matches must never outlive the interest that filled it.
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for round in 0..200 {
        raw.send("PUB a.b.c 0\r\n\r\n");
        raw.fence();
        let pattern = ["a.b.c", "a.*.c", "a.>", ">", "*.b.*"][round % 5];
        raw.send(format!("SUB {pattern} {round}\r\nPUB a.b.c 0\r\n\r\nPUB a.b.c 0\r\n\r\n"));
        assert_eq!(raw.drain().len(), 2, "{pattern}");
        raw.send(format!("UNSUB {round}\r\n"));
    }
}
