//! Mappings of an account: a published subject becomes another, or nothing.

use crate::subject::{is_valid_pattern, matches, Transform, TransformError};

/// All mappings of an account. The first whose source matches is applied, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings(Vec<Mapping>);

/// What became of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// It stays what it is.
    Unchanged,
    /// It is what was written into the buffer.
    Changed,
    /// The message goes nowhere: a mapping that loses some on purpose.
    Dropped,
}

/// What becomes of the subjects of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    source: Box<[u8]>,
    shares: Vec<Share>,
    /// What is not shared out is dropped instead of staying.
    drops_rest: bool,
}

/// A destination and the numbers of a hundred that mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Share {
    /// Below this, and not below that of the share before.
    upto: u64,
    /// `None`: the subject stays.
    transform: Option<Transform>,
    /// As configured.
    destination: Box<str>,
}

/// A destination as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingTarget {
    /// Where to.
    pub destination: String,
    /// Of a hundred.
    pub weight: u8,
    /// Only for servers of this cluster.
    pub cluster: Option<String>,
}

/// Why a mapping cannot be; the texts are the ends of nats-server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The source is malformed.
    #[error("Subject {0:?} is not a valid subject")]
    Source(String),
    /// A destination is malformed.
    #[error("Error adding mapping for {from:?} to {destination:?} : {error}")]
    Destination {
        /// As configured.
        from: String,
        /// As configured.
        destination: String,
        /// What is wrong.
        error: TransformError,
    },
    /// A destination stands twice.
    #[error("Error adding mapping for {from:?} : duplicate entry for {destination:?}")]
    Duplicate {
        /// As configured.
        from: String,
        /// As configured.
        destination: String,
    },
    /// More than all.
    #[error("Error adding mapping for {0:?} : total weight needs to be <= 100")]
    Weight(String),
}

impl Mappings {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a mapping.
    pub fn push(&mut self, mapping: Mapping) {
        self.0.push(mapping);
    }

    /// Every source and what becomes of its subjects, as nats-server shows it: the smallest share
    /// first, each with the sum of those up to it, and what stays last.
    pub fn shown(&self) -> impl Iterator<Item = (String, Vec<(String, u64)>)> + '_ {
        self.0.iter().map(Mapping::shown)
    }

    /// What becomes of `subject`; a new one is written into `out`, which is
    /// cleared first. `random` is any number that changes from call to call.
    pub fn apply(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) -> Mapped {
        let Some(mapping) = self.0.iter().find(|mapping| matches(&mapping.source, subject)) else {
            return Mapped::Unchanged;
        };
        let drawn = random % 100;
        match mapping.shares.iter().find(|share| drawn < share.upto) {
            Some(Share { transform: Some(transform), .. }) => {
                out.clear();
                transform.apply_matched(subject, random.rotate_left(32), out);
                Mapped::Changed
            }
            Some(_) => Mapped::Unchanged,
            None if mapping.drops_rest => Mapped::Dropped,
            None => Mapped::Unchanged,
        }
    }
}

impl Mapping {
    fn shown(&self) -> (String, Vec<(String, u64)>) {
        let source = String::from_utf8_lossy(&self.source).into_owned();
        let mut before = 0;
        let share = |share: &Share| {
            let weight = share.upto - std::mem::replace(&mut before, share.upto);
            (share.destination.to_string(), weight)
        };
        let mut targets: Vec<(String, u64)> = self.shares.iter().map(share).collect();
        targets.sort_by_key(|(_, weight)| *weight);
        let mut sum = 0;
        for (_, weight) in &mut targets {
            sum += *weight;
            *weight = sum;
        }
        if sum < 100 && !self.drops_rest {
            targets.push((numbered(&source), 100));
        }
        (source, targets)
    }

    /// Checks the destinations of `source`. Those for a cluster take the place
    /// of the others on a server of that cluster.
    ///
    /// # Errors
    /// A text to show.
    pub fn new(
        source: &str,
        targets: &[MappingTarget],
        cluster: Option<&str>,
    ) -> Result<Self, MappingError> {
        if !is_valid_pattern(source.as_bytes()) {
            return Err(MappingError::Source(source.to_owned()));
        }
        let scoped = |scope: Option<&str>| {
            let scope = scope.map(str::to_owned);
            targets.iter().filter(move |target| target.cluster == scope)
        };
        let mut scopes: Vec<Option<&str>> =
            targets.iter().map(|target| target.cluster.as_deref()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let mut chosen = Self { source: source.as_bytes().into(), ..Self::nothing() };
        let is_own = |scope: Option<&str>| {
            let own_is_listed = cluster.is_some() && scoped(cluster).next().is_some();
            scope == if own_is_listed { cluster } else { None }
        };
        for scope in scopes {
            let mapping = Self::of_scope(source, scoped(scope))?;
            if is_own(scope) {
                chosen = mapping;
            }
        }
        Ok(chosen)
    }

    fn nothing() -> Self {
        Self { source: Box::default(), shares: Vec::new(), drops_rest: false }
    }

    fn of_scope<'t>(
        source: &str,
        targets: impl Iterator<Item = &'t MappingTarget>,
    ) -> Result<Self, MappingError> {
        let mut mapping = Self { source: source.as_bytes().into(), ..Self::nothing() };
        let mut seen: Vec<&str> = Vec::new();
        let mut upto = 0;
        for target in targets {
            let destination = target.destination.as_str();
            if seen.contains(&destination) {
                return Err(MappingError::Duplicate {
                    from: source.to_owned(),
                    destination: destination.to_owned(),
                });
            }
            seen.push(destination);
            upto += u64::from(target.weight);
            if upto > 100 {
                return Err(MappingError::Weight(source.to_owned()));
            }
            let transform =
                Transform::new(source, destination).map_err(|error| MappingError::Destination {
                    from: source.to_owned(),
                    destination: destination.to_owned(),
                    error,
                })?;
            let stays = destination == source;
            mapping.drops_rest |= stays;
            mapping.shares.push(Share {
                upto,
                transform: (!stays).then_some(transform),
                destination: destination.into(),
            });
        }
        Ok(mapping)
    }
}

/// A pattern as a destination, its `*` numbered: `a.*` is `a.$1`.
pub(super) fn numbered(source: &str) -> String {
    let mut count = 0;
    let number = |token: &str| {
        if token == "*" {
            count += 1;
            format!("${count}")
        } else {
            token.to_owned()
        }
    };
    source.split('.').map(number).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapping(source: &str, targets: &[(&str, u8)]) -> Mapping {
        let targets: Vec<MappingTarget> = targets
            .iter()
            .map(|&(destination, weight)| MappingTarget {
                destination: destination.to_owned(),
                weight,
                cluster: None,
            })
            .collect();
        Mapping::new(source, &targets, None).unwrap()
    }

    /// How often of a hundred each thing happens to `subject`.
    fn shares(mapping: Mapping, subject: &str) -> Vec<(String, usize)> {
        let mappings = Mappings(vec![mapping]);
        let mut out = Vec::new();
        let mut results: Vec<String> = (0..100)
            .map(|random| match mappings.apply(subject.as_bytes(), random, &mut out) {
                Mapped::Unchanged => subject.to_owned(),
                Mapped::Changed => String::from_utf8(out.clone()).unwrap(),
                Mapped::Dropped => String::new(),
            })
            .collect();
        results.sort();
        results.chunk_by(|a, b| a == b).map(|same| (same[0].clone(), same.len())).collect()
    }

    fn is(mapping: Mapping, subject: &str, expected: &[(&str, usize)]) {
        let expected: Vec<_> = expected.iter().map(|&(name, n)| (name.to_owned(), n)).collect();
        assert_eq!(shares(mapping, subject), expected);
    }

    /// All asked of nats-server 2.15.1.
    #[test]
    fn weights_share_out_and_the_rest_stays_unless_the_source_is_listed() {
        is(mapping("a", &[("b", 50), ("c", 50)]), "a", &[("b", 50), ("c", 50)]);
        is(mapping("a", &[("b", 30)]), "a", &[("a", 70), ("b", 30)]);
        is(mapping("a", &[("b", 30), ("a", 30)]), "a", &[("", 40), ("a", 30), ("b", 30)]);
        is(mapping("a", &[("b", 0)]), "a", &[("a", 100)]);
        is(mapping("a", &[]), "a", &[("a", 100)]);
        is(mapping("a", &[("a", 50)]), "a", &[("", 50), ("a", 50)]);
        is(mapping("a.*", &[("b.$1", 50)]), "a.x", &[("a.x", 50), ("b.x", 50)]);
        is(mapping("a.*", &[("b.$1", 50), ("a.$1", 20)]), "a.x", &[("a.x", 50), ("b.x", 50)]);
        is(mapping(">", &[("x.>", 100)]), "x.a", &[("x.x.a", 100)]);
        is(mapping("*", &[("x.$1", 100)]), "a..b", &[("a..b", 100)]);
    }

    #[test]
    fn destinations_of_another_cluster_count_for_nothing() {
        let target = |destination: &str, cluster: Option<&str>| MappingTarget {
            destination: destination.to_owned(),
            weight: 60,
            cluster: cluster.map(str::to_owned),
        };
        let targets = [target("b", Some("x")), target("c", Some("y")), target("d", None)];
        let of = |cluster| Mapping::new("a", &targets, cluster).unwrap();
        is(of(None), "a", &[("a", 40), ("d", 60)]);
        is(of(Some("z")), "a", &[("a", 40), ("d", 60)]);
        is(of(Some("y")), "a", &[("a", 40), ("c", 60)]);
        is(Mapping::new("a", &targets[..2], None).unwrap(), "a", &[("a", 100)]);
    }

    #[test]
    fn what_cannot_be_is_refused_in_nats_servers_words() {
        let target = |destination: &str, weight| MappingTarget {
            destination: destination.to_owned(),
            weight,
            cluster: None,
        };
        let refused = |source: &str, targets: &[MappingTarget]| {
            Mapping::new(source, targets, None).unwrap_err().to_string()
        };
        assert_eq!(
            refused("a", &[target("b", 60), target("c", 60)]),
            "Error adding mapping for \"a\" : total weight needs to be <= 100"
        );
        assert_eq!(
            refused("a", &[target("b", 60), target("b", 20)]),
            "Error adding mapping for \"a\" : duplicate entry for \"b\""
        );
        assert_eq!(refused("a..b", &[]), "Subject \"a..b\" is not a valid subject");
        assert_eq!(
            refused("a.*", &[target("b.$2", 100)]),
            "Error adding mapping for \"a.*\" to \"b.$2\" : invalid mapping destination: wildcard \
             index out of range in $2: [2]"
        );
    }

    proptest! {
        #[test]
        fn every_draw_has_one_result(
            weights in prop::collection::vec(0_u8..40, 0..4),
            subject in "[ab.*]{0,6}",
            random: u64,
        ) {
            let total: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
            prop_assume!(total <= 100);
            let targets: Vec<(String, u8)> =
                weights.iter().enumerate().map(|(at, &weight)| (format!("d{at}.$1"), weight)).collect();
            let targets: Vec<(&str, u8)> =
                targets.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
            let mappings = Mappings(vec![mapping("a.*", &targets)]);
            let mut out = b"old".to_vec();
            let mapped = mappings.apply(subject.as_bytes(), random, &mut out);
            prop_assert_eq!(mapped == Mapped::Changed, out.starts_with(b"d"));
            prop_assert!(mapped != Mapped::Dropped);
        }
    }
}
