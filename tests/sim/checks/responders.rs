//! 503: never for a request that somebody took or must have taken, never twice,
//! and always, before the PONG, if nobody took it.

use crate::history::{End, History, Publication, Subscription, NEVER};

pub fn check(history: &History) -> Result<(), String> {
    let mut taken = vec![false; history.publications.len()];
    for subscription in &history.subscriptions {
        for &(number, _) in &subscription.received {
            taken[number] = true;
        }
    }
    for (number, request) in history.publications.iter().enumerate() {
        let Some(reply) = request.reply else { continue };
        let statuses: Vec<_> =
            history.statuses.iter().filter(|status| status.reply == reply).collect();
        let fault = |text: &str| Err(format!("503: {text}: {request:?} {statuses:?}"));
        match statuses.len() {
            0 => {}
            1 if !request.no_responders => return fault("not asked for"),
            1 if taken[number] => return fault("but somebody took the request"),
            1 => {}
            _ => return fault("more than one"),
        }
        let stays = history.subscriptions.iter().find(|subscription| {
            history.ends[subscription.client] != End::Lossy
                && subscription.max.is_none()
                && request.must_reach(subscription)
        });
        if !statuses.is_empty() && stays.is_some() {
            return fault("though a responder was there");
        }
        let expected = request.no_responders
            && request.ponged != NEVER
            && history.ends[request.client] != End::Lossy
            && !taken[number]
            && !history.subscriptions.iter().any(|subscription| {
                history.ends[subscription.client] == End::Lossy && !request.must_miss(subscription)
            })
            && history.subscriptions.iter().any(|inbox| awaits(request, inbox));
        if expected {
            let Some(status) = statuses.first() else { return fault("missing") };
            let late = history.flushes.iter().any(|flush| {
                flush.client == request.client
                    && flush.op > request.op
                    && flush.place < status.place
            });
            if late {
                return fault("after a PONG that it precedes");
            }
        }
    }
    Ok(())
}

/// Whether `inbox` is where the requester waits for its 503, all the time.
fn awaits(request: &Publication, inbox: &Subscription) -> bool {
    inbox.client == request.client
        && inbox.queue.is_none()
        && inbox.max.is_none()
        && request.reply.is_some_and(|reply| reply.matches(inbox.pattern))
        && inbox.op < request.op
        && request.op < inbox.end_op
        && request.ponged < inbox.end_fed
}
