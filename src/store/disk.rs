//! Where bytes go and come from: what the store asks of a file system, and the
//! real one.
//!
//! Calls block, so all but reads of segments run on the helper pool, as jobs.
//! Paths are relative to the store's directory and use `/`. Nothing here is
//! durable before it is synced: [`DiskFile::sync`] for bytes and length,
//! [`Disk::sync_dir`] for names. Tests put a disk in memory in its place, which
//! forgets what was not synced, tears writes and fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// A directory tree that a store owns.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it is to be read and is not there.
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>>;

    /// Names in a directory, in no order; none if there is no such directory.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes a directory, unless it is there.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Gives a file another name; one of that name is replaced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Removes a directory with its files, if it is there.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Reading a file that is there.
    Read,
    /// Writing; it is made if it is not there.
    Write,
    /// Writing past the page cache, each write durable when it completes. The file is there,
    /// and locked through this descriptor.
    Journal,
}

/// An open file.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Reads until `into` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What the system says; some of it may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// What the system says; what was written since the last sync may be lost then.
    fn sync(&self) -> io::Result<()>;

    /// Bytes it has.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// The descriptor, for those who write through a ring.
    fn raw_fd(&self) -> Option<RawFd>;
}

/// A directory of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    is_read_only: bool,
    /// Held as long as the disk is: one store, one process. A store that is only looked at may
    /// lack it.
    _lock: Option<File>,
}

impl RealDisk {
    /// Takes `root` for a store; it is made if it is not there.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if another process has it.
    #[expect(clippy::disallowed_methods, reason = "runs at start and on the helper pool")]
    pub fn new(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(root.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self { root, is_read_only: false, _lock: Some(lock) })
    }

    /// Takes `root` to look at it: whatever would change it fails.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if a process has it that may change it.
    #[expect(clippy::disallowed_methods, reason = "runs in a command of its own")]
    pub fn read_only(root: PathBuf) -> io::Result<Self> {
        let lock = match File::open(root.join("lock")) {
            Ok(lock) => {
                lock.try_lock_shared().map_err(io::Error::from)?;
                Some(lock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { root, is_read_only: true, _lock: lock })
    }

    fn writable(&self) -> io::Result<()> {
        if self.is_read_only {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        Ok(())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

#[expect(clippy::disallowed_methods, reason = "runs at start and on the helper pool")]
impl Disk for RealDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how != Open::Read {
            self.writable()?;
        }
        let path = self.path(path);
        let file = match how {
            Open::Read => File::open(path)?,
            Open::Write => {
                OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?
            }
            Open::Journal => {
                let mut options = OpenOptions::new();
                options.read(true).write(true);
                let direct =
                    options.clone().custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(&path);
                let file = match direct {
                    // Some file systems have no direct access.
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                        options.custom_flags(libc::O_DSYNC).open(&path)?
                    }
                    other => other?,
                };
                // Writes in flight keep the lock: whoever gets it knows that none will land.
                file.lock()?;
                file
            }
        };
        Ok(Arc::new(RealFile { file }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::create_dir_all(self.path(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.writable()?;
        absent_is_fine(std::fs::remove_file(self.path(path)))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.writable()?;
        absent_is_fine(std::fs::remove_dir_all(self.path(dir)))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.file.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.file.as_raw_fd())
    }
}

/// Reads a whole file; `None` if it is not there.
pub(super) fn read_whole(disk: &dyn Disk, path: &str) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    Ok(read_into(disk, path, &mut bytes)?.then_some(bytes))
}

/// Reads a whole file over what `bytes` has: the memory of large files costs more than reading
/// them. Returns whether the file is there.
pub(super) fn read_into(disk: &dyn Disk, path: &str, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bytes.clear();
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let size = usize::try_from(file.size()?).unwrap_or(usize::MAX);
    if size > bytes.capacity() {
        // As zeros from the system, and not copied.
        *bytes = vec![0; size];
    } else {
        bytes.resize(size, 0);
    }
    let read = file.read_at(0, bytes)?;
    bytes.truncate(read);
    Ok(true)
}
