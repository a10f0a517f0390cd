//! A disk in memory for tests: it forgets what was not synced, tears writes, and fails when told.

#![allow(clippy::disallowed_types, reason = "jobs may run on other threads, and tests may lock")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile, Open};

/// What a write is torn at.
pub(super) const SECTOR: usize = 512;

/// A file system with a memory of what is durable.
#[derive(Debug, Default)]
pub(super) struct FaultyDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Names as they are now.
    names: BTreeMap<String, usize>,
    /// Names as they are after a power cut, by directory sync.
    durable_names: BTreeMap<String, usize>,
    files: Vec<Contents>,
    /// Operations so far.
    operations: u64,
    /// The operation that fails, and how.
    fault: Option<(u64, Fault)>,
    fired: bool,
    /// Writes past the page cache are not durable when they complete.
    lies: bool,
    /// Files whose paths begin with this cannot be written.
    shut: Option<&'static str>,
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that are not durable.
    dirty: Vec<usize>,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Eio,
    Enospc,
    /// Half of a write is done.
    Short,
    /// The power is cut: the write is on its way, and nothing works any more.
    Off,
}

/// What becomes of what is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// All of it is lost.
    Drop,
    /// All of it happens to be there.
    Keep,
    /// Some sectors are there, chosen by the seed.
    Random(u64),
}

impl FaultyDisk {
    pub(super) fn operations(&self) -> u64 {
        self.inner.lock().unwrap().operations
    }

    pub(super) fn fail_at(&self, operation: u64, fault: Fault) {
        let mut inner = self.inner.lock().unwrap();
        inner.fault = Some((operation, fault));
        inner.fired = false;
    }

    /// From now on it says that commits are durable, and they are not.
    pub(super) fn lie(&self) {
        self.inner.lock().unwrap().lies = true;
    }

    /// Until it is healed no file can be written whose path begins with `prefix`.
    pub(super) fn shut(&self, prefix: &'static str) {
        self.inner.lock().unwrap().shut = Some(prefix);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.inner.lock().unwrap().fired
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.fault = None;
        inner.shut = None;
    }

    /// The disk after a power cut.
    pub(super) fn cut(&self, cut: Cut) -> Self {
        let inner = self.inner.lock().unwrap();
        let mut random = Random(match cut {
            Cut::Random(seed) => seed | 1,
            _ => 1,
        });
        let mut names = BTreeMap::new();
        let all = inner.durable_names.keys().chain(inner.names.keys());
        for name in all {
            let (durable, now) = (inner.durable_names.get(name), inner.names.get(name));
            let chosen = match cut {
                Cut::Drop => durable,
                Cut::Keep => now,
                Cut::Random(_) if durable == now => now,
                Cut::Random(_) => [durable, now][random.below(2)],
            };
            if let Some(file) = chosen {
                names.insert(name.clone(), *file);
            }
        }
        let files = inner.files.iter().map(|file| file.after(cut, &mut random)).collect();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                durable_names: names.clone(),
                names,
                files,
                ..Inner::default()
            })),
        }
    }

    /// Another disk with the same contents.
    pub(super) fn copy(&self) -> Self {
        self.cut(Cut::Keep)
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.inner.lock().unwrap().names.keys().cloned().collect()
    }

    pub(super) fn contents(&self, path: &str) -> Vec<u8> {
        let inner = self.inner.lock().unwrap();
        inner.names.get(path).map(|file| inner.files[*file].now.clone()).unwrap_or_default()
    }

    pub(super) fn set_contents(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut inner = self.inner.lock().unwrap();
        match bytes {
            Some(bytes) => {
                let file = inner.files.len();
                let contents = Contents { now: bytes.clone(), durable: bytes, dirty: Vec::new() };
                inner.files.push(contents);
                inner.names.insert(path.into(), file);
                inner.durable_names.insert(path.into(), file);
            }
            None => {
                inner.names.remove(path);
                inner.durable_names.remove(path);
            }
        }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {} dirty", self.now.len(), self.dirty.len())
    }
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.dirty.clear();
    }

    fn after(&self, cut: Cut, random: &mut Random) -> Self {
        let mut bytes = match cut {
            Cut::Drop => self.durable.clone(),
            Cut::Keep => self.now.clone(),
            Cut::Random(_) => {
                let mut bytes = self.durable.clone();
                for sector in &self.dirty {
                    if random.below(2) == 0 {
                        continue;
                    }
                    let start = sector * SECTOR;
                    let end = (start + SECTOR).min(self.now.len());
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[start..end].copy_from_slice(&self.now[start..end]);
                }
                bytes
            }
        };
        bytes.shrink_to_fit();
        Self { now: bytes.clone(), durable: bytes, dirty: Vec::new() }
    }
}

impl Inner {
    fn operation(&mut self) -> Result<(), Fault> {
        self.operations += 1;
        match self.fault {
            // A full disk stays full until it is healed.
            Some((at, fault @ (Fault::Enospc | Fault::Off))) if self.operations >= at => {
                let is_first = !self.fired;
                self.fired = true;
                if fault == Fault::Off && !is_first {
                    return Err(Fault::Eio);
                }
                Err(fault)
            }
            Some((at, fault)) if self.operations == at => {
                self.fired = true;
                Err(fault)
            }
            _ => Ok(()),
        }
    }

    fn reading(&mut self) -> io::Result<()> {
        match self.fault {
            Some((_, Fault::Enospc | Fault::Off)) => Ok(()),
            _ => self.operation().map_err(error),
        }
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Eio | Fault::Short | Fault::Off => io::Error::from_raw_os_error(libc::EIO),
        Fault::Enospc => io::Error::from_raw_os_error(libc::ENOSPC),
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Disk for FaultyDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock().unwrap();
        let is_shut = inner.shut.is_some_and(|prefix| path.starts_with(prefix));
        if is_shut && how == Open::Write {
            inner.fired = true;
            return Err(error(Fault::Enospc));
        }
        let file = match inner.names.get(path) {
            Some(file) => *file,
            None if how == Open::Write => {
                inner.operation().map_err(error)?;
                inner.files.push(Contents::default());
                let file = inner.files.len() - 1;
                inner.names.insert(path.into(), file);
                file
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let is_direct = how == Open::Journal;
        Ok(Arc::new(FaultyFile { inner: Arc::clone(&self.inner), file, is_direct }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut inner = self.inner.lock().unwrap();
        inner.reading()?;
        let prefix = format!("{dir}/");
        let mut names: Vec<String> = inner
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.inner.lock().unwrap().operation().map_err(error)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        inner.operation().map_err(error)?;
        let file = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        inner.operation().map_err(error)?;
        inner.names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        inner.operation().map_err(error)?;
        let prefix = format!("{dir}/");
        inner.names.retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        inner.operation().map_err(error)?;
        // A directory below this one stands for its files: removing it removes them.
        let inner = &mut *inner;
        let below = format!("{dir}/");
        let names = &inner.names;
        inner.durable_names.retain(|path, _| {
            let is_here = parent(path) == dir || path.starts_with(&below);
            !is_here || names.contains_key(path)
        });
        for (path, file) in names.iter().filter(|(path, _)| parent(path) == dir) {
            inner.durable_names.insert(path.clone(), *file);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<Mutex<Inner>>,
    file: usize,
    is_direct: bool,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner.lock().unwrap();
        inner.reading()?;
        let bytes = &inner.files[self.file].now;
        let from = bytes.len().min(usize::try_from(offset).unwrap());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        let outcome = inner.operation();
        let offset = usize::try_from(offset).unwrap();
        let is_durable = self.is_direct && !inner.lies;
        let contents = &mut inner.files[self.file];
        match outcome {
            Ok(()) | Err(Fault::Off) => contents.write(offset, bytes),
            Err(Fault::Short) => contents.write(offset, &bytes[..bytes.len() / 2]),
            Err(_) => {}
        }
        if outcome.is_ok() && is_durable {
            for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
                contents.dirty.retain(|dirty| *dirty != sector);
            }
            let end = offset + bytes.len();
            if contents.durable.len() < end {
                contents.durable.resize(end, 0);
            }
            contents.durable[offset..end].copy_from_slice(bytes);
        }
        outcome.map_err(error)
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        let outcome = inner.operation();
        let contents = &mut inner.files[self.file];
        if outcome.is_ok() {
            contents.sync();
        } else if outcome != Err(Fault::Off) {
            // As Linux does: the pages are clean now, and the bytes are not on the disk.
            contents.dirty.clear();
        }
        outcome.map_err(error)
    }

    fn size(&self) -> io::Result<u64> {
        let mut inner = self.inner.lock().unwrap();
        inner.reading()?;
        Ok(inner.files[self.file].now.len() as u64)
    }

    fn raw_fd(&self) -> Option<i32> {
        None
    }
}

/// A small generator of numbers.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
