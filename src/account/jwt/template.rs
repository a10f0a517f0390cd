//! Variables in the subjects of a scoped signing key: `{{name()}}` and its kin.
//!
//! Whoever holds a scoped key writes the name and the tags of its users, and must not gain by
//! that what the scope does not give: a value that would change the shape of the subject (blanks,
//! wildcards, empty tokens) counts for nothing. nats-server takes it as it stands.

use super::permission::{PermissionClaims, SubjectClaims};
use crate::subject::is_valid_pattern;

/// Subjects that the rules of one user may become.
pub const SUBJECTS_MAX: usize = 4096;

/// What variables stand for.
#[derive(Clone, Copy, Debug)]
pub struct TemplateNames<'n> {
    /// `{{name()}}`
    pub name: &'n str,
    /// `{{subject()}}`
    pub subject: &'n str,
    /// `{{tag(key)}}`
    pub tags: &'n [String],
    /// `{{account-name()}}`
    pub account_name: &'n str,
    /// `{{account-subject()}}`
    pub account_subject: &'n str,
    /// `{{account-tag(key)}}`
    pub account_tags: &'n [String],
}

/// Why a user cannot have the rules of its scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such variable, or braces that do not close.
    #[error("template operation in {0:?} is not defined")]
    Unknown(String),
    /// A deny rule has nothing to stand for its variable: it would deny nothing.
    #[error("{0:?} generated an empty list")]
    DeniesNothing(String),
    /// More than [`SUBJECTS_MAX`].
    #[error("more than {SUBJECTS_MAX} subjects generated")]
    TooMany,
}

/// The permissions of a scope as they are for one user.
///
/// # Errors
/// The user cannot have them.
pub fn expand(
    permissions: &PermissionClaims,
    names: &TemplateNames<'_>,
) -> Result<PermissionClaims, TemplateError> {
    let mut room = SUBJECTS_MAX;
    Ok(PermissionClaims {
        publish: expand_side(&permissions.publish, names, &mut room)?,
        subscribe: expand_side(&permissions.subscribe, names, &mut room)?,
        resp: permissions.resp,
    })
}

fn expand_side(
    side: &SubjectClaims,
    names: &TemplateNames<'_>,
    room: &mut usize,
) -> Result<SubjectClaims, TemplateError> {
    let mut expanded = SubjectClaims::default();
    for rule in &side.allow {
        expand_rule(rule, names, room, &mut expanded.allow)?;
    }
    for rule in &side.deny {
        let before = expanded.deny.len();
        expand_rule(rule, names, room, &mut expanded.deny)?;
        if expanded.deny.len() == before {
            return Err(TemplateError::DeniesNothing(rule.clone()));
        }
    }
    if !side.allow.is_empty() && expanded.allow.is_empty() {
        // No allow rule means that everything is allowed.
        expanded.deny.push(">".to_owned());
    }
    Ok(expanded)
}

/// Appends what `rule` becomes: nothing, if a variable of it stands for nothing.
fn expand_rule(
    rule: &str,
    names: &TemplateNames<'_>,
    room: &mut usize,
    into: &mut Vec<String>,
) -> Result<(), TemplateError> {
    let mut made = vec![String::new()];
    let mut rest = rule;
    while let Some((before, after)) = rest.split_once("{{") {
        let unknown = || TemplateError::Unknown(rule.to_owned());
        let (variable, behind) = after.split_once("}}").ok_or_else(unknown)?;
        let mut values = values_of(variable.trim(), names).ok_or_else(unknown)?;
        values.retain(|value| is_plain(value));
        if made.len().saturating_mul(values.len()) > *room {
            return Err(TemplateError::TooMany);
        }
        let longer = made
            .iter()
            .flat_map(|head| values.iter().map(move |value| format!("{head}{before}{value}")));
        made = longer.collect();
        rest = behind;
    }
    *room = room.checked_sub(made.len()).ok_or(TemplateError::TooMany)?;
    into.extend(made.into_iter().map(|head| head + rest));
    Ok(())
}

/// What a variable stands for; `None` if there is none of that name.
fn values_of<'n>(variable: &str, names: &TemplateNames<'n>) -> Option<Vec<&'n str>> {
    let (name, argument) = variable.strip_suffix(')')?.split_once('(')?;
    let argument = argument.trim();
    let tagged = |tags: &'n [String]| {
        let is_key = |key: &str| key.eq_ignore_ascii_case(argument);
        let pairs = tags.iter().filter_map(|tag| tag.split_once(':'));
        pairs.filter(|(key, _)| is_key(key)).map(|(_, value)| value).collect()
    };
    Some(match (name.trim().to_ascii_lowercase().as_str(), argument) {
        ("name", "") => vec![names.name],
        ("subject", "") => vec![names.subject],
        ("account-name", "") => vec![names.account_name],
        ("account-subject", "") => vec![names.account_subject],
        ("tag", _) => tagged(names.tags),
        ("account-tag", _) => tagged(names.account_tags),
        _ => return None,
    })
}

/// Whether a value is one or more whole tokens without a wildcard.
fn is_plain(value: &str) -> bool {
    is_valid_pattern(value.as_bytes())
        && !value.bytes().any(|byte| byte.is_ascii_whitespace())
        && value.split('.').all(|token| token != "*" && token != ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tags: &[String]) -> TemplateNames<'_> {
        TemplateNames {
            name: "ann",
            subject: "UA",
            tags,
            account_name: "acme",
            account_subject: "AA",
            account_tags: &[],
        }
    }

    fn tags(list: &[&str]) -> Vec<String> {
        list.iter().map(|&tag| tag.to_owned()).collect()
    }

    fn publish(allow: &[&str], deny: &[&str]) -> PermissionClaims {
        let publish = SubjectClaims { allow: tags(allow), deny: tags(deny) };
        PermissionClaims { publish, ..PermissionClaims::default() }
    }

    fn expanded(
        allow: &[&str],
        deny: &[&str],
        own: &[&str],
    ) -> Result<(Vec<String>, Vec<String>), TemplateError> {
        let own = tags(own);
        let made = expand(&publish(allow, deny), &names(&own))?;
        Ok((made.publish.allow, made.publish.deny))
    }

    #[test]
    fn variables_become_what_they_stand_for() {
        let subject = "{{name()}}.{{ subject() }}.{{account-name()}}.x-{{account-subject()}}.>";
        assert_eq!(expanded(&[subject], &[], &[]), Ok((tags(&["ann.UA.acme.x-AA.>"]), vec![])));
        let own = ["Team:a", "team:b", "role:c", "word"];
        assert_eq!(
            expanded(&["{{tag(team)}}.{{tag(role)}} q"], &["x.{{tag(TEAM)}}"], &own),
            Ok((tags(&["a.c q", "b.c q"]), tags(&["x.a", "x.b"])))
        );
    }

    #[test]
    fn an_allow_rule_for_nothing_goes_and_a_deny_rule_for_nothing_is_refused() {
        assert_eq!(expanded(&["a", "{{tag(x)}}"], &[], &[]), Ok((tags(&["a"]), vec![])));
        assert_eq!(expanded(&["{{tag(x)}}"], &["b"], &[]), Ok((vec![], tags(&["b", ">"]))));
        let denied = expanded(&["a"], &["{{tag(x)}}"], &[]);
        assert!(matches!(denied, Err(TemplateError::DeniesNothing(_))));
    }

    #[test]
    fn values_cannot_widen_the_scope() {
        for value in ["team:>", "team:*", "team:a.>", "team:a b", "team:", "team:a..b"] {
            let made = expanded(&["x.{{tag(team)}}"], &[], &[value]);
            assert_eq!(made, Ok((vec![], tags(&[">"]))), "{value}");
            assert!(expanded(&["x"], &["{{tag(team)}}"], &[value]).is_err(), "{value}");
        }
        assert!(expanded(&["x.{{tag(team)}}"], &[], &["team:a.b"]).is_ok());
    }

    #[test]
    fn unknown_variables_and_floods_are_refused() {
        for rule in ["{{nme()}}", "{{name(x)}}", "{{name()", "{{name}}"] {
            assert!(
                matches!(expanded(&[rule], &[], &[]), Err(TemplateError::Unknown(_))),
                "{rule}"
            );
        }
        let many: Vec<String> = (0..65).map(|number| format!("t:{number}")).collect();
        let rules = publish(&["{{tag(t)}}.{{tag(t)}}"], &[]);
        assert_eq!(expand(&rules, &names(&many)), Err(TemplateError::TooMany));
    }
}
