//! Findings and outcomes as people and as programs read them.

use std::fmt::Write as _;

use serde::Serialize;

use super::change::Outcome;
use super::finding::{Finding, State};

/// Everything one run has to say.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Empty when reverting.
    pub(super) findings: Vec<Finding>,
    /// What was changed; empty in a dry run.
    pub(super) outcomes: Vec<Outcome>,
    #[serde(skip)]
    pub(super) intent: Intent,
}

/// What the run was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Look,
    Apply,
    Revert,
}

impl Report {
    /// One JSON document and a line end.
    pub(super) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            describe(finding, &mut text);
        }
        for outcome in &self.outcomes {
            let _infallible = match outcome {
                Outcome::Written { path, from, to } => {
                    writeln!(text, "changed  {path}: {from} -> {to}")
                }
                Outcome::Refused { path, reason } => writeln!(text, "refused  {path}: {reason}"),
                Outcome::Left { path, found } => {
                    writeln!(text, "left     {path}: it is {found} now, changed by somebody else")
                }
            };
        }
        text.push_str(&self.summary());
        text
    }

    /// Whether a script may go on: nothing required is missing, or was just put right, and
    /// nothing was refused.
    pub(super) fn is_success(&self) -> bool {
        let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused { .. });
        let missing = |finding: &Finding| {
            let changed = self.intent == Intent::Apply && !finding.changes.is_empty();
            finding.state == State::Required && !changed
        };
        !self.outcomes.iter().any(refused) && !self.findings.iter().any(missing)
    }

    fn summary(&self) -> String {
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        let changes = self.findings.iter().map(|finding| finding.changes.len()).sum::<usize>();
        match self.intent {
            Intent::Revert if self.outcomes.is_empty() => "Everything was back already.\n".into(),
            Intent::Revert => String::new(),
            Intent::Look => format!(
                "{} fine, {} could be better, {} must be changed. Nothing was changed; \
                 `midge tune --apply` would write {changes} files.\n",
                count(State::Fine),
                count(State::Advised),
                count(State::Required)
            ),
            Intent::Apply if changes == 0 => "Nothing here can be changed at run time.\n".into(),
            Intent::Apply => {
                "`midge tune --revert` takes this back; a restart of the machine does \
                              too.\n"
                    .into()
            }
        }
    }
}

fn describe(finding: &Finding, text: &mut String) {
    let Finding { name, is, should, why, cost, undo, .. } = finding;
    let mark = match finding.state {
        State::Fine => "ok      ",
        State::Advised => "advised ",
        State::Required => "REQUIRED",
    };
    let _infallible = writeln!(text, "{mark} {name}: {is}");
    if finding.state == State::Fine {
        return;
    }
    let mut line = |label: &str, value: &str| {
        let _infallible = writeln!(text, "           {label:<7} {value}");
    };
    line("should:", should);
    line("why:", why);
    line("cost:", cost);
    for change in &finding.changes {
        line("apply:", &format!("write {} to {}", change.after, change.path));
    }
    if let Some(hand) = &finding.by_hand {
        line("do:", hand);
    }
    line("undo:", undo);
}
