//! `/subsz`: interest and the routing that comes of it.

use serde::Serialize;

use super::connz::SubscriptionDetail;
use super::facts::ServerFacts;
use super::json::float;
use super::query::{BadRequest, Page, Query};
use super::snapshot::{ShardTotals, SubscriptionSnapshot};
use super::times::rfc3339;
use crate::subject;

/// What the page is asked to show.
#[derive(Clone, Debug)]
pub(super) struct SubszOptions {
    pub(super) list: bool,
    page: Page,
    pub(super) account: String,
    test: String,
}

impl SubszOptions {
    pub(super) fn parse(query: &Query) -> Result<Self, BadRequest> {
        let list = query.boolean("subs")?;
        let page = query.page()?;
        let test = query.text("test");
        if !test.is_empty() && !subject::is_literal(test.as_bytes()) {
            return Err(BadRequest::TestSubject(test.to_owned()));
        }
        let account = query.text("acc").to_owned();
        Ok(Self { list, page, account, test: test.to_owned() })
    }

    fn wants(&self, subscription: &SubscriptionSnapshot) -> bool {
        let subject = subscription.subject.as_bytes();
        (self.account.is_empty() || *subscription.account == *self.account)
            && (self.test.is_empty() || subject::matches(subject, self.test.as_bytes()))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Subsz<'a> {
    server_id: &'a str,
    now: String,
    #[serde(flatten)]
    stats: SublistStats,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubscriptionDetail>,
}

/// The figures of the routing tables.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct SublistStats {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    #[serde(serialize_with = "float")]
    cache_hit_rate: f64,
    max_fanout: u64,
    #[serde(serialize_with = "float")]
    avg_fanout: f64,
}

impl SublistStats {
    /// Those of all shards.
    pub(super) fn of(shards: &[ShardTotals]) -> Self {
        let sum = |of: fn(&ShardTotals) -> u64| shards.iter().map(of).sum::<u64>();
        let (hits, misses, plans) =
            (sum(|s| s.plan_hits), sum(|s| s.plan_misses), sum(|s| s.plans));
        let (subscriptions, inserts) = (sum(|s| s.subscriptions), sum(|s| s.subscribed));
        Self {
            num_subscriptions: subscriptions,
            num_cache: plans,
            num_inserts: inserts,
            num_removes: inserts.saturating_sub(subscriptions),
            num_matches: hits + misses,
            cache_hit_rate: ratio(hits, hits + misses),
            max_fanout: shards.iter().map(|s| s.fanout_max).max().unwrap_or(0),
            avg_fanout: ratio(sum(|s| s.fanout_sum), sum(|s| s.fanout_plans)),
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The page; `subscriptions` are all there are if the options want a list.
pub(super) fn subsz<'a>(
    facts: &'a ServerFacts,
    options: &SubszOptions,
    stats: SublistStats,
    mut subscriptions: Vec<SubscriptionSnapshot>,
    now: u64,
) -> Subsz<'a> {
    subscriptions.retain(|subscription| options.wants(subscription));
    let total = subscriptions.len();
    options.page.cut(&mut subscriptions);
    let details = subscriptions.into_iter().map(|entry| SubscriptionDetail::new(entry, true));
    Subsz {
        server_id: &facts.server_id,
        now: rfc3339(now),
        stats,
        total,
        offset: options.page.offset,
        limit: options.page.limit,
        subscriptions_list: details.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_subject_finds_what_it_would_reach() {
        let facts = ServerFacts::default();
        let page = |query| {
            let options = SubszOptions::parse(&Query::parse(query)).unwrap();
            let list = ["foo", "foo.*", ">", "bar"].map(|subject| SubscriptionSnapshot {
                account: "$G".into(),
                subject: subject.to_owned(),
                ..SubscriptionSnapshot::default()
            });
            let page = subsz(&facts, &options, SublistStats::default(), list.to_vec(), 0);
            serde_json::to_value(page).unwrap()
        };
        let found = page("test=foo.x&subs=1");
        assert_eq!(found["total"], 2);
        assert_eq!(found["subscriptions_list"][0]["subject"], "foo.*");
        assert_eq!(found["subscriptions_list"][0]["account_tag"], "$G");
        assert_eq!(page("acc=X&subs=1")["total"], 0);
        assert_eq!(page("subs=1&offset=1&limit=2")["subscriptions_list"][0]["subject"], "foo.*");
        let refused = SubszOptions::parse(&Query::parse("test=foo.*")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "invalid test subject, must be valid publish subject: foo.*"
        );
    }

    #[test]
    fn rates_are_of_all_shards() {
        let shard = ShardTotals {
            subscriptions: 2,
            subscribed: 5,
            plans: 2,
            plan_hits: 3,
            plan_misses: 1,
            fanout_max: 4,
            fanout_sum: 5,
            fanout_plans: 2,
            ..ShardTotals::default()
        };
        let stats = serde_json::to_value(SublistStats::of(&[shard.clone(), shard])).unwrap();
        assert_eq!(stats["num_removes"], 6);
        assert_eq!(stats["cache_hit_rate"], 0.75);
        assert_eq!((&stats["max_fanout"], &stats["avg_fanout"]), (&4.into(), &2.5.into()));
    }
}
