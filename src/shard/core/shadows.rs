//! Streams of other accounts: a subscription that one of its account's imports
//! speaks of has a shadow in the account the stream comes from.
//!
//! A shadow is there exactly as long as its subscription, or a little less: it is
//! withdrawn first, and drains like it. What it gets is delivered to the
//! subscription, under the subject that the import gives it, so that limits,
//! deny rules and counters are those of the subscription.

use hashbrown::HashMap;

use super::connection::ConnKey;
use super::Core;
use crate::router::{InterestChange, Shadow, SubId};
use crate::subject::AccountId;

/// The shadows of every subscription that has some.
pub(super) type Shadowed = HashMap<SubId, Vec<SubId>, foldhash::fast::FixedState>;

impl Core {
    /// Makes the shadows of a subscription to `pattern` that is new.
    pub(super) fn cast_shadows(
        &mut self,
        primary: SubId,
        account: AccountId,
        pattern: &[u8],
        changes: &mut Vec<InterestChange>,
    ) {
        let directory = std::sync::Arc::clone(&self.config.directory);
        let Some(account) = directory.account(account) else { return };
        let mut shadows = Vec::new();
        for import in &account.imports.streams {
            let Some(narrowed) = import.transform.narrowed(pattern) else { continue };
            let shadow = Shadow { primary, transform: std::sync::Arc::clone(&import.transform) };
            shadows.push(self.router.subscribe_shadow(shadow, import.exporter, &narrowed, changes));
            if self.internal.watches {
                self.internal.note_interest(import.exporter, &narrowed);
            }
        }
        if !shadows.is_empty() {
            self.shadowed.insert(primary, shadows);
        }
    }

    /// Removes the shadows of a subscription that is about to be removed.
    pub(super) fn remove_shadows(&mut self, primary: SubId, changes: &mut Vec<InterestChange>) {
        if self.shadowed.is_empty() {
            return;
        }
        for shadow in self.shadowed.remove(&primary).unwrap_or_default() {
            self.router.remove(shadow, changes);
        }
    }

    /// Withdraws the shadows of a subscription that is about to be withdrawn.
    pub(super) fn withdraw_shadows(&mut self, key: ConnKey, primary: SubId) {
        if self.shadowed.is_empty() {
            return;
        }
        for shadow in self.shadowed.remove(&primary).unwrap_or_default() {
            self.withdraw_interest(key, shadow);
        }
    }

    /// The imports of accounts have changed: subscriptions cast other shadows.
    pub(super) fn cast_all_shadows(&mut self) {
        let connections = self.deliverer.connections.iter();
        let of_clients = connections.flat_map(|connection| {
            let key = connection.key;
            connection.client.sids.iter().map(move |sub| (Some(key), sub))
        });
        let of_engine = self.internal.subscriptions().map(|sub| (None, sub));
        let subs: Vec<(Option<ConnKey>, SubId)> = of_clients.chain(of_engine).collect();
        let mut changes = std::mem::take(&mut self.changes);
        for (key, sub) in subs {
            match key {
                Some(key) => self.withdraw_shadows(key, sub),
                None => self.remove_shadows(sub, &mut changes),
            }
            let Some(view) = self.router.view(sub) else { continue };
            let (account, pattern) = (view.account, view.pattern.to_vec());
            self.cast_shadows(sub, account, &pattern, &mut changes);
            let seq = self.announce(&mut changes);
            let connection = key.and_then(|key| self.deliverer.connections.get(key));
            if let (Some(connection), Some(seq)) = (connection, seq) {
                connection.announced = seq;
            }
        }
        self.changes = changes;
    }
}
