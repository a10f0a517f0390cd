//! Making changes, and taking exactly those back.

use serde::{Deserialize, Serialize};

use super::finding::{Change, Finding};
use super::system::System;

/// What was changed and not taken back yet, in the order of changing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    changes: Vec<Change>,
}

/// Why changes cannot be made or taken back at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the record of changes {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("the record of changes {path} cannot be written, so nothing was changed: {reason}")]
    Unwritable { path: String, reason: String },
    #[error("there is no record of changes at {0}: nothing to revert")]
    None(String),
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(super) enum Outcome {
    /// The file has the new value.
    Written { path: String, from: String, to: String },
    /// The system refused; the file has the old value.
    Refused { path: String, reason: String },
    /// Somebody has changed it since, so it was left alone.
    Left { path: String, found: String },
}

/// Makes every change of the findings and records it in `record_path` first. Changing twice keeps
/// what was there at first.
pub(super) fn apply(
    findings: &[Finding],
    record_path: &str,
    system: &mut dyn System,
) -> Result<Vec<Outcome>, RecordError> {
    let wanted: Vec<&Change> = findings.iter().flat_map(|finding| &finding.changes).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut record = Record::read(record_path, system)?.unwrap_or_default();
    let before = record.clone();
    for change in &wanted {
        record.note(change);
    }
    record.write(record_path, system)?;
    let mut outcomes = Vec::new();
    let mut refused = Vec::new();
    for change in wanted {
        let outcome = put(&change.path, &change.before, &change.after, system);
        if matches!(outcome, Outcome::Refused { .. }) {
            refused.push(change.path.as_str());
        }
        outcomes.push(outcome);
    }
    if !refused.is_empty() {
        record.forget(&refused, &before);
        record.write_or_remove(record_path, system)?;
    }
    Ok(outcomes)
}

/// Takes back what the record names, last change first, and removes the record. What the system
/// refuses stays in it.
pub(super) fn revert(
    record_path: &str,
    system: &mut dyn System,
) -> Result<Vec<Outcome>, RecordError> {
    let record = Record::read(record_path, system)?;
    let mut record = record.ok_or_else(|| RecordError::None(record_path.to_owned()))?;
    let mut outcomes = Vec::new();
    let mut refused = Vec::new();
    for change in record.changes.iter().rev() {
        let found = system.value(&change.path).unwrap_or_default();
        let outcome = if found == change.before {
            // Recorded, and never made.
            continue;
        } else if found == change.after {
            put(&change.path, &found, &change.before, system)
        } else {
            Outcome::Left { path: change.path.clone(), found }
        };
        if matches!(outcome, Outcome::Refused { .. }) {
            refused.push(change.path.clone());
        }
        outcomes.push(outcome);
    }
    record.changes.retain(|change| refused.contains(&change.path));
    record.write_or_remove(record_path, system)?;
    Ok(outcomes)
}

fn put(path: &str, from: &str, to: &str, system: &mut dyn System) -> Outcome {
    match system.write(path, to) {
        Ok(()) => Outcome::Written { path: path.into(), from: from.into(), to: to.into() },
        Err(error) => Outcome::Refused { path: path.into(), reason: error.to_string() },
    }
}

impl Record {
    /// `None` if there is no record.
    fn read(path: &str, system: &dyn System) -> Result<Option<Self>, RecordError> {
        let Some(text) = system.read(path) else { return Ok(None) };
        let record = serde_json::from_str(&text);
        record.map(Some).map_err(|error| RecordError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    fn note(&mut self, change: &Change) {
        match self.changes.iter_mut().find(|noted| noted.path == change.path) {
            // The first value is the one to go back to, unless it came back by itself.
            Some(noted) if noted.after == change.before => noted.after.clone_from(&change.after),
            Some(noted) => *noted = change.clone(),
            None => self.changes.push(change.clone()),
        }
    }

    /// Goes back to what `before` says of these files.
    fn forget(&mut self, paths: &[&str], before: &Self) {
        self.changes.retain(|change| !paths.contains(&change.path.as_str()));
        let old = before.changes.iter().filter(|change| paths.contains(&change.path.as_str()));
        self.changes.extend(old.cloned());
    }

    fn write(&self, path: &str, system: &mut dyn System) -> Result<(), RecordError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        system.write(path, &text).map_err(|error| RecordError::Unwritable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    fn write_or_remove(&self, path: &str, system: &mut dyn System) -> Result<(), RecordError> {
        if !self.changes.is_empty() {
            return self.write(path, system);
        }
        system.remove(path).map_err(|error| RecordError::Unwritable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::tests::{FakeHost, RECORD};
    use super::super::finding::State;
    use super::*;

    fn finding(changes: &[(&str, &str, &str)]) -> Finding {
        let changes = changes.iter().map(|(path, before, after)| Change {
            path: (*path).to_owned(),
            before: (*before).to_owned(),
            after: (*after).to_owned(),
        });
        let texts = (String::new(), String::new());
        Finding::of_changes("x", State::Advised, texts, ("", ""), changes.collect())
    }

    #[test]
    fn what_was_applied_is_reverted_and_the_record_goes() {
        let mut host = FakeHost::of(&[("/a", "1\n"), ("/b", "x [y] z\n")]);
        let wanted = [finding(&[("/a", "1", "2"), ("/b", "y", "z")])];
        assert_eq!(apply(&wanted, RECORD, &mut host).unwrap().len(), 2);
        assert_eq!((host.value("/a"), host.value("/b")), (Some("2".into()), Some("z".into())));
        assert_eq!(revert(RECORD, &mut host).unwrap().len(), 2);
        assert_eq!(host, FakeHost::of(&[("/a", "1\n"), ("/b", "x [y] z\n")]));
        assert!(matches!(revert(RECORD, &mut host), Err(RecordError::None(_))));
    }

    #[test]
    fn applying_twice_goes_back_to_the_first_value() {
        let mut host = FakeHost::of(&[("/a", "1")]);
        apply(&[finding(&[("/a", "1", "2")])], RECORD, &mut host).unwrap();
        apply(&[finding(&[("/a", "2", "3")])], RECORD, &mut host).unwrap();
        revert(RECORD, &mut host).unwrap();
        assert_eq!(host.value("/a"), Some("1".into()));
    }

    #[test]
    fn what_somebody_else_changed_is_left_alone() {
        let mut host = FakeHost::of(&[("/a", "1")]);
        apply(&[finding(&[("/a", "1", "2")])], RECORD, &mut host).unwrap();
        host.write("/a", "7").unwrap();
        let outcomes = revert(RECORD, &mut host).unwrap();
        assert_eq!(outcomes, [Outcome::Left { path: "/a".into(), found: "7".into() }]);
        assert_eq!(host.value("/a"), Some("7".into()));
        assert!(host.read(RECORD).is_none());
    }

    #[test]
    fn what_the_system_refuses_is_not_recorded() {
        let mut host = FakeHost::of(&[("/a", "1"), ("/b", "1")]);
        host.refuse("/a");
        let wanted = [finding(&[("/a", "1", "2"), ("/b", "1", "2")])];
        let outcomes = apply(&wanted, RECORD, &mut host).unwrap();
        assert!(matches!(&outcomes[0], Outcome::Refused { path, .. } if path == "/a"));
        assert!(!host.read(RECORD).unwrap().contains("/a"));
        host.refuse("/b");
        assert!(matches!(&revert(RECORD, &mut host).unwrap()[..], [Outcome::Refused { .. }]));
        assert!(host.read(RECORD).unwrap().contains("/b"));
    }

    #[test]
    fn without_a_record_nothing_is_changed() {
        let mut host = FakeHost::of(&[("/a", "1")]);
        host.refuse(RECORD);
        let refused = apply(&[finding(&[("/a", "1", "2")])], RECORD, &mut host);
        assert!(matches!(refused, Err(RecordError::Unwritable { .. })));
        assert_eq!(host.value("/a"), Some("1".into()));
        let mut host = FakeHost::of(&[("/a", "1"), (RECORD, "no json")]);
        let refused = apply(&[finding(&[("/a", "1", "2")])], RECORD, &mut host);
        assert!(matches!(refused, Err(RecordError::Unreadable { .. })));
        assert!(matches!(revert(RECORD, &mut host), Err(RecordError::Unreadable { .. })));
    }
}
