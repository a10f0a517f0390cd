//! What the fuzz target of subject mappings checks, also run over its corpus as a unit test.
#![allow(missing_docs, reason = "compiled for tests and fuzzing only")]

use super::{Mapped, Mapping, MappingTarget, Mappings};
use crate::subject::{is_literal, matches};

/// Lines: a subject, a source, then destinations, each behind its weight and a blank.
///
/// Checks: a mapping is taken or refused alike twice; it applies to what its source matches and to
/// nothing else; the same number gives the same subject; a result of plain tokens, `$n` and
/// `{{wildcard(n)}}` is what a naive reading of the destination gives; every weight of a hundred
/// is somebody's.
pub fn check_mappings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (Some(subject), Some(source)) = (lines.next(), lines.next()) else { return };
    let targets: Vec<MappingTarget> = lines
        .take(8)
        .filter_map(|line| {
            let (weight, destination) = line.split_once(' ')?;
            let weight = weight.parse().ok()?;
            Some(MappingTarget { destination: destination.to_owned(), weight, cluster: None })
        })
        .collect();
    let mapping = Mapping::new(source, &targets, None);
    assert_eq!(mapping, Mapping::new(source, &targets, None));
    let Ok(mapping) = mapping else { return };
    let mut mappings = Mappings::default();
    mappings.push(mapping);
    // Only literal subjects are published.
    if subject.is_empty() || !is_literal(subject.as_bytes()) {
        return;
    }
    let mut out = Vec::new();
    for random in [0, 1, 50, 99, 100, u64::MAX] {
        let mapped = mappings.apply(subject.as_bytes(), random, &mut out);
        let first = out.clone();
        assert_eq!(mappings.apply(subject.as_bytes(), random, &mut out), mapped);
        if !matches(source.as_bytes(), subject.as_bytes()) {
            assert_eq!(mapped, Mapped::Unchanged);
            continue;
        }
        if mapped == Mapped::Changed {
            assert_eq!(out, first);
            let drawn = target_of(&targets, random);
            if let Some(expected) = drawn.and_then(|target| naive(subject, source, target)) {
                assert_eq!(String::from_utf8_lossy(&out), expected, "{source} {targets:?}");
            }
        }
    }
}

/// Whose number of a hundred this is.
fn target_of(targets: &[MappingTarget], random: u64) -> Option<&str> {
    let mut upto = 0;
    let drawn = random % 100;
    let found = targets.iter().find(|target| {
        upto += u64::from(target.weight);
        drawn < upto
    });
    found.map(|target| target.destination.as_str())
}

/// The destination with its references put in, if it has no other functions.
fn naive(subject: &str, source: &str, destination: &str) -> Option<String> {
    let given: Vec<&str> = subject.split('.').collect();
    let pattern: Vec<&str> = source.split('.').collect();
    let stars: Vec<&str> = given
        .iter()
        .zip(&pattern)
        .filter(|(_, token)| **token == "*")
        .map(|(token, _)| *token)
        .collect();
    let mut tokens = Vec::new();
    for token in destination.split('.') {
        let reference = token.strip_prefix('$').or_else(|| {
            token.strip_prefix("{{wildcard(").and_then(|rest| rest.strip_suffix(")}}"))
        });
        if token == ">" {
            tokens.push(given.get(pattern.len() - 1..)?.join("."));
        } else if let Some(number) = reference.and_then(|number| number.parse::<usize>().ok()) {
            tokens.push((*stars.get(number.checked_sub(1)?)?).to_owned());
        } else if token.contains(['{', '$']) {
            return None;
        } else {
            tokens.push(token.to_owned());
        }
    }
    Some(tokens.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_corpus::run;

    #[test]
    fn mappings_corpus_holds() {
        run("mappings", b"*>.${}(), 09a-\n", check_mappings);
    }
}
