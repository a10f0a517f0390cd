//! A phased program has one outcome: on any number of shards it is that of one.

use std::collections::BTreeMap;

use crate::history::History;

/// What a program brought: deliveries per plain subscription and per group,
/// 503s, and the replies of each client.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    plain: BTreeMap<(usize, usize), Vec<(usize, usize)>>,
    groups: BTreeMap<usize, Vec<(usize, usize)>>,
    statuses: Vec<(usize, String)>,
    replies: Vec<Vec<String>>,
}

impl Outcome {
    pub fn of(history: &History) -> Self {
        let mut plain = BTreeMap::new();
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for subscription in &history.subscriptions {
            let received = subscription.received.iter().map(|&(number, _)| {
                let publication = &history.publications[number];
                (publication.client, publication.op)
            });
            match subscription.queue {
                Some(queue) => groups.entry(queue).or_default().extend(received),
                None => {
                    let mut received: Vec<_> = received.collect();
                    received.sort_unstable();
                    plain.insert((subscription.client, subscription.op), received);
                }
            }
        }
        groups.values_mut().for_each(|received| received.sort_unstable());
        let mut statuses: Vec<_> =
            history.statuses.iter().map(|s| (s.client, s.reply.to_string())).collect();
        statuses.sort();
        Self { plain, groups, statuses, replies: history.replies.clone() }
    }

    pub fn check_equals(&self, single: &Self) -> Result<(), String> {
        if self == single {
            return Ok(());
        }
        Err(format!("single: one shard gives\n  {single:?}\ninstead of\n  {self:?}"))
    }
}
