//! Imports as shards carry them out: accounts by id, subjects ready to be
//! transformed.

use std::sync::Arc;

use super::{AccountId, ServiceImport, StreamImport, Terms};
use crate::subject::Transform;

/// What an account takes from others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imports {
    /// Streams.
    pub streams: Vec<StreamRoute>,
    /// Services.
    pub services: Vec<Arc<ServiceRoute>>,
}

/// The way of messages from another account.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRoute {
    /// Where they come from.
    pub exporter: AccountId,
    /// From the subject there to the one here.
    pub transform: Arc<Transform>,
}

/// The way of requests to another account.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRoute {
    /// Who asks.
    pub importer: AccountId,
    /// Who answers.
    pub exporter: AccountId,
    /// What is asked of, as a pattern of the importer's subjects.
    pub to: Box<[u8]>,
    /// From the subject here to the one there.
    pub transform: Transform,
    /// The export that it is part of.
    pub export: Box<[u8]>,
    /// The service hears more of who asks.
    pub share: bool,
    /// How it answers.
    pub terms: Terms,
}

impl Imports {
    /// Puts the ids of `id_of` for the names of accounts. What comes from an
    /// account that is not there is left out.
    pub(super) fn new(
        importer: AccountId,
        streams: &[StreamImport],
        services: &[ServiceImport],
        id_of: impl Fn(&str) -> Option<AccountId>,
    ) -> Self {
        let stream = |import: &StreamImport| {
            Some(StreamRoute {
                exporter: id_of(&import.exporter)?,
                transform: Arc::new(import.transform.clone()),
            })
        };
        let service = |import: &ServiceImport| {
            Some(Arc::new(ServiceRoute {
                importer,
                exporter: id_of(&import.exporter)?,
                to: import.to.as_bytes().into(),
                transform: import.transform.clone(),
                export: import.export.as_bytes().into(),
                share: import.share,
                terms: import.terms.clone(),
            }))
        };
        Self {
            streams: streams.iter().filter_map(stream).collect(),
            services: services.iter().filter_map(service).collect(),
        }
    }
}
