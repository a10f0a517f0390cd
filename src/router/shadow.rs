//! Subscriptions that stand in the account a stream is imported from.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{SubId, Subscription};
use crate::subject::Transform;

/// For whom a shadow stands, and how.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The subscription that gets the messages. It outlives its shadows.
    pub primary: SubId,
    /// From the subject there to the one that its owner sees. It matches
    /// whatever the shadow does.
    pub transform: Arc<Transform>,
}

/// The shadows of one shard. They are told to other shards and picked from
/// queues like any subscription; what they get is for another one, under
/// another subject.
#[derive(Debug, Default)]
pub struct Shadows(HashMap<SubId, Shadow, FixedState>);

impl Shadows {
    /// For whom a subscription stands, if for another one.
    pub fn get(&self, sub: SubId) -> Option<&Shadow> {
        self.0.get(&sub)
    }

    /// For whom a subscription stands; cheaper, if it is at hand.
    #[inline]
    pub fn of(&self, sub: SubId, subscription: &Subscription) -> Option<&Shadow> {
        if subscription.is_shadow() {
            self.get(sub)
        } else {
            None
        }
    }

    pub(super) fn insert(&mut self, sub: SubId, shadow: Shadow) {
        self.0.insert(sub, shadow);
    }

    pub(super) fn remove(&mut self, sub: SubId) {
        self.0.remove(&sub);
    }

    /// Bytes allocated, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(SubId, Shadow)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{ConnId, InterestChange, Matched, Router, RouterLimits, ShardId};
    use crate::subject::AccountId;

    const HERE: AccountId = AccountId(2);
    const THERE: AccountId = AccountId(3);

    fn shadow_of(primary: SubId) -> Shadow {
        let transform = Transform::new("a.*", "p.$1").unwrap();
        Shadow { primary, transform: Arc::new(transform) }
    }

    fn seen(router: &mut Router, account: AccountId, subject: &str) -> Vec<(SubId, String)> {
        let Matched { plan, .. } = router.matched(account, subject.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let own = plan.deliveries().iter().map(|delivery| (delivery.sub, text(plan.subject())));
        let shadows = plan.shadows().iter();
        let of_shadow = |delivery| (plan.shadow_subject(delivery), delivery.primary);
        own.chain(shadows.map(of_shadow).map(|(subject, sub)| (sub, text(subject)))).collect()
    }

    #[test]
    fn a_shadow_gets_messages_for_its_subscription_and_is_told_of() {
        let mut router = Router::new(ShardId(0), RouterLimits::default());
        let mut changes = Vec::new();
        let primary = router.subscribe(ConnId(1), HERE, b"p.>", None, b"7", &mut changes);
        let own = router.subscribe(ConnId(2), THERE, b"a.*", None, b"7", &mut changes);
        changes.clear();
        let shadow = router.subscribe_shadow(shadow_of(primary), THERE, b"a.x", &mut changes);
        assert_eq!(changes.len(), 1, "{changes:?}");
        for _ in 0..3 {
            let expected = [(own, "a.x".to_owned()), (primary, "p.x".to_owned())];
            assert_eq!(seen(&mut router, THERE, "a.x"), expected);
            assert_eq!(seen(&mut router, THERE, "a.y"), [(own, "a.y".to_owned())]);
            assert_eq!(seen(&mut router, HERE, "p.y"), [(primary, "p.y".to_owned())]);
        }
        assert!(router.view(shadow).unwrap().is_shadow);
        router.remove(shadow, &mut changes);
        assert_eq!(changes.len(), 2);
        assert_eq!(seen(&mut router, THERE, "a.x"), [(own, "a.x".to_owned())]);
        router.remove(primary, &mut changes);
        router.remove(own, &mut changes);
        assert_eq!(router.counts().patterns, 0);
    }

    #[test]
    fn a_shadow_is_in_the_queue_of_its_subscription() {
        let mut router = Router::new(ShardId(0), RouterLimits::default());
        let mut changes = Vec::new();
        let primary = router.subscribe(ConnId(1), HERE, b"p.*", Some(b"q"), b"1", &mut changes);
        let own = router.subscribe(ConnId(2), THERE, b"a.*", Some(b"q"), b"1", &mut changes);
        let shadow = router.subscribe_shadow(shadow_of(primary), THERE, b"a.*", &mut changes);
        assert_eq!(router.group_of(shadow), router.group_of(own));
        let Matched { plan, groups, subscriptions, shadows } = router.matched(THERE, b"a.x");
        let [queue] = plan.queues().collect::<Vec<_>>()[..] else { panic!("one queue") };
        assert_eq!(groups.get(queue[0]).unwrap().members(), [own, shadow]);
        assert!(subscriptions[shadow].is_shadow() && shadows.get(own).is_none());
        assert_eq!(shadows.get(shadow).unwrap().primary, primary);
    }

    #[test]
    fn what_is_not_announced_hides_no_interest() {
        let mut router = Router::new(ShardId(0), RouterLimits::default());
        let mut changes = Vec::new();
        let quiet = router.subscribe_unannounced(ConnId(9), HERE, b"a", b"1");
        let told = |changes: &[InterestChange]| changes.len();
        let loud = router.subscribe(ConnId(1), HERE, b"a", None, b"1", &mut changes);
        assert_eq!(told(&changes), 1);
        router.remove(loud, &mut changes);
        assert_eq!(told(&changes), 2);
        assert_eq!(seen(&mut router, HERE, "a").len(), 1);
        router.remove(quiet, &mut changes);
        assert_eq!(told(&changes), 2);
        assert_eq!(router.counts().patterns, 0);
    }
}
