//! One publisher's messages reach one connection in the order they were
//! published. Only queue messages that a shard returned may come later.

use std::collections::BTreeMap;

use crate::history::History;

pub fn check(history: &History) -> Result<(), String> {
    let mut by_client: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, subscription) in history.subscriptions.iter().enumerate() {
        let exempt = subscription.queue.is_some() && history.returned > 0;
        if !exempt {
            let received = subscription.received.iter().map(|&(_, place)| (place, number));
            by_client.entry(subscription.client).or_default().extend(received);
        }
    }
    for received in by_client.values_mut() {
        received.sort_unstable();
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for &(place, number) in received.iter() {
            let subscription = &history.subscriptions[number];
            let found = subscription.received.binary_search_by_key(&place, |&(_, at)| at);
            let Ok(found) = found else { continue };
            let publication = &history.publications[subscription.received[found].0];
            let before = last.entry(publication.client).or_default();
            if publication.op < *before {
                return Err(format!(
                    "order: {subscription:?} gets {publication:?} after operation {before}"
                ));
            }
            *before = publication.op;
        }
    }
    Ok(())
}
