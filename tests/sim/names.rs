//! Subjects and patterns of the simulated clients: few, so that they meet.

use std::fmt;
use std::sync::OnceLock;

/// What is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Topic(usize),
    /// Inbox of a client and a request of it.
    Inbox(usize, usize),
}

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    Topic(usize),
    Inbox(usize, usize),
    /// All inboxes of a client.
    Inboxes(usize),
}

const TOPICS: [&str; 7] = ["a.b", "a", "a.c", "b", "a.b.c", "b.x", "c.d.e"];

const PATTERNS: [&str; 15] = [
    "a.b", "a.*", "a.>", "a", "*", "*.b", "a.c", "b", ">", "a.b.c", "a.*.c", "b.x", "b.*", "c.>",
    "c.d.e",
];

pub const TOPICS_MAX: usize = TOPICS.len();

impl Subject {
    pub fn matches(self, pattern: Pattern) -> bool {
        match (pattern, self) {
            (Pattern::Topic(pattern), Self::Topic(topic)) => table()[pattern][topic],
            (Pattern::Topic(pattern), Self::Inbox(..)) => PATTERNS[pattern] == ">",
            (Pattern::Inbox(client, number), Self::Inbox(owner, request)) => {
                (client, number) == (owner, request)
            }
            (Pattern::Inboxes(client), Self::Inbox(owner, _)) => client == owner,
            _ => false,
        }
    }
}

/// Patterns that match one of the first `topics` topics.
pub fn patterns_for(topics: usize) -> Vec<usize> {
    (0..PATTERNS.len()).filter(|&p| table()[p][..topics].iter().any(|&matches| matches)).collect()
}

fn table() -> &'static [Vec<bool>] {
    static TABLE: OnceLock<Vec<Vec<bool>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let matches = |pattern: &str, topic: &str| {
            midge::subject::matches(pattern.as_bytes(), topic.as_bytes())
        };
        let row = |pattern: &&str| TOPICS.iter().map(|topic| matches(pattern, topic)).collect();
        PATTERNS.iter().map(row).collect()
    })
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => f.write_str(TOPICS[*topic]),
            Self::Inbox(client, number) => write!(f, "_INBOX.c{client}.{number}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(pattern) => f.write_str(PATTERNS[*pattern]),
            Self::Inbox(client, number) => write!(f, "_INBOX.c{client}.{number}"),
            Self::Inboxes(client) => write!(f, "_INBOX.c{client}.*"),
        }
    }
}
