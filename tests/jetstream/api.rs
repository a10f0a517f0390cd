//! A connection that asks the API of JetStream.

use serde_json::{json, Value};

use crate::common::{Broker, Message, Raw};

/// A client with an inbox.
pub(crate) struct Api {
    pub(crate) raw: Raw,
    asked: u64,
}

impl Api {
    pub(crate) fn open(broker: &Broker) -> Self {
        Self::new(Raw::open_headers(broker))
    }

    /// The same, with these options of CONNECT.
    pub(crate) fn open_with(broker: &Broker, options: &str) -> Self {
        Self::new(Raw::open_with(broker, options))
    }

    fn new(mut raw: Raw) -> Self {
        raw.send("SUB in.> 1\r\n");
        raw.fence();
        Self { raw, asked: 0 }
    }

    /// Sends a request and returns the answer to it; nothing else may come.
    pub(crate) fn request(&mut self, subject: &str, headers: &str, payload: &[u8]) -> Message {
        self.asked += 1;
        let reply = format!("in.{}", self.asked);
        let mut frame = if headers.is_empty() {
            format!("PUB {subject} {reply} {}\r\n", payload.len()).into_bytes()
        } else {
            let head = headers.len() + 14;
            let total = head + payload.len();
            format!("HPUB {subject} {reply} {head} {total}\r\nNATS/1.0\r\n{headers}\r\n\r\n")
                .into_bytes()
        };
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        self.raw.send(frame);
        let message = self.raw.message();
        assert_eq!(message.subject, reply, "an answer to something else: {message:?}");
        message
    }

    /// Asks `$JS.API.<verb>`.
    pub(crate) fn ask(&mut self, verb: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.request(&format!("$JS.API.{verb}"), "", body.as_bytes());
        serde_json::from_slice(&answer.payload).expect("an answer in JSON")
    }

    /// The same, and the answer is no error.
    pub(crate) fn done(&mut self, verb: &str, body: &Value) -> Value {
        let answer = self.ask(verb, body);
        assert!(answer.get("error").is_none(), "{verb}: {answer}");
        answer
    }

    /// The code of the error that the answer must be, and its text.
    pub(crate) fn refused(&mut self, verb: &str, body: &Value) -> (u64, String) {
        let answer = self.ask(verb, body);
        let error = &answer["error"];
        let code = error["err_code"].as_u64().unwrap_or_else(|| panic!("{verb}: {answer}"));
        (code, error["description"].as_str().unwrap_or_default().to_owned())
    }

    /// Publishes a message; its acknowledgement.
    pub(crate) fn put(&mut self, subject: &str, headers: &str, payload: &[u8]) -> Value {
        let answer = self.request(subject, headers, payload);
        serde_json::from_slice(&answer.payload).expect("an acknowledgement")
    }

    pub(crate) fn state(&mut self, stream: &str) -> Value {
        let body = json!({"deleted_details": true});
        self.done(&format!("STREAM.INFO.{stream}"), &body)["state"].take()
    }

    /// All messages of a stream: sequence, subject, headers, payload, time.
    pub(crate) fn messages(&mut self, stream: &str) -> Vec<Value> {
        let state = self.state(stream);
        let (first, last) = (state["first_seq"].as_u64(), state["last_seq"].as_u64());
        let mut found = Vec::new();
        for seq in first.unwrap()..=last.unwrap() {
            let verb = format!("STREAM.MSG.GET.{stream}");
            let mut answer = self.ask(&verb, &json!({"seq": seq}));
            if answer.get("error").is_none() {
                found.push(answer["message"].take());
            }
        }
        found
    }
}
