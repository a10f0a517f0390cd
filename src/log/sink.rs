//! Where the bytes of a log go: standard error, or a file with rotation.
#![expect(clippy::disallowed_methods, reason = "files of the log are the writer thread's job")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::line::CivilTime;
use super::syslog::Syslog;
use crate::host;

/// Why the log cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error("error opening file: open {}: {}", path.display(), host::go_error_text(source))]
    Open {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No syslog daemon takes the lines.
    #[error("error connecting to syslog: \"{}\"", host::go_error_text(.0))]
    Syslog(io::Error),
    /// The writer thread cannot be started.
    #[error("cannot start the log writer: {0}")]
    Thread(io::Error),
}

/// The writer's end of the log.
#[derive(Debug)]
pub(super) enum Sink {
    Stderr,
    File(LogFile),
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File(file) => file.write(bytes),
            // Takes lines one by one.
            Self::Syslog(_) => Ok(()),
        }
    }
}

/// A log file that is put aside when it has grown beyond its limit.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// 0: never rotated.
    bytes_max: u64,
    /// Files kept, the current one included; 0: all.
    files_max: usize,
}

impl LogFile {
    pub(super) fn open(path: &Path, bytes_max: u64, files_max: usize) -> Result<Self, LogError> {
        let opened = append_to(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) =
            opened.map_err(|source| LogError::Open { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max, files_max })
    }

    /// Opens the path anew: the old file may have been moved away by someone else.
    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        *self = Self::open(&self.path, self.bytes_max, self.files_max)?;
        Ok(())
    }

    pub(super) fn wants_rotation(&self) -> bool {
        self.bytes_max > 0 && self.bytes > self.bytes_max
    }

    /// Puts the file aside under a name with the time and begins a new one. Answers with the
    /// name it got. After a failure the old file stays in use and the next attempt comes when it
    /// has doubled.
    pub(super) fn rotate(&mut self, now: CivilTime) -> io::Result<PathBuf> {
        let rotated = self.try_rotate(now);
        if rotated.is_err() {
            self.bytes_max = self.bytes_max.saturating_mul(2);
        }
        rotated
    }

    fn try_rotate(&mut self, now: CivilTime) -> io::Result<PathBuf> {
        let mut backup = self.path.clone().into_os_string();
        backup.push(".");
        backup.push(now.backup_suffix());
        let backup = PathBuf::from(backup);
        std::fs::rename(&self.path, &backup)?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        self.remove_surplus()?;
        Ok(backup)
    }

    /// Removes the oldest files beyond `files_max`. Their names sort by time.
    fn remove_surplus(&self) -> io::Result<()> {
        let (Some(dir), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        if self.files_max == 0 {
            return Ok(());
        }
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let prefix = format!("{}.", name.to_string_lossy());
        let mut backups = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if is_backup(&entry.file_name().to_string_lossy(), &prefix) {
                backups.push(entry.path());
            }
        }
        backups.sort_unstable();
        let surplus = (backups.len() + 1).saturating_sub(self.files_max);
        backups.iter().take(surplus).try_for_each(std::fs::remove_file)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// Only names this module makes: the prefix, then seven groups of digits. A stranger's file
/// that merely begins like the log is never removed.
fn is_backup(name: &str, prefix: &str) -> bool {
    let Some(suffix) = name.strip_prefix(prefix) else { return false };
    let widths = suffix.split('.').map(str::len);
    widths.eq([4, 2, 2, 2, 2, 2, 9]) && suffix.bytes().all(|b| b == b'.' || b.is_ascii_digit())
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_backups_are_recognised() {
        assert!(is_backup("x.log.2026.11.21.12.00.00.000000009", "x.log."));
        for name in [
            "x.log",
            "x.log.1",
            "x.log.2026.11.21.12.00.00.00000000x",
            "y.log.2026.11.21.12.00.00.000000009",
        ] {
            assert!(!is_backup(name, "x.log."), "{name}");
        }
    }
}
