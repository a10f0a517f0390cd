//! Headers by which tracing systems say whether a request is sampled, as nats-server reads them:
//! Jaeger's `Uber-Trace-Id`, Zipkin's `X-B3-*` and `B3`, W3C's `Traceparent`. The first of these that
//! says anything decides.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use super::headers::HeaderBlock;

/// Headers with all their values, names in Go's spelling (`X-B3-Traceid`).
pub type TracingHeaders = BTreeMap<String, Vec<String>>;

/// The tracing headers of a request that is sampled; `None` if it is not.
pub fn sampled_headers(block: &[u8]) -> Option<TracingHeaders> {
    let mut all = TracingHeaders::new();
    for (name, value) in HeaderBlock::new(block) {
        let name = canonical(name);
        if name.starts_with(JAEGER_BAGGAGE)
            || [JAEGER, B3, PARENT, STATE].contains(&&*name)
            || ZIPKIN.contains(&&*name)
        {
            all.entry(name).or_default().push(String::from_utf8_lossy(value).into_owned());
        }
    }
    let first = |name: &str| all.get(name).and_then(|values| values.first()).map(String::as_str);
    let (is_sampled, belongs): (bool, fn(&str) -> bool) = if let Some(id) = first(JAEGER) {
        let flags = id.splitn(4, ':').nth(3);
        (flags.is_some_and(is_odd), |name| name == JAEGER || name.starts_with(JAEGER_BAGGAGE))
    } else if let Some(is_sampled) = zipkin(first(ZIPKIN_SAMPLED), first(ZIPKIN_TRACE)) {
        (is_sampled, |name| ZIPKIN.contains(&name))
    } else if let Some(b3) = first(B3) {
        let parts: Vec<&str> = b3.split('-').collect();
        let flag = if parts.len() == 1 { parts.first() } else { parts.get(2) };
        (flag != Some(&"0"), |name| name == B3)
    } else {
        let flags = first(PARENT).and_then(|parent| parent.splitn(4, '-').nth(3));
        (flags.is_some_and(is_odd), |name| name == PARENT || name == STATE)
    };
    all.retain(|name, _| belongs(name));
    is_sampled.then_some(all)
}

const JAEGER: &str = "Uber-Trace-Id";
const JAEGER_BAGGAGE: &str = "Uberctx-";
const ZIPKIN_TRACE: &str = "X-B3-Traceid";
const ZIPKIN_SAMPLED: &str = "X-B3-Sampled";
const ZIPKIN: [&str; 4] = [ZIPKIN_TRACE, "X-B3-Spanid", "X-B3-Parentspanid", ZIPKIN_SAMPLED];
const B3: &str = "B3";
const PARENT: &str = "Traceparent";
const STATE: &str = "Tracestate";

/// `None`: these headers say nothing.
fn zipkin(sampled: Option<&str>, trace: Option<&str>) -> Option<bool> {
    match (sampled, trace) {
        (Some("0"), _) => Some(false),
        (Some("1"), _) | (_, Some(_)) => Some(true),
        _ => None,
    }
}

fn is_odd(flags: &str) -> bool {
    u64::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
}

/// Capitals at the start and behind each dash, nowhere else.
fn canonical(name: &[u8]) -> String {
    let mut begins = true;
    let letter = |&byte: &u8| {
        let byte = if begins { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        begins = byte == b'-';
        char::from(byte)
    };
    name.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All asked of nats-server 2.15.1.
    #[test]
    fn requests_are_sampled_as_by_nats_server() {
        for (lines, expected) in [
            ("", ""),
            ("Uber-Trace-Id: 1:2:3:1", "Uber-Trace-Id"),
            ("Uber-Trace-Id: 1:2:3:0", ""),
            ("Uber-Trace-Id: 1:2:3:2", ""),
            ("Uber-Trace-Id: 1:2:3:f", "Uber-Trace-Id"),
            ("Uber-Trace-Id: 1:2:3", ""),
            ("Uber-Trace-Id: 1:2:3:zz", ""),
            ("uber-trace-id: 1:2:3:1", "Uber-Trace-Id"),
            (
                "Uber-Trace-Id: 1:2:3:1\r\nX-B3-TraceId: 5\r\nUBERCTX-abC: b",
                "Uber-Trace-Id Uberctx-Abc",
            ),
            ("Uber-Trace-Id: 1:2:3:0\r\nX-B3-Sampled: 1", ""),
            (
                "X-B3-TraceId: 80f1\r\nX-B3-SpanId: e4\r\nX-B3-Sampled: 1",
                "X-B3-Sampled X-B3-Spanid X-B3-Traceid",
            ),
            ("X-B3-TraceId: 80f1\r\nX-B3-Sampled: 0", ""),
            ("X-B3-TraceId: 80f1", "X-B3-Traceid"),
            ("X-B3-Sampled: 1\r\nB3: 0", "X-B3-Sampled"),
            ("X-B3-Sampled: true", ""),
            ("X-B3-Sampled: d\r\nX-B3-TraceId: 5", "X-B3-Sampled X-B3-Traceid"),
            ("X-B3-ParentSpanId: 3\r\nX-B3-Flags: 1", ""),
            (
                "X-B3-TraceId: 5\r\nX-B3-Flags: 1\r\nX-B3-ParentSpanId: 7",
                "X-B3-Parentspanid X-B3-Traceid",
            ),
            ("X-B3-Sampled: 0\r\nTraceparent: 00-4-0-01", ""),
            ("X-B3-SpanId: 5\r\nTraceparent: 00-4-0-01", "Traceparent"),
            ("B3: 80f1-e4-1-05", "B3"),
            ("b3: d", "B3"),
            ("B3: 80f1-e4-0-05", ""),
            ("B3: 80f1-e4", "B3"),
            ("B3: 0\r\nTraceparent: 00-4-0-01", ""),
            ("B3: 1\r\nTraceparent: 00-4-0-01", "B3"),
            ("traceparent: 00-4bf9-00f0-01\r\nTracestate: a=b", "Traceparent Tracestate"),
            ("Traceparent: 00-4bf9-00f0-00", ""),
            ("Traceparent: 00-4-0-03", "Traceparent"),
            ("Tracestate: a=b", ""),
            ("Foo: bar", ""),
        ] {
            let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
            let names = sampled_headers(block.as_bytes()).unwrap_or_default();
            let names: Vec<String> = names.into_keys().collect();
            assert_eq!(names.join(" "), expected, "{lines:?}");
        }
        let twice = sampled_headers(b"NATS/1.0\r\nB3: 1\r\nB3: 2\r\n\r\n").unwrap_or_default();
        assert_eq!(twice.get("B3").map(Vec::len), Some(2));
    }
}
