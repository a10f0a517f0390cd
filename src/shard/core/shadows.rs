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

    /// The imports of accounts have changed: subscriptions cast other shadows. The old ones go at
    /// once: what is under way in a lane finds the new ones, if it is still imported.
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
            let old = self.shadowed.remove(&sub);
            if let Some(view) = self.router.view(sub) {
                let (account, pattern) = (view.account, view.pattern.to_vec());
                self.cast_shadows(sub, account, &pattern, &mut changes);
            }
            // Now: other shards do not hear that interest has gone which is still there.
            for shadow in old.unwrap_or_default() {
                self.router.remove(shadow, &mut changes);
            }
            let seq = self.announce(&mut changes);
            let connection = key.and_then(|key| self.deliverer.connections.get(key));
            if let (Some(connection), Some(seq)) = (connection, seq) {
                connection.announced = seq;
            }
        }
        self.changes = changes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::internal::tests::config_of;
    use super::super::{Control, Settings};
    use super::*;
    use crate::account::{
        Access, AccessOptions, AccountOptions, Directory, Export, Offer, Secret, Single,
        UserOptions, Wanted,
    };
    use crate::proto::CloseReason;
    use crate::router::ShardId;

    /// Accounts A and B with users `a` and `b`; A imports these streams of B.
    fn directory(streams: &[&str], previous: Option<&Directory>) -> Directory {
        let accounts = ["A", "B"].map(|name| AccountOptions {
            name: name.to_owned(),
            users: vec![UserOptions {
                name: name.to_lowercase(),
                is_nkey: false,
                password: Secret::new("pw"),
                permissions: None,
                connection_types: None,
            }],
            ..AccountOptions::default()
        });
        let mut access = AccessOptions { accounts: accounts.into(), ..AccessOptions::default() };
        for stream in streams {
            let subject = (*stream).to_owned();
            let wanted = Wanted { exporter: "B".to_owned(), subject, ..Wanted::default() };
            let subject = (*stream).to_owned();
            let export = Export {
                subject,
                offer: Offer::Stream,
                access: Access::Public,
                allow_trace: false,
                activations: None,
            };
            access.export("B", export);
            access.import_stream("A", &wanted).unwrap();
        }
        Directory::new(&access, Single::Open, None, previous).unwrap()
    }

    /// Two shards of a server where A imports `s`.
    fn shards() -> [Core; 2] {
        [0, 1].map(|own| Core::new(config_of(own, 2, directory(&["s"], None))))
    }

    fn reload(core: &mut Core, streams: &[&str]) {
        let directory = directory(streams, Some(core.directory()));
        let config = config_of(0, 2, directory);
        core.reload(&Settings {
            directory: config.directory,
            info: config.info,
            parser: config.parser,
            keepalive: config.keepalive,
            websocket: config.websocket,
            write_deadline: config.write_deadline,
            auth_timeout: config.auth_timeout,
            drop_when_high: config.drop_when_high,
            debug: config.debug,
            trace: config.trace,
        });
    }

    /// What shard `from` has for the other one gets there.
    fn hand_over(cores: &mut [Core; 2], from: u8) {
        let (here, there) = (ShardId(from), ShardId(1 - from));
        let [sender, receiver] = cores.each_mut();
        let (sender, receiver) = if from == 0 { (sender, receiver) } else { (receiver, sender) };
        sender.finish();
        let control: Vec<Control> = sender.take_control_for(there).collect();
        while let Some(batch) = sender.next_batch(there) {
            receiver.take_batch(here, batch);
        }
        for item in control {
            receiver.handle_control(here, item);
        }
        receiver.route();
        while let Some((_, batch)) = receiver.take_routed() {
            sender.handle_recycled(there, batch);
        }
        if let Some(position) = receiver.routed_to_publish(here) {
            sender.handle_routed(there, position);
        }
    }

    fn client(core: &mut Core, user: &str, commands: &str) -> ConnKey {
        let key = core.open(1, "127.0.0.1\x004000".into());
        let connect =
            format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"pw\"}}\r\n");
        core.handle_received(key, format!("{connect}{commands}").as_bytes());
        key
    }

    /// How often a client was sent something that begins like this.
    fn seen(core: &mut Core, key: ConnKey, what: &str) -> usize {
        let mut sent = Vec::new();
        core.take_flight(key.slot(), |segment| sent.extend_from_slice(segment.as_slice()));
        String::from_utf8(sent).unwrap().matches(what).count()
    }

    // Goal: a message that is under way between shards while imports change comes once. Method: it
    // lies in the lane when the importer's shard takes the new configuration.
    #[test]
    fn what_is_under_way_when_imports_change_comes_once() {
        let mut cores = shards();
        let importer = client(&mut cores[0], "a", "SUB s 1\r\n");
        hand_over(&mut cores, 0);
        client(&mut cores[1], "b", "PUB s 1\r\nx\r\n");
        reload(&mut cores[0], &["s", "t"]);
        hand_over(&mut cores, 1);
        assert_eq!(seen(&mut cores[0], importer, "MSG s 1 1\r\nx\r\n"), 1);
    }

    // Goal: no message is for whoever takes the place of a subscription that has ended. Method: as
    // above, but the importer goes before the message comes, and another one subscribes.
    #[test]
    fn what_is_under_way_when_imports_change_is_for_nobody_else() {
        let mut cores = shards();
        let importer = client(&mut cores[0], "a", "SUB s 1\r\n");
        hand_over(&mut cores, 0);
        client(&mut cores[1], "b", "PUB s 1\r\nx\r\n");
        reload(&mut cores[0], &["s", "t"]);
        cores[0].handle_end(importer, CloseReason::ReadError);
        let other = client(&mut cores[0], "a", "SUB q 9\r\n");
        hand_over(&mut cores, 1);
        assert_eq!(seen(&mut cores[0], other, "MSG "), 0);
    }
}
