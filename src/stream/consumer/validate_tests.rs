//! Configurations that are refused, and what is said then.

use super::test_stream::TestStream;

/// Goal: the checks of nats-server 2.15.1. Method: each answer was recorded from it.
#[test]
fn each_bad_configuration_is_refused_in_the_same_words() {
    let mut stream = TestStream::new(r#"{"subjects":["v.>"]}"#);
    for (config, code, description) in REFUSED {
        let answer = stream.create("T", config);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["err_code"], *code, "{config}: {answer}");
        assert_eq!(answer["error"]["description"], *description, "{config}");
    }
    for (key, len, code) in [("description", 5_000, 10107), ("metadata", 140_000, 10135)] {
        let text = "x".repeat(len);
        let value =
            if key == "metadata" { format!(r#"{{"a":"{text}"}}"#) } else { format!("\"{text}\"") };
        let answer = stream.create("T", &format!(r#"{{"{key}":{value}}}"#));
        assert!(answer.contains(&format!("\"err_code\":{code}")), "{key}");
    }
}

/// Of two mistakes the one that is checked first is told.
#[test]
fn checks_come_in_the_order_of_the_server() {
    let mut stream = TestStream::new(r#"{"subjects":["v.>"]}"#);
    let order: [(&str, u64); 11] = [
        (r#""num_replicas":-1"#, 10133),
        (r#""ack_policy":"explicit","ack_wait":-1"#, 10183),
        (r#""max_expires":5"#, 10115),
        (r#""direct":true"#, 10090),
        (r#""filter_subjects":["v.b",""]"#, 10139),
        (r#""opt_start_seq":3"#, 10094),
        (r#""sample_freq":"abc""#, 10095),
        (r#""priority_groups":["a"]"#, 10196),
        (r#""priority_timeout":5"#, 10197),
        (r#""description":"""#, 0),
        (r#""headers_only":true"#, 0),
    ];
    for (at, (first, code)) in order.iter().enumerate() {
        for (second, _) in order.iter().skip(at + 1).filter(|_| *code > 0) {
            let answer = stream.create("T", &format!("{{{first},{second}}}"));
            assert!(
                answer.contains(&format!("\"err_code\":{code},")),
                "{first} {second}: {answer}"
            );
        }
    }
}

const REFUSED: &[(&str, u64, &str)] = &[
    (r#"{"num_replicas":-1}"#, 10133, r#"replicas count cannot be negative"#),
    (r#"{"num_replicas":3}"#, 10074, r#"replicas > 1 not supported in non-clustered mode"#),
    (
        r#"{"ack_policy":"explicit","ack_wait":-1}"#,
        10183,
        r#"consumer ack wait needs to be positive"#,
    ),
    (
        r#"{"ack_policy":"explicit","backoff":[-1],"max_deliver":3}"#,
        10184,
        r#"consumer backoff needs to be positive"#,
    ),
    (
        r#"{"ack_policy":"explicit","backoff":[1,2,3],"max_deliver":2}"#,
        10116,
        r#"max deliver is required to be > length of backoff values"#,
    ),
    (r#"{"deliver_subject":"a.*"}"#, 10079, r#"consumer deliver subject has wildcards"#),
    (r#"{"deliver_subject":"a..b"}"#, 10112, r#"invalid push consumer deliver subject"#),
    (r#"{"deliver_subject":"v.x"}"#, 10081, r#"consumer deliver subject forms a cycle"#),
    (
        r#"{"deliver_subject":"dd","max_waiting":3}"#,
        10080,
        r#"consumer in push mode can not set max waiting"#,
    ),
    (
        r#"{"deliver_subject":"dd","max_ack_pending":3}"#,
        10082,
        r#"consumer requires ack policy for max ack pending"#,
    ),
    (
        r#"{"deliver_subject":"dd","idle_heartbeat":5}"#,
        10083,
        r#"consumer idle heartbeat needs to be >= 100ms"#,
    ),
    (
        r#"{"deliver_subject":"dd","flow_control":true}"#,
        10108,
        r#"consumer with flow control also needs heartbeats"#,
    ),
    (
        r#"{"idle_heartbeat":1000000000}"#,
        10088,
        r#"consumer idle heartbeat requires a push based consumer"#,
    ),
    (r#"{"flow_control":true}"#, 10089, r#"consumer flow control requires a push based consumer"#),
    (r#"{"rate_limit_bps":100}"#, 10086, r#"consumer in pull mode can not have rate limit set"#),
    (r#"{"max_expires":5}"#, 10115, r#"consumer max request expires needs to be >= 1ms"#),
    (r#"{"direct":true}"#, 10090, r#"consumer direct requires a push based consumer"#),
    (
        r#"{"direct":true,"deliver_subject":"dd","durable_name":"T"}"#,
        10091,
        r#"consumer direct requires an ephemeral consumer"#,
    ),
    (
        r#"{"filter_subject":"v.a","filter_subjects":["v.b"]}"#,
        10136,
        r#"consumer cannot have both FilterSubject and FilterSubjects specified"#,
    ),
    (
        r#"{"filter_subjects":["v.b",""]}"#,
        10139,
        r#"consumer filter in FilterSubjects cannot be empty"#,
    ),
    (r#"{"filter_subjects":["v.b","v.*"]}"#, 10138, r#"consumer subject filters cannot overlap"#),
    (r#"{"filter_subject":"v..a"}"#, 10052, r#"invalid subject"#),
    (
        r#"{"opt_start_seq":3}"#,
        10094,
        r#"consumer delivery policy is deliver all, but optional start sequence is also set"#,
    ),
    (
        r#"{"opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver all, but optional start time is also set"#,
    ),
    (
        r#"{"deliver_policy":"last","opt_start_seq":3}"#,
        10094,
        r#"consumer delivery policy is deliver last, but optional start sequence is also set"#,
    ),
    (
        r#"{"deliver_policy":"last","opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver last, but optional start time is also set"#,
    ),
    (
        r#"{"deliver_policy":"last_per_subject","opt_start_seq":3}"#,
        10094,
        r#"consumer delivery policy is deliver last per subject, but optional start sequence is also set"#,
    ),
    (
        r#"{"deliver_policy":"last_per_subject","filter_subject":"v.>","opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver last per subject, but optional start time is also set"#,
    ),
    (
        r#"{"deliver_policy":"last_per_subject"}"#,
        10094,
        r#"consumer delivery policy is deliver last per subject, but optional filter subject is not set"#,
    ),
    (
        r#"{"deliver_policy":"new","opt_start_seq":3}"#,
        10094,
        r#"consumer delivery policy is deliver new, but optional start sequence is also set"#,
    ),
    (
        r#"{"deliver_policy":"new","opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver new, but optional start time is also set"#,
    ),
    (
        r#"{"deliver_policy":"by_start_sequence"}"#,
        10094,
        r#"consumer delivery policy is deliver by start sequence, but optional start sequence is not set"#,
    ),
    (
        r#"{"deliver_policy":"by_start_sequence","opt_start_seq":1,"opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver by start sequence, but optional start time is also set"#,
    ),
    (
        r#"{"deliver_policy":"by_start_time"}"#,
        10094,
        r#"consumer delivery policy is deliver by start time, but optional start time is not set"#,
    ),
    (
        r#"{"deliver_policy":"by_start_time","opt_start_seq":1,"opt_start_time":"2026-01-01T00:00:00Z"}"#,
        10094,
        r#"consumer delivery policy is deliver by start time, but optional start start sequence is also set"#,
    ),
    (
        r#"{"sample_freq":"abc"}"#,
        10095,
        r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "abc": invalid syntax"#,
    ),
    (
        r#"{"sample_freq":"-1%"}"#,
        10095,
        r#"failed to parse consumer sampling configuration: <nil>"#,
    ),
    (
        r#"{"sample_freq":"5.5%"}"#,
        10095,
        r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "5.5": invalid syntax"#,
    ),
    (
        r#"{"priority_groups":["a"]}"#,
        10196,
        r#"consumer can not have priority groups when policy is none"#,
    ),
    (
        r#"{"priority_groups":[""],"priority_policy":"overflow"}"#,
        10161,
        r#"Group name cannot be an empty string"#,
    ),
    (
        r#"{"priority_policy":"overflow"}"#,
        10159,
        r#"Setting PriorityPolicy requires at least one PriorityGroup to be set"#,
    ),
    (
        r#"{"priority_groups":["a b"],"priority_policy":"overflow"}"#,
        10162,
        r#"Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"#,
    ),
    (r#"{"priority_timeout":5}"#, 10197, r#"PinnedTTL cannot be set when PriorityPolicy is none"#),
    (
        r#"{"priority_groups":["a"],"priority_policy":"overflow","deliver_subject":"dd"}"#,
        10178,
        r#"priority groups can not be used with push consumers"#,
    ),
    (
        r#"{"ack_policy":"flow_control"}"#,
        10218,
        r#"flow control ack policy requires a push based consumer"#,
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","ack_wait":5}"#,
        10221,
        r#"flow control ack policy requires unset ack wait"#,
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","max_deliver":5}"#,
        10222,
        r#"flow control ack policy requires unset max deliver"#,
    ),
    (
        r#"{"ack_policy":"flow_control","deliver_subject":"dd","max_ack_pending":-1}"#,
        10220,
        r#"flow control ack policy requires max ack pending"#,
    ),
];
