//! What whoever looks wants to see.

use std::time::Duration;

/// Which connections are shown, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Time between two samples.
    pub(super) delay: Duration,
    pub(super) sort: Sort,
    /// Connections asked for, `1..`.
    pub(super) limit: usize,
    /// Whether their subscriptions are shown.
    pub(super) subscriptions: bool,
    /// Whether numbers are shown in full.
    pub(super) raw: bool,
    /// Whether a connection's messages and bytes are shown as rates.
    pub(super) rates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            sort: Sort::default(),
            limit: 1024,
            subscriptions: false,
            raw: false,
            rates: false,
        }
    }
}

/// An order of `/connz`, by its name there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort(usize);

/// The orders of open connections.
const SORTS: [&str; 11] = [
    "cid",
    "start",
    "subs",
    "pending",
    "msgs_to",
    "msgs_from",
    "bytes_to",
    "bytes_from",
    "last",
    "idle",
    "uptime",
];

impl Sort {
    pub(super) fn find(name: &str) -> Option<Self> {
        SORTS.iter().position(|sort| *sort == name).map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        SORTS.get(self.0).copied().unwrap_or_default()
    }

    pub(super) fn next(self) -> Self {
        Self((self.0 + 1) % SORTS.len())
    }

    pub(super) fn previous(self) -> Self {
        Self((self.0 + SORTS.len() - 1) % SORTS.len())
    }

    /// All of them, for texts.
    pub(super) fn all() -> String {
        SORTS.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_go_round() {
        let first = Sort::default();
        assert_eq!(first.name(), "cid");
        assert_eq!(first.previous().next(), first);
        assert_eq!(Sort::find("idle").unwrap().name(), "idle");
        assert_eq!(Sort::find("rtx"), None);
    }
}
