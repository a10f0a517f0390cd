//! The JetStream API: requests to `$JS.API.>` and their answers.

mod account;
mod delete;
mod dispatch;
mod info;
mod messages;
mod streams;

pub(super) use dispatch::is_level_met;
pub(super) use info::{write_config, write_state, StateDetail};
