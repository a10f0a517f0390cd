//! Accounts: who may connect, what each user may do, and what an account maps,
//! limits and owns.
//!
//! Two layers. The *options* are what was configured, plain and comparable:
//! [`AccessOptions`], [`AccountOptions`], [`UserOptions`], [`PermissionRules`].
//! From them the control plane makes a [`Directory`], one immutable snapshot
//! that all shards hold: users by name, accounts by [`AccountId`], permissions
//! compiled, mappings ready. A reload makes a new one; ids of accounts that
//! stay are kept, and ids are never used twice.
//!
//! Not here: connections, their caches and what they were asked to answer
//! ([`crate::client`]), and hashing of passwords, which takes a tenth of a
//! second and runs on a thread of its own. What crosses from one account into
//! another is [checked](AccessOptions::import_stream) here and carried out by the
//! shards.
//!
//! In operator mode ([`Trust`]) accounts are known by their tokens ([`jwt`]),
//! which the control plane fetches; a user is made of its token when it logs in
//! and is in no table.
//!
//! Invariants:
//! - what matches no allow rule is refused, and what matches a deny rule is
//!   refused whatever allows it;
//! - comparing a secret takes a time that says nothing about where it differs;
//! - an id names one account for the life of the process.
//!
//! Bounds: all tables are as large as the configuration made them.

mod callout;
mod certificate;
mod claimed_trade;
mod directory;
#[cfg(test)]
mod directory_tests;
mod exports;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod imports;
pub mod jwt;
mod limits;
mod mapping;
mod members;
mod options;
mod pattern_set;
mod permissions;
mod routes;
mod secret;
mod trace_target;
mod trust;

pub use crate::subject::AccountId;
pub use callout::{Asked, Callout, CalloutRefusal, CALLOUT_SUBJECT};
pub use certificate::CertificateNames;
pub use claimed_trade::Wish;
pub use directory::{Credentials, Directory, DirectoryError, Single, Verdict};
pub use exports::{
    Access, Activation, Activations, Export, ExportError, Latency, Offer, ResponseType, Sampling,
    Terms,
};
pub use imports::{ImportError, ServiceImport, StreamImport, Wanted};
pub use limits::{AccountLimits, JetStreamLimits};
pub use mapping::{Mapped, Mapping, MappingError, MappingTarget, Mappings};
pub use members::{Account, Login, Trade, User};
pub use options::{
    AccessOptions, AccountOptions, CalloutOptions, ConnectionType, DirectoryResolverOptions,
    OperatorOptions, ResolverOptions, ResolverTls, UserOptions, GLOBAL_ACCOUNT, SYSTEM_ACCOUNT,
};
pub use pattern_set::PatternSet;
pub use permissions::{
    PermissionRules, Permissions, ResponseRule, RuleError, SubjectRules, SubscribeVerdict,
};
pub use routes::{Imports, ServiceRoute, StreamRoute};
pub use secret::Secret;
pub use trace_target::TraceTarget;
pub use trust::{AccountRefusal, Moment, TokenUser, Trust, UserRefusal};
