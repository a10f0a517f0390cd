//! Plain subscriptions: exactly once to whom a message must reach, at most once
//! to anybody, never to whom it must miss; and in the subscriber's buffer
//! before the publisher's PONG, so that a later PING of the subscriber is
//! answered after it.

use crate::history::{End, Flush, History, Publication, Subscription};

pub fn check(history: &History) -> Result<(), String> {
    for subscription in &history.subscriptions {
        let mut times = vec![0_u32; history.publications.len()];
        for &(number, _) in &subscription.received {
            let publication = &history.publications[number];
            times[number] += 1;
            if times[number] > 1 {
                return fault("delivered twice", publication, subscription);
            }
            if publication.must_miss(subscription) {
                return fault("delivered to whom it must miss", publication, subscription);
            }
        }
        check_limit(subscription)?;
        check_arrival(history, subscription)?;
        if subscription.queue.is_none() && history.ends[subscription.client] != End::Lossy {
            check_loss(history, subscription)?;
        }
    }
    Ok(())
}

/// What comes after a PONG was not in the buffer when its publisher had its own.
fn check_arrival(history: &History, subscription: &Subscription) -> Result<(), String> {
    let own = |flush: &&Flush| flush.client == subscription.client;
    for &(number, place) in &subscription.received {
        let publication = &history.publications[number];
        let mut flushes = history.flushes.iter().filter(own);
        if flushes.any(|flush| flush.fed > publication.ponged && flush.place < place) {
            return fault("delivered after a PONG that it precedes", publication, subscription);
        }
    }
    Ok(())
}

fn check_loss(history: &History, subscription: &Subscription) -> Result<(), String> {
    let mut missing = None;
    let mut due = 0;
    for (number, publication) in history.publications.iter().enumerate() {
        if !publication.must_reach(subscription) {
            continue;
        }
        due += 1;
        if !subscription.received.iter().any(|&(received, _)| received == number) {
            missing = Some(publication);
        }
    }
    let Some(publication) = missing else { return Ok(()) };
    match subscription.max {
        Some((max, _)) if subscription.received.len() >= due.min(max) => Ok(()),
        _ => fault("lost", publication, subscription),
    }
}

/// UNSUB with a limit that was not reached when the server took it.
fn check_limit(subscription: &Subscription) -> Result<(), String> {
    let (Some((max, _)), Some(seen)) = (subscription.max, subscription.seen_at_max) else {
        return Ok(());
    };
    if seen < max && subscription.received.len() > max {
        return Err(format!("delivery: more than the {max} asked for: {subscription:?}"));
    }
    Ok(())
}

fn fault(text: &str, publication: &Publication, subscription: &Subscription) -> Result<(), String> {
    Err(format!("delivery: {text}:\n  {publication:?}\n  {subscription:?}"))
}
