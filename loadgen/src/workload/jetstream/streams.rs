//! The streams of a run: their names, subjects and configuration.

use serde::Serialize;
use serde_json::{json, Value};

use super::api::Api;
use crate::error::Error;

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// On disk.
    File,
    /// In memory.
    Memory,
}

/// How the streams of a run are made.
#[derive(Clone, Debug, Serialize)]
pub struct Shape {
    /// How many there are.
    pub streams: usize,
    /// Subjects of each.
    pub subjects: usize,
    /// Messages kept for each subject; none means all.
    pub keep: Option<usize>,
    /// Where messages are kept.
    pub storage: Storage,
    /// Consumers that each may have; none means what the server allows by itself.
    pub consumers: Option<usize>,
}

/// The streams of one run.
pub struct Streams {
    shape: Shape,
    tag: u16,
}

impl Streams {
    /// Makes them on the server; `atomic` allows batches.
    pub fn create(api: &mut Api, shape: &Shape, tag: u16, atomic: bool) -> Result<Self, Error> {
        let fits = (1..100_000).contains(&shape.streams)
            && (1..100_000_000).contains(&shape.subjects)
            && shape.keep != Some(0);
        if !fits {
            return Err(Error::Usage("streams, subjects or messages kept out of range".into()));
        }
        let streams = Self::named(shape, tag);
        for index in 0..shape.streams {
            let name = streams.name(index);
            api.call(&format!("STREAM.CREATE.{name}"), &streams.config(index, atomic))?;
        }
        Ok(streams)
    }

    /// Only their names; nothing is made.
    pub fn named(shape: &Shape, tag: u16) -> Self {
        Self { shape: shape.clone(), tag }
    }

    fn config(&self, index: usize, atomic: bool) -> Value {
        let subject = format!("load.{:04x}.{index:05}.>", self.tag);
        let keep = self.shape.keep.map_or(-1, |keep| keep as i64);
        let consumers = self.shape.consumers.map_or(-1, |consumers| consumers as i64);
        let mut config = json!({
            "name": self.name(index), "subjects": [subject], "retention": "limits",
            "max_consumers": consumers, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_msgs_per_subject": keep, "max_msg_size": -1, "discard": "old",
            "storage": self.shape.storage, "num_replicas": 1, "allow_direct": true,
        });
        if atomic {
            config["allow_atomic"] = true.into();
        }
        config
    }

    /// Deletes them again.
    pub fn delete(&self, api: &mut Api) -> Result<(), Error> {
        for index in 0..self.shape.streams {
            api.call(&format!("STREAM.DELETE.{}", self.name(index)), &Value::Null)?;
        }
        Ok(())
    }

    /// The name of one, all of one length.
    pub fn name(&self, index: usize) -> String {
        format!("LOAD-{:04x}-{index:05}", self.tag)
    }

    /// One of its subjects, all of one length.
    pub fn subject(&self, index: usize, number: u64) -> String {
        format!("load.{:04x}.{index:05}.{number:08}", self.tag)
    }

    /// The subject that message `sequence` of a publisher goes to.
    pub fn subject_of(&self, index: usize, sequence: u64) -> String {
        self.subject(index, self.number_of(sequence))
    }

    /// The number of that subject: publishers go through the subjects in turn.
    pub fn number_of(&self, sequence: u64) -> u64 {
        sequence % self.shape.subjects as u64
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shape.streams
    }

    /// How they are made.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What tells their names from those of other runs.
    pub fn tag(&self) -> u16 {
        self.tag
    }
}
