//! The JetStream API: requests to `$JS.API.>` and their answers.

mod account;
mod archives;
mod delete;
mod dispatch;
mod info;
mod messages;
mod streams;

pub(super) use archives::{
    last_seq_of, refused_create, restored_answer, write_archived_state, write_plain_state,
};
pub(super) use dispatch::{is_level_met, Answer};
pub(super) use info::{write_config, write_state, StateDetail};
