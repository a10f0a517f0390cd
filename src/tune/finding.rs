//! What a check found.

use serde::{Deserialize, Serialize};

/// How urgent a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be, or nothing to be had here.
    Fine,
    /// It works, and could be better.
    Advised,
    /// The broker does not start, or does not keep its promises.
    Required,
}

/// One file that holds one value, and the value it should get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Below `/proc` or `/sys`.
    pub path: String,
    /// The value found.
    pub before: String,
    /// The value to write.
    pub after: String,
}

/// One thing of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// One word, the same in every version: scripts look for it.
    pub name: &'static str,
    /// How urgent.
    pub state: State,
    /// What was found.
    pub is: String,
    /// What the broker wants.
    pub should: String,
    /// Why it wants that.
    pub why: &'static str,
    /// What it costs to have it so.
    pub cost: &'static str,
    /// How to go back by hand.
    pub undo: String,
    /// What can be written at run time.
    pub changes: Vec<Change>,
    /// What only somebody else can do: another unit file, another mount, the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub(super) fn fine(name: &'static str, is: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Fine,
            is: is.into(),
            should: String::new(),
            why: "",
            cost: "",
            undo: String::new(),
            changes: Vec::new(),
            by_hand: None,
        }
    }

    /// Something to change by writing files; how to undo it follows from them.
    pub(super) fn of_changes(
        name: &'static str,
        state: State,
        (is, should): (String, String),
        (why, cost): (&'static str, &'static str),
        changes: Vec<Change>,
    ) -> Self {
        let undo = match changes.as_slice() {
            [one] => format!("write {} to {}", one.before, one.path),
            _ => "midge tune --revert".to_owned(),
        };
        Self { name, state, is, should, why, cost, undo, changes, by_hand: None }
    }

    /// Something that only somebody else can change.
    pub(super) fn of_hand(
        name: &'static str,
        state: State,
        (is, should): (String, String),
        (why, cost): (&'static str, &'static str),
        by_hand: impl Into<String>,
    ) -> Self {
        Self {
            name,
            state,
            is,
            should,
            why,
            cost,
            undo: "take that back".to_owned(),
            changes: Vec::new(),
            by_hand: Some(by_hand.into()),
        }
    }
}
