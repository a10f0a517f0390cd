//! Streams that come and go: one that was made is there, one that was deleted stays away.

use serde_json::{json, Value};

use super::link::{Gone, Link};
use super::Leniency;
use crate::common::Random;

/// A few streams, each there or not.
#[derive(Default)]
pub(crate) struct Churn {
    streams: [Fate; 4],
}

/// What is known of one stream.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
enum Fate {
    /// It was never made, or deleted.
    #[default]
    Gone,
    /// It holds this many messages.
    Made(u64),
    /// Its creation was under way.
    MaybeMade,
    /// It holds this many messages, and one more was under way.
    MaybeFilled(u64),
    /// Its deletion was under way.
    MaybeGone(u64),
}

impl Churn {
    /// Every stream is there or not, as was acknowledged.
    pub(crate) fn check(&mut self, link: &mut Link, like: Leniency) -> Result<(), Gone> {
        for (index, fate) in self.streams.iter_mut().enumerate() {
            let info = link.call(&format!("STREAM.INFO.churn-{index}"), &Value::Null)?;
            let messages = info["state"]["messages"].as_u64();
            let is_possible = match (*fate, messages) {
                (Fate::Gone | Fate::MaybeMade | Fate::MaybeGone(_), None) => true,
                (Fate::Made(count) | Fate::MaybeGone(count), Some(messages)) => messages == count,
                (Fate::MaybeMade, Some(messages)) => messages == 0,
                (Fate::MaybeFilled(count), Some(messages)) => {
                    (count..=count + 1).contains(&messages)
                }
                _ => false,
            };
            let is_possible = is_possible || like.is_reference && messages.is_some();
            let state = &info["state"];
            assert!(is_possible, "churn-{index} is {fate:?}, and the broker says {state}");
            *fate = messages.map_or(Fate::Gone, Fate::Made);
        }
        Ok(())
    }

    /// Makes, fills and deletes.
    pub(crate) fn work(&mut self, link: &mut Link, random: &mut Random) -> Result<(), Gone> {
        loop {
            let index = random.below(self.streams.len());
            let name = format!("churn-{index}");
            let fate = &mut self.streams[index];
            match *fate {
                Fate::Gone => {
                    *fate = Fate::MaybeMade;
                    let body = json!({
                        "name": name, "subjects": [name], "storage": "file", "num_replicas": 1,
                    });
                    let answer = link.call(&format!("STREAM.CREATE.{name}"), &body)?;
                    assert!(answer.get("error").is_none(), "{answer}");
                    *fate = Fate::Made(0);
                }
                Fate::Made(count) if count < 3 && random.below(3) > 0 => {
                    let reply = link.reply_to(count);
                    link.send(format!("PUB {name} {reply} 2\r\nhi\r\n").as_bytes())?;
                    // In doubt only until the next line: then it is one or the other.
                    let message = match link.next() {
                        Ok(message) => message,
                        Err(gone) => {
                            *fate = Fate::MaybeFilled(count);
                            return Err(gone);
                        }
                    };
                    assert_eq!(message.subject, reply, "{message:?}");
                    *fate = Fate::Made(count + 1);
                }
                Fate::Made(count) => {
                    *fate = Fate::MaybeGone(count);
                    let answer = link.call(&format!("STREAM.DELETE.{name}"), &Value::Null)?;
                    assert_eq!(answer["success"], true, "{answer}");
                    *fate = Fate::Gone;
                }
                Fate::MaybeMade | Fate::MaybeGone(_) | Fate::MaybeFilled(_) => {
                    unreachable!("settled by the check")
                }
            }
        }
    }
}
