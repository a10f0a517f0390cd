//! The binary against a small server of our own that can be told to misbehave.

mod broker;

use std::process::{Command, Output};

use broker::{Broker, Misdeed};

fn run(broker: &Broker, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_midge-load"))
        .args(arguments.split_whitespace())
        .args(["--server", &broker.address, "--warmup", "0", "--patience", "0.4", "--json", "-"])
        .output()
        .unwrap()
}

/// The exit code and the kinds of faults that were found, in one run on a broker with `misdeed`.
fn verdict(misdeed: Misdeed, arguments: &str) -> (i32, Vec<String>) {
    let broker = Broker::start(misdeed);
    let output = run(&broker, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        panic!("no JSON for `{arguments}`: {errors}");
    };
    let faults = &json["sides"][0]["runs"][0]["faults"];
    let kinds = ["lost", "duplicated", "reordered", "corrupted", "unexpected"];
    let found = kinds.into_iter().filter(|kind| faults[kind].as_u64() != Some(0));
    let code = output.status.code().unwrap();
    assert_eq!(code == 1, errors.contains("verification failed"), "{errors}");
    (code, found.map(str::to_owned).collect())
}

const PUBSUB: &str = "pubsub --count 3000 --size 16";

#[test]
fn every_workload_is_clean_on_an_honest_broker() {
    for arguments in [
        PUBSUB,
        "pubsub --count 3000 --size 0",
        "pubsub --count 3000 --size 9",
        "pubsub --count 500 --size 70000",
        "pubsub --count 3000 --size 100 --pubs 3 --subs 2",
        "pubsub --count 3000 --size 300 --pubs 3 --distinct",
        "pubsub --count 3000 --size 16 --pubs 2 --subs 3 --queue",
        "pubsub --count 3000 --size 16 --rate 20k",
        "latency --seconds 0.3 --rate 5k",
        "request --count 500",
        "request --count 500 --size 8 --requesters 5 --responders 2 --in-flight 7",
        "request --count 500 --rate 2k",
        "subs --count 3000 --subscriptions 300 --subjects 500",
        "idle --connections 30",
    ] {
        assert_eq!(verdict(Misdeed::None, arguments), (0, vec![]), "{arguments}");
    }
}

#[test]
fn one_dropped_message_is_found() {
    let lost = (1, vec!["lost".to_owned()]);
    for arguments in [
        PUBSUB,
        "pubsub --count 3000 --size 3",
        "pubsub --count 3000 --size 1000",
        "pubsub --count 3000 --size 16 --pubs 2 --subs 3 --queue",
        "request --count 500 --in-flight 4",
        "subs --count 3000 --subscriptions 300 --subjects 500",
    ] {
        assert_eq!(verdict(Misdeed::Drop(200), arguments), lost, "{arguments}");
    }
    // The very last message leaves no gap behind it.
    assert_eq!(verdict(Misdeed::Drop(2999), PUBSUB), lost);
}

#[test]
fn one_altered_byte_is_found() {
    let corrupted = (1, vec!["corrupted".to_owned()]);
    for arguments in [
        PUBSUB,
        "pubsub --count 3000 --size 8",
        "pubsub --count 3000 --size 255",
        "pubsub --count 3000 --size 16 --pubs 2 --subs 3 --queue",
        "subs --count 3000 --subscriptions 300 --subjects 500",
    ] {
        for byte in [0, 3, 7] {
            assert_eq!(verdict(Misdeed::Alter(200, byte), arguments), corrupted, "{arguments}");
        }
    }
    for byte in [8, 12, 15] {
        assert_eq!(verdict(Misdeed::Alter(200, byte), PUBSUB), corrupted);
        // Requests and replies count alike, so the responder or the requester finds it.
        let (code, found) = verdict(Misdeed::Alter(201, byte), "request --count 500 --size 16");
        assert_eq!(code, 1);
        assert!(found.contains(&"corrupted".to_owned()));
    }
}

#[test]
fn two_swapped_messages_are_found() {
    let reordered = (1, vec!["reordered".to_owned()]);
    assert_eq!(verdict(Misdeed::Swap(200), PUBSUB), reordered);
    assert_eq!(verdict(Misdeed::Swap(200), "pubsub --count 3000 --size 1000"), reordered);
    let one_member = "pubsub --count 3000 --size 16 --pubs 2 --subs 1 --queue";
    // Neighbours may be of different publishers, which are free to overtake each other.
    let (code, found) = verdict(Misdeed::Swap(200), one_member);
    assert!(code == 0 && found.is_empty() || (code, found) == reordered);
}

#[test]
fn a_doubled_message_is_found() {
    let duplicated = (1, vec!["duplicated".to_owned()]);
    assert_eq!(verdict(Misdeed::Double(200), PUBSUB), duplicated);
    assert_eq!(verdict(Misdeed::Double(2999), PUBSUB), duplicated);
}

#[test]
fn a_broker_that_hangs_up_fails_the_run() {
    let broker = Broker::start(Misdeed::HangUp(200));
    let output = run(&broker, PUBSUB);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("connection to"));
}

#[test]
fn targets_and_usage_have_their_exit_codes() {
    let broker = Broker::start(Misdeed::None);
    let code = |arguments: &str| run(&broker, arguments).status.code().unwrap();
    assert_eq!(code("pubsub --count 3000 --assert rate>1 --assert max<100s"), 0);
    assert_eq!(code("pubsub --count 3000 --assert rate>1 --assert rate>1000G"), 3);
    assert_eq!(code("pubsub --count 3000 --assert nonsense>1"), 3);
    assert_eq!(code("pubsub --assert nonsense"), 2);
    assert_eq!(code("pubsub --pubs 0"), 2);
    assert_eq!(code("pubsub --server nowhere --seconds"), 2);
    drop(broker);
}

#[test]
fn two_servers_are_compared_in_pairs() {
    let (a, b) = (Broker::start(Misdeed::None), Broker::start(Misdeed::None));
    let report = std::env::temp_dir().join(format!("midge-load-test-{}.html", std::process::id()));
    let arguments = format!("{PUBSUB} --vs {} --pairs 3 --report {}", b.address, report.display());
    let output = run(&a, &arguments);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["sides"][1]["runs"].as_array().unwrap().len(), 3);
    let ratio = &json["ratios"]["rate"];
    assert_eq!(ratio["count"], 3);
    assert!(ratio["min"].as_f64() <= ratio["median"].as_f64());
    let page = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    assert!(page.contains("<svg") && !page.contains("NaN") && !page.contains("http"));
}
