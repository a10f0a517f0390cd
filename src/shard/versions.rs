//! Versions of settings and accounts on their way from the control plane to every shard, and the
//! shards' questions to it.

use std::sync::mpsc::{Receiver, SendError};
use std::sync::Arc;

use super::core::AccountsChange;
use super::message::Message;
use super::reload::{Reloaded, Request, Version};
use super::task::ShardTask;
use crate::account::Directory;
use crate::host;

impl ShardTask {
    /// Shard 0: makes what the control plane has found the version of all shards.
    pub(super) fn reload(&mut self) {
        let versions = self.versions.take();
        for version in versions.iter().flat_map(Receiver::try_iter) {
            match version {
                Version::Settings(mut version) => self.take_settings(&mut version),
                Version::Accounts(change) => {
                    self.tell_all(|| Message::Accounts(Arc::clone(&change)));
                    self.core.change_accounts(&change);
                    self.take_directory(&change.directory);
                }
            }
        }
        self.versions = versions;
    }

    fn take_directory(&mut self, directory: &Directory) {
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.set_accounts(directory, &mut self.core, self.now);
        }
    }

    fn take_settings(&mut self, version: &mut Reloaded) {
        let mut surplus = Vec::new();
        if let Some(acceptor) = &mut self.acceptor {
            surplus = acceptor.set_connections_max(version.connections_max);
            acceptor.set_rate_max(version.rate_max);
        }
        self.close_surplus(&surplus);
        version.apply_to(&self.control.log);
        self.tell_all(|| Message::Reload(Arc::clone(&version.settings)));
        self.tell_all(|| Message::Tls(version.tls.clone()));
        self.set_tls(version.tls.clone());
        self.tell_all(|| Message::WebSocket(version.websocket.clone()));
        self.set_websocket(version.websocket.clone());
        self.core.reload(&version.settings);
        self.take_directory(&version.settings.directory);
        self.say_events();
        let digest = &version.digest;
        self.control.log.info(format_args!("Reloaded server configuration ({digest})"));
    }

    /// Closes so many connections of each shard.
    fn close_surplus(&mut self, surplus: &[usize]) {
        let total: usize = surplus.iter().sum();
        if total == 0 {
            return;
        }
        for (shard, count) in surplus.iter().copied().enumerate().filter(|(_, count)| *count > 0) {
            if shard == self.endpoint.own() {
                self.core.close_surplus(count);
            } else {
                self.endpoint.push_control(shard, Message::CloseSurplus(count));
            }
        }
        self.endpoint.wake_parked();
        let log = &self.control.log;
        log.info(format_args!("Closed {total} connections to fall within max_connections"));
    }

    /// Asks for an account. Without an answer to come, whoever waits for it is let go.
    #[cold]
    pub(super) fn resolve(&mut self, account: Box<str>) {
        let asked = self.requests.as_ref().map(|requests| requests.send(Request::Resolve(account)));
        if let Some(Err(SendError(Request::Resolve(account)))) = asked {
            let directory = Arc::clone(self.core.directory());
            let missing = vec![account];
            self.core.change_accounts(&AccountsChange { directory, changed: Vec::new(), missing });
        }
    }

    pub(super) fn set_wall_clock(&mut self) {
        let since_epoch = host::wall_clock_since_epoch();
        let unix_s = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        let offset = i32::try_from(host::local_utc_offset_s(unix_s)).unwrap_or(0);
        let since_epoch = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.core.set_wall_clock(since_epoch, offset);
    }
}
