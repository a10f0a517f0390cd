//! Work on files that would block a shard: done by the helper pool, in any
//! order, several at a time.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, Open};
use super::journal::{file_path, Prepared, Request, DIR};

/// Something to be done with files. Its owner runs it with the store's disk, on any thread, and
/// hands the result back.
#[derive(Debug)]
pub struct Job {
    pub(super) id: u64,
    pub(super) steps: Vec<Step>,
}

/// What became of a [`Job`].
#[derive(Debug)]
pub struct JobResult {
    pub(super) id: u64,
    pub(super) outcome: io::Result<Option<Prepared>>,
}

impl JobResult {
    /// Why it failed, if it did.
    pub fn error(&self) -> Option<&io::Error> {
        self.outcome.as_ref().err()
    }
}

/// A step of a job; the steps after one that fails are not done.
#[derive(Debug)]
pub(super) enum Step {
    CreateDir(String),
    SyncDir(String),
    Remove(String),
    RemoveDir(String),
    /// Writes parts of a file, then syncs it.
    Write {
        path: String,
        parts: Vec<(u64, Part)>,
    },
    /// Makes a journal file.
    Prepare(Request),
}

/// Bytes of a write.
#[derive(Debug)]
pub(super) enum Part {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Job {
    /// Does it; blocks.
    pub fn run(self, disk: &dyn Disk) -> JobResult {
        let mut outcome = Ok(None);
        for step in self.steps {
            match step.run(disk) {
                Ok(Some(prepared)) => outcome = Ok(Some(prepared)),
                Ok(None) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        JobResult { id: self.id, outcome }
    }
}

impl Step {
    fn run(self, disk: &dyn Disk) -> io::Result<Option<Prepared>> {
        match self {
            Self::CreateDir(path) => disk.create_dir(&path)?,
            Self::SyncDir(path) => disk.sync_dir(&path)?,
            Self::Remove(path) => disk.remove(&path)?,
            Self::RemoveDir(path) => disk.remove_dir(&path)?,
            Self::Write { path, parts } => {
                let file = disk.open(&path, Open::Write)?;
                for (offset, part) in &parts {
                    file.write_at(*offset, part.as_slice())?;
                }
                file.sync()?;
            }
            Self::Prepare(request) => {
                let prepared = prepare(disk, request);
                if prepared.is_err() {
                    // What is left of it would look like a damaged file later; if that fails too,
                    // so it does.
                    drop(disk.remove(&file_path(request.number)));
                }
                return prepared.map(Some);
            }
        }
        Ok(None)
    }
}

impl Part {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Makes a journal file whose blocks are written: a commit changes no metadata then, which would
/// cost another commit of the file system.
fn prepare(disk: &dyn Disk, request: Request) -> io::Result<Prepared> {
    let path = file_path(request.number);
    match request.spare {
        Some(spare) => disk.rename(&file_path(spare), &path)?,
        None => {
            disk.create_dir(DIR)?;
            let file = disk.open(&path, Open::Write)?;
            let zeros = vec![0; PREPARE_BYTES];
            let mut offset = 0;
            while offset < request.size {
                let len = usize::try_from(request.size - offset).unwrap_or(PREPARE_BYTES);
                let part = &zeros[..len.min(PREPARE_BYTES)];
                file.write_at(offset, part)?;
                offset += part.len() as u64;
            }
            file.sync()?;
        }
    }
    disk.sync_dir(DIR)?;
    disk.sync_dir("")?;
    let file = disk.open(&path, Open::Journal)?;
    Ok(Prepared { number: request.number, file, size: request.size })
}

const PREPARE_BYTES: usize = 1 << 20;
