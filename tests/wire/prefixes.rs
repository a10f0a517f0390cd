//! Goal: names that belong to the broker are refused with the right words.
//! Method: tables of subjects, replies and queue names, the errors exact.

use crate::common::{Broker, Raw};

#[test]
fn replies_that_belong_to_the_broker_are_refused() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open(&broker);
    other.send("SUB a 1\r\n");
    other.fence();
    let mut raw = Raw::open_headers(&broker);
    for reply in ["_R_.x", "_GR_.x", "$JS.ACK.x", "_R_.", "$JS.ACK.s.c.1.1.1.1.0"] {
        let error =
            format!("-ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'\r\n");
        raw.send(format!("PUB a {reply} 2\r\nhi\r\n"));
        raw.expect_exact(&error);
        raw.send(format!("HPUB a {reply} 12 12\r\nNATS/1.0\r\n\r\n\r\n"));
        raw.expect_exact(&error);
        raw.fence();
    }
    // And none of them was delivered.
    other.fence();
}

#[test]
fn replies_that_only_look_reserved_pass() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a 1\r\n");
    for reply in
        ["_R_", "_R_x.y", "_GR_", "_GR_.", "_GR_x", "$JS.ACK", "$JS.ACKx", "$JS.API.x", "x._R_.y"]
    {
        raw.send(format!("PUB a {reply} 0\r\n\r\n"));
        raw.expect_exact(format!("MSG a 1 {reply} 0\r\n\r\n"));
    }
}

#[test]
fn publishes_under_reserved_prefixes_are_refused() {
    let broker = Broker::start(&[]);
    let mut other = Raw::open(&broker);
    other.send("SUB > 1\r\n");
    other.fence();
    let mut raw = Raw::open(&broker);
    for subject in ["_GR_.x", "_GR_.x.y.z", "$NRG.x", "$NRG.V.abc"] {
        raw.send(format!("PUB {subject} 2\r\nhi\r\n"));
        raw.expect_exact(format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n"));
        raw.fence();
    }
    other.fence();
}

#[test]
fn other_prefixes_are_ordinary_subjects() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    for subject in [
        "_R_.x",
        "$SYS.x",
        "$JS.x",
        "$KV.b.k",
        "$O.b.C.x",
        "$SRV.PING",
        "_INBOX.x",
        "$JS.ACK.x",
        "$MQTT.x",
        "_GR_",
        "$NRG",
    ] {
        raw.send(format!("SUB {subject} 1\r\nPUB {subject} 1\r\nx\r\n"));
        raw.expect_exact(format!("MSG {subject} 1 1\r\nx\r\n"));
        raw.send("UNSUB 1\r\n");
    }
}

#[test]
fn the_internal_queue_name_is_refused() {
    let broker = Broker::start(&[]);
    let mut raw = Raw::open(&broker);
    raw.send("SUB a.* _sys_ 1\r\n");
    raw.expect_exact(
        "-ERR 'Permissions Violation for Subscription to \"a.*\" using queue \"_sys_\"'\r\n",
    );
    raw.send("PUB a.b 0\r\n\r\n");
    raw.fence();
    raw.send("SUB a.* _sys_x 1\r\nPUB a.b 0\r\n\r\n");
    raw.expect_exact("MSG a.b 1 0\r\n\r\n");
}
