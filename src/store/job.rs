//! Work on files that would block a shard: done by the helper pool, in any
//! order, several at a time.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, Open};
use super::journal::{file_path, Prepared, Request, DIR};
use super::reclaim::{Compacted, Compaction};
use super::vault::{Area, Vault};

/// Something to be done with files. Its owner runs it with the store's disk, on any thread, and
/// hands the result back.
#[derive(Debug)]
pub struct Job {
    pub(super) id: u64,
    pub(super) steps: Vec<Step>,
    pub(super) vault: Option<Arc<Vault>>,
}

/// What became of a [`Job`].
#[derive(Debug)]
pub struct JobResult {
    pub(super) id: u64,
    pub(super) outcome: io::Result<Done>,
}

/// What a job has made.
#[derive(Debug)]
pub(super) enum Done {
    Nothing,
    Prepared(Prepared),
    Compacted(Compacted),
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
    /// Writes a file anew, over what was there, then syncs it.
    Replace {
        path: String,
        part: Part,
    },
    /// Writes over a part of a file, if it is there, then syncs it.
    Overwrite {
        path: String,
        offset: u64,
        bytes: Arc<Vec<u8>>,
    },
    /// Writes zeros over a file, if it is there.
    Zero {
        path: String,
    },
    /// Makes a journal file.
    Prepare(Request),
    /// Makes one segment of several.
    Compact(Box<Compaction>),
}

/// Bytes of a write.
#[derive(Debug)]
pub(super) enum Part {
    Own(Vec<u8>),
    /// Sealed, if the store is.
    Sealed(Area, Arc<Vec<u8>>),
    /// A whole file, sealed if the store is.
    Wrapped(Area, Vec<u8>),
}

impl Job {
    /// Does it; blocks.
    pub fn run(self, disk: &dyn Disk) -> JobResult {
        let mut outcome = Ok(Done::Nothing);
        for step in self.steps {
            match step.run(disk, self.vault.as_deref()) {
                Ok(Done::Nothing) => {}
                Ok(done) => outcome = Ok(done),
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
    fn run(self, disk: &dyn Disk, vault: Option<&Vault>) -> io::Result<Done> {
        match self {
            Self::CreateDir(path) => disk.create_dir(&path)?,
            Self::SyncDir(path) => disk.sync_dir(&path)?,
            Self::Remove(path) => disk.remove(&path)?,
            Self::RemoveDir(path) => disk.remove_dir(&path)?,
            Self::Write { path, parts } => {
                let file = disk.open(&path, Open::Write)?;
                for (offset, part) in &parts {
                    file.write_at(*offset, &part.bytes(vault)?)?;
                }
                file.sync()?;
            }
            Self::Replace { path, part } => {
                let bytes = part.bytes(vault)?;
                let file = disk.open(&path, Open::Write)?;
                file.write_at(0, &bytes)?;
                // A longer one left more than its checksum covers.
                let rest = file.size()?.saturating_sub(bytes.len() as u64);
                if rest > 0 {
                    write_zeros(&*file, bytes.len() as u64, rest)?;
                }
                file.sync()?;
            }
            Self::Overwrite { path, offset, bytes } => {
                if is_there(disk, &path)? {
                    let file = disk.open(&path, Open::Write)?;
                    file.write_at(offset, &bytes)?;
                    file.sync()?;
                }
            }
            Self::Zero { path } => {
                if is_there(disk, &path)? {
                    let file = disk.open(&path, Open::Write)?;
                    write_zeros(&*file, 0, file.size()?)?;
                    file.sync()?;
                }
            }
            Self::Compact(compaction) => return compaction.run(disk, vault).map(Done::Compacted),
            Self::Prepare(request) => {
                let prepared = prepare(disk, request, vault);
                if prepared.is_err() {
                    // What is left of it would look like a damaged file later; if that fails too,
                    // so it does.
                    drop(disk.remove(&file_path(request.number)));
                }
                return prepared.map(Done::Prepared);
            }
        }
        Ok(Done::Nothing)
    }
}

impl Part {
    /// What is to be written.
    fn bytes(&self, vault: Option<&Vault>) -> io::Result<Cow<'_, [u8]>> {
        Ok(match (self, vault) {
            (Self::Own(bytes) | Self::Wrapped(_, bytes), None) | (Self::Own(bytes), _) => {
                Cow::Borrowed(bytes)
            }
            (Self::Sealed(_, bytes), None) => Cow::Borrowed(bytes),
            (Self::Sealed(area, bytes), Some(vault)) => {
                let mut bytes = Vec::clone(bytes);
                vault.seal(*area, &mut bytes)?;
                Cow::Owned(bytes)
            }
            (Self::Wrapped(area, bytes), Some(vault)) => {
                Cow::Owned(vault.wrap(*area, bytes.clone())?)
            }
        })
    }
}

/// Makes a journal file whose blocks are written: a commit changes no metadata then, which would
/// cost another commit of the file system.
fn prepare(disk: &dyn Disk, request: Request, vault: Option<&Vault>) -> io::Result<Prepared> {
    let path = file_path(request.number);
    match request.spare {
        Some(spare) => disk.rename(&file_path(spare), &path)?,
        None => {
            disk.create_dir(DIR)?;
            let file = disk.open(&path, Open::Write)?;
            write_zeros(&*file, 0, request.size)?;
            file.sync()?;
        }
    }
    disk.sync_dir(DIR)?;
    disk.sync_dir("")?;
    let file = disk.open(&path, Open::Journal)?;
    let area = Area::Journal(request.identity, request.number, request.boot);
    let sealer = vault.map(|vault| vault.sealer(area)).transpose()?.map(Box::new);
    Ok(Prepared { number: request.number, file, size: request.size, sealer })
}

fn is_there(disk: &dyn Disk, path: &str) -> io::Result<bool> {
    match disk.open(path, Open::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_zeros(file: &dyn DiskFile, from: u64, count: u64) -> io::Result<()> {
    let end = from.saturating_add(count);
    let len = usize::try_from(count).unwrap_or(PREPARE_BYTES);
    let zeros = vec![0; len.min(PREPARE_BYTES)];
    let mut offset = from;
    while offset < end {
        let len = usize::try_from(end - offset).unwrap_or(PREPARE_BYTES);
        let part = &zeros[..len.min(PREPARE_BYTES)];
        file.write_at(offset, part)?;
        offset += part.len() as u64;
    }
    Ok(())
}

const PREPARE_BYTES: usize = 1 << 20;
