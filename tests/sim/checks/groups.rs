//! Queue groups, which are their names, whatever their members subscribe to: a
//! message goes to one member at most, and to exactly one if
//! some member was there all the time.

use std::collections::BTreeMap;

use crate::history::{End, History, Subscription};

pub fn check(history: &History) -> Result<(), String> {
    let mut groups: BTreeMap<_, Vec<&Subscription>> = BTreeMap::new();
    for subscription in &history.subscriptions {
        if let Some(queue) = subscription.queue {
            groups.entry(queue).or_default().push(subscription);
        }
    }
    for (key, members) in groups {
        let mut times = vec![0_u32; history.publications.len()];
        for (number, _) in members.iter().flat_map(|member| &member.received) {
            times[*number] += 1;
        }
        for (publication, times) in history.publications.iter().zip(times) {
            if times > 1 {
                return Err(format!("groups: queue {key} took {times} times {publication:?}"));
            }
            if times == 1 {
                continue;
            }
            let lossy = |member: &&&Subscription| {
                history.ends[member.client] == End::Lossy && !publication.must_miss(member)
            };
            let stays = |member: &&&Subscription| {
                history.ends[member.client] != End::Lossy
                    && member.max.is_none()
                    && publication.must_reach(member)
            };
            if let (None, Some(member)) = (members.iter().find(lossy), members.iter().find(stays)) {
                return Err(format!(
                    "groups: queue {key} never took\n  {publication:?}\n  though there was {member:?}"
                ));
            }
        }
    }
    Ok(())
}
